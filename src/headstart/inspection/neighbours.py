"""Exact nearest neighbours by cosine, in blocks: no N × N array is held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.heads.rows import in_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.heads.rows import Rows

QUERIES, KEYS = 2048, 4096  # a block of cosines is 32 MB, and finding its largest takes twice that again


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The k nearest rows of each of N queries, the nearest first.

    Parameters
    ----------
    cosine : ndarray of float32, shape (N, k)
        ``-inf`` where there are fewer than k rows.
    row : ndarray of int64, shape (N, k)
        Their numbers among the rows that were searched; -1 where there are fewer.
    """

    cosine: NDArray[np.float32]
    row: NDArray[np.int64]


def nearest(
    queries: Rows, among: Rows, k: int, centre: NDArray[np.float64] | None = None, same: bool = False
) -> Neighbours:
    """The k nearest rows by cosine, exactly.

    Parameters
    ----------
    queries : Rows, shape (N, D)
    among : Rows, shape (M, D)
    k : int
        In [1, inf).
    centre : ndarray of shape (D,), optional
        Subtracted from all rows before they are compared.
    same : bool
        Both are the same rows: then none is a neighbour of itself.

    Examples
    --------
    >>> X = np.array([[1.0, 0], [0, 1], [1, 0.1]])
    >>> nearest(X, X, 1, same=True).row.ravel().tolist()
    [2, 2, 0]
    """
    n = queries.shape[0]
    cosine = np.full((n, k), -np.inf, dtype=np.float32)
    row = np.full((n, k), -1, dtype=np.int64)
    for place, block in in_blocks(queries, QUERIES):
        units = unit_rows(block, centre)
        for other, keys in in_blocks(among, KEYS):
            cosines = units @ unit_rows(keys, centre).T
            if same:
                _hide_itself(cosines, place, other)
            found = _largest(cosines, k)
            _merge(cosine[place], row[place], found, np.take_along_axis(cosines, found, 1), other.start)
    return Neighbours(cosine, row)


def unit_rows(X: NDArray[Any], centre: NDArray[np.float64] | None = None) -> NDArray[np.float32]:
    """Rows scaled to length 1, as float32; a row of zeros stays one."""
    moved = X.astype(np.float32) - (0 if centre is None else centre.astype(np.float32))
    lengths = np.linalg.norm(moved, axis=1, keepdims=True)
    units: NDArray[np.float32] = (moved / np.where(lengths > 0, lengths, 1)).astype(np.float32, copy=False)
    return units


def _hide_itself(cosines: NDArray[np.float32], queries: slice, keys: slice) -> None:
    both = np.arange(max(queries.start, keys.start), min(queries.stop, keys.stop))
    cosines[both - queries.start, both - keys.start] = -np.inf


def _largest(cosines: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """The columns of the k largest of each row, in no order."""
    if k == 1:
        first: NDArray[np.int64] = cosines.argmax(axis=1, keepdims=True)
        return first
    if k >= cosines.shape[1]:
        return np.broadcast_to(np.arange(cosines.shape[1]), cosines.shape)
    largest: NDArray[np.int64] = np.argpartition(cosines, -k, axis=1)[:, -k:]
    return largest


def _merge(
    cosine: NDArray[np.float32],
    row: NDArray[np.int64],
    found: NDArray[np.int64],
    values: NDArray[np.float32],
    start: int,
) -> None:
    """Keep the largest of what is known and what was found; of equals the one with the lower number."""
    rows = np.where(np.isneginf(values), -1, found + start)
    values, rows = np.concatenate([cosine, values], axis=1), np.concatenate([row, rows], axis=1)
    best = np.lexsort((rows, -values), axis=1)[:, : cosine.shape[1]]
    cosine[:], row[:] = np.take_along_axis(values, best, 1), np.take_along_axis(rows, best, 1)
