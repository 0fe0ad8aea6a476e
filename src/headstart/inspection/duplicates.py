"""Near-duplicates: pairs of rows whose features point the same way, and the groups that they form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.heads.neighbours import Neighbours


@dataclass(frozen=True, slots=True)
class Pairs:
    """M pairs of rows, the nearest first.

    Parameters
    ----------
    first, second : ndarray of int64, shape (M,)
        ``first < second`` where both are of the same matrix.
    """

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
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(pairs), bool), (pairs.first, pairs.second)), shape=(n_rows, n_rows))
    _, part = connected_components(links, directed=False)
    groups = np.full(n_rows, -1, dtype=np.int64)
    paired = np.unique(np.concatenate([pairs.first, pairs.second]))
    groups[paired] = np.unique(part[paired], return_inverse=True)[1]
    return groups


def _sorted(first: NDArray[np.int64], second: NDArray[np.int64], cosine: NDArray[np.float32]) -> Pairs:
    order = np.lexsort((second, first, -cosine))
    return Pairs(first[order].astype(np.int64), second[order].astype(np.int64), cosine[order])
