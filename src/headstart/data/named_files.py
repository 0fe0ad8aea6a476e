"""Files that data names by paths and addresses: which they are, what they are known by, and what they hold."""

from __future__ import annotations

import os
from collections.abc import Sequence
from stat import S_ISREG
from typing import TYPE_CHECKING

import numpy as np

from headstart.data.source import Problem, printable
from headstart.errors import SampleError
from headstart.files import stat_fields
from headstart.remote.addresses import is_remote, plain_address
from headstart.remote.in_flight import each
from headstart.remote.paths import RemotePath

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_STATS = 5
SIZE, MTIME, CTIME = 2, 3, 4


def located(path: str) -> str | RemotePath:
    """A path as it is read: an address leads elsewhere."""
    return RemotePath.of(path) if is_remote(path) else path


def joined(folder: str | os.PathLike[str], path: str) -> str | RemotePath:
    """A path relative to a folder, or one that stands for itself, wherever both are."""
    if is_remote(path) or not isinstance(folder, RemotePath):
        return located(path if is_remote(path) else os.path.join(folder, path))
    return folder / path


def shown_path(path: str) -> str:
    """A path for people: an address without what may be secret."""
    return plain_address(path) if is_remote(path) else printable(path)


def leads_out(path: str | None) -> bool:
    """Whether a path is absolute or an address, or climbs above the folder that it is relative to."""
    if is_remote(path):
        return True
    normal = os.path.normpath(path or ".")
    return os.path.isabs(normal) or normal.split(os.sep)[0] == os.pardir


def read_image(path: str | RemotePath, origin: str) -> bytes:
    """The bytes of an image file.

    Raises
    ------
    SampleError
        It is gone, or cannot be read any more.
    """
    try:
        return bytes_at(path)
    except OSError as error:
        raise SampleError(f"{origin}: {unreadable(error)}") from error


def bytes_at(path: str | RemotePath) -> bytes:
    """All that a file holds; OSError if it cannot be read."""
    if isinstance(path, RemotePath):
        return path.read_bytes()
    with open(path, "rb") as file:
        return file.read()


def unreadable(error: OSError) -> str:
    """Why a file cannot be read, for the user."""
    if isinstance(error, FileNotFoundError):
        return "the file is missing"
    return f"the file cannot be read: {error.strerror or error}"


def stat_files(paths: Sequence[str | RemotePath]) -> tuple[NDArray[np.int64], dict[int, Problem]]:
    """The stat fields of files, shape (N, 5), and the problems of those that have none."""
    stats = np.zeros((len(paths), N_STATS), dtype=np.int64)
    problems: dict[int, Problem] = {}
    remote = [row for row, path in enumerate(paths) if isinstance(path, RemotePath)]
    looked = dict(zip(remote, each(_stat, [paths[row] for row in remote]), strict=True))
    for row, path in enumerate(paths):
        found = looked[row] if row in looked else _stat(path)
        if isinstance(found, Problem):
            problems[row] = found
        else:
            stats[row] = found
    return stats, problems


def _stat(path: str | RemotePath) -> Problem | tuple[int, ...]:
    try:
        if isinstance(path, RemotePath):
            return path.stats()
        status = os.stat(path)
    except OSError as error:
        return Problem(unreadable(error), "transient")
    except ValueError:
        return Problem("no file can have this path: it holds a NUL or half of a surrogate pair")
    return stat_fields(status) if S_ISREG(status.st_mode) else Problem("it is not a file", "transient")
