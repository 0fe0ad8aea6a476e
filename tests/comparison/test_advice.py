"""compare on few samples and on cheap runs says no more than it knows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.comparison.comparison import comparison_text
from headstart.comparison.stage import compare

from ..fitting.test_fit_head import fit
from ..made_sets import clouds, make_set


def runs_on(n_test: int, cache_root: Path, kind: str, n: int = 60) -> list[Any]:
    X, y = clouds(n, apart=2)
    splits = ["test"] * n_test + ["train"] * (n - n_test)
    labels = (y + 0.5).tolist() if kind == "regression" else [f"class {c}" for c in y]
    made = make_set(cache_root, X, {"kind": labels}, splits=splits, kinds={"kind": kind})
    return [fit(made, head, plots="none") for head in ("ridge", "knn")]


@pytest.mark.parametrize("kind", ["single", "regression"])
@pytest.mark.parametrize("n_test", [1, 5])
def test_of_a_handful_nothing_is_said(n_test: int, kind: str, cache_root: Path) -> None:
    text = comparison_text(compare(runs_on(n_test, cache_root, kind)))
    assert " *" not in text
    assert "measurabl" not in text
    assert "nan" not in text
    assert "Take" not in text
    noun = "test sample" if n_test == 1 else "test samples"
    assert f"Nothing can be said of which run to take: {n_test} {noun} cannot tell them apart" in text
    if kind == "regression":
        assert "±" not in text
        assert (
            f"no interval of mean absolute error, root mean squared error, R²: {n_test} samples" in text
            or (
                n_test == 1
                and "no interval of mean absolute error, root mean squared error: 1 samples" in text
            )
        )


def test_points_are_not_given_away_for_seconds(cache_root: Path) -> None:
    runs = runs_on(30, cache_root, "single", n=200)
    figures = [run.report["metrics"]["test"]["accuracy"] for run in runs]
    best, other = runs if figures[0] >= figures[1] else runs[::-1]
    # The other takes a second less, and is some points behind, which 30 samples cannot tell from chance.
    best.report["timings"]["fit"], other.report["timings"]["fit"] = 2.0, 1.0
    wrong = np.flatnonzero([split == "test" for split in other.predictions.column("split").to_pylist()])[:4]
    names = other.predictions.column("prediction").to_pylist()
    for row in wrong:
        names[row] = "class 0" if names[row] != "class 0" else "class 1"
    column = other.predictions.column_names.index("prediction")
    other.predictions = other.predictions.set_column(column, "prediction", [names])
    found = compare([best, other])
    said = " ".join(found.advice)
    assert not re.search(rf"Take {re.escape(next(r.name for r in found.runs if r.name != found.best))}", said)
    assert f"Take {found.best}" in said
