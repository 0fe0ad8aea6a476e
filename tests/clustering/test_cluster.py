"""Groups without labels: which samples are together, what is told of them, and that nothing else of the set changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings, strategies
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

import headstart as hs
from headstart.cache.sets import FeatureSet
from headstart.clustering.described import agreement, marking_words
from headstart.errors import ConfigError, DataError
from headstart.progress import Silence
from headstart.reporting.config import ReportConfig
from headstart.reporting.stage import page_data

from ..made_sets import clouds, make_set

N = 200
SIZES = np.repeat([0, 1, 2, 3], [80, 60, 40, 20])


def four_clouds(apart: float = 14.0) -> np.ndarray[Any, Any]:
    """Clouds of 80, 60, 40 and 20 samples, mixed."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 12)) * apart / np.sqrt(24)
    found: np.ndarray[Any, Any] = (centres[order()] + rng.normal(size=(N, 12))).astype(np.float32)
    return found


def order() -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).permutation(SIZES)


@pytest.fixture
def made(cache_root: Path) -> FeatureSet:
    labels = [f"kind {code}" if row % 2 else None for row, code in enumerate(order().tolist())]
    return make_set(cache_root, four_clouds(), {"kind": labels}, meta={"camera": ["one"] * N})


def column(features: FeatureSet, name: str = "cluster") -> list[str | None]:
    return list(features.samples.column(f"meta:{name}").to_pylist())


@pytest.mark.parametrize("options", [{"k": 4}, {"k": "auto"}, {"method": "hdbscan"}])
def test_clouds_are_found_and_numbered_by_their_size(made: FeatureSet, options: dict[str, Any]) -> None:
    found = made.cluster(**options)
    assert [row.size for row in found] == pytest.approx([80, 60, 40, 20], abs=3)
    assert [row.name for row in found] == ["c1", "c2", "c3", "c4"]
    assert [row.label for row in found] == ["kind 0", "kind 1", "kind 2", "kind 3"]
    known = [name for name in column(found.features) if name is not None]
    assert sum(name == "c1" for name in known) == found[0].size
    assert len(known) + found.n_outside == N
    assert found.agreement["nmi"] > 0.95


def test_nothing_else_of_the_set_changes(made: FeatureSet) -> None:
    found = made.cluster(k=4)
    new = found.features
    assert new.digest != made.digest
    assert hs.open_set("made", cache=made.cache).digest == new.digest
    assert new.samples.drop_columns(["meta:cluster"]).equals(made.samples)
    assert new.features == made.features
    assert (new.label_names, new.info["split"]) == (made.label_names, made.info["split"])
    assert np.array_equal(new.arrays()[0], made.arrays()[0])
    assert made.cluster(k=4).features.digest == new.digest


def test_typical_members_are_those_next_to_the_middle(made: FeatureSet) -> None:
    found, X = made.cluster(k=4, members=3), four_clouds()
    X = X - X.mean(axis=0)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    for row in found:
        own = np.array([name == row.name for name in column(found.features)])
        middle = X[own].mean(axis=0)
        near = X[own] @ (middle / np.linalg.norm(middle))
        assert sorted(row.members) == sorted(
            np.array([f"s{n}" for n in range(N)])[own][np.argsort(-near)[:3]]
        )


def test_a_column_of_ones_own_name_and_another_number_replaces_the_earlier_one(made: FeatureSet) -> None:
    made.cluster(k=4, name="group")
    again = made.cluster(k=3, name="group")
    assert set(column(again.features, "group")) == {"c1", "c2", "c3"}
    assert [n for n in again.features.samples.column_names if n.startswith("meta:")] == [
        "meta:camera",
        "meta:group",
    ]


def test_corrections_and_clusters_stand_beside_each_other(made: FeatureSet) -> None:
    rows = {
        "key": [made.samples.column("key")[1].as_py().hex()], "id": ["s1"], "label": ["kind"],
        "old": [f"kind {order()[1]}"], "new": ["kind 9"], "action": ["relabel"], "note": [""], "digest": [made.digest],
    }  # fmt: skip
    corrected = made.correct(pa.table(rows))
    clustered = corrected.cluster(k=4).features
    assert clustered.corrections == corrected.corrections
    assert clustered.label_names == corrected.label_names
    assert clustered.samples.column("label:kind").equals(corrected.samples.column("label:kind"))
    once_more = {**rows, "id": ["s3"], "key": [made.samples.column("key")[3].as_py().hex()],
                 "old": [f"kind {order()[3]}"]}  # fmt: skip
    both = clustered.correct(pa.table(once_more))  # made for a state before the clusters
    assert len(both.corrections) == 2
    assert column(both) == column(clustered)


def test_the_map_and_the_page_show_them(made: FeatureSet, tmp_path: Path) -> None:
    features = made.cluster(k=4).features
    points = hs.project(features, colour="meta:cluster").table
    assert points.column("meta:cluster").to_pylist() == column(features)
    page = page_data(features, None, ReportConfig(method="pca", audit=False), Silence())
    shown = next(each for each in page["samples"]["columns"] if each["name"] == "meta:cluster")
    assert (shown["kind"], shown["names"]) == ("category", ["c1", "c2", "c3", "c4"])


def test_words_that_mark_a_cluster_are_told_and_the_column_stays_when_the_set_grows(
    tmp_path: Path, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "end_to_end"))
    path, words = tmp_path / "texts.csv", (["card", "bank"], ["ship", "harbour"])
    lines = [f"the {words[row % 2][row // 2 % 2]} number {row}" for row in range(40)]
    path.write_text("text\n" + "".join(f"{line}\n" for line in lines), "utf-8")
    options: dict[str, Any] = {"set": "texts", "cache": str(cache_root), "text_column": "text"}
    features = hs.extract(path, "py:tiny_backbones:texts", **options)
    found = features.cluster(k=2, words=3)
    assert found.notes == ()
    assert all(len(row.words) == 3 for row in found)
    path.write_text(path.read_text("utf-8") + "the end of it\n", "utf-8")
    grown = hs.extract(path, "py:tiny_backbones:texts", **options)
    assert column(grown) == [*column(found.features), None]
    path.unlink()
    gone = grown.cluster(k=2)
    assert gone.notes[0].startswith("words are not told, for the data cannot be read again: ")
    assert {row.words for row in gone} == {()}


@given(
    labels=strategies.lists(strategies.integers(-1, 3), min_size=12, max_size=12),
    codes=strategies.lists(strategies.integers(-1, 3), min_size=12, max_size=12),
)
@settings(max_examples=50)
def test_figures_are_those_of_samples_that_have_both(labels: list[int], codes: list[int]) -> None:
    true, said = np.array(labels), np.array(codes)
    both = (true >= 0) & (said >= 0)
    found = agreement(true, said)
    if not both.any():
        assert found == {}
        return
    assert found["nmi"] == pytest.approx(normalized_mutual_info_score(true[both], said[both]))
    assert found["ari"] == pytest.approx(adjusted_rand_score(true[both], said[both]))
    right = sum(np.bincount(true[both & (said == code)]).max() for code in np.unique(said[both]))
    assert found["purity"] == pytest.approx(right / both.sum())


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_which_sample_is_in_which_is_written(made: FeatureSet, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"groups.{suffix}"
    found = made.cluster(k=4, out=path)
    if suffix == "parquet":
        with pq.ParquetFile(path) as file:
            assert file.read().equals(found.table)
    else:
        text = path.read_text("utf-8")
        assert len(text.splitlines()) == N + (suffix == "csv")
        assert text.count("c4") == 20


def test_the_name_is_that_of_the_column_with_its_prefix_or_without(made: FeatureSet) -> None:
    assert (
        made.cluster(k=2, name="meta:topic").column == made.cluster(k=2, name="topic").column == "meta:topic"
    )


def test_words_are_none_where_there_is_no_word() -> None:
    assert marking_words(["?", "!"], np.array([0, 1]), 2, 3) == [(), ()]


def test_bad_requests_are_refused_in_a_line(made: FeatureSet, cache_root: Path, tmp_path: Path) -> None:
    refused: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"k": 1}, ConfigError, "-k takes a number of clusters, 2 or more"),
        ({"k": 201}, ConfigError, "-k 201 is more than the 200 samples"),
        ({"method": "k-means"}, ConfigError, "did you mean 'kmeans'"),
        ({"method": "hdbscan", "k": 3}, ConfigError, "finds the number of clusters itself"),
        ({"min_size": 4}, ConfigError, "--min-size is for --method hdbscan"),
        ({"method": "hdbscan", "min_size": 500}, ConfigError, "--min-size 500 is more than the 200 samples"),
        ({"method": "hdbscan", "min_size": 150}, DataError, "no cluster of 150 or more"),
        ({"name": "camera"}, ConfigError, "has a column 'meta:camera' of its data"),
        ({"name": ""}, ConfigError, "no name of a column"),
        ({"name": "split"}, ConfigError, "another column of each set is called"),
        ({"name": "label:kind"}, ConfigError, "another column of each set is called"),
        ({"label": "colour"}, ConfigError, "no label 'colour'"),
        ({"out": tmp_path / "a.txt"}, ConfigError, "none of the endings"),
    ]
    for options, kind, words in refused:
        with pytest.raises(kind, match=words):
            made.cluster(**options)
    assert hs.open_set("made", cache=made.cache).digest == made.digest
    one = make_set(cache_root, clouds(1)[0], {}, ["train"], name="one")
    with pytest.raises(DataError, match="clusters need two or more"):
        one.cluster()
