"""Token features: several vectors a sample, mapped into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.cache.reading.dtypes import convert
from headstart.cache.reading.epochs import BUFFER_ROWS, Epoch
from headstart.cache.reading.mapped import MappedSamples, numbers_of_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.reading.held import HeldSamples
    from headstart.cache.reading.labels import Labels


class TokenFeatures(MappedSamples):
    """A sequence of N samples with T vectors of width D each, T differing; `FeatureSet.tokens` makes one.

    The vectors stay where they are stored. Parquet shards cannot be mapped, and are held in memory:
    `headstart cache compact --format hdf5` makes HDF5 of them.

    Parameters
    ----------
    held : HeldSamples
    labels : Labels
    """

    def __init__(self, held: HeldSamples, labels: Labels) -> None:
        super().__init__(held, labels)
        self._rows = held.open_ragged()

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
        shape = f"{len(self):,} samples, width={self.width}, dtype={self.dtype}"
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
