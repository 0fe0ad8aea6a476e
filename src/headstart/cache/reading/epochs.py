"""The order of an epoch: blocks of rows that are stored together, shuffled within a bounded buffer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headstart.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

BUFFER_ROWS = 8192
BLOCK_ROWS = 128  # of 768 float16 numbers: 200 KB that a disk gives in one go
BLOCKS_A_BUFFER = 16  # at least: a buffer of a few blocks would not mix


@dataclass(frozen=True, slots=True)
class Epoch:
    """How to go through samples once.

    Parameters
    ----------
    batch_size : int
        Samples a batch; the last of an epoch may have fewer. In [1, inf).
    shuffle : bool
        False: in the order of the set.
    seed, epoch : int
        The order is a function of these two and of where the rows are stored. In [0, inf).
    buffer_rows : int
        Samples that are mixed with each other. In [1, inf).

    Raises
    ------
    ConfigError
        One of them is out of its range.
    """

    batch_size: int
    shuffle: bool = True
    seed: int = 0
    epoch: int = 0
    buffer_rows: int = BUFFER_ROWS

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("buffer_rows", 1), ("seed", 0), ("epoch", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be {least} or more")

    def windows(self, stored: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """What to hold in memory at a time, each in the order to hand it out.

        Each window but the last has the samples of whole batches, as many as the buffer holds.

        Parameters
        ----------
        stored : ndarray of int64, shape (N,)
            All samples in the order in which their rows are stored.
        """
        size = max(self.buffer_rows // self.batch_size, 1) * self.batch_size
        if not self.shuffle:
            for start in range(0, len(stored), size):
                yield np.arange(start, min(start + size, len(stored)))
            return
        draw = np.random.default_rng((self.seed, self.epoch))
        for window in _filled(self._blocks(stored, draw, size), size):
            yield draw.permutation(window)

    def batches(self, window: NDArray[np.int64]) -> Iterator[slice]:
        """Where each batch of a window stands in it."""
        for start in range(0, len(window), self.batch_size):
            yield slice(start, min(start + self.batch_size, len(window)))

    @staticmethod
    def _blocks(
        stored: NDArray[np.int64], draw: np.random.Generator, size: int
    ) -> Iterator[NDArray[np.int64]]:
        """Blocks of samples that are stored one after the other, in any order."""
        step = max(min(BLOCK_ROWS, size // BLOCKS_A_BUFFER), 1)
        for number in draw.permutation(-(-len(stored) // step)).tolist():
            yield stored[number * step : (number + 1) * step]


def _filled(blocks: Iterator[NDArray[np.int64]], size: int) -> Iterator[NDArray[np.int64]]:
    """Blocks put together to windows of one size; the last holds what is left."""
    waiting: list[NDArray[np.int64]] = []
    n = 0
    for block in blocks:
        waiting.append(block)
        n += len(block)
        if n >= size:  # a block is at most as long as a window
            window = np.concatenate(waiting)
            yield window[:size]
            waiting, n = [window[size:]], n - size
    if n:
        yield np.concatenate(waiting)
