"""``--shared-trunk``: one network for all labels of a set, in the place of a head for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart.cache.sets import FeatureSet
from headstart.errors import ConfigError
from headstart.registry.run import Run

from ..made_sets import clouds, make_set
from .test_many_labels import KINDS, LABELS, columns_of
from .test_many_labels import fit as fit_all

QUICK: dict[str, Any] = {"epochs": 8, "batch_size": 64, "width": 16}


@pytest.fixture
def made(cache_root: Path) -> FeatureSet:
    X, y = clouds(300, apart=3)
    return make_set(cache_root, X, columns_of(X, y), kinds=KINDS)


def fit(features: FeatureSet, **options: Any) -> Run:
    return fit_all(features, "mlp", **{"shared_trunk": True, "params": QUICK, **options})


def test_heads_share_the_hidden_layers_and_have_outputs_of_their_own(made: FeatureSet) -> None:
    run = fit(made, loss_weights={"kind": 2.0, "size: cm": 0.5})
    tensors = [run.of(label).predictor.head.tensors() for label in LABELS]
    for other in tensors[1:]:
        assert other["hidden.0.weight"].tobytes() == tensors[0]["hidden.0.weight"].tobytes()
    assert [each["output.weight"].shape[0] for each in tensors] == [3, 2, 1, 2]
    assert run.report["head"]["shared_trunk"] is True
    assert run.report["head"]["loss_weights"] == {"kind": 2.0, "tags, all": 1.0, "size: cm": 0.5, "side": 1.0}
    parameters = run.report["cost"]["parameters"]
    assert parameters == 16 * 16 + 16 + 2 * 16 + 8 * 16 + 8  # the trunk once
    assert len(run.content["history"]) == run.of("kind").report["head"]["n_iter"]


def test_it_is_prepared_and_refitted_for_all_labels_at_once(made: FeatureSet, tmp_path: Path) -> None:
    run = fit(made, prepare=["standardise", "pca=4"], refit=True)
    steps = [run.of(label).predictor.preparation.steps for label in LABELS]
    for other in steps[1:]:
        for mine, theirs in zip(steps[0], other, strict=True):
            assert all(mine.arrays[name].tobytes() == theirs.arrays[name].tobytes() for name in mine.arrays)
    hidden = {run.of(label).predictor.head.tensors()["hidden.0.weight"].tobytes() for label in LABELS}
    assert len(hidden) == 1
    run.save(tmp_path / "run")
    X = made.rows("test").X
    again = hs.load_run(tmp_path / "run")
    for label in LABELS:
        mine, theirs = run.of(label).predictor, again.of(label).predictor
        assert theirs.outputs(X).tobytes() == mine.outputs(X).tobytes()


def test_a_sweep_chooses_by_the_mean_over_labels(made: FeatureSet) -> None:
    run = fit(made, sweep={"lr": [1e-6, 1e-2], "width": [8, 16]}, params={"epochs": 8})
    sweep = run.report["sweep"]
    assert len(sweep["trials"]) == 4
    best = max(sweep["trials"], key=lambda trial: trial["validation"]["score"]["mean"])
    assert sweep["best"] == best["params"]
    assert best["params"]["lr"] == 1e-2
    scores = [
        run.of(label).report["metrics"]["validation"][name]
        for label, name in zip(LABELS, ("accuracy", "accuracy", "r2", "accuracy"), strict=True)
    ]
    assert best["validation"]["score"]["mean"] == pytest.approx(float(np.mean(scores)), abs=1e-4)


def test_a_label_that_few_samples_have_is_learnt(cache_root: Path) -> None:
    X, y = clouds(300, apart=8)
    rare = [None if row % 6 else f"side {int(value > 0)}" for row, value in enumerate(X[:, 0])]
    labels = {"kind": [f"class {c}" for c in y], "rare": rare}
    run = fit(make_set(cache_root, X, labels), params={"epochs": 40, "width": 32})
    assert run.report["metrics"]["train"]["rare"]["n"] < 40
    assert run.report["metrics"]["train"]["rare"]["accuracy"] > 0.9


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"label": "kind"}, "--shared-trunk is for several labels, and 'kind' is one"),
        ({"folds": 3}, "--folds is for separate heads"),
        ({"seeds": 2}, "--seeds is for separate heads"),
        ({"curve": [10]}, "--curve is for separate heads"),
        ({"search": "optuna", "sweep": {"lr": [1e-3, 1e-2]}}, "--search is for separate heads"),
        ({"sweep": {"head": ["mlp", "linear"]}}, "--sweep head=… compares separate heads"),
        ({"sweep": {"width": [8]}}, "'width' is in --param and in --sweep"),
        ({"sweep": {"depht": [1]}}, "no parameter 'depht'"),
        ({"loss_weights": {"kin": 1.0}}, "--loss-weights names 'kin', and the labels are 'kind'"),
        ({"loss_weights": {"kind": -1.0}}, r"takes positive numbers \(got kind=-1\)"),
        ({"shared_trunk": None, "loss_weights": {"kind": 1.0}}, "separate heads share no loss"),
        ({"params": {"lr": 1e5, "optimizer": "sgd", "clip_norm": 1e30}}, "diverged"),
    ],
)
def test_what_it_does_not_do_is_refused(made: FeatureSet, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        fit(made, **options)
