"""Walking a tree of image files in the order of their paths.

Names and stat numbers go straight into flat buffers, some 50 bytes and the name for each file:
a folder of a million photos must not become a million Python objects.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from stat import S_ISREG
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import column_of, numbers_of
from headstart.data.blocks import printable
from headstart.data.image_files import N_STATS, is_image, unreadable
from headstart.files import stat_fields
from headstart.types import Failure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Identity = tuple[int, int]

SIGN_OF_LIFE = 1 << 14
"""Entries of a folder after which the walk shows itself."""

NAMED = 3
"""How many ignored files are named, not only counted."""


@dataclass(frozen=True, slots=True)
class Run:
    """Image files of one folder that follow each other in the order of their paths.

    Parameters
    ----------
    folder : str
        The folder relative to the root, with a slash at its end; empty for the root itself.
    """

    folder: str
    names: pa.Array
    stats: NDArray[np.int64]


_NO_STATS = (0, 0, 0, 0, 0)
NO_IMAGES = Run("", pa.nulls(0, pa.large_string()), np.zeros((0, N_STATS), dtype=np.int64))


class Ignored:
    """What was left out: how many, and the first few names."""

    def __init__(self) -> None:
        self.n = 0
        self.names: list[str] = []

    def add(self, path: str) -> None:
        """Leave one more out."""
        self.n += 1
        if len(self.names) < NAMED or path < self.names[-1]:
            self.names = sorted([*self.names, path])[:NAMED]

    def __str__(self) -> str:
        names = ", ".join(printable(name) for name in self.names) + (", …" if self.n > NAMED else "")
        return f"{self.n:,} other file{'s' if self.n > 1 else ''} ignored ({names})"


class ImageTree:
    """The image files under a folder, symbolic links followed.

    Parameters
    ----------
    root : str
    stats : bool
        False: only the names are wanted, and no file is looked at.

    Attributes
    ----------
    ignored : Ignored
        Files that are no images, hidden files and folders, and links back to a folder above.
    failures : list of Failure
        What could not be listed; whoever walks takes them out.
    """

    def __init__(self, root: str, stats: bool = True) -> None:
        self.ignored = Ignored()
        self.failures: list[Failure] = []
        self._root = root
        self._stats = stats

    def walk(self) -> Iterator[Run]:
        """All image files, in the order of the bytes of their paths.

        While a large folder is listed, empty runs show that the work goes on. Not recursive: a path may
        be deeper than Python's stack.
        """
        open_folders = [self._enter("")]
        above = [self._identity("")]
        while open_folders:
            step = next(open_folders[-1], None)
            if step is None:
                open_folders.pop()
                above.pop()
            elif isinstance(step, Run):
                yield step
            elif (identity := self._identity(step)) and identity in above:
                self.ignored.add(f"{step} (a link to a folder above it)")
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
                        yield NO_IMAGES
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
            self.ignored.add(folder + name)
            return
        try:
            if entry.is_dir():
                listing.add_folder(name)
            elif is_image(name):
                self._add_image(listing, entry)
            else:
                self.ignored.add(folder + name)
        except UnicodeEncodeError:
            self._fail(folder + name, "the name is not UTF-8; rename it", permanent=True)
        except OSError as error:
            self._fail(folder + name, unreadable(error))

    def _add_image(self, listing: _Listing, entry: os.DirEntry[str]) -> None:
        if not self._stats:
            listing.add_image(entry.name, _NO_STATS)
            return
        status = entry.stat()
        if S_ISREG(status.st_mode):
            listing.add_image(entry.name, stat_fields(status))
        else:
            raise OSError(0, "it is neither a file nor a folder")

    def _fail(self, path: str, reason: str, permanent: bool = False) -> None:
        name = printable(path) or "."
        self.failures.append(Failure(name, name, reason, "permanent" if permanent else "transient"))

    def _identity(self, folder: str) -> Identity | None:
        try:
            status = os.stat(self._path(folder))
        except OSError:
            return None  # gone since it was listed: entering it will say so
        return status.st_dev, status.st_ino

    def _path(self, folder: str) -> str:
        return os.path.join(self._root, folder)


class _Listing:
    """What one folder holds, in flat buffers."""

    def __init__(self) -> None:
        self._names = bytearray()
        self._ends = array("q", [0])
        self._stats = array("q")
        self._is_folder = bytearray()

    def add_image(self, name: str, fields: tuple[int, int, int, int, int]) -> None:
        self._add(name.encode("utf-8"), fields, 0)

    def add_folder(self, name: str) -> None:
        # With its slash a folder sorts where the paths of its files do: "a-b/x" < "a/x" < "a0".
        self._add(name.encode("utf-8") + b"/", _NO_STATS, 1)

    def sorted(self) -> tuple[pa.Array, NDArray[np.int64], NDArray[np.bool_]]:
        """Names, stat fields and whether each is a folder, sorted by the bytes of the names."""
        n = len(self._is_folder)
        buffers = [None, pa.py_buffer(self._ends), pa.py_buffer(self._names)]
        names = pa.Array.from_buffers(pa.large_string(), n, buffers)
        order = numbers_of(pc.sort_indices(names)).astype(np.int64)
        stats = np.frombuffer(self._stats, dtype=np.int64).reshape(n, N_STATS)
        is_folder = np.frombuffer(self._is_folder, dtype=np.bool_)
        return names.take(column_of(order)), stats[order], is_folder[order]

    def _add(self, name: bytes, fields: tuple[int, ...], is_folder: int) -> None:
        self._names += name
        self._ends.append(len(self._names))
        self._stats.extend(fields)
        self._is_folder.append(is_folder)
