"""What this process has fetched, for a while: a scan reads contents for their keys, an extraction once more."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import weakref
from collections import deque
from collections.abc import Hashable
from functools import cache
from threading import Lock
from typing import IO, TypeAlias

MOST_BYTES = 2 << 30
SHARE_OF_DISK = 4
"""Of the free room at most one part in so many is taken."""

Name: TypeAlias = tuple[Hashable, ...]


class Spool:
    """Contents by their names in a temporary file of bounded size, in which the newest take the place of the oldest.

    The file has no name: nothing is left of it however the process ends. Another process begins with an empty one.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._lock = Lock()
        self._file: IO[bytes] | None = None
        self._places: dict[Name, tuple[int, int]] = {}
        self._latest: dict[Hashable, Name] = {}
        self._order: deque[Name] = deque()
        self._end = 0

    def get(self, name: Name, start: int = 0, stop: int | None = None) -> bytes | None:
        """A content or a part of it; None if it is not here, or not any more."""
        with self._lock:
            if self._file is None or (place := self._places.get(name)) is None:
                return None
            offset, length = place
            n = max((length if stop is None else min(stop, length)) - start, 0)
            content = os.pread(self._file.fileno(), n, offset + start)
        return content if len(content) == n else None

    def latest(self, first: Hashable) -> Name | None:
        """The name of the last content that is here and whose name begins so."""
        with self._lock:
            return self._latest.get(first)

    def has(self, name: Name) -> bool:
        """Whether a content is here."""
        with self._lock:
            return name in self._places

    def keep(self, name: Name, content: bytes) -> None:
        """Keep a content as long as there is room."""
        with self._lock:
            if name in self._places:
                return
            with contextlib.suppress(OSError):  # a full disk costs a second reading
                self._write(name, content)

    def _write(self, name: Name, content: bytes) -> None:
        if self._most is None:
            self._most = min(MOST_BYTES, shutil.disk_usage(tempfile.gettempdir()).free // SHARE_OF_DISK)
        if not 0 < len(content) <= self._most // SHARE_OF_DISK:
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="headstart-")  # noqa: SIM115  # open while it is used
            weakref.finalize(self, self._file.close)
        if self._end + len(content) > self._most:
            self._make_room(self._end, self._most)  # what lies at the end, first: it is the oldest
            self._end = 0
        self._make_room(self._end, self._end + len(content))
        os.pwrite(self._file.fileno(), content, self._end)
        self._places[name] = self._end, len(content)
        self._latest[name[0]] = name
        self._order.append(name)
        self._end += len(content)

    def _make_room(self, start: int, stop: int) -> None:
        """Forget the oldest contents as long as they lie there."""
        while self._order:
            offset, length = self._places[self._order[0]]
            if offset + length <= start or offset >= stop:
                return
            oldest = self._order.popleft()
            del self._places[oldest]
            if self._latest.get(oldest[0]) == oldest:
                del self._latest[oldest[0]]


@cache
def spool() -> Spool:
    """The one of this process."""
    return Spool()


if hasattr(os, "register_at_fork"):  # a fork would write over what the other one reads
    os.register_at_fork(after_in_child=spool.cache_clear)
