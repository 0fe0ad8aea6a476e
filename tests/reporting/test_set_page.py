"""The page of a set: its map, its queues, and what of its data is shown."""

from __future__ import annotations

import io
from base64 import b64decode
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

import headstart as hs
from headstart.cache.commit import commit_set
from headstart.cache.store import Cache
from headstart.cli.app import app
from headstart.errors import ConfigError, MissingDependencyError

from ..made_sets import clouds, make_set
from .conftest import IMAGES, SHAPES, TEXTS, data_of
from .contract import column_of, decoded, queue_of


def points_in(page: dict[str, Any]) -> np.ndarray:
    return np.stack([decoded(page["points"][axis]) for axis in "xy"], axis=1)


def test_the_map_is_the_projection_of_headstart_project(text_set: hs.FeatureSet) -> None:
    page = data_of(text_set)
    table = hs.project(text_set).table
    expected = np.stack([table.column(axis).to_numpy() for axis in "xy"], axis=1)
    np.testing.assert_allclose(points_in(page), expected, rtol=1e-3, atol=1e-3)
    assert page["points"]["method"] == "PCA"
    assert "of the variance" in page["points"]["note"]


def test_of_many_samples_axes_are_fitted_on_a_draw_and_all_are_on_the_map(
    text_set: hs.FeatureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = points_in(data_of(text_set))
    monkeypatch.setattr("headstart.reporting.points.MOST_FITTED", 150)
    drawn = points_in(data_of(text_set))
    assert np.isfinite(drawn).all()
    assert all(abs(np.corrcoef(whole[:, axis], drawn[:, axis])[0, 1]) > 0.9 for axis in (0, 1))


def test_tsne_is_of_those_that_it_can_take_and_the_page_says_so(
    text_set: hs.FeatureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.reporting.points.MOST_EMBEDDED", 60)
    page = data_of(text_set, method="tsne")
    known = np.isfinite(points_in(page)).all(axis=1)
    assert known.sum() == 60
    assert any("The map by t-SNE is of 60 of 240 samples" in note for note in page["notes"])
    first = decoded(queue_of(page, "outliers")["rows"])[:5]
    assert known[first].all()


def test_methods_that_are_unknown_or_not_installed_are_refused(text_set: hs.FeatureSet) -> None:
    with pytest.raises(ConfigError, match="choose from: pca, tsne, umap"):
        data_of(text_set, method="pcs")
    try:
        import umap  # noqa: F401
    except ImportError:
        with pytest.raises(MissingDependencyError, match="umap"):
            data_of(text_set, method="umap")


def test_an_audit_gives_queues_with_twins_and_suggestions(cache_root: Path) -> None:
    X, y = clouds(120, apart=9)
    names = [f"c{c}" for c in y]
    names[17] = "c0" if names[17] != "c0" else "c1"
    X[9] = X[0]  # of test, and of train
    X[50] += 40
    made = make_set(cache_root, X, {"kind": names})
    page = data_of(made)
    ids = page["samples"]["ids"]
    wrong = queue_of(page, "label_errors")
    assert ids[decoded(wrong["rows"])[0]] == "s17"
    assert wrong["suggested"][0] == f"c{y[17]}"
    twins = queue_of(page, "duplicates")
    assert [ids[decoded(twins[end])[0]] for end in ("rows", "other")] == ["s0", "s9"]
    leaks = queue_of(page, "leaks")
    assert [ids[decoded(leaks[end])[0]] for end in ("rows", "other")] == ["s9", "s0"]
    assert ids[decoded(queue_of(page, "outliers")["rows"])[0]] == "s50"


def test_large_sets_are_not_audited_unasked_but_copies_are_shown(
    photo_set: hs.FeatureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.reporting.queues.MOST_AUDITED", 20)
    page = data_of(photo_set)
    assert any("--audit" in note for note in page["notes"])
    twins, ids = queue_of(page, "duplicates"), page["samples"]["ids"]
    pair = {Path(ids[decoded(twins[end])[0]]).name for end in ("rows", "other")}
    assert (pair, twins["n"]) == ({"000.png", "copy.png"}, 1)
    asked = data_of(photo_set, audit=True)
    assert "cosine of at least" in queue_of(asked, "duplicates")["about"]
    assert data_of(photo_set, audit=False)["queues"] == []


def test_groups_in_train_and_test_are_a_queue(cache_root: Path) -> None:
    X, y = clouds(100, apart=2)
    meta = {"group": [f"patient {row // 4}" for row in range(100)]}
    made = make_set(cache_root, X, {"kind": [f"c{c}" for c in y]}, meta=meta)
    page = data_of(made)
    queue, splits = queue_of(page, "group_leaks"), column_of(page, "split")
    groups = column_of(page, "meta:group")
    train = {group for group, split in zip(groups, splits, strict=True) if split == "train"}
    rows = set(decoded(queue["rows"]).tolist())
    assert rows == {r for r in range(100) if splits[r] != "train" and groups[r] in train}


def test_thumbnails_are_small_and_of_the_samples_that_they_stand_at(photo_set: hs.FeatureSet) -> None:
    page = data_of(photo_set)
    thumbs, labels = page["samples"]["thumbs"], column_of(page, "label")
    rows = decoded(thumbs["rows"]).tolist()
    assert rows == list(range(91))
    for row, image in zip(rows, thumbs["images"], strict=True):
        picture = Image.open(io.BytesIO(b64decode(image.partition(",")[2]))).convert("RGB")
        assert max(picture.size) <= 72
        mean = np.asarray(picture, dtype=float).mean(axis=(0, 1))
        assert SHAPES[int(mean.argmax())] == labels[row]
    assert page["samples"]["texts"] is None


def test_a_budget_of_thumbnails_goes_to_finds_first_and_then_to_all_alike(photo_set: hs.FeatureSet) -> None:
    page = data_of(photo_set, thumbnails=12)
    rows = decoded(page["samples"]["thumbs"]["rows"])
    assert len(rows) == 12
    twins = queue_of(page, "duplicates")
    assert {int(decoded(twins[end])[0]) for end in ("rows", "other")} <= set(rows.tolist())
    assert any("Thumbnails of 12 of 91 samples" in note for note in page["notes"])
    unaudited = data_of(photo_set, thumbnails=27, audit=False)
    labels, splits = column_of(unaudited, "label"), column_of(unaudited, "split")
    shown = Counter((labels[row], splits[row]) for row in decoded(unaudited["samples"]["thumbs"]["rows"]))
    assert len(shown) == 9
    assert data_of(photo_set, thumbnails=0)["samples"]["thumbs"] is None


def test_pictures_and_texts_together_show_both(photos: Path, tmp_path: Path) -> None:
    rows = [
        {"image": f"photos/{SHAPES[n % 3]}/{n:03d}.png", "text": f"a caption {n}", "label": SHAPES[n % 3]}
        for n in range(60)
    ]
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, tmp_path / "pairs.parquet")
    features = hs.extract(
        tmp_path / "pairs.parquet", "py:tiny_backbones:pairs", set="pairs", image_column="image",
        text_column="text", label_column="label", quiet=True,
    )  # fmt: skip
    page = data_of(features)
    assert page["samples"]["texts"][4] == "a caption 4"
    assert len(page["samples"]["thumbs"]["images"]) == 60


def test_data_in_memory_is_shown_where_it_is_given_again() -> None:
    texts, labels = [f"text {row}" for row in range(40)], [f"c{row % 2}" for row in range(40)]
    features = hs.extract(texts, TEXTS, labels=labels, set="memory", quiet=True)
    page = data_of(features)
    assert page["samples"]["texts"] is None
    assert any("--data" in note for note in page["notes"])
    assert data_of(features, data=texts)["samples"]["texts"] == texts


def test_a_set_without_labels_or_with_few_samples_has_a_page() -> None:
    unlabelled = hs.extract([f"text {row}" for row in range(30)], TEXTS, set="plain", quiet=True)
    page = data_of(unlabelled)
    assert page["label"] == {"column": "label", "kind": "single", "names": []}
    assert "The set has no labels; those that are given here make the column 'label'." in page["notes"]
    assert page["points"] is not None
    two = hs.extract(["one", "two"], TEXTS, labels=["a", "b"], set="two", quiet=True)
    page = data_of(two)
    assert page["points"] is None
    one = hs.extract(["one"], TEXTS, labels=["a"], set="one", quiet=True)
    page = data_of(one)
    assert (page["points"], page["neighbours"], page["samples"]["n"]) == (None, None, 1)


def test_samples_of_one_class_have_a_page(cache_root: Path) -> None:
    X, _ = clouds(40)
    page = data_of(make_set(cache_root, X, {"kind": ["same"] * 40}))
    assert page["label"]["names"] == ["same"]
    assert set(column_of(page, "label")) == {"same"}


def test_columns_are_numbers_or_names_and_others_are_left_out(cache_root: Path) -> None:
    X, y = clouds(1200, apart=1)
    meta = {
        "price": [f"{row * 0.5}" if row % 7 else "" for row in range(1200)],
        "stars": [str(row % 5) for row in range(1200)],
        "camera": [["red", "", None, "blue"][row % 4] for row in range(1200)],
        "note": [f"a note of its own {row}" for row in range(1200)],
        "same": ["x"] * 1200,
        "flag": [row % 2 == 0 for row in range(1200)],
        "odd": ["inf" if row == 3 else str(row) for row in range(1200)],
    }
    page = data_of(make_set(cache_root, X, {"kind": [f"c{c}" for c in y]}, meta=meta), audit=False)
    columns = {column["name"]: column for column in page["samples"]["columns"]}
    assert [name for name in columns if name.startswith("meta:")] == [
        "meta:price", "meta:stars", "meta:camera", "meta:flag", "meta:odd",
    ]  # fmt: skip
    assert column_of(page, "meta:price")[:9] == [None, 0.5, 1, 1.5, 2, 2.5, 3, None, 4]
    assert columns["meta:stars"]["names"] == list("01234")
    assert column_of(page, "meta:camera")[:4] == ["red", None, None, "blue"]
    assert column_of(page, "meta:flag")[:2] == ["true", "false"]
    assert column_of(page, "meta:odd")[3] is None
    assert any("'note'" in note for note in page["notes"])


def test_several_label_columns_are_columns_and_one_is_the_label(cache_root: Path) -> None:
    X, y = clouds(80)
    labels = {
        "kind": [f"c{c}" for c in y],
        "size": X[:, 0].tolist(),
        "tags": [["a"] * int(c > 0) + ["b"] for c in y],
    }
    made = make_set(cache_root, X, labels, kinds={"size": "regression", "tags": "multi"})
    page = data_of(made)
    assert page["label"]["column"] == "kind"
    assert any("--label shows another: 'size', 'tags'" in note for note in page["notes"])
    assert set(column_of(page, "label:tags")) == {"b", "a + b"}
    sizes = data_of(made, label="size")
    assert sizes["label"] == {"column": "size", "kind": "regression", "names": []}
    assert [float(text) for text in sizes["samples"]["labels"]] == pytest.approx(labels["size"])
    assert set(column_of(sizes, "label:kind")) == {"c0", "c1", "c2"}
    tags = data_of(made, label="tags")
    assert set(tags["samples"]["labels"]) == {'["b"]', '["a", "b"]'}
    with pytest.raises(ConfigError, match="it has"):
        data_of(made, label="colour")


def test_samples_that_have_no_feature_are_listed_and_not_on_the_map(photos: Path) -> None:
    (photos / "circle" / "broken.png").write_bytes(b"no picture")
    features = hs.extract(photos, IMAGES, set="photos", quiet=True)
    page = data_of(features)
    ids = [Path(name).name for name in page["samples"]["ids"]]
    place = ids.index("broken.png")
    assert np.isnan(points_in(page)[place]).all()
    assert np.isfinite(np.delete(points_in(page), place, axis=0)).all()
    assert place not in decoded(page["samples"]["thumbs"]["rows"])
    assert any("1 of 92 samples have no feature" in note for note in page["notes"])
    assert any("1 picture cannot be read or decoded" in note for note in page["notes"])


def test_a_set_that_was_imported_has_a_map_and_says_that_nothing_is_shown(tmp_path: Path) -> None:
    X, _ = clouds(50)
    np.save(tmp_path / "vectors.npy", X)
    (tmp_path / "ids.txt").write_text("\n".join(f"row {row}" for row in range(50)))
    files = [str(tmp_path / "vectors.npy"), "--ids", str(tmp_path / "ids.txt")]
    done = CliRunner().invoke(app, ["cache", "import", *files, "--backbone", "mine", "--set", "mine"])
    assert done.exit_code == 0, done.output
    page = data_of("mine")
    assert page["points"] is not None
    assert page["samples"]["texts"] is None


def test_taps_and_backbones_are_chosen_or_refused(cache_root: Path) -> None:
    X, y = clouds(60)
    made = make_set(cache_root, {"py:a:one": X, "py:b:two": X[:, ::-1]}, {"kind": [f"c{c}" for c in y]})
    assert "py:a:one" in data_of(made)["points"]["note"]
    assert "py:b:two" in data_of(made, backbone="py:b:two")["points"]["note"]
    with pytest.raises(ConfigError, match="it has"):
        data_of(made, backbone="py:c:three")
    with pytest.raises(ConfigError, match="it has"):
        data_of(made, tap="3.cls")


def test_features_that_cannot_be_read_leave_a_page_without_a_map(text_set: hs.FeatureSet) -> None:
    for shard in (text_set.cache / "spaces").rglob("shards/*"):
        shard.unlink()
    page = data_of("texts")
    assert page["points"] is None
    assert any("headstart cache verify" in note for note in page["notes"])
    assert page["samples"]["texts"] is not None


def test_sets_of_tokens_alone_have_a_page_without_a_map(tiny_bert: Path) -> None:
    texts = [f"{'ab' if row % 2 else 'xy'} word {row}" for row in range(30)]
    features = hs.extract(
        texts, f"hf:{tiny_bert}", labels=[f"c{row % 2}" for row in range(30)], taps=["last.tokens"], set="tokens",
        quiet=True,
    )  # fmt: skip
    page = data_of(features)
    assert page["points"] is None
    assert any("no feature with one vector a sample" in note for note in page["notes"])


def test_states_of_a_set_are_told_apart(cache_root: Path) -> None:
    X, y = clouds(40)
    made = make_set(cache_root, X, {"kind": [f"c{c}" for c in y]})
    table = made.samples.set_column(2, "split", pa.array(["train"] * 40))
    later = commit_set(Cache(cache_root), "made", table, dict(made.info), ())
    assert later is not None
    assert data_of(made)["set"]["digest"] == made.digest
    assert data_of("made", cache=str(cache_root))["set"]["digest"] == later.digest


def test_what_was_kept_before_is_marked_and_comes_last_in_its_queue(cache_root: Path) -> None:
    X, y = clouds(120, apart=9)
    names = [f"c{c}" for c in y]
    for row in (17, 40):
        names[row] = "c0" if names[row] != "c0" else "c1"
    made = make_set(cache_root, X, {"kind": names})
    page = data_of(made)
    rows = decoded(queue_of(page, "label_errors")["rows"]).tolist()
    assert {17, 40} <= set(rows)
    assert page["matters"]["kept"] == []
    table = made.samples
    decision = {
        "key": table.column("key")[rows[0]].as_py().hex(), "id": table.column("id")[rows[0]].as_py(), "label": "kind",
        "old": names[rows[0]], "new": "", "action": "keep", "note": "", "digest": made.digest,
    }  # fmt: skip
    later = data_of(made.correct(pa.Table.from_pylist([decision])))
    assert later["matters"]["kept"] == [rows[0]]
    assert decoded(queue_of(later, "label_errors")["rows"]).tolist() == [*rows[1:], rows[0]]
    assert ["corrections", "1 kept"] in later["about"]
