"""Trials on the nodes of a cluster choose what they choose here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart.cache.sets import FeatureSet
from headstart.errors import ConfigError

from ..made_sets import clouds, make_set
from ..nodes import on_stand_ins

QUICK = {"epochs": 10, "batch_size": 64}


@pytest.fixture
def made(cache_root: Path) -> FeatureSet:
    X, y = clouds(300, apart=3.0)
    far, _ = clouds(300, apart=4.0, seed=1)
    labels = [f"class {number}" for number in y]
    return make_set(cache_root, {"py:some:near": X, "py:some:far": far}, {"kind": labels})


def without_times(sweep: Mapping[str, Any]) -> dict[str, Any]:
    return {**sweep, "trials": [{**trial, "seconds": None} for trial in sweep["trials"]]}


@pytest.mark.parametrize(
    ("head", "options", "n_tasks"),
    [
        ("linear", {"sweep": {"lr": [1e-3, 1e-2, 1e-1, 1.0]}, "params": QUICK}, 3),
        ("logistic", {"sweep": {"C": [0.01, 0.1, 1.0, 10.0]}}, 1),
        ("logistic", {"sweep": {"C": [0.1, 1.0], "backbone": ["py:some:near", "py:some:far"]}}, 2),
        ("ridge", {"sweep": {"head": ["ridge", "knn"], "k": [1, 3, 5]}, "folds": 3}, 2),
        ("linear", {"sweep": {"lr": [1e-3, 1e-1]}, "search": "optuna", "trials": 10, "params": QUICK}, 5),
        ("logistic", {"sweep": {"C": [0.1, 1.0]}, "prepare": ["standardise"], "seeds": 2}, 1),
    ],
)
def test_a_search_on_nodes_is_the_search_here(
    made: FeatureSet, head: str, options: dict[str, Any], n_tasks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = hs.fit_head(made, head, plots="none", **options)
    with on_stand_ins(monkeypatch) as nodes:
        there = hs.fit_head(made, head, plots="none", engine="ray", **options)
    assert nodes.n_tasks == n_tasks
    _assert_alike(without_times(there.report["sweep"]), without_times(here.report["sweep"]))
    # The head that was chosen is fitted again, not along its path: to the same tolerance, another head.
    _assert_alike(there.report["metrics"]["test"], here.report["metrics"]["test"], rtol=1e-2)


def _assert_alike(found: Any, expected: Any, rtol: float = 2e-3) -> None:
    if isinstance(expected, Mapping):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            _assert_alike(found[name], value, rtol)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            _assert_alike(one, other, rtol)
    elif isinstance(expected, float):
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-5)
    else:
        assert found == expected


def test_labels_that_some_samples_lack_are_tried_on_the_same_samples(
    cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = clouds(200, apart=3.0)
    labels = {
        "kind": [f"class {number}" for number in y],
        "size": [None if row % 3 == 0 else ("large", "small")[row % 2] for row in range(200)],
    }
    made = make_set(cache_root, X, labels)
    options: dict[str, Any] = {"label": ["kind", "size"], "sweep": {"alpha": [0.1, 10.0]}, "plots": "none"}
    here = hs.fit_head(made, "ridge", **options)
    with on_stand_ins(monkeypatch):
        there = hs.fit_head(made, "ridge", engine="ray", **options)
    for label in labels:
        found, expected = (run.of(label).report["sweep"] for run in (there, here))
        _assert_alike(without_times(found), without_times(expected))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "--engine ray spreads the trials of a search over a cluster; add --sweep, or leave it out"),
        ({"sweep": {"C": [1.0]}, "ray_address": "nonsense"}, "--ray-address takes HOST:PORT"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_line(
    made: FeatureSet, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        hs.fit_head(made, engine="ray", plots="none", **options)


def test_an_address_without_a_cluster_is_refused(made: FeatureSet) -> None:
    with pytest.raises(ConfigError, match=r"--ray-address 10\.0\.0\.1:6379 is for a cluster"):
        hs.fit_head(made, ray_address="10.0.0.1:6379", sweep={"C": [1.0, 2.0]}, plots="none")


def test_workers_without_a_cluster_are_refused(made: FeatureSet) -> None:
    with pytest.raises(ConfigError, match="--workers 4 is for a cluster, and none is asked for"):
        hs.fit_head(made, workers=4, sweep={"C": [1.0, 2.0]}, plots="none")


def test_a_network_for_several_labels_is_not_spread(cache_root: Path) -> None:
    X, y = clouds(60)
    labels = [f"class {number}" for number in y]
    made = make_set(cache_root, X, {"kind": labels, "other": labels})
    with pytest.raises(
        ConfigError, match="--engine is for separate heads, and --shared-trunk is one network"
    ):
        hs.fit_head(
            made,
            "mlp",
            label=["kind", "other"],
            shared_trunk=True,
            engine="ray",
            sweep={"lr": [1e-3]},
            plots="none",
        )
