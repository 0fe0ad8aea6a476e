"""Heads on a GPU give what they give on a CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headstart.heads import open_head

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("logistic", {}),
        ("logistic", {"C": 0.1}),
        ("ridge", {}),
        ("linear", {"epochs": 5}),
        ("mlp", {"epochs": 5, "dropout": 0.0}),
    ],
)
def test_a_gpu_gives_what_the_cpu_gives(problem: Any, name: str, params: dict[str, Any]) -> None:
    X, y = problem.X.astype(np.float64 if name == "ridge" else np.float32), problem.y
    heads = [
        open_head(name, {**params, "device": device}, seed=0).fit(X[40:], y[40:], X[:40], y[:40])
        for device in ("cpu", "cuda")
    ]
    likely = [head.predict_proba(problem.X_test) for head in heads]
    np.testing.assert_allclose(likely[1], likely[0], atol=5e-3)


def test_it_is_taken_where_there_is_one() -> None:
    from headstart.devices import pick_gpu

    found = pick_gpu("auto")
    assert found is not None
    assert found.type == "cuda"
