"""Classes that a split lacks, figures that cannot be had, and what is drawn of a run."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.errors import ConfigError
from headstart.fitting.evaluation import plots_of_protocols
from headstart.plots import history_plot, sweep_plot, trials_plot
from headstart.registry.card import search_of

from ..made_sets import clouds, make_set
from .test_fit_head import Said, classes, fit

N = 90
QUICK = {"epochs": 2, "batch_size": 64}


def splits_of(n: int = N) -> list[str]:
    return [("train", "train", "train", "validation", "test")[i // 3 % 5] for i in range(n)]


@pytest.mark.parametrize("head", ["logistic", "ridge", "knn", "centroid", "svm", "linear", "mlp"])
def test_a_refit_learns_a_class_that_train_lacks(head: str, cache_root: Path) -> None:
    X, y = clouds(N, apart=4)
    names, splits, said = classes(y), splits_of(), Said()
    rare = [i for i, split in enumerate(splits) if split == "validation"][:2]
    for i in rare:
        names[i] = "rare"
    features = make_set(cache_root, X, {"kind": names}, splits=splits)
    params = QUICK if head in ("linear", "mlp") else {}
    run = fit(features, head, said, refit=True, params=params, plots="none")
    table = run.predictions
    held = table.filter([split == "validation" for split in table.column("split").to_pylist()])
    assert set(held.column("p:rare").to_pylist()) == {0.0}  # the head that chose did not know it
    assert max(table.column("p:rare").to_pylist()) > 0
    assert run.report["data"]["unseen_in_train"] == []
    assert not any("can never predict" in line for line in said.lines)


@pytest.mark.parametrize("options", [{}, {"sweep": {"head": ["logistic", "ridge"]}}, {"folds": 3}])
def test_validation_of_unknown_classes_alone_is_refused(options: dict[str, Any], cache_root: Path) -> None:
    X, y = clouds(N)
    splits = splits_of()
    names = ["other" if s == "validation" else n for s, n in zip(splits, classes(y), strict=True)]
    features = make_set(cache_root, X, {"kind": names}, splits=splits)
    with pytest.raises(
        ConfigError, match="no validation sample has a label in 'kind' that the train samples"
    ):
        fit(features, "logistic", **options)


def test_a_class_for_each_sample_brings_no_hint_of_another_library(cache_root: Path) -> None:
    X, _ = clouds(40)
    features = make_set(cache_root, X, {"kind": [f"c{i % 20}" for i in range(40)]}, splits=["train"] * 40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(features, "ridge", calibrate=False, plots="none")


def test_a_perfect_validation_leaves_the_temperature_and_says_so(cache_root: Path) -> None:
    X, y = clouds(N, apart=40)
    said = Said()
    run = fit(make_set(cache_root, X, {"kind": classes(y)}), "ridge", said)
    assert run.predictor.temperature == 1
    assert "predicted wrongly" in run.report["calibration"]["left_at_1"]
    assert any(line.startswith("probabilities are not calibrated: none of the 18") for line in said.lines)
    assert run.report["metrics"]["test"]["intervals"]["accuracy"][0] < 0.9
    json.dumps(run.report, allow_nan=False)


def test_several_labels_list_the_worst(cache_root: Path) -> None:
    X, y = clouds(N, apart=2)
    labels = [[f"is {c}", *(["odd"] if c % 2 else [])] for c in y]
    features = make_set(cache_root, X, {"kind": labels}, kinds={"kind": "multi"})
    run = fit(features, "ridge")
    mistakes = run.report["errors"]["mistakes"]
    assert mistakes
    assert [m["confidence"] for m in mistakes] == sorted((m["confidence"] for m in mistakes), reverse=True)
    for mistake in mistakes:
        assert set(mistake["wrong"]) == set(mistake["label"]) ^ set(mistake["prediction"])
        assert 0.5 <= mistake["confidence"] <= 1
    wrong = 1 - run.report["metrics"]["test"]["accuracy"]
    assert len(mistakes) == round(wrong * run.report["data"]["n_test"])


def test_features_and_accuracy_on_train_are_drawn(cache_root: Path) -> None:
    X, y = clouds(N, apart=4)
    run = fit(make_set(cache_root, X, {"kind": classes(y)}), "linear", params=QUICK)
    assert "features" in run.plots
    shares = [record["train_accuracy"] for record in run.history]
    assert all(0 <= share <= 1 for share in shares)
    axes = run.plots["history"].draw().axes
    panel = next(each for each in axes if each.get_title(loc="left") == "accuracy")
    assert {line.get_label() for line in panel.get_lines()} >= {"train", "validation"}


def test_phases_stand_one_behind_the_other() -> None:
    history = [
        {"epoch": epoch, "phase": phase, "number": 2 * (phase - 1) + epoch, "train_loss": 1.0, "lr": 0.1}
        for phase in (1, 2, 3)
        for epoch in (1, 2)
    ]
    line = history_plot(history).draw().axes[0].get_lines()[0]
    assert list(line.get_xdata()) == [1, 2, 3, 4, 5, 6]


def test_a_search_of_optuna_is_points() -> None:
    rng = np.random.default_rng(0)
    trials = [
        {"params": {"lr": float(lr), "wd": float(wd)}, "validation": {"accuracy": {"mean": float(score)}}}
        for lr, wd, score in zip(10 ** rng.uniform(-4, 0, 9), rng.random(9) + 0.5, rng.random(9), strict=True)
    ]
    sweep = {"search": "optuna", "trials": trials, "best": trials[3]["params"]}
    report = {"task": "single", "head": {"name": "linear"}, "sweep": sweep}
    axes = plots_of_protocols(report)["sweep"].draw().axes[0]
    assert len(axes.collections[0].get_offsets()) == 9
    assert axes.get_xscale() == "log"
    assert axes.get_yscale() == "linear"
    grid = plots_of_protocols({**report, "sweep": {**sweep, "search": "grid"}})["sweep"].draw().axes[0]
    assert grid.images
    one = trials_plot({"head": ["a", "b"]}, [0.5, np.nan]).draw().axes[0]
    assert [label.get_text() for label in one.get_xticklabels()] == ["a", "b"]
    assert sweep_plot({"lr": [0.1, 0.2]}, [0.5, 0.6]).png()[1:4] == b"PNG"


@pytest.mark.parametrize("head", ["ridge", "knn", "svm", "linear"])
def test_one_training_number_makes_no_nan(head: str, cache_root: Path, tmp_path: Path) -> None:
    X, _ = clouds(17)
    splits = ["train"] + ["validation"] * 6 + ["test"] * 10
    made = make_set(
        cache_root, X, {"age": [i + 0.5 for i in range(17)]}, splits=splits, kinds={"age": "regression"}
    )
    run = fit(made, head, params=QUICK if head == "linear" else {}, plots="none")
    json.dumps(run.report, allow_nan=False)
    run.save(tmp_path / "run")


def test_approximate_neighbours_are_said_with_their_recall(
    cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("faiss")
    X, y = clouds(300)
    features, said = make_set(cache_root, X, {"kind": classes(y)}), Said()
    few = fit(features, "knn", said, neighbours="approximate", plots="none")
    assert few.report["head"]["search"] is None
    assert any("neighbours are exact: among" in line for line in said.lines)
    monkeypatch.setattr("headstart.heads.graphs.EXACT_UP_TO", 100)
    run = fit(features, "knn", said, neighbours="approximate", plots="none")
    assert run.report["head"]["search"]["recall"] > 0.9
    assert search_of(run.report).startswith("approximate, recall at")
    assert search_of(few.report) == ""
    assert any("neighbours are approximate: recall at" in line for line in said.lines)


def test_heads_that_look_for_no_neighbours_refuse_approximate_ones(cache_root: Path) -> None:
    X, y = clouds(N)
    features = make_set(cache_root, X, {"kind": classes(y)}, splits=splits_of())
    with pytest.raises(ConfigError, match="a ridge head looks for no neighbours"):
        fit(features, "ridge", Said(), neighbours="approximate")
