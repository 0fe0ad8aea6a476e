"""A run of every kind of labels shows how good it is in plots, and where it is wrong in tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs

from ..made_sets import clouds, make_set

N = 120


@pytest.fixture
def numbers(cache_root: Path, tmp_path: Path) -> Path:
    X = np.random.default_rng(0).normal(size=(N, 8)).astype(np.float32)
    y = (X @ np.arange(8) + np.random.default_rng(1).normal(size=N)).tolist()
    features = make_set(cache_root, X, {"age": y}, kinds={"age": "regression"})
    hs.fit_head(
        features, head="ridge", sweep={"alpha": [0.1, 1.0, 10.0]}, seeds=2, out=tmp_path / "run", plots="both"
    )
    return tmp_path / "run"


@pytest.fixture
def labels(cache_root: Path, tmp_path: Path) -> Path:
    X, y = clouds(N, apart=4)
    tags = [["a", "b"] if c == 0 else ["b"] if c == 1 else [] for c in y]
    meta = {"camera": [f"camera {i % 2}" for i in range(N)]}
    features = make_set(cache_root, X, {"tags": tags}, kinds={"tags": "multi"}, meta=meta)
    hs.fit_head(features, head="logistic", out=tmp_path / "run", plots="both")
    return tmp_path / "run"


def read(run: Path) -> Any:
    return json.loads((run / "report.json").read_text("utf-8"))


def plots(run: Path) -> set[str]:
    assert all(path.stat().st_size > 1000 for path in (run / "plots").iterdir())
    return {path.stem for path in (run / "plots").glob("*.png")}


def test_a_regression_shows_its_predictions_and_residuals(numbers: Path) -> None:
    assert {"predictions", "residuals", "sweep"} <= plots(numbers)
    svg = (numbers / "plots" / "predictions.svg").read_text("utf-8")
    assert "predicted age" in svg
    assert "Predictions on test" in svg


def test_a_regression_lists_its_largest_errors(numbers: Path) -> None:
    report = read(numbers)
    errors, mistakes = report["errors"], report["errors"]["mistakes"]
    assert errors["split"] == "test"
    assert len(mistakes) == report["metrics"]["test"]["n"] == 24
    assert all(set(row) == {"id", "input", "label", "prediction", "error"} for row in mistakes)
    assert all(row["error"] == pytest.approx(row["prediction"] - row["label"]) for row in mistakes)
    sizes = [abs(row["error"]) for row in mistakes]
    assert sizes == sorted(sizes, reverse=True)
    assert np.mean(sizes) == pytest.approx(report["metrics"]["test"]["mae"])
    card = (numbers / "README.md").read_text("utf-8")
    assert "## Largest errors, on test" in card
    assert f"| {mistakes[0]['id']} | {mistakes[0]['label']:.4g} | {mistakes[0]['prediction']:.4g} |" in card


def test_several_labels_have_curves_and_an_f1_each(labels: Path) -> None:
    assert {"roc", "precision-recall", "f1"} <= plots(labels)
    assert "micro average" in (labels / "plots" / "roc.svg").read_text("utf-8")
    bars = (labels / "plots" / "f1.svg").read_text("utf-8")
    for name, figures in read(labels)["metrics"]["test"]["per_class"].items():
        assert f">{name}<" in bars
        assert f"{figures['f1']:.3f}" in bars


def test_a_sample_of_several_labels_is_right_if_all_of_them_are(labels: Path) -> None:
    report = read(labels)
    rows = report["errors"]["errors_by"]["camera"]
    assert {row["value"] for row in rows} == {"camera 0", "camera 1"}
    hits = sum(row["n"] * row["accuracy"] for row in rows)
    assert hits / report["metrics"]["test"]["n"] == pytest.approx(report["metrics"]["test"]["accuracy"])


def test_classes_show_how_sure_right_and_wrong_predictions_are(cache_root: Path, tmp_path: Path) -> None:
    X, y = clouds(N, apart=2)
    features = make_set(cache_root, X, {"kind": [f"class {c}" for c in y]})
    options: dict[str, Any] = {"shots": [1, 2, 4], "seeds": 2, "sweep": {"alpha": [0.1, 1.0, 10.0]}}
    hs.fit_head(features, head="ridge", out=tmp_path / "run", plots="both", **options)
    assert {"confusion", "reliability", "roc", "precision-recall", "confidence"} <= plots(tmp_path / "run")
    svg = (tmp_path / "run" / "plots" / "confidence.svg").read_text("utf-8")
    assert ">right<" in svg
    assert ">wrong<" in svg
    shots = (tmp_path / "run" / "plots" / "shots.svg").read_text("utf-8")
    assert "Few shots" in shots
    assert "Learning curve" not in shots
