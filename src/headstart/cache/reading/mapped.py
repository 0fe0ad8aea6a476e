"""Features that stay on disk: rows and mini-batches of a set that is larger than memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.cache.reading.dtypes import read_dtype
from headstart.cache.reading.epochs import BUFFER_ROWS, Epoch, Window
from headstart.cache.reading.threads import one_ahead
from headstart.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.cache.reading.held import HeldSamples
    from headstart.cache.reading.labels import Labels
    from headstart.types import FeatureRef, LabelKind


class MappedSamples:
    """Samples whose features are mapped into memory; `MappedFeatures` and `TokenFeatures` are of this kind.

    Parameters
    ----------
    held : HeldSamples
    labels : Labels
    """

    def __init__(self, held: HeldSamples, labels: Labels) -> None:
        self._held = held
        self._labels = labels

    def __len__(self) -> int:
        return len(self._held)

    @property
    def feature(self) -> FeatureRef:
        """The feature that is read."""
        return self._held.feature

    @property
    def y(self) -> NDArray[Any]:
        """Labels, N rows; as `LabelledSamples` says."""
        return self._labels.y

    @property
    def names(self) -> tuple[str, ...]:
        """The label names in order."""
        return self._labels.names

    @property
    def kind(self) -> LabelKind:
        """What the labels are."""
        return self._labels.kind

    @cached_property
    def table(self) -> pa.Table:
        """The set's columns, N rows, in the set's order."""
        return self._held.table


class MappedFeatures(MappedSamples):
    """N features of width D that are read when they are asked for; `FeatureSet.mapped` makes one.

    Nothing but where each row lies is held in memory (some 30 bytes a sample); rows are copied out of the
    mapped shards. Parquet shards cannot be mapped, and are held in memory: `headstart cache compact
    --format hdf5` makes HDF5 of them. What is mapped can be read until this is dropped, whatever happens to
    the cache meanwhile.

    Parameters
    ----------
    held : HeldSamples
    labels : Labels
    dtype : {"float32", "stored", "float16"}, optional
        What rows are handed out in; None: float32.
    """

    def __init__(self, held: HeldSamples, labels: Labels, dtype: str | None = None) -> None:
        super().__init__(held, labels)
        self._rows = held.open_dense()
        self.dtype: np.dtype[Any] = read_dtype(dtype, self._rows.kind.dtype)

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
        for window, X in one_ahead(self._read, epoch.windows(self._rows.ranks)):
            y = self.y[window.samples(self._rows.order)]
            for batch in epoch.batches(window):
                yield X[batch], y[batch]
            del X  # before the next but one is read, so that there are not three of them

    def _read(self, window: Window) -> NDArray[Any]:
        return self._rows.read(window, self.dtype.name)

    def _take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        return self._rows.take(rows, self.dtype.name)


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
