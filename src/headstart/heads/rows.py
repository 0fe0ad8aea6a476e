"""Matrices that are read in stretches of rows: arrays, or features that stay on disk; their mean and their scale."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Moments = tuple[NDArray[np.float64], NDArray[np.float64]]

READ_ROWS = 4096
"""Rows that are read together: 12 MB of a float32 matrix of 768 columns."""
BLOCK_ROWS = 8192
"""Rows worked on at a time, so that what is temporary stays small however many there are."""
BLOCK_NUMBERS = 1 << 22
ROUNDING = 1e-5
"""How exact a cached feature is, as a share of its largest value: the tolerance of extraction."""


class Rows(Protocol):
    """A matrix of shape (N, D): an array, or `headstart.FeatureSet.mapped`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, D)."""

    def __getitem__(self, rows: Any, /) -> NDArray[Any]:
        """Some of its rows."""


def in_blocks(X: Rows, size: int = READ_ROWS) -> Iterator[tuple[slice, NDArray[Any]]]:
    """The rows of a matrix a block at a time, each with its place."""
    for start in range(0, X.shape[0], size):
        place = slice(start, min(start + size, X.shape[0]))
        yield place, X[place]


def blocks(X: Rows) -> Iterator[NDArray[Any]]:
    """Consecutive rows of ``X`` (N, D), of an array as views: at most ``BLOCK_ROWS``, fewer where they are wide."""
    size = min(max(BLOCK_NUMBERS // max(X.shape[1], 1), 1), BLOCK_ROWS)
    return (block for _, block in in_blocks(X, size))


def mean_of(X: Rows) -> NDArray[np.float64]:
    """The mean of each column, shape (D,), in double precision."""
    total = np.zeros(X.shape[1])
    for _, block in in_blocks(X):
        total += block.sum(axis=0, dtype=np.float64)
    return total / max(X.shape[0], 1)


def moments(X: Rows) -> Moments:
    """Mean and scale of each column of ``X`` (N, D), see `moments_of`."""
    return moments_of(blocks(X))


def moments_of(parts: Iterable[NDArray[np.floating[Any]]]) -> Moments:
    """Mean and scale of each column of rows (n, D) that come in parts, accumulated in float64.

    Returns
    -------
    mean, scale : ndarray of float64, shape (D,)
        The scale is the standard deviation, and 1 where a column is constant, or varies by less than
        `ROUNDING` of the column that varies most.

    References
    ----------
    Chan, Golub and LeVeque (1983), Algorithms for Computing the Sample Variance.

    Examples
    --------
    >>> mean, scale = moments_of([np.array([[1.0, 5.0]]), np.array([[3.0, 5.0]])])
    >>> mean.tolist(), scale.tolist()
    ([2.0, 5.0], [1.0, 1.0])
    """
    # scikit-learn's StandardScaler gives the same; importing it takes longer than all of a small ranking.
    n, mean, squares = 0, np.zeros(1), np.zeros(1)
    for part in parts:
        if not len(part):
            continue
        own_mean = part.mean(axis=0, dtype=np.float64)
        own_squares = np.square(part - own_mean).sum(axis=0)
        apart, share = own_mean - mean, len(part) / (n + len(part))
        mean = mean + apart * share
        squares = squares + own_squares + np.square(apart) * (n * share)
        n += len(part)
    variance = squares / max(n, 1)
    return mean, np.where(_is_noise(n, mean, variance), 1.0, np.sqrt(variance))


def _is_noise(n: int, mean: NDArray[np.float64], variance: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which columns are constant but for rounding, of the sums here (the bound is scikit-learn's) or of the features.

    Dead dimensions hold rounding noise (three of MiniLM's vary by 1e-9 and less). Blown up to unit variance it
    would be fitted, and the result would depend on how the batches fell.
    """
    eps = np.finfo(np.float64).eps
    is_constant = variance <= n * eps * variance + np.square(n * eps * mean)
    noise: NDArray[np.bool_] = is_constant | (np.sqrt(variance) < ROUNDING * np.sqrt(variance.max(initial=0)))
    return noise


def standardise(
    X: NDArray[np.floating[Any]], mean: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.floating[Any]]:
    """A standardised copy of ``X`` (N, D), of the same dtype and C-contiguous."""
    Z = np.array(X, order="C")
    for block in blocks(Z):
        block -= mean
        block /= scale
    return Z
