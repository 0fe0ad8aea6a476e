"""Copying stored rows to where they are wanted, once: from the map into one array made before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.cache.reading.dtypes import convert, rows_per_block
from headstart.cache.reading.places import runs
from headstart.cache.reading.threads import in_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.types import Features

PIECE_BYTES = 4 << 20  # what a thread takes at a time
LONG_RUN = 16  # rows that follow each other: from here on it pays to copy them from where they lie


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """n rows to copy, in the order in which they are stored: so that a disk is read from front to back.

    Parameters
    ----------
    target : ndarray of int64, shape (n,)
        Which row of the output each becomes.
    """

    shard: NDArray[np.uint32]
    row: NDArray[np.uint32]
    target: NDArray[np.int64]


def copy_rows(walk: CopyPlan, shards: Mapping[int, Features], out: NDArray[Any]) -> None:
    """Copy rows of dense shards into an array of shape (n, D), in its dtype."""
    step = max(PIECE_BYTES // max(out.shape[1] * out.itemsize, 1), 1)

    def copy(piece: tuple[int, int, int]) -> None:
        number, start, stop = piece
        # Plain views of the maps: numpy takes a microsecond longer for each slice of a memmap.
        _copy_piece(np.asarray(shards[number].values), walk.row[start:stop], walk.target[start:stop], out)

    in_threads(copy, list(_pieces(walk.shard, step)), out.nbytes)


def _pieces(shard: NDArray[np.uint32], step: int) -> Iterator[tuple[int, int, int]]:
    """Stretches of at most ``step`` rows, each within one shard."""
    for number, start, stop in runs(shard):
        for first in range(start, stop, step):
            yield number, first, min(first + step, stop)


def _copy_piece(
    values: NDArray[Any], row: NDArray[np.uint32], target: NDArray[np.int64], out: NDArray[Any]
) -> None:
    if values.dtype != out.dtype:
        _convert_piece(values, row, target, out)
        return
    edges = [0, *(np.flatnonzero(np.diff(row) != 1) + 1).tolist(), len(row)]
    if len(row) < LONG_RUN * (len(edges) - 1):
        out[target] = values[row]
        return
    for start, stop in pairwise(edges):
        out[target[start:stop]] = values[int(row[start]) : int(row[start]) + stop - start]


def _convert_piece(
    values: NDArray[Any], row: NDArray[np.uint32], target: NDArray[np.int64], out: NDArray[Any]
) -> None:
    step = min(rows_per_block(out.shape[1]), len(row))
    picked = np.empty((step, out.shape[1]), dtype=values.dtype)
    converted = np.empty((step, out.shape[1]), dtype=out.dtype)
    for start in range(0, len(row), step):
        rows = row[start : start + step]
        convert(_pick(values, rows, picked[: len(rows)]), converted[: len(rows)])
        out[target[start : start + step]] = converted[: len(rows)]


def _pick(values: NDArray[Any], rows: NDArray[np.uint32], into: NDArray[Any]) -> NDArray[Any]:
    """Some rows: where they lie if they follow each other, else copied together."""
    if (np.diff(rows) == 1).all():
        return values[rows[0] : int(rows[0]) + len(rows)]
    # Rows were compared with their keys, so none is outside; "clip" spares numpy a copy to look first.
    return np.take(values, rows, axis=0, out=into, mode="clip")
