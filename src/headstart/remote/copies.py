"""Copies of remote files on this machine, for what is read here and there: named by what the file is known by.

They are kept in the user's cache directory within a bound, the least recently used go first; larger ones, and those of
which a server says nothing to know them by, go with the process.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import time
import weakref
from functools import cache
from hashlib import blake2b
from pathlib import Path
from struct import Struct
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from headstart.files import CLOCK_TICK_NS, partial_path, size_of, sweep_partials
from headstart.places import machine_dir
from headstart.remote.in_flight import each
from headstart.remote.listing import CHANGED
from headstart.remote.store import NoRangesError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from headstart.remote.listing import Stats

MOST_BYTES = 4 << 30
"""Of all copies that are kept."""
PART = 8 << 20
SPARED = 3600.0
"""Seconds since its last use within which no copy is removed: somebody may read it."""
USED = "used"
_PAGES = (b"<!doctype html", b"<html")
_STATS = Struct("<5q")

_made: dict[str, Path] = {}
_lock = Lock()


class Remote(Protocol):
    """What is asked of a remote file; `headstart.remote.paths.RemotePath` is one."""

    @property
    def name(self) -> str: ...
    @property
    def suffix(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def is_known(self) -> bool: ...
    @property
    def is_in_bucket(self) -> bool: ...
    def stats(self) -> Stats: ...
    def read_bytes(self) -> bytes: ...
    def read_range(self, offset: int, size: int) -> bytes: ...
    def stream(self) -> Iterator[bytes]: ...


def local_copy(path: Remote) -> Path:
    """A copy of a remote file, fetched unless this machine has one of what the file is now.

    Raises
    ------
    OSError
        The file is gone or cannot be fetched, or the disk is full.
    """
    name = digest_of(path)
    with _lock:
        if (made := _made.get(name)) is None or not made.exists():
            is_kept = path.is_known and path.size <= MOST_BYTES // 2 and not _is_young(path.stats())
            folder = (kept_copies() if is_kept else _folder_of_process()) / name
            made = _made[name] = folder / path.name
            if not made.exists():
                _fetch(path, made)
            if is_kept:
                _note_use(folder)
    return made


def digest_of(path: Remote) -> str:
    """The name of what a file is now, on this machine."""
    return _named(str(path), path.stats())


def kept_copies() -> Path:
    """The folder of the copies that are kept."""
    return machine_dir() / "fetched"


def keep_block(path: Remote, number: int, read: Callable[[], bytes]) -> None:
    """Keep a part of a file that is too long to be fetched whole, if there is room."""
    target = _block_path(path, number)
    if target.exists():
        return
    with contextlib.suppress(OSError):
        content = read()
        target.parent.mkdir(parents=True, exist_ok=True)
        _make_room(len(content))
        partial = partial_path(target)
        partial.write_bytes(content)
        os.replace(partial, target)
        _note_use(target.parent)


def kept_block(path: Remote, number: int, start: int, stop: int) -> bytes | None:
    """Some bytes of a part that was kept; None if it was not."""
    try:
        with open(_block_path(path, number), "rb") as file:
            file.seek(start)
            return file.read(stop - start)
    except OSError:
        return None


def _block_path(path: Remote, number: int) -> Path:
    return kept_copies() / digest_of(path) / f"{number}.block"


def _is_young(stats: Stats) -> bool:
    """Whether it may change once more without a sign: where times alone tell, within the tick of a clock."""
    return time.time_ns() - stats[CHANGED] < CLOCK_TICK_NS


def _named(address: str, stats: Stats) -> str:
    content = address.encode("utf-8", "surrogatepass") + _STATS.pack(*stats)
    return blake2b(content, digest_size=16).hexdigest()


@cache
def _folder_of_process() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="headstart-")
    weakref.finalize(local_copy, folder.cleanup)
    return Path(folder.name)


def _fetch(path: Remote, target: Path) -> None:
    """Fetch a file to its place: whole, or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _make_room(path.size)
    partial = partial_path(target)
    try:
        with open(partial, "xb") as file:
            _fill(path, file.fileno())
        if (size := partial.stat().st_size) != path.size:
            raise OSError(errno.EIO, f"{size:,} of {path.size:,} bytes came")
        _check_page(path, partial)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _fill(path: Remote, file: int) -> None:
    """Write the content of a file, a large one in parts that are asked for at once."""
    if path.size <= PART:
        os.pwrite(file, path.read_bytes(), 0)
        return

    def copy(offset: int) -> None:
        os.pwrite(file, path.read_range(offset, PART), offset)

    try:
        copy(0)
        each(copy, range(PART, path.size, PART))
    except NoRangesError:
        offset = 0
        for part in path.stream():
            offset += os.pwrite(file, part, offset)


def _check_page(path: Remote, copy: Path) -> None:
    """Refuse a web page where something else was asked for: servers send some in the place of errors and logins."""
    if path.is_in_bucket or path.suffix.lower() in (".html", ".htm"):
        return
    with open(copy, "rb") as file:
        start = file.read(512).lstrip().lower()
    if start.startswith(_PAGES):
        raise OSError(
            errno.EIO,
            "the server sends a web page in its place; open the address in a browser to see what it says",
        )


def _note_use(folder: Path) -> None:
    """When a copy was used last; beside it, since its own times tell whether it is the same."""
    with contextlib.suppress(OSError):
        (folder / USED).touch()
        os.utime(folder / USED)


def _make_room(n_bytes: int) -> None:
    """Remove the copies that were not used for the longest time, down to the bound."""
    found = []
    for folder in kept_copies().glob("*"):
        with contextlib.suppress(OSError):
            sweep_partials(folder)
            found.append((_last_use(folder), size_of(folder), folder))
    total = n_bytes
    for used, size, folder in sorted(found, reverse=True):
        total += size
        if total > MOST_BYTES and time.time() - used > SPARED:
            shutil.rmtree(folder, ignore_errors=True)


def _last_use(folder: Path) -> float:
    try:
        return (folder / USED).stat().st_mtime
    except FileNotFoundError:
        return folder.stat().st_mtime
