"""Standardising features: mean 0 and standard deviation 1 on the training rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.heads.moments import moments_of as moments_of

BLOCK_ROWS = 8192
"""Rows worked on at a time, so that what is temporary stays small however many there are."""
BLOCK_NUMBERS = 1 << 22


def blocks(X: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Consecutive rows of ``X`` (N, D) as views of at most ``BLOCK_ROWS`` rows, fewer where they are wide."""
    rows = min(max(BLOCK_NUMBERS // max(X.shape[1], 1), 1), BLOCK_ROWS)
    for start in range(0, len(X), rows):
        yield X[start : start + rows]


def moments(X: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and scale of each column of ``X`` (N, D), as `headstart.heads.moments.moments_of` says."""
    return moments_of(blocks(X))  # `fit` would copy all of X, in float64


def standardise(
    X: NDArray[np.floating[Any]], mean: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.floating[Any]]:
    """A standardised copy of ``X`` (N, D), of the same dtype and C-contiguous."""
    Z = np.array(X, order="C")
    for block in blocks(Z):
        block -= mean
        block /= scale
    return Z
