"""Collecting features into shards, and committing them in time, beside the computing."""

from __future__ import annotations

import mmap
import queue
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.cache.formats import take
from headstart.cache.layout import SHARD_BYTES
from headstart.extraction.timings import Stopwatch
from headstart.keys import KEY_BYTES, first_by_key
from headstart.memory import return_freed_memory
from headstart.types import Features

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headstart.cache.shards import CommittedShard
    from headstart.cache.space import Space
    from headstart.contracts import ShardFormat


SLAB_BYTES = 4 << 20
"""What is moved aside at a time when rows are put into another order."""
OPEN_BYTES = 256 << 20  # all open shards of a process together
COMMIT_AFTER = 45.0  # seconds; with the batch under way and the writing, a crash loses under a minute
WAITING = 256  # parts that wait to be written: computing waits for a disk that cannot keep up
LOOK_AROUND = 1.0  # seconds between two looks whether a shard is due


class OpenShard:
    """Takes rows of one space until they are committed, and gives them as one.

    ``limit``: about how many bytes it will hold; more is possible.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffers: tuple[_RowBuffer, _RowBuffer] | None = None  # of keys and of features
        self._lengths: list[NDArray[np.int64]] = []

    @property
    def n_bytes(self) -> int:
        """Of all rows so far."""
        parts = [*(buffer.rows for buffer in self._buffers or ()), *self._lengths]
        return sum(part.nbytes for part in parts)

    def add(self, keys: NDArray[np.uint8], values: NDArray[Any], lengths: NDArray[np.int64] | None) -> None:
        """Rows: keys of shape (n, 16), features (n, D), or (T, D) with the length of each."""
        if self._buffers is None:
            kept_values = _RowBuffer(values.shape[1], values.dtype, self._limit)
            self._buffers = _RowBuffer(KEY_BYTES, keys.dtype, self._limit), kept_values
        for buffer, rows in zip(self._buffers, (keys, values), strict=True):
            buffer.append(rows)
        if lengths is not None:
            self._lengths.append(lengths)

    def features(self) -> Features:
        """All of them, sorted by key; of each key the first. They lie where the rows were gathered."""
        assert self._buffers is not None
        keys, values = self._buffers
        # A stream may bring the same sample twice.
        order = first_by_key(keys.rows)
        offsets = None
        of_values = order
        if self._lengths:
            lengths = np.concatenate(self._lengths)
            starts = np.cumsum(lengths) - lengths
            kept = lengths[order]
            offsets = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)
            of_values = np.repeat(starts[order] - offsets[:-1], kept) + np.arange(offsets[-1])
            self._lengths = [kept]
        values.reorder(of_values)
        keys.reorder(order)
        return Features(keys.rows, values.rows, offsets)


class _RowBuffer:
    """Rows of one width in memory of their own, which goes back to the system as soon as nobody needs it.

    A list of small arrays would have to be copied to become one, and what an allocator gave for them stays
    with the process: a shard of 64 MB took four times as much.

    ``n_bytes``: what is reserved at first; only what is written takes memory.
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


class ShardWriter:
    """The open shards of one process, one a space, written by a thread of their own.

    ``stopwatch``: what the writing took; ``looking``: Held while a space is asked what it holds: its index
    may be asked by one thread at a time.
    """

    def __init__(self, spaces: Sequence[Space], shard_format: ShardFormat) -> None:
        self.stopwatch = Stopwatch()
        self.looking = threading.Lock()
        self._spaces = spaces
        self._format = shard_format
        self._limit = min(SHARD_BYTES, OPEN_BYTES // max(len(spaces), 1))
        self._open = [OpenShard(self._limit) for _ in spaces]
        self._counts: list[list[tuple[NDArray[np.uint8], NDArray[np.int64]]]] = [[] for _ in spaces]
        self._opened = time.monotonic()
        self._parts: queue.Queue[Any] = queue.Queue(WAITING)
        self._committed: queue.SimpleQueue[CommittedShard] = queue.SimpleQueue()
        self._error: Exception | None = None
        self._n_added = 0
        self._thread: threading.Thread | None = None

    def add(
        self,
        number: int,
        keys: NDArray[np.uint8],
        values: NDArray[Any],
        lengths: NDArray[np.int64] | None = None,
        n_tokens: NDArray[np.int64] | None = None,
    ) -> None:
        """Add rows to the open shard of a space; see `OpenShard.add`, and `TokenRow` for ``n_tokens``."""
        self._raise()
        if self._thread is None:
            # Not a daemon: what was computed is written before the process ends.
            self._thread = threading.Thread(target=self._work, name="headstart-write")
            self._thread.start()
        self._n_added += 1
        self._parts.put((number, keys, values, lengths, n_tokens))

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever added."""
        return not self._n_added

    def committed(self) -> list[CommittedShard]:
        """The shards that were committed since this was asked last."""
        return [self._committed.get() for _ in range(self._committed.qsize())]

    def commit(self) -> list[CommittedShard]:
        """Commit all that was added, without the rows that another writer has committed meanwhile.

        What could not be written stays open, so that a second try loses nothing.
        """
        self.close()
        if self._error is None:
            self._guarded(self._commit)
        self._raise()
        return self.committed()

    def close(self) -> None:
        """Let the thread take in what was added, and end. It is started anew when more is added."""
        if self._thread is not None:
            self._parts.put(None)
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        while True:
            try:
                part = self._parts.get(timeout=LOOK_AROUND)
            except queue.Empty:
                self._guarded(self._commit_if_due)
                continue
            if part is None:
                return
            number, *rows, n_tokens = part
            if not any(shard.n_bytes for shard in self._open):
                self._opened = time.monotonic()
            self._open[number].add(*rows)
            if n_tokens is not None:
                self._counts[number].append((rows[0], n_tokens))
            self._guarded(self._commit_if_due)

    def _guarded(self, commit: Any) -> None:
        """Write, and keep what goes wrong for the thread that computes."""
        if self._error is not None:
            return
        with self.stopwatch.processor("write"):
            try:
                commit()
            except Exception as error:
                self._error = error

    def _commit_if_due(self) -> None:
        fullest = max(shard.n_bytes for shard in self._open)
        if fullest >= self._limit or (fullest and time.monotonic() - self._opened >= COMMIT_AFTER):
            self._commit()

    def _commit(self) -> None:
        return_freed_memory()
        for number, space in enumerate(self._spaces):
            if not self._open[number].n_bytes:
                continue
            features = self._missing(space, self._open[number].features())
            if len(features):
                self._committed.put(space.commit(features, self._format))
            del features  # they keep the open shard's memory
            if self._counts[number]:  # after the shard: a run that is killed in between leaves them unknown
                keys, counts = (np.concatenate(part) for part in zip(*self._counts[number], strict=True))
                space.note_tokens(keys, counts)
                self._counts[number] = []
            self._open[number] = OpenShard(self._limit)
        return_freed_memory()
        self._opened = time.monotonic()

    def _missing(self, space: Space, features: Features) -> Features:
        """Without the rows that another writer has committed meanwhile."""
        with self.looking:
            held = space.held(features.keys)
        return take(features, np.flatnonzero(~held)) if held.any() else features

    def _raise(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error
