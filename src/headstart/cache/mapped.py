"""Features that stay on disk: rows, mini-batches and token sequences of a set that is larger than memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headstart.cache.epochs import BUFFER_ROWS, Epoch, one_ahead
from headstart.cache.rows import StoredRows, convert, read_dtype
from headstart.errors import ConfigError
from headstart.types import FeatureRef, LabelKind
from headstart.words import counted


@dataclass(frozen=True, slots=True)
class Labels:
    """One label column of N samples; ``y`` is by ``kind``, as `LabelledSamples` says."""

    y: NDArray[Any]
    names: tuple[str, ...]
    kind: LabelKind


class MappedSamples:
    """Samples whose features are mapped into memory; `MappedFeatures` and `TokenFeatures` are of this kind.

    ``feature`` is what is read; ``y``, ``names`` and ``kind`` are the labels, as `LabelledSamples` says.
    """

    def __init__(
        self, feature: FeatureRef, rows: StoredRows, labels: Labels, columns: Callable[[], pa.Table]
    ) -> None:
        self.feature = feature
        self.y, self.names, self.kind = labels.y, labels.names, labels.kind
        self._rows = rows
        self._columns = columns

    def __len__(self) -> int:
        return len(self._rows)

    @cached_property
    def table(self) -> pa.Table:
        """The set's columns, N rows, in the set's order."""
        return self._columns()


class MappedFeatures(MappedSamples):
    """N features of width D that are read when they are asked for; `FeatureSet.mapped` makes one.

    Nothing but where each row lies is held in memory (some 30 bytes a sample); rows are copied out of the
    mapped shards. Parquet shards cannot be mapped, and are held in memory: `headstart cache compact
    --format hdf5` makes HDF5 of them. What is mapped can be read until this is dropped, whatever happens to
    the cache meanwhile.
    """

    def __init__(
        self,
        feature: FeatureRef,
        rows: StoredRows,
        labels: Labels,
        columns: Callable[[], pa.Table],
        dtype: str | None = None,
    ) -> None:
        super().__init__(feature, rows, labels, columns)
        self.dtype: np.dtype[Any] = read_dtype(dtype, rows.kind.dtype)

    @property
    def shape(self) -> tuple[int, int]:
        """(N, D)."""
        return len(self), self._rows.kind.width

    def __repr__(self) -> str:
        return f"MappedFeatures({self.feature.backbone!r}, shape={self.shape}, dtype={self.dtype})"

    def __getitem__(self, rows: int | slice | Sequence[int] | NDArray[Any]) -> NDArray[Any]:
        """One feature, shape (D,), or several, shape (n, D): by number, slice, numbers or mask."""
        if isinstance(rows, int | np.integer):
            return self._take(numbers_of_rows([int(rows)], len(self))).reshape(-1)
        return self._take(numbers_of_rows(rows, len(self)))

    def batches(
        self,
        batch_size: int = 256,
        shuffle: bool = True,
        seed: int = 0,
        epoch: int = 0,
        buffer_rows: int = BUFFER_ROWS,
    ) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Go through all samples once, in mini-batches.

        Shuffled, blocks of 64 rows that are stored one after the other are drawn in random order until
        they fill a buffer, whose rows are then mixed; the next buffer is read while one is used. So a
        disk reads stretches, and memory holds two buffers (three, while a batch of the last is still in
        use), whatever N. How well that mixes: with the default buffer a batch has its rows from 64
        blocks. Rows are stored in the order of their keys, which are hashes, so a block has no more to
        do with the data's order than a random draw, and batches are as mixed as under a full shuffle.
        Where shards were made stretch by stretch (streams, tars), a block is from one stretch: if that
        is of one class, the share of a class in a batch of 256 varies 2.2 times as much (in standard
        deviations) as under a full shuffle, and with eight times the buffer 1.2 times. Which blocks
        meet changes from epoch to epoch.

        Parameters
        ----------
        batch_size : int
            B; the last batch may be smaller. In [1, inf).
        shuffle : bool
            False: in the order of the set.
        seed, epoch : int
            The same two give the same batches, as long as the same shards hold the rows (`headstart
            cache compact` makes new ones). In [0, inf).
        buffer_rows : int
            How many rows a buffer holds; rounded to whole batches, at least one. In [1, inf).

        Yields
        ------
        X : ndarray of shape (B, D)
            Yours to change; part of the buffer, which lives as long as one of its batches does.
        y : ndarray of B rows
            As `LabelledSamples` says.

        Examples
        --------
        ::

            photos = headstart.open_set("photos").mapped("train")
            for epoch in range(10):
                for X, y in photos.batches(256, epoch=epoch):
                    step(torch.from_numpy(X), torch.from_numpy(y))
        """
        return self._batches(Epoch(batch_size, shuffle, seed, epoch, buffer_rows))

    def _batches(self, epoch: Epoch) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        read = partial(self._rows.read, dtype=self.dtype.name)
        for window, X in one_ahead(read, epoch.windows(self._rows.ranks)):
            y = self.y[window.samples(self._rows.order)]
            for batch in epoch.batches(window):
                yield X[batch], y[batch]
            del X  # before the next but one is read, so that there are not three of them

    def _take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        return self._rows.take(rows, self.dtype.name)


class TokenFeatures(MappedSamples):
    """A sequence of N samples with T vectors of width D each, T differing; `FeatureSet.tokens` makes one.

    The vectors stay where they are stored. Parquet shards cannot be mapped, and are held in memory:
    `headstart cache compact --format hdf5` makes HDF5 of them.
    """

    @property
    def lengths(self) -> NDArray[np.int64]:
        """How many vectors each sample has, shape (N,)."""
        return self._rows.lengths

    @property
    def longest(self) -> int:
        """The most vectors that a sample has."""
        return int(self.lengths.max(initial=1))

    @property
    def width(self) -> int:
        """D."""
        return self._rows.kind.width

    @property
    def dtype(self) -> np.dtype[Any]:
        """What the vectors are stored in."""
        return self._rows.kind.dtype

    def __repr__(self) -> str:
        shape = f"{counted(len(self), 'sample')}, width={self.width}, dtype={self.dtype}"
        return f"TokenFeatures({self.feature.backbone!r}, {shape})"

    def __getitem__(self, sample: int) -> NDArray[Any]:
        """The vectors of one sample, shape (T, D): where they lie, in the stored dtype, not to be written to."""
        return self._rows.vectors(int(numbers_of_rows([sample], len(self))[0]))

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self._rows.vectors(sample) for sample in range(len(self)))

    def padded(
        self, rows: slice | Sequence[int] | NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Some samples as one array, filled up with zeros.

        Parameters
        ----------
        rows : slice, sequence of int, or mask of shape (N,)

        Returns
        -------
        X : ndarray of float32, shape (B, T_max, D)
        mask : ndarray of bool, shape (B, T_max)
            True where there is a vector.
        """
        chosen = numbers_of_rows(rows, len(self))
        lengths = self.lengths[chosen]
        longest = int(lengths.max(initial=0))
        X = np.zeros((len(chosen), longest, self.width), dtype=np.float32)
        for place, (sample, length) in enumerate(zip(chosen.tolist(), lengths.tolist(), strict=True)):
            convert(np.asarray(self._rows.vectors(sample)), X[place, :length])
        return X, np.arange(longest) < lengths[:, np.newaxis]

    def batches(
        self,
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int = 0,
        epoch: int = 0,
        buffer_rows: int = BUFFER_ROWS,
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[Any]]]:
        """Go through all samples once, in padded mini-batches; as `MappedFeatures.batches` does.

        Each batch is read by itself: memory holds one batch. What ``buffer_rows`` bounds is how far apart
        the samples of neighbouring batches are stored.

        Yields
        ------
        X, mask
            As `padded` gives them.
        y : ndarray of B rows
            As `LabelledSamples` says.
        """
        return self._batches(Epoch(batch_size, shuffle, seed, epoch, buffer_rows))

    def _batches(self, epoch: Epoch) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[Any]]]:
        for window in epoch.windows(self._rows.ranks):
            samples = window.samples(self._rows.order)
            for batch in epoch.batches(window):
                rows = samples[batch]
                X, mask = self.padded(rows)
                yield X, mask, self.y[rows]


def numbers_of_rows(rows: slice | Sequence[int] | NDArray[Any], n: int) -> NDArray[np.int64]:
    """Rows, however they are asked for, as numbers in [0, n).

    Raises
    ------
    IndexError
        There is no such row.
    ConfigError
        It says no rows.

    Examples
    --------
    >>> numbers_of_rows(slice(-2, None), 5), numbers_of_rows([0, -1], 5)
    (array([3, 4]), array([0, 4]))
    """
    if isinstance(rows, slice):
        return np.arange(n)[rows]
    asked = np.asarray(rows)
    if asked.dtype == np.bool_ and asked.shape == (n,):
        return np.flatnonzero(asked)
    if asked.ndim != 1 or (len(asked) and asked.dtype.kind not in "iu"):
        raise ConfigError(
            f"rows are {asked.dtype} of shape {asked.shape}; give numbers, or a mask of shape ({n},)"
        )
    numbers = asked.astype(np.int64)
    if len(numbers) and (numbers.min() < -n or numbers.max() >= n):
        worst = int(numbers.max() if numbers.max() >= n else numbers.min())
        raise IndexError(f"there is no row {worst}: there are {n:,}")
    return np.where(numbers < 0, numbers + n, numbers)
