"""What to label next: which samples are suggested, in which order, and what is refused."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies

import headstart as hs
from headstart.arrow import column_of
from headstart.cache.commit import commit_set
from headstart.cache.sets import FeatureSet
from headstart.cache.store import Cache
from headstart.errors import ConfigError, DataError, MismatchError
from headstart.samples import LabelledSamples

from ..made_sets import clouds, make_set

N = 300
BY_FEATURES = ("typical", "cover", "random")
ALL = (*BY_FEATURES, "margin", "entropy")


def some_labels(y: np.ndarray[Any, Any], n: int) -> list[str | None]:
    """The classes of the first n samples, and of none else."""
    return [f"class {code}" if row < n else None for row, code in enumerate(y.tolist())]


@pytest.fixture
def few(cache_root: Path) -> FeatureSet:
    """Three clouds, of which thirty samples are labelled."""
    X, y = clouds(N, apart=8)
    return make_set(cache_root, X, {"kind": some_labels(y, 30)})


@pytest.fixture
def bare(cache_root: Path) -> FeatureSet:
    """Three clouds, and no label column."""
    return make_set(cache_root, clouds(N, apart=8)[0], {}, name="bare")


def splits_of(features: FeatureSet) -> dict[str, str]:
    table = features.samples
    return dict(zip(table.column("id").to_pylist(), table.column("split").to_pylist(), strict=True))


@pytest.mark.parametrize("strategy", ALL)
def test_suggestions_are_of_train_without_a_label_each_once(few: FeatureSet, strategy: str) -> None:
    found = few.suggest(strategy=strategy, budget=50)
    split, labelled = splits_of(few), {f"s{row}" for row in range(30)}
    assert len(found.ids) == len(set(found.ids)) == 50
    assert {split[id] for id in found.ids} == {"train"}
    assert not labelled & set(found.ids)
    assert found.n_labelled == 18


@pytest.mark.parametrize("strategy", ALL)
def test_the_same_seed_suggests_the_same_whatever_the_order_of_the_data(
    few: FeatureSet, tmp_path: Path, strategy: str
) -> None:
    assert (
        few.suggest(strategy=strategy, budget=20, seed=1).ids
        == few.suggest(strategy=strategy, budget=20, seed=1).ids
    )
    if strategy == "random":  # clusters and heads may differ in the last bit
        table, order = few.samples, np.random.default_rng(0).permutation(N)
        info = {name: value for name, value in few.info.items() if name not in ("format", "created")}
        shuffled = commit_set(Cache(few.cache), "shuffled", table.take(column_of(order)), info, ())
        assert shuffled is not None
        assert (
            shuffled.suggest(strategy=strategy, budget=20).ids
            == few.suggest(strategy=strategy, budget=20).ids
        )


@pytest.mark.parametrize("strategy", BY_FEATURES)
def test_a_set_without_any_label_begins_with_what_the_features_say(bare: FeatureSet, strategy: str) -> None:
    found = bare.suggest(strategy=strategy, budget=6)
    assert (found.label, found.n_labelled, len(found)) == ("label", 0, 6)


@pytest.mark.parametrize("strategy", ["margin", "entropy"])
def test_a_head_needs_labels_of_two_classes_and_says_so(
    bare: FeatureSet, cache_root: Path, strategy: str
) -> None:
    with pytest.raises(DataError, match=r"0 train samples with a label in 'label'.*--strategy typical"):
        bare.suggest(strategy=strategy)
    X, y = clouds(N)
    one = make_set(cache_root, X, {"kind": some_labels(np.zeros_like(y), 30)}, name="one")
    with pytest.raises(DataError, match="of 1 class, and a head needs two"):
        one.suggest(strategy=strategy)


def test_typical_ones_are_of_every_cloud_and_of_its_middle(bare: FeatureSet) -> None:
    X, y = clouds(N, apart=8)
    rows = [int(id[1:]) for id in bare.suggest(strategy="typical", budget=3).ids]
    assert sorted(y[rows]) == [0, 1, 2]
    for row in rows:
        middle = X[y == y[row]].mean(axis=0)
        far = np.linalg.norm(X[y == y[row]] - middle, axis=1)
        assert np.linalg.norm(X[row] - middle) < np.median(far)


def test_typical_ones_come_from_clouds_that_have_no_label_yet(cache_root: Path) -> None:
    X, y = clouds(N, apart=9)
    labels = [f"class {code}" if code == 0 and row < 60 else None for row, code in enumerate(y.tolist())]
    made = make_set(cache_root, X, {"kind": labels})
    n_labelled = made.suggest(strategy="random", budget=1).n_labelled
    assert n_labelled == 12
    rows = [int(id[1:]) for id in made.suggest(strategy="typical", budget=2).ids]
    assert 0 not in y[rows]


def covering(units: np.ndarray[Any, Any], labelled: Any, reach: float, n: int) -> list[int]:
    """How many samples each newly covers, one after the other the one that covers the most; of equal ones by id."""
    order = sorted(range(len(units)), key=lambda row: f"s{row}")
    units, labelled = units[order], np.array([order.index(row) for row in labelled], dtype=np.int64)
    near = units @ units.T >= 1 - reach**2 / 2
    is_covered, found = near[labelled].any(axis=0), []
    for _ in range(n):
        gain = (near & ~is_covered).sum(axis=1)
        gain[labelled] = -1
        found.append(int(gain.max()))
        is_covered |= near[gain.argmax()]
    return found


@given(seed=strategies.integers(0, 1000), n_labelled=strategies.integers(1, 8))
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_of_those_that_cover_has_the_most_near_it_that_nothing_covers_yet(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, seed: int, n_labelled: int
) -> None:
    reach = 0.9
    monkeypatch.setattr("headstart.labelling.strategies.radius", lambda *_: reach)
    X = np.random.default_rng(seed).normal(size=(80, 5)).astype(np.float32)
    labels = some_labels(np.arange(80) % 2, n_labelled)
    made = make_set(tmp_path_factory.mktemp("cache"), X, {"kind": labels}, ["train"] * 80)
    centred = X - X.mean(axis=0, dtype=np.float64)
    units = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    found = [row.score for row in made.suggest(strategy="cover", budget=8)]
    wanted = [n for n in covering(units, range(n_labelled), reach, 8) if n]  # then all are covered
    assert found[: len(wanted)] == wanted


def test_those_that_cover_are_of_every_cloud(bare: FeatureSet) -> None:
    _, y = clouds(N, apart=8)
    rows = [int(id[1:]) for id in bare.suggest(strategy="cover", budget=3).ids]
    assert sorted(y[rows]) == [0, 1, 2]


def test_margins_are_those_of_the_head_that_is_given(few: FeatureSet, tmp_path: Path) -> None:
    run = hs.fit_head(few, "logistic", plots="none", out=tmp_path / "run")
    for given_run in (run, tmp_path / "run"):
        found = few.suggest(strategy="margin", budget=10, run=given_run)
        samples: LabelledSamples = few.rows("train")
        likely = np.sort(run.predictor.outputs(samples.X), axis=1)
        margins = dict(
            zip(samples.table.column("id").to_pylist(), likely[:, -1] - likely[:, -2], strict=True)
        )
        unlabelled = [margins[id] for id in margins if int(id[1:]) >= 30]
        assert found[0].score == pytest.approx(1 - min(unlabelled), abs=1e-5)
        assert all(row.score == pytest.approx(1 - margins[row.id], abs=1e-5) for row in found)
        assert {row.predicted for row in found} <= set(run.predictor.classes)


def test_entropy_is_that_of_the_heads_probabilities(few: FeatureSet) -> None:
    run = hs.fit_head(few, "logistic", plots="none")
    shares = run.predictor.outputs(few.arrays("train")[0][18:])
    entropies = -(shares * np.log(shares)).sum(axis=1)
    found = few.suggest(strategy="entropy", budget=1, run=run)
    assert found[0].score == pytest.approx(entropies.max(), abs=1e-4)


def test_of_each_class_that_a_head_predicts_so_many(few: FeatureSet) -> None:
    found = few.suggest(strategy="margin", per_class=4)
    assert sorted(row.predicted for row in found) == sorted(["class 0", "class 1", "class 2"] * 4)
    assert few.suggest(strategy="margin", per_class=4, budget=5).ids == found.ids[:5]


def test_what_says_the_same_twice_waits_behind_the_others(cache_root: Path) -> None:
    X, y = clouds(N, apart=3)
    X[200:260] = X[30]  # other texts, the same features: a head is as unsure of all of them
    made = make_set(cache_root, X, {"kind": some_labels(y, 30)}, ["train"] * N)
    same = {"s30", *(f"s{row}" for row in range(200, 260))}
    for strategy in ("margin", "entropy"):
        ids = made.suggest(strategy=strategy, budget=180).ids
        assert len(same & set(ids)) == 1
    assert len(same & set(made.suggest(strategy="margin", budget=N).ids)) == len(same)


def test_copies_byte_for_byte_are_suggested_once_and_not_if_one_is_labelled(cache_root: Path) -> None:
    X, y = clouds(60)
    contents = [f"text {row}" for row in range(60)]
    contents[40] = contents[41] = contents[42]
    contents[50] = contents[3]
    made = make_set(cache_root, X, {"kind": some_labels(y, 20)}, ["train"] * 60, contents)
    found = made.suggest(strategy="random", budget=60)
    assert {"s40", "s41", "s42"} & set(found.ids) == {"s40"}
    assert "s50" not in found.ids
    assert "3 samples left out: a copy, byte for byte, is labelled or suggested" in found.notes


def test_a_budget_beyond_what_is_unlabelled_gives_all_and_says_so(
    few: FeatureSet, capsys: pytest.CaptureFixture[str]
) -> None:
    for strategy in ALL:
        found = few.suggest(strategy=strategy, budget=1000, quiet=False)
        assert len(found) == found.n_open == 162
        assert (
            "1,000 suggestions asked for, and these are all 162 that are unlabelled"
            in capsys.readouterr().err
        )


def test_who_was_unsure_is_not_asked_again(few: FeatureSet, tmp_path: Path) -> None:
    path = tmp_path / "next.csv"
    first = few.suggest(strategy="margin", budget=5, out=path)
    rows = read(path)
    rows[0]["action"] = "unsure"
    after = few.correct(as_table(rows))
    again = after.suggest(strategy="margin", budget=5)
    assert first.ids[0] not in again.ids
    assert "1 sample left out: somebody looked at it and was unsure" in again.notes


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def as_table(rows: list[dict[str, str]]) -> pa.Table:
    return pa.table({name: [row[name] for row in rows] for name in rows[0]})


def test_the_loop_from_nothing_to_a_head(bare: FeatureSet, tmp_path: Path) -> None:
    """Suggest, label, fit, suggest by the run, label, fit."""
    _, y = clouds(N, apart=8)
    features, path, run = bare, tmp_path / "next.csv", None
    for strategy in ("typical", "margin"):
        hs.suggest(
            features.name, cache=bare.cache, strategy=strategy, budget=9, run=run, out=path, overwrite=True
        )
        rows = read(path)
        for row in rows:
            row["new"] = f"class {y[int(row['id'][1:])]}"
        run = hs.fit_head(features.name, "ridge", cache=bare.cache, corrections=as_table(rows), plots="none")
        features = hs.open_set("bare", cache=bare.cache)
    assert features.label_names == {"label": ("class 0", "class 1", "class 2")}
    assert len(features.corrections) == 18
    assert run is not None
    X, _ = bare.arrays("test")
    assert (run.predictor.outputs(X).argmax(axis=1) == y[np.arange(N) % 10 >= 8]).mean() > 0.9


def test_a_file_that_somebody_may_have_filled_in_is_not_replaced(bare: FeatureSet, tmp_path: Path) -> None:
    path = tmp_path / "next.csv"
    bare.suggest(budget=3, out=path)
    with pytest.raises(ConfigError, match="somebody may have filled in labels"):
        bare.suggest(budget=3, out=path)
    bare.suggest(budget=3, out=path, overwrite=True)
    with pytest.raises(ConfigError, match=r"does not end in \.csv"):
        bare.suggest(budget=3, out=tmp_path / "next.xlsx")
    with pytest.raises(ConfigError, match="there is no folder"):
        bare.suggest(budget=3, out=tmp_path / "nowhere" / "next.csv")


def test_bad_requests_are_refused_in_a_line(few: FeatureSet, cache_root: Path, tmp_path: Path) -> None:
    run = hs.fit_head(few, "ridge", plots="none", out=tmp_path / "run")
    X, y = clouds(N)
    refused: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"budget": 0}, ConfigError, "budget"),
        ({"strategy": "margins"}, ConfigError, "did you mean 'margin'"),
        ({"strategy": "typical", "run": run}, ConfigError, "--run is for"),
        ({"strategy": "cover", "per_class": 2}, ConfigError, "--per-class takes so many of each class"),
        ({"strategy": "margin", "run": run, "tap": "last.mean"}, ConfigError, "--run says which features"),
        ({"label": "colour"}, ConfigError, "no label 'colour'"),
        ({"tap": "3.mean"}, ConfigError, "no feature"),
    ]
    for options, kind, words in refused:
        with pytest.raises(kind, match=words):
            few.suggest(**options)
    other = make_set(cache_root, {"py:other:backbone": X}, {"kind": some_labels(y, 30)}, name="other")
    with pytest.raises(MismatchError, match="fitted on set 'made', and suggestions are for 'other'"):
        other.suggest(strategy="margin", run=run)
    again = make_set(
        cache_root, {"py:other:backbone": X}, {"kind": some_labels(y, 30)}
    )  # its features are gone
    with pytest.raises(MismatchError, match="does not have"):
        again.suggest(strategy="margin", run=run)
    full = make_set(cache_root, X, {"kind": some_labels(y, N)}, name="full")
    with pytest.raises(DataError, match="180 of its 180 train samples have a label"):
        full.suggest()
    numbers = make_set(
        cache_root, X, {"size": [float(row) if row < 9 else None for row in range(N)]}, name="numbers",
        kinds={"size": "regression"},
    )  # fmt: skip
    assert len(numbers.suggest(budget=4)) == 4
    with pytest.raises(ConfigError, match="margins are between classes"):
        numbers.suggest(strategy="margin")
    tests = make_set(cache_root, X, {}, ["test"] * N, name="tests")
    with pytest.raises(DataError, match="no train sample"):
        tests.suggest()


def test_the_file_shows_what_is_to_be_labelled(tmp_path: Path, made_bert: Path) -> None:
    texts = [f"message {number}" for number in range(12)]
    features = hs.extract(texts, backbone=f"hf:{made_bert}", set="held")
    places = set(features.samples.column("origin").to_pylist())  # they were in memory, and are nowhere now
    assert {row.input for row in features.suggest(budget=3)} <= places
    (tmp_path / "messages.txt").write_text("\n".join(texts))
    features = hs.extract(tmp_path / "messages.txt", backbone=f"hf:{made_bert}", set="messages")
    features.suggest(budget=3, out=tmp_path / "next.csv")
    by_id = dict(zip(features.samples.column("id").to_pylist(), texts, strict=True))
    assert [row["input"] for row in read(tmp_path / "next.csv")] == [
        by_id[row["id"]] for row in read(tmp_path / "next.csv")
    ]
    assert "input" in repr(features.suggest(budget=3))
