"""Walking a folder: the files of one kind in the order of their paths, and all others by the reason they are left out.

Names and stat numbers go straight into flat buffers, some 50 bytes and the name for each file:
a folder of a million photos must not become a million Python objects.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from stat import S_ISREG
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import column_of, numbers_of
from headstart.data.file_kinds import IMAGES
from headstart.data.named_files import N_STATS, unreadable
from headstart.data.source import BLOCK_ROWS, printable
from headstart.files import stat_fields
from headstart.remote.paths import RemotePath
from headstart.types import Failure
from headstart.words import counted, plural

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from headstart.data.file_kinds import FileKind

    Identity = tuple[int, int]

NAMED = 3
"""How many ignored files are named for each reason, not only counted."""

SIGN_OF_LIFE = 1 << 14
"""Entries of a folder after which the walk shows itself."""

HIDDEN, OTHER, CIRCLE = "hidden", "other", "links to a folder above them"


def folders_in(folder: Path) -> list[str]:
    """The folders in a folder but for hidden ones, sorted."""
    return sorted(name for name, is_folder in entries_in(folder) if is_folder)


def entries_in(path: str | Path) -> list[tuple[str, bool]]:
    """What a folder holds but for hidden names; nothing if it cannot be read: the scan says so."""
    if isinstance(path, RemotePath):
        return [(name, is_folder) for name, is_folder in path.entries() if name[0] != "."]
    try:
        with os.scandir(path) as entries:
            return [(entry.name, _is_folder(entry)) for entry in entries if entry.name[0] != "."]
    except OSError:
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link to itself


def identity_of(path: str) -> Identity | None:
    try:
        status = os.stat(path)
    except OSError:
        return None  # gone since it was listed: entering it will say so
    return status.st_dev, status.st_ino


@dataclass(frozen=True, slots=True)
class Run:
    """Files of one folder that follow each other in the order of their paths.

    The folder is relative to the root, with a slash at its end; empty for the root itself.
    """

    folder: str
    names: pa.Array
    stats: NDArray[np.int64]

    def pieces(self) -> Iterator[Run]:
        """The same, at most a block at a time."""
        for start in range(0, max(len(self.names), 1), BLOCK_ROWS):
            end = start + BLOCK_ROWS
            yield Run(self.folder, self.names[start:end], self.stats[start:end])


_NO_STATS = (0, 0, 0, 0, 0)
NO_FILES = Run("", pa.nulls(0, pa.large_string()), np.zeros((0, N_STATS), dtype=np.int64))


class Ignored:
    """What was left out, by reason: how many files, and the first few names."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._names: dict[str, list[str]] = {}

    def add(self, path: str, reason: str = OTHER, n: int = 1) -> None:
        """Leave one more out, or several of which one is named."""
        self._counts[reason] = self._counts.get(reason, 0) + n
        names = self._names.get(reason, [])
        if len(names) < NAMED or path < names[-1]:
            self._names[reason] = sorted([*names, path])[:NAMED]

    @property
    def counts(self) -> Mapping[str, int]:
        """How many by reason."""
        return {reason: n for reason, n in sorted(self._counts.items()) if n}

    def said(self) -> list[str]:
        """A phrase for each reason."""
        return [self._said(reason, n) for reason, n in self.counts.items()]

    def _said(self, reason: str, n: int) -> str:
        shown = self._names[reason]
        names = ", ".join(map(printable, shown)) + (", …" if n > len(shown) else "")
        if reason in (HIDDEN, OTHER):
            return f"{n:,} {reason} {plural('file', n)} ignored ({names})"
        return f"{counted(n, 'file')} ignored, {reason} ({names})"


class FileTree:
    """The files of a kind under a folder, symbolic links followed; without ``stats`` no file is looked at.

    ``links_out`` are the first few links that lead out of it, of ``n_links_out``; ``ignored`` are files of other kinds,
    hidden files and folders, and links back to a folder above; ``failures`` what could not be listed: whoever walks
    takes them out.
    """

    def __init__(self, root: str, kind: FileKind = IMAGES, stats: bool = True) -> None:
        self.ignored = Ignored()
        self.failures: list[Failure] = []
        self.links_out: list[str] = []
        self.n_links_out = 0
        self._root, self._real_root = root, os.path.realpath(root)
        self._accepts = kind.accepts
        self._stats = stats

    def walk(self) -> Iterator[Run]:
        """All files of the kind, in the order of the bytes of their paths.

        While a large folder is listed, empty runs show that the work goes on. Not recursive: a path may
        be deeper than Python's stack.
        """
        open_folders = [self._enter("")]
        above = [identity_of(self._root)]
        while open_folders:
            step = next(open_folders[-1], None)
            if step is None:
                open_folders.pop()
                above.pop()
            elif isinstance(step, Run):
                yield step
            elif (identity := identity_of(self._path(step))) and identity in above:
                self.ignored.add(step, CIRCLE)
            else:
                above.append(identity)
                open_folders.append(self._enter(step))

    def _enter(self, folder: str) -> Iterator[Run | str]:
        """The files of a folder, and between them its folders, as their paths sort."""
        listing = _Listing()
        try:
            with os.scandir(self._path(folder)) as entries:
                for number, entry in enumerate(entries, 1):
                    self._add(listing, folder, entry)
                    if number % SIGN_OF_LIFE == 0:
                        yield NO_FILES
        except OSError as error:
            self._fail(folder, f"the folder cannot be read: {error.strerror or error}")
        names, stats, is_folder = listing.sorted()
        start = 0
        for position in np.flatnonzero(is_folder).tolist():
            if position > start:
                yield Run(folder, names[start:position], stats[start:position])
            yield folder + names[position].as_py()
            start = position + 1
        if start < len(names):
            yield Run(folder, names[start:], stats[start:])

    def _add(self, listing: _Listing, folder: str, entry: os.DirEntry[str]) -> None:
        name = entry.name
        if name[0] == ".":
            self.ignored.add(folder + name, HIDDEN)
            return
        try:
            self._look_at_link(folder, entry)
            if entry.is_dir():
                # With its slash a folder sorts where the paths of its files do: "a-b/x" < "a/x" < "a0".
                listing.add(name.encode("utf-8") + b"/", is_folder=1)
            elif self._accepts(name):
                listing.add(name.encode("utf-8"), self._stats_of(entry))
            else:
                self.ignored.add(folder + name)
        except UnicodeEncodeError:
            self._fail(folder + name, "the name is not UTF-8; rename it", permanent=True)
        except OSError as error:
            self._fail(folder + name, unreadable(error))

    def _look_at_link(self, folder: str, entry: os.DirEntry[str]) -> None:
        """Note a link that leads out of the folder; it is followed all the same."""
        if not entry.is_symlink():
            return
        place = os.path.realpath(entry.path)
        if place != self._real_root and not place.startswith(os.path.join(self._real_root, "")):
            self.n_links_out += 1
            if len(self.links_out) < NAMED:
                self.links_out.append(printable(folder + entry.name))

    def _stats_of(self, entry: os.DirEntry[str]) -> tuple[int, ...]:
        if not self._stats:
            return _NO_STATS
        status = entry.stat()
        if not S_ISREG(status.st_mode):
            raise OSError(0, "it is neither a file nor a folder")
        return stat_fields(status)

    def _fail(self, path: str, reason: str, permanent: bool = False) -> None:
        name = printable(path) or "."
        self.failures.append(Failure(name, name, reason, "permanent" if permanent else "transient"))

    def _path(self, folder: str) -> str:
        return os.path.join(self._root, folder)


class _Listing:
    """What one folder holds, in flat buffers."""

    def __init__(self) -> None:
        self._names = bytearray()
        self._ends = array("q", [0])
        self._stats = array("q")
        self._is_folder = bytearray()

    def add(self, name: bytes, fields: tuple[int, ...] = _NO_STATS, is_folder: int = 0) -> None:
        self._names += name
        self._ends.append(len(self._names))
        self._stats.extend(fields)
        self._is_folder.append(is_folder)

    def sorted(self) -> tuple[pa.Array, NDArray[np.int64], NDArray[np.bool_]]:
        """Names, stat fields and whether each is a folder, sorted by the bytes of the names."""
        n = len(self._is_folder)
        buffers = [None, pa.py_buffer(self._ends), pa.py_buffer(self._names)]
        names = pa.Array.from_buffers(pa.large_string(), n, buffers)
        order = numbers_of(pc.sort_indices(names)).astype(np.int64)
        stats = np.frombuffer(self._stats, dtype=np.int64).reshape(n, N_STATS)
        is_folder = np.frombuffer(self._is_folder, dtype=np.bool_)
        return names.take(column_of(order)), stats[order], is_folder[order]
