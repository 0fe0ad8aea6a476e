"""The order of an epoch: blocks of rows that are stored together, shuffled within a bounded buffer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from headstart.errors import ConfigError

Item = TypeVar("Item")
Result = TypeVar("Result")

BUFFER_ROWS = 4096  # of 768 float32 numbers: 12 MB, of which the processor's cache holds a good part
BLOCK_ROWS = 64  # of 768 float16 numbers: 100 KB that a disk gives in one go
BLOCKS_A_BUFFER = 16  # at least: a buffer of a few blocks would not mix


@dataclass(frozen=True, slots=True)
class Window:
    """Samples that are held in memory at a time.

    ``ranks`` are their places in the order in which rows are stored, sorted; ``target`` are those in the order in which
    they are handed out.
    """

    ranks: NDArray[np.int64]
    target: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ranks)

    def samples(self, stored: NDArray[np.int64]) -> NDArray[np.int64]:
        """The samples in the order in which they are handed out, shape (n,)."""
        samples = np.empty_like(self.target)
        samples[self.target] = stored[self.ranks]
        return samples


@dataclass(frozen=True, slots=True)
class Epoch:
    """How to go through samples once; see `headstart.cache.mapped.MappedFeatures.batches`."""

    batch_size: int
    shuffle: bool = True
    seed: int = 0
    epoch: int = 0
    buffer_rows: int = BUFFER_ROWS

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("buffer_rows", 1), ("seed", 0), ("epoch", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be {least} or more")

    def windows(self, ranks: NDArray[np.int64]) -> Iterator[Window]:
        """What to hold in memory at a time: whole batches, as many as the buffer holds, except for the last.

        ``ranks``, shape (N,), are the places of the samples in the order in which rows are stored.
        """
        size = max(self.buffer_rows // self.batch_size, 1) * self.batch_size
        if not self.shuffle:
            for start in range(0, len(ranks), size):
                yield window_of(ranks[start : start + size])
            return
        draw = np.random.default_rng((self.seed, self.epoch))
        for window in _filled(_blocks(len(ranks), draw, size), size):
            yield Window(np.sort(window, kind="stable"), draw.permutation(len(window)))

    def batches(self, window: Window) -> Iterator[slice]:
        """Where each batch of a window stands in it."""
        for start in range(0, len(window), self.batch_size):
            yield slice(start, min(start + self.batch_size, len(window)))


def window_of(ranks: NDArray[np.int64]) -> Window:
    """Samples that stand anywhere in the order of the rows, to hand out as they come."""
    target = np.argsort(ranks, kind="stable")
    return Window(ranks[target], target)


def _blocks(n: int, draw: np.random.Generator, size: int) -> Iterator[NDArray[np.int64]]:
    """All of n rows in blocks that are stored one after the other, the blocks in any order."""
    step = max(min(BLOCK_ROWS, size // BLOCKS_A_BUFFER), 1)
    for number in draw.permutation(-(-n // step)).tolist():
        yield np.arange(number * step, min((number + 1) * step, n))


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


def one_ahead(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
    """Each item with what work makes of it; the next is worked on while the last one is used."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        before = None
        for item in items:
            coming = item, pool.submit(work, item)
            if before is not None:
                yield before[0], before[1].result()
            before = coming
        if before is not None:
            yield before[0], before[1].result()
