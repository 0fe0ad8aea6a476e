"""A remote file that is read here and there, in blocks; reading on from block to block, the next ones are under way."""

from __future__ import annotations

import io
import os
import weakref
from concurrent.futures import Future
from functools import lru_cache, partial
from threading import Lock
from typing import TYPE_CHECKING, Any

from headstart.remote.copies import keep_block, kept_block
from headstart.remote.in_flight import requests
from headstart.remote.spool import spool
from headstart.remote.store import NoRangesError

if TYPE_CHECKING:
    from headstart.remote.listing import Stats
    from headstart.remote.paths import RemotePath

BLOCK = 4 << 20
RANGED = 64 << 20
"""Bytes of a file beyond which it is read in ranges where its format allows that; smaller ones are fetched whole."""
OPEN = 8
"""Files whose blocks are under way at a time."""
AHEAD = 6
"""Blocks that are under way beyond the one that is read."""


class Blocks:
    """The bytes of a remote file; safe to use from several threads.

    Of a server that gives no parts of files, the whole file is fetched when it is first read.
    """

    def __init__(self, path: RemotePath) -> None:
        self.path, self.size = path, path.size
        self._name = str(path), path.stats()
        self._lock = Lock()
        self._under_way: dict[int, Future[bytes]] = {}
        self._last = -2
        self._copy: int | None = None

    def read(self, offset: int, size: int, keeps: bool = False) -> bytes:
        """The bytes there; fewer at the end of the file.

        ``keeps``: the blocks around them stay on this machine, for what is read each time that the file is opened.
        """
        stop = min(offset + size, self.size)
        if offset >= stop:
            return b""
        numbers = range(offset // BLOCK, (stop - 1) // BLOCK + 1)
        self._begin(numbers)
        starts = [max(offset - number * BLOCK, 0) for number in numbers]
        stops = [min(stop - number * BLOCK, BLOCK) for number in numbers]
        parts = b"".join(map(self._part, numbers, starts, stops))
        if keeps and self.path.is_known:
            for number in numbers:
                keep_block(self.path, number, partial(self._part, number, 0, BLOCK))
        return parts

    def _begin(self, numbers: range) -> None:
        """Ask for blocks, and for those behind them if the last reading was of those before."""
        with self._lock:
            for number in [n for n, future in self._under_way.items() if future.done() and n not in numbers]:
                if spool().has((*self._name, number)):
                    del self._under_way[number]
            goes_on = numbers[0] <= self._last + 1 <= numbers[-1] + 1 and numbers[0] >= self._last
            self._last = numbers[-1]
            end = numbers[-1] + 1 + (AHEAD if goes_on else 0)
            for number in range(numbers[0], min(end, -(-self.size // BLOCK))):
                if number not in self._under_way and not self._is_at_hand(number):
                    self._under_way[number] = requests().submit(self._fetch, number)

    def _part(self, number: int, start: int, stop: int) -> bytes:
        with self._lock:
            future = self._under_way.get(number)
        if future is None:
            kept = spool().get((*self._name, number), start, stop) or kept_block(
                self.path, number, start, stop
            )
            return kept or self._fetch(number)[start:stop]
        try:
            return future.result()[start:stop]
        finally:  # what failed is asked for again
            with self._lock:
                self._under_way.pop(number, None)

    def _is_at_hand(self, number: int) -> bool:
        return spool().has((*self._name, number)) or kept_block(self.path, number, 0, 1) is not None

    def _fetch(self, number: int) -> bytes:
        try:
            content = self.path.read_range(number * BLOCK, BLOCK)
        except NoRangesError:
            return self._of_copy(number)
        spool().keep((*self._name, number), content)
        return content

    def _of_copy(self, number: int) -> bytes:
        with self._lock:
            if self._copy is None:
                self._copy = os.open(self.path, os.O_RDONLY)
                weakref.finalize(self, os.close, self._copy)
            return os.pread(self._copy, BLOCK, number * BLOCK)


def blocks_of(path: RemotePath) -> Blocks:
    """The blocks of a file as it is now, shared by all that read it."""
    return _blocks(path, path.stats())


@lru_cache(maxsize=OPEN)
def _blocks(path: RemotePath, stats: Stats) -> Blocks:
    return Blocks(path)


class RangedFile(io.RawIOBase):
    """Such a file as Python's and Arrow's readers take one."""

    def __init__(self, blocks: Blocks, keeps: bool = False) -> None:
        super().__init__()
        self._blocks, self._keeps, self._at = blocks, keeps, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._blocks.size}[whence]
        self._at = max(start + offset, 0)
        return self._at

    def tell(self) -> int:
        """The place."""
        return self._at

    def size(self) -> int:
        """All bytes, as Arrow asks for them."""
        return self._blocks.size

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer."""
        content = self._blocks.read(self._at, len(buffer), self._keeps)
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)

    def read(self, size: int = -1) -> bytes:
        """The next bytes; all that are left without a size."""
        content = self._blocks.read(self._at, self._blocks.size - self._at if size < 0 else size, self._keeps)
        self._at += len(content)
        return content
