"""Standardising features: mean 0 and standard deviation 1 on the training rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

BLOCK_ROWS = 8192
"""Rows worked on at a time, so that what is temporary stays small however many there are."""

ROUNDING = 1e-5
"""How exact a cached feature is, as a share of its largest value: the tolerance of extraction."""


def blocks(X: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Consecutive rows of ``X`` (N, D) as views of at most ``BLOCK_ROWS`` rows."""
    for start in range(0, len(X), BLOCK_ROWS):
        yield X[start : start + BLOCK_ROWS]


def moments(X: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and scale of each column, accumulated in float64.

    Parameters
    ----------
    X : ndarray of float, shape (N, D)

    Returns
    -------
    mean, scale : ndarray of float64, shape (D,)
        The scale is the standard deviation, and 1 where a column is constant, or varies by less than
        `ROUNDING` of the column that varies most.
    """
    return moments_of(blocks(X))  # `fit` would copy all of X, in float64


def moments_of(parts: Iterable[NDArray[np.floating[Any]]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same of rows that come in parts, (n, D) each."""
    scaler = StandardScaler()
    for part in parts:
        scaler.partial_fit(part)
    scale = scaler.scale_
    # Dead dimensions hold rounding noise (three of MiniLM's vary by 1e-9 and less). Blown up to unit
    # variance it would be fitted, and the result would depend on how the batches fell.
    noise = np.sqrt(scaler.var_) < ROUNDING * np.sqrt(scaler.var_.max())
    return scaler.mean_, np.where(noise, 1.0, scale)


def standardise(
    X: NDArray[np.floating[Any]], mean: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.floating[Any]]:
    """A standardised copy of ``X`` (N, D), of the same dtype and C-contiguous."""
    Z = np.array(X, order="C")
    for block in blocks(Z):
        block -= mean
        block /= scale
    return Z
