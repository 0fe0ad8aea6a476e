"""The page of two runs: which test samples flipped, each way, and where."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from headstart.errors import ConfigError, MismatchError
from headstart.types import SPLITS

from ..made_sets import clouds, make_set
from .conftest import data_of
from .contract import column_of, decoded, none_of, queue_of


@pytest.fixture
def made(cache_root: Path) -> hs.FeatureSet:
    X, y = clouds(400, apart=2)
    meta = {"camera": [["red", "green"][row % 2] for row in range(400)]}
    return make_set(cache_root, X, {"kind": [f"c{c}" for c in y]}, meta=meta)


@pytest.fixture
def two(made: hs.FeatureSet) -> tuple[hs.Run, hs.Run]:
    return (
        hs.fit_head(made, "centroid", out="runs/centroid", plots="none"),
        hs.fit_head(made, "knn", out="runs/knn", plots="none"),
    )


def test_flips_are_of_the_test_samples_alone_and_each_way(two: tuple[hs.Run, hs.Run]) -> None:
    page = data_of(*two)
    wrong = [
        {row["id"] for row in run.predictions_of("test").to_pylist() if row["label"] != row["prediction"]}
        for run in two
    ]
    flips = dict(zip(page["samples"]["ids"], column_of(page, "flip"), strict=True))
    assert {name for name, flip in flips.items() if flip == "gained"} == wrong[0] - wrong[1]
    assert {name for name, flip in flips.items() if flip == "lost"} == wrong[1] - wrong[0]
    assert {name for name, flip in flips.items() if flip == "both wrong"} == wrong[0] & wrong[1]
    splits = column_of(page, "split")
    assert all(
        (flip is None) == (split != "test") for flip, split in zip(flips.values(), splits, strict=True)
    )


def test_figures_and_the_test_are_those_of_compare(two: tuple[hs.Run, hs.Run]) -> None:
    found = data_of(*two)["comparison"]
    compared = hs.compare(list(two))
    by_name = {run.name: run for run in compared.runs}
    accuracy = found["figures"][0]
    assert accuracy["a"] == by_name["centroid"].figures["accuracy"]
    assert accuracy["b"] == by_name["knn"].figures["accuracy"]
    versus = by_name["knn"].against_best or by_name["centroid"].against_best
    assert versus is not None
    assert found["p_value"] == versus.p_value
    assert {found["only_a"], found["only_b"]} == {versus.only_this, versus.only_other}
    difference = versus.differences["accuracy"]
    sign = 1 if by_name["knn"].against_best else -1
    assert accuracy["difference"] == pytest.approx(sign * difference.value)
    assert sorted(accuracy["interval"]) == pytest.approx(
        sorted(sign * end for end in difference.interval or ())
    )


def test_both_runs_are_there_with_columns_of_their_own(two: tuple[hs.Run, hs.Run]) -> None:
    page = data_of(*two)
    assert [run["name"] for run in page["runs"]] == ["centroid", "knn"]
    names = [column["name"] for column in page["samples"]["columns"]]
    assert {f"{name}.{end}" for name in ("prediction", "confidence", "right") for end in "ab"} <= set(names)
    rows, said = decoded(page["runs"][1]["rows"]), decoded(page["runs"][1]["prediction"])
    column = column_of(page, "prediction.b")
    assert [page["runs"][1]["classes"][code] for code in said] == [column[row] for row in rows]
    assert queue_of(page, "mistakes")["n"] == column_of(page, "right.b").count("wrong")
    assert {one["column"] for one in page["comparison"]["slices"]} == {"label", "meta:camera"}
    assert page["points"] is not None


def test_without_their_set_two_runs_show_the_test_samples(
    two: tuple[hs.Run, hs.Run], made: hs.FeatureSet
) -> None:
    whole = data_of(*two)
    shutil.rmtree(made.path.parent)
    page = data_of("runs/centroid", "runs/knn")
    assert page["set"] is None
    assert page["samples"]["n"] == 80
    assert page["comparison"]["only_a"] == whole["comparison"]["only_a"]
    flips = next(c for c in page["samples"]["columns"] if c["name"] == "flip")
    assert (decoded(flips["codes"]) != none_of(flips["codes"])).all()


def test_numbers_are_compared_without_flips(cache_root: Path) -> None:
    X, _ = clouds(200)
    values = (X[:, 0] + 0.3 * X[:, 1]).tolist()
    made = make_set(cache_root, X, {"size": values}, kinds={"size": "regression"})
    two = [hs.fit_head(made, head, plots="none", out=f"runs/{head}") for head in ("ridge", "knn")]
    page = data_of(*two)
    assert page["comparison"]["only_a"] is page["comparison"]["p_value"] is None
    assert [figure["name"] for figure in page["comparison"]["figures"]] == ["mae", "rmse", "r2"]
    assert "flip" not in [column["name"] for column in page["samples"]["columns"]]


def test_few_samples_are_those_that_flipped_first(two: tuple[hs.Run, hs.Run]) -> None:
    whole = data_of(*two)
    n = whole["comparison"]["only_a"] + whole["comparison"]["only_b"]
    assert n > 0
    page = data_of(*two, samples=150)
    flips = column_of(page, "flip")
    assert flips.count("gained") + flips.count("lost") == n
    assert page["comparison"]["slices"] == whole["comparison"]["slices"]


def test_runs_that_cannot_be_compared_are_refused(two: tuple[hs.Run, hs.Run], cache_root: Path) -> None:
    X, y = clouds(400, apart=2)
    names = [f"c{c}" for c in y]
    other = make_set(cache_root, X, {"colour": names}, name="other")
    renamed = hs.fit_head(other, "ridge", plots="none", out="runs/renamed")
    with pytest.raises(MismatchError, match="predicts 'kind', and run renamed 'colour'"):
        data_of(two[0], renamed)
    numbers = make_set(
        cache_root, X, {"kind": y.astype(float).tolist()}, kinds={"kind": "regression"}, name="n"
    )
    with pytest.raises(MismatchError, match="compare runs of one task"):
        data_of(two[0], hs.fit_head(numbers, "ridge", plots="none", out="runs/numbers"))
    with pytest.raises(MismatchError, match="'made' is a set"):
        data_of(two[0], "made", cache=str(cache_root))
    with pytest.raises(ConfigError, match="given twice"):
        data_of(two[0], "runs/centroid")
    fewer = make_set(cache_root, X[:300], {"kind": names[:300]}, name="fewer")
    with pytest.raises(MismatchError, match="lacks 20 of"):
        data_of(two[0], hs.fit_head(fewer, "ridge", plots="none", out="runs/fewer"))


def test_of_several_labels_the_first_that_both_predict(cache_root: Path) -> None:
    X, y = clouds(200)
    labels = {"kind": [f"c{c}" for c in y], "side": ["l" if v < 0 else "r" for v in X[:, 0]]}
    made = make_set(cache_root, X, labels)
    two = [
        hs.fit_head(made, head, label="all", plots="none", out=f"runs/{head}") for head in ("ridge", "knn")
    ]
    page = data_of(*two)
    assert page["label"]["column"] == "kind"
    assert any("--label shows another: 'side'" in note for note in page["notes"])
    assert data_of(*two, label="side")["label"]["names"] == ["l", "r"]
    single = data_of(two[0], label="side")
    assert single["runs"][0]["classes"] == ["l", "r"]
    assert set(column_of(single, "split")) == set(SPLITS)
    assert np.isin(column_of(single, "label:kind"), ["c0", "c1", "c2"]).all()
