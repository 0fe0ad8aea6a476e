"""Rows that lie far from all others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.heads.neighbours import Neighbours

NORMAL = 1.4826
"""The standard deviation of a normal distribution, in units of its median absolute deviation."""


def neighbour_distance(neighbours: Neighbours) -> NDArray[np.float64]:
    """The mean distance of each row to its k nearest, shape (N,): 1 - cosine, in [0, 2]; NaN: it has none.

    Ramaswamy, Rastogi and Shim (2000) use the k-th distance; the mean is steadier (Angiulli and Pizzuti 2002).
    """
    known = np.isfinite(neighbours.cosine)
    total = np.where(known, 1 - neighbours.cosine, 0).sum(axis=1)
    counted = known.sum(axis=1)
    return np.where(counted > 0, total / np.maximum(counted, 1), np.nan)


def robust_z(values: NDArray[Any]) -> NDArray[np.float64]:
    """How many deviations each value is above the median, where a few wild ones move neither.

    The deviation is 1.4826 × the median absolute deviation (Iglewicz and Hoaglin 1993); where more than half of
    the values are equal, that of all values.

    Examples
    --------
    >>> robust_z(np.array([1.0, 2, 3, 4, 100])).round(1).tolist()
    [-1.3, -0.7, 0.0, 0.7, 65.4]
    """
    from_median = values - np.nanmedian(values)
    deviation = NORMAL * np.nanmedian(np.abs(from_median))
    if not deviation > 0:
        deviation = np.nanstd(values)
    scaled: NDArray[np.float64] = from_median / (deviation if deviation > 0 else 1.0)
    return np.where(np.isnan(scaled), 0.0, scaled)
