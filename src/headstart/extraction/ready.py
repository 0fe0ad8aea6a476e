"""Prepared samples that wait for the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.extraction.batching import batch_end, longest_first

if TYPE_CHECKING:
    from headstart.extraction.reading import Item


class ReadyItems:
    """Prepared samples, longest first, and the batches that are cut from them.

    Parameters
    ----------
    length : callable
        What a prepared sample costs.
    """

    def __init__(self, length: Callable[[Any], int]) -> None:
        self._length = length
        self._new: list[Item] = []
        self._items: list[Item] = []
        self._lengths = np.empty(0, dtype=np.int64)
        self._start = 0

    def __len__(self) -> int:
        return len(self._new) + len(self._items) - self._start

    def add(self, items: Sequence[Item]) -> None:
        """Items that `sort` has not seen yet."""
        self._new += items

    def sort(self) -> None:
        """Let what was added take part in the next batches."""
        if not self._new:
            return
        items = self._items[self._start :] + self._new
        lengths = np.array([self._length(item.prepared) for item in items], dtype=np.int64)
        order = longest_first(lengths)
        self._items, self._lengths = [items[i] for i in order.tolist()], lengths[order]
        self._new, self._start = [], 0

    @property
    def cost(self) -> int:
        """What the sorted items cost together."""
        return int(self._lengths[self._start :].sum())

    def cut(self, budget: int, most: int | None, or_less: bool) -> tuple[list[Item], int] | None:
        """The next batch and its cost; None where there is none.

        Parameters
        ----------
        budget, most
            See `batch_end`.
        or_less : bool
            Whether a batch may be smaller because there is no more.
        """
        if self._start == len(self._items):
            return None
        end = batch_end(self._lengths, self._start, budget, most)
        took_all = end == len(self._items)
        if took_all and not or_less and (end - self._start + 1) * self._lengths[self._start] <= budget:
            return None
        batch, cost = self._items[self._start : end], int(self._lengths[self._start : end].sum())
        self._start = end
        if took_all:  # let go of what was computed
            self._items, self._lengths, self._start = [], self._lengths[:0], 0
        return batch, cost
