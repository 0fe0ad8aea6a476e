"""A set with features of two backbones: what the large one sees decides the class, the small one sees it dimly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.cache.sets import FeatureSet
from headstart.config import FitConfig
from headstart.fitting.stage import fit_head
from headstart.progress import Silence
from headstart.registry.run import Run

from ..made_sets import clouds, make_set

N = 300
LARGE, SMALL = "py:large:backbone", "py:small:backbone"
QUICK = {"epochs": 8, "batch_size": 64, "lr": 0.01}


class Said(Silence):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def fit(
    features: FeatureSet,
    head: str = "linear",
    said: Said | None = None,
    backbone: str = SMALL,
    **options: Any,
) -> Run:
    if head in ("linear", "mlp", "residual"):
        options.setdefault("params", QUICK)
    config = FitConfig(
        set=features.name,
        cache=str(features.cache),
        head=head,
        backbone=backbone,
        plots="none",
        **options,
    )
    return fit_head(config, said or Said())


def matrices(n: int = N, seed: int = 0) -> tuple[dict[str, Any], np.ndarray]:
    X, y = clouds(n, apart=5, seed=seed)
    dim = X + np.random.default_rng(seed + 1).normal(size=X.shape).astype(np.float32) * 0.7
    return {LARGE: X, SMALL: dim}, y


def classes(y: Any) -> list[str]:
    return [f"class {c}" for c in y]


@pytest.fixture
def made(cache_root: Path) -> FeatureSet:
    X, y = matrices()
    return make_set(cache_root, X, {"kind": classes(y)})


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """Fits a teacher on the large features and saves it."""
    numbers = iter(range(1000))

    def save(features: FeatureSet, head: str = "logistic", **options: Any) -> Path:
        return fit(features, head, **{"backbone": LARGE, **options}).save(
            tmp_path / f"teacher-{next(numbers)}"
        )

    return save
