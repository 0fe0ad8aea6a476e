"""A small classification problem with names, offsets, unequal scales and a constant column."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

NAMES = np.array(["cat", "dog", "eel", "fox"])


@dataclass(frozen=True)
class Problem:
    """Features (N, 12) float32 and names (N,) of three splits."""

    X: NDArray[np.float32]
    y: NDArray[Any]
    X_val: NDArray[np.float32]
    y_val: NDArray[Any]
    X_test: NDArray[np.float32]
    y_test: NDArray[Any]

    def binary(self) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """The training samples of two of the classes."""
        rows = np.isin(self.y, NAMES[:2])
        return self.X[rows], self.y[rows]


def make_problem(n: int = 400, seed: int = 0) -> Problem:
    """Four overlapping classes in 12 dimensions."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(4, 12))
    scale, offset = rng.uniform(0.01, 30, 12), rng.normal(scale=50, size=12)
    scale[3] = 0

    def draw(size: int) -> tuple[NDArray[np.float32], NDArray[Any]]:
        codes = rng.integers(4, size=size)
        features = (centres[codes] + rng.normal(size=(size, 12))) * scale + offset
        return features.astype(np.float32), NAMES[codes]

    return Problem(*draw(n), *draw(150), *draw(300))


@pytest.fixture(scope="session")
def problem() -> Problem:
    """The problem; its arrays cannot be written."""
    made = make_problem()
    for array in (made.X, made.X_val, made.X_test):
        array.setflags(write=False)
    return made


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """Threads that wait for each other over tiny products take minutes on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
