"""The rows of some samples in the opened shards of a space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.cache.reading.copying import CopyPlan, copy_rows
from headstart.cache.reading.dtypes import convert, read_dtype
from headstart.cache.reading.epochs import Window, window_of
from headstart.cache.reading.places import RowLocations, runs
from headstart.errors import CorruptShardError
from headstart.types import Features

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Kind:
    """What all features of a space have in common.

    Parameters
    ----------
    width : int
        D, the numbers of a vector.
    dtype : numpy.dtype
        float16 or float32, as it is stored.
    is_ragged : bool
        Whether a sample has any number of vectors, rather than one.
    """

    width: int
    dtype: np.dtype[Any]
    is_ragged: bool


class StoredRows:
    """The rows of N samples where they are stored: mapped into memory, where the shards are HDF5.

    Parquet shards are read as a whole and held. What is mapped stays there when its file is taken away.

    Parameters
    ----------
    shards : mapping of int to Features
        Whole shards, by their number in the places.
    places : RowLocations
    """

    def __init__(self, shards: Mapping[int, Features], places: RowLocations) -> None:
        self.kind = _common_kind(shards)
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
        out = np.empty((len(self), self.kind.width), dtype=read_dtype(dtype, self.kind.dtype))
        copy_rows(CopyPlan(self._places.shard, self._places.row, self._places.samples), self._shards, out)
        return out

    def take(self, rows: NDArray[np.int64], dtype: str | None = "stored") -> NDArray[Any]:
        """The vectors of some samples in the order asked for, shape (n, D); of dense features only."""
        return self.read(window_of(self.ranks[rows]), dtype)

    def read(self, window: Window, dtype: str | None = "stored") -> NDArray[Any]:
        """The vectors of a window of an epoch, shape (n, D); of dense features only."""
        out = np.empty((len(window), self.kind.width), dtype=read_dtype(dtype, self.kind.dtype))
        shard, row = self._places.shard[window.ranks], self._places.row[window.ranks]
        copy_rows(CopyPlan(shard, row, window.target), self._shards, out)
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


def _common_kind(shards: Mapping[int, Features]) -> Kind:
    kinds = {
        Kind(one.values.shape[1], one.values.dtype, one.offsets is not None) for one in shards.values()
    } or {Kind(1, np.dtype(np.float32), False)}
    if len(kinds) != 1:
        said = sorted((kind.width, str(kind.dtype), not kind.is_ragged) for kind in kinds)
        raise CorruptShardError(f"one space holds features of different kinds: {said}")
    return kinds.pop()
