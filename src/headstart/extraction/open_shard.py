"""The rows of one space that are not committed yet."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.keys import KEY_BYTES, first_by_key
from headstart.types import Features

if TYPE_CHECKING:
    from numpy.typing import NDArray

SLAB_BYTES = 4 << 20
"""What is moved aside at a time when rows are put into another order."""


class OpenShard:
    """Takes rows of one space until they are committed, and gives them as one.

    Parameters
    ----------
    limit : int
        About how many bytes it will hold; more is possible.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._keys: _RowBuffer | None = None
        self._values: _RowBuffer | None = None
        self._lengths: list[NDArray[np.int64]] = []

    @property
    def n_bytes(self) -> int:
        """Of all rows so far."""
        if self._keys is None or self._values is None:
            return 0
        lengths = sum(part.nbytes for part in self._lengths)
        return self._keys.rows.nbytes + self._values.rows.nbytes + lengths

    def add(self, keys: NDArray[np.uint8], values: NDArray[Any], lengths: NDArray[np.int64] | None) -> None:
        """Rows: keys of shape (n, 16), features (n, D), or (T, D) with the length of each."""
        if self._keys is None or self._values is None:
            self._keys = _RowBuffer(KEY_BYTES, keys.dtype, self._limit)
            self._values = _RowBuffer(values.shape[1], values.dtype, self._limit)
        self._keys.append(keys)
        self._values.append(values)
        if lengths is not None:
            self._lengths.append(lengths)

    def features(self) -> Features:
        """All of them, sorted by key; of each key the first. They lie where the rows were gathered."""
        assert self._keys is not None
        assert self._values is not None
        # A stream may bring the same sample twice.
        order = first_by_key(self._keys.rows)
        offsets = None
        if self._lengths:
            lengths = np.concatenate(self._lengths)
            starts = np.cumsum(lengths) - lengths
            kept = lengths[order]
            offsets = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)
            of_values = np.repeat(starts[order] - offsets[:-1], kept) + np.arange(offsets[-1])
            self._lengths = [kept]
        self._values.reorder(order if offsets is None else of_values)
        self._keys.reorder(order)
        return Features(self._keys.rows, self._values.rows, offsets)


class _RowBuffer:
    """Rows of one width in memory of their own, which goes back to the system as soon as nobody needs it.

    A list of small arrays would have to be copied to become one, and what an allocator gave for them stays
    with the process: a shard of 64 MB took four times as much.

    Parameters
    ----------
    width : int
    dtype : dtype
    n_bytes : int
        What is reserved at first; only what is written takes memory.
    """

    def __init__(self, width: int, dtype: np.dtype[Any], n_bytes: int) -> None:
        self._n = 0
        self._all = _reserved(max(n_bytes // (width * dtype.itemsize), 1), width, dtype)

    @property
    def rows(self) -> NDArray[Any]:
        """All rows so far, shape (n, width), where they lie."""
        return self._all[: self._n]

    def append(self, rows: NDArray[Any]) -> None:
        """Copy rows behind those that are there."""
        end = self._n + len(rows)
        if end > len(self._all):
            larger = _reserved(max(end, len(self._all) * 3 // 2), self._all.shape[1], self._all.dtype)
            larger[: self._n] = self.rows
            self._all = larger
        self._all[self._n : end] = rows
        self._n = end

    def reorder(self, order: NDArray[np.int64]) -> None:
        """Keep these rows, in this order; in place, some columns at a time."""
        if len(order) == self._n and bool((np.diff(order) == 1).all()):
            return
        rows = self.rows
        width = max(SLAB_BYTES // max(len(order) * rows.itemsize, 1), 1)
        for start in range(0, rows.shape[1], width):
            columns = slice(start, start + width)
            rows[: len(order), columns] = rows[order, columns]
        self._n = len(order)


def _reserved(n: int, width: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Memory straight from the system: the allocator keeps what it was given back."""
    size = n * width * dtype.itemsize
    mapped = mmap.mmap(-1, max(size, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    rows: NDArray[Any] = np.frombuffer(mapped, dtype=dtype, count=n * width).reshape(n, width)
    return rows
