"""The rows of some samples in the shards of a space: where they lie, and copying them to where they are wanted.

numpy lets other threads in while it copies, so copies run side by side; and float16 becomes float32 faster
here than numpy does it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from headstart.cache.epochs import Window, window_of
from headstart.cache.formats import common_kind
from headstart.cache.index import Index
from headstart.errors import ConfigError, DataError
from headstart.types import Features

ReadDtype: TypeAlias = Literal["stored", "float32", "float16"]

PIECE_BYTES = 4 << 20  # what a thread takes at a time
LONG_RUN = 16  # rows that follow each other: from here on it pays to copy them from where they lie
MOST_THREADS = 8  # memory is no faster for more
WORTH_BYTES = 8 << 20  # below it a copy is over before a second thread has begun
BLOCK_BYTES = 2 << 20  # of float32: stays in the cache, and is long enough that threads seldom wait in turn

_SHIFT = 13  # the mantissa of float32 is so many bits longer
_SIGN_EXPONENT_MANTISSA = np.int32(-0x70002000)  # bits 31 and 27 to 13
_BIAS = np.float32(2.0**112)  # what the exponents of the two are counted from differs by 112


@dataclass(frozen=True, slots=True)
class RowLocations:
    """Where N samples have their features, in the order of the shards and of the rows in them.

    ``samples`` are positions among those that were asked for; ``shard`` counts into ``names``, the space's shards.
    """

    names: tuple[str, ...]
    samples: NDArray[np.int64]
    shard: NDArray[np.uint32]
    row: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.samples)

    def found(self, n: int) -> NDArray[np.bool_]:
        """Which of the n samples that were asked for have a feature."""
        mask = np.zeros(n, dtype=bool)
        mask[self.samples] = True
        return mask

    def only(self, chosen: NDArray[np.bool_]) -> RowLocations:
        """The places of some of the samples that were asked for, counted anew."""
        kept = chosen[self.samples]
        position = np.cumsum(chosen) - 1
        return RowLocations(self.names, position[self.samples[kept]], self.shard[kept], self.row[kept])


def locate(index: Index, keys: NDArray[np.uint8]) -> RowLocations:
    """Where an index says that the rows of keys lie; without the keys that it does not have."""
    order = _order_of_keys(keys)
    shard, row, found = index.locate(keys[order])
    if not found.all():
        order, shard, row = order[found], shard[found], row[found]
    if len(index.shards) > 1:
        narrow = shard.astype(np.uint16) if len(index.shards) <= 1 << 16 else shard  # sorted faster
        # Shards are sorted by key, as these are: so the rows of each come out in their order.
        by_shard = np.argsort(narrow, kind="stable")
        order, shard, row = order[by_shard], shard[by_shard], row[by_shard]
    return RowLocations(index.shards, order, shard, row)


def _order_of_keys(keys: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The positions of keys in the order of their first four bytes.

    Neighbours are looked up together then, and read together; for that those four are as good as all.
    In two passes of 16 bits, for which numpy has a radix sort: three times as fast as sorting the keys.
    """
    words = np.ascontiguousarray(keys[:, :4]).view(">u2").astype(np.uint16)
    order = np.argsort(words[:, 1], kind="stable")
    return order[np.argsort(words[order, 0], kind="stable")]


def runs(shard: NDArray[np.uint32]) -> Iterator[tuple[int, int, int]]:
    """Each shard of a sorted column, and from where to where it stands there.

    Examples
    --------
    >>> list(runs(np.array([0, 0, 2], dtype=np.uint32)))
    [(0, 0, 2), (2, 2, 3)]
    """
    edges = np.flatnonzero(np.diff(shard, prepend=shard[:1] + 1, append=shard[-1:] + 1))
    for start, stop in pairwise(edges.tolist()):
        yield int(shard[start]), start, stop


class StoredRows:
    """The rows of N samples where they are stored: mapped into memory, where the shards are HDF5.

    Parquet shards are read as a whole and held. What is mapped stays there when its file is taken away.
    """

    def __init__(self, shards: Mapping[int, Features], places: RowLocations) -> None:
        self.kind = common_kind(shards.values())
        self._shards = shards
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    @property
    def order(self) -> NDArray[np.int64]:
        """The samples in the order in which their rows are stored, shape (N,)."""
        return self._places.samples

    @cached_property
    def ranks(self) -> NDArray[np.int64]:
        """Where each sample stands in that order, shape (N,)."""
        ranks = np.empty(len(self), dtype=np.int64)
        ranks[self.order] = np.arange(len(self))
        return ranks

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """How many vectors each sample has, shape (N,)."""
        lengths = np.ones(len(self), dtype=np.int64)
        for number, start, stop in runs(self._places.shard):
            offsets = self._shards[number].offsets
            if offsets is not None:
                rows = self._places.row[start:stop]
                lengths[self.order[start:stop]] = offsets[rows + 1] - offsets[rows]
        lengths.flags.writeable = False  # it is handed out
        return lengths

    def matrix(self, dtype: str | None = "stored") -> NDArray[Any]:
        """One vector a sample, shape (N, D); of dense features only."""
        return self._copied(self._places, dtype)

    def take(self, rows: NDArray[np.int64], dtype: str | None = "stored") -> NDArray[Any]:
        """The vectors of some samples in the order asked for, shape (n, D); of dense features only."""
        return self.read(window_of(self.ranks[rows]), dtype)

    def read(self, window: Window, dtype: str | None = "stored") -> NDArray[Any]:
        """The vectors of a window of an epoch, shape (n, D); of dense features only."""
        places, ranks = self._places, window.ranks
        wanted = RowLocations(places.names, window.target, places.shard[ranks], places.row[ranks])
        return self._copied(wanted, dtype)

    @property
    def in_order(self) -> RowsInOrder:
        """The same in the order in which they are stored, which is that of ``order``; of dense features only."""
        return RowsInOrder(self)

    def lying(self, start: int, stop: int) -> NDArray[Any] | None:
        """Rows of the order in which they are stored, where they lie; None if they do not lie side by side."""
        shard, row = self._places.shard[start:stop], self._places.row[start:stop]
        n = len(row)
        if not n or shard[0] != shard[-1] or int(row[-1]) - int(row[0]) != n - 1 or (np.diff(row) != 1).any():
            return None
        return np.asarray(self._shards[int(shard[0])].values)[int(row[0]) : int(row[0]) + n]

    def _copied(self, places: RowLocations, dtype: str | None) -> NDArray[Any]:
        out = np.empty((len(places), self.kind.width), dtype=read_dtype(dtype, self.kind.dtype))
        _copy_rows(self._shards, places, out)
        return out

    def vectors(self, sample: int | np.int64) -> NDArray[Any]:
        """All vectors of one sample where they lie, shape (T, D); read-only."""
        rank = self.ranks[sample]
        whole, row = self._shards[int(self._places.shard[rank])], int(self._places.row[rank])
        if whole.offsets is None:
            return whole.values[row : row + 1]
        return whole.values[whole.offsets[row] : whole.offsets[row + 1]]

    def packed(self, rows: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """All vectors of some samples one after the other, shape (T, D), and offsets, shape (n + 1,)."""
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(self.lengths[rows], out=offsets[1:])
        values = np.empty((int(offsets[-1]), self.kind.width), dtype=self.kind.dtype)
        for place in np.argsort(self.ranks[rows], kind="stable").tolist():
            convert(self.vectors(rows[place]), values[offsets[place] : offsets[place + 1]])
        return values, offsets

    def features(self, keys: NDArray[np.uint8]) -> Features:
        """All of it as features of these keys, as they are stored."""
        if not self.kind.is_ragged:
            return Features(keys, self.matrix())
        return Features(keys, *self.packed(np.arange(len(self))))


@dataclass(frozen=True, slots=True)
class RowsInOrder:
    """Rows (N, D) in the order in which they are stored, in the stored dtype: slices of them are not copied.

    A walk through a large set in its own order reads a page of the disk for each row.
    """

    stored: StoredRows

    @property
    def shape(self) -> tuple[int, int]:
        """(N, D)."""
        return len(self.stored), self.stored.kind.width

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[Any]:
        """Some of the rows, to be read only."""
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(len(self.stored))
            lying = self.stored.lying(start, stop)
            if lying is not None:
                return lying
            rows = np.arange(start, stop)
        return self.stored.read(window_of(rows))


def _copy_rows(shards: Mapping[int, Features], places: RowLocations, out: NDArray[Any]) -> None:
    """Copy rows of dense shards, as they lie in them, to the rows ``places.samples`` of an array (n, D)."""
    step = max(PIECE_BYTES // max(out.shape[1] * out.itemsize, 1), 1)
    pieces = [  # at most so many rows, each within one shard
        (number, slice(first, min(first + step, stop)))
        for number, start, stop in runs(places.shard)
        for first in range(start, stop, step)
    ]

    def copy(piece: tuple[int, slice]) -> None:
        number, rows = piece
        # Plain views of the maps: numpy takes a microsecond longer for each slice of a memmap.
        values = np.asarray(shards[number].values)
        one = _copy_piece if values.dtype == out.dtype else _convert_piece
        one(values, places.row[rows], places.samples[rows], out)

    n_threads = min(_n_cores(), MOST_THREADS, len(pieces))
    if n_threads < 2 or out.nbytes < WORTH_BYTES:
        for piece in pieces:
            copy(piece)
        return
    from concurrent.futures import ThreadPoolExecutor  # a warm run reads little, and does without

    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(copy, pieces))


def _n_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _copy_piece(
    values: NDArray[Any], row: NDArray[np.uint32], target: NDArray[np.int64], out: NDArray[Any]
) -> None:
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
        if (np.diff(rows) == 1).all():
            source = values[rows[0] : int(rows[0]) + len(rows)]
        else:
            # Rows were compared with their keys, so none is outside; "clip" spares numpy a copy to look first.
            source = np.take(values, rows, axis=0, out=picked[: len(rows)], mode="clip")
        convert(source, converted[: len(rows)])
        out[target[start : start + step]] = converted[: len(rows)]


def read_dtype(asked: str | None, stored: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype to read in; None is float32."""
    if asked not in (None, *get_args(ReadDtype)):
        raise ConfigError(f"features cannot be read as {asked!r}; choose from: stored, float32, float16")
    return stored if asked == "stored" else np.dtype(asked or "float32")


def convert(source: NDArray[Any], out: NDArray[Any]) -> None:
    """Copy rows into an array of their shape, in its dtype; a DataError says that float16 cannot hold a value."""
    if source.dtype == out.dtype:
        np.copyto(out, source)
    elif out.dtype == np.float32:
        step = rows_per_block(source.shape[1])
        for start in range(0, len(source), step):
            widen(source[start : start + step], out[start : start + step])
    else:
        _narrow(source, out)


def widen(halves: NDArray[np.float16], out: NDArray[np.float32]) -> None:
    """Write float16 numbers into an array of float32 of their shape, exactly.

    `astype` takes three times as long where the processor's own conversion is not used. The bits of a
    float16 are put where a float32 has them, and the exponent is set right by a multiplication, which
    makes normal numbers of subnormal ones. Infinities and NaN come out as numbers: none is ever stored.
    """
    bits = out.view(np.int32)
    np.copyto(bits, halves.view(np.int16))  # the sign fills the upper half
    np.left_shift(bits, _SHIFT, out=bits)
    np.bitwise_and(bits, _SIGN_EXPONENT_MANTISSA, out=bits)
    np.multiply(out, _BIAS, out=out)


def rows_per_block(width: int) -> int:
    """How many rows of float32 to work on at a time."""
    return max(BLOCK_BYTES // (4 * width), 1)


def _narrow(source: NDArray[np.float32], out: NDArray[np.float16]) -> None:
    try:
        with np.errstate(over="raise"):
            np.copyto(out, source, casting="same_kind")
    except FloatingPointError as error:
        raise DataError(
            f"float16 cannot hold {np.abs(source).max():.6g}, which is among these features; "
            "read them as float32"
        ) from error
