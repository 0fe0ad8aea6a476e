"""Collecting features into shards, and committing them in time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.cache.layout import SHARD_BYTES
from headstart.keys import first_occurrences
from headstart.types import Features

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.space import CommittedShard, Space
    from headstart.contracts import ShardFormat

OPEN_BYTES = 256 << 20  # all open shards of a process together
COMMIT_AFTER = 45.0  # seconds; with the batch under way and the writing, a crash loses under a minute


class ShardWriter:
    """The open shards of one process, one a space.

    Parameters
    ----------
    spaces : sequence of Space
    shard_format : ShardFormat
    """

    def __init__(self, spaces: Sequence[Space], shard_format: ShardFormat) -> None:
        self._spaces = spaces
        self._format = shard_format
        self._limit = min(SHARD_BYTES, OPEN_BYTES // max(len(spaces), 1))
        self._keys: list[list[NDArray[np.uint8]]] = [[] for _ in spaces]
        self._values: list[list[NDArray[Any]]] = [[] for _ in spaces]
        self._bytes = [0] * len(spaces)
        self._opened = time.monotonic()

    def add(self, number: int, keys: NDArray[np.uint8], values: NDArray[Any]) -> None:
        """Add rows to the open shard of a space: keys of shape (n, 16), features of shape (n, D)."""
        if self.is_empty:
            self._opened = time.monotonic()
        self._keys[number].append(keys)
        self._values[number].append(values)
        self._bytes[number] += values.nbytes + keys.nbytes

    @property
    def is_empty(self) -> bool:
        """Whether no row waits to be committed."""
        return not any(self._bytes)

    @property
    def is_due(self) -> bool:
        """Whether a shard is full, or has been open for long enough."""
        if self.is_empty:
            return False
        return max(self._bytes) >= self._limit or time.monotonic() - self._opened >= COMMIT_AFTER

    def commit(self) -> Iterator[CommittedShard]:
        """Commit what is open, without the rows that another writer has committed meanwhile.

        What could not be written stays open, so that a second try loses nothing.
        """
        for number, space in enumerate(self._spaces):
            if not self._keys[number]:
                continue
            keys = np.concatenate(self._keys[number])
            fresh = first_occurrences(keys)  # a stream may bring the same sample twice
            fresh = fresh[~space.held(keys[fresh])]
            if len(fresh):
                values = np.concatenate(self._values[number])
                yield space.commit(Features(keys[fresh], values[fresh]), self._format)
            self._keys[number], self._values[number], self._bytes[number] = [], [], 0
        self._opened = time.monotonic()
