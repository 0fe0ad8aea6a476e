"""Mean and scale of columns, and which of them hold nothing but rounding noise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUNDING = 1e-5
"""How exact a cached feature is, as a share of its largest value: the tolerance of extraction."""


def moments_of(parts: Iterable[NDArray[np.floating[Any]]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and scale of each column of rows that come in parts, accumulated in float64.

    Parameters
    ----------
    parts : iterable of ndarray of float, shape (n, D)

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
