"""Rows that are near each other, and rows that are far from all others: duplicates and outliers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.heads.neighbours import Neighbours

NORMAL = 1.4826
"""The standard deviation of a normal distribution, in units of its median absolute deviation."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """M pairs of rows, the nearest first; ``first < second`` where both are of the same matrix."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    cosine: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.first)


def pairs_above(neighbours: Neighbours, threshold: float) -> Pairs:
    """The pairs of one matrix's rows that are nearer than a threshold, each once.

    Of a row only the k nearest are looked at: of a group of more than k + 1 equal rows not every pair is named,
    but every row is.
    """
    cosine = neighbours.cosine.astype(np.float32)  # copies have 1, whatever the last digit of their cosine
    row, place = np.nonzero(cosine >= threshold)
    other = neighbours.row[row, place]
    ends = np.stack([np.minimum(row, other), np.maximum(row, other)], axis=1)
    _, chosen = np.unique(ends, axis=0, return_index=True)
    return _sorted(ends[chosen, 0], ends[chosen, 1], cosine[row, place][chosen])


def crossing(neighbours: Neighbours, threshold: float) -> Pairs:
    """The rows of one matrix that have a row of another nearer than a threshold, each with the nearest."""
    cosine = neighbours.cosine[:, 0].astype(np.float32)
    rows = np.flatnonzero(cosine >= threshold)
    return _sorted(rows, neighbours.row[rows, 0], cosine[rows])


def groups_of(pairs: Pairs, n_rows: int) -> NDArray[np.int64]:
    """The group of each row, shape (N,), numbered from 0; -1: it is in no pair.

    Rows are in one group where a chain of pairs leads from one to the other.

    References
    ----------
    Zhang, Azad and Buluç (2020), Parallel algorithms for finding connected components using linear algebra. (Importing
    scipy.sparse.csgraph takes a quarter of a second.)
    """
    first, second = pairs.first, pairs.second
    lowest = np.arange(n_rows)  # of the rows that each is known to be linked to
    before = lowest[:0]
    while not np.array_equal(lowest, before):
        before, least = lowest.copy(), np.minimum(lowest[first], lowest[second])
        for rows in (before[first], before[second], first, second):
            np.minimum.at(lowest, rows, least)
        lowest = np.minimum(lowest, lowest[lowest])
    groups = np.full(n_rows, -1, dtype=np.int64)
    paired = np.unique(np.concatenate([first, second]))
    groups[paired] = np.unique(lowest[paired], return_inverse=True)[1]
    return groups


def _sorted(first: NDArray[np.int64], second: NDArray[np.int64], cosine: NDArray[np.float32]) -> Pairs:
    order = np.lexsort((second, first, -cosine))
    return Pairs(first[order].astype(np.int64), second[order].astype(np.int64), cosine[order])


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
