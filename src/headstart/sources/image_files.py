"""Image files and their keys, without reading a file that this machine has met before.

A file is known by its fingerprint: BLAKE2b-128 of device, inode, size, mtime and ctime. Whatever
changes its content changes its ctime, so a known fingerprint means a known key.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from stat import S_ISREG
from typing import TYPE_CHECKING

import numpy as np

from headstart import keys
from headstart.errors import SampleError
from headstart.files import CLOCK_TICK_NS, stat_fields
from headstart.sources.blocks import Problem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import KeyMemo

IMAGE_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".gif", ".webp"),
        *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
    )
)

READERS = 8
"""Threads that read and hash unknown files: enough to hide the latency of a disk, and no more
files in memory than that."""

EMPTY_FILE = Problem("empty file")

N_STATS = 5
SIZE, MTIME, CTIME = 2, 3, 4


def is_image(name: str) -> bool:
    """Whether a file's ending says that it is an image."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def stat_files(paths: Sequence[str]) -> tuple[NDArray[np.int64], dict[int, Problem]]:
    """The stat fields of files, shape (N, 5), and the problems of those that have none."""
    stats = np.zeros((len(paths), N_STATS), dtype=np.int64)
    problems: dict[int, Problem] = {}
    for row, path in enumerate(paths):
        try:
            status = os.stat(path)
        except OSError as error:
            problems[row] = Problem(unreadable(error), "transient")
        except ValueError:
            problems[row] = Problem("no file can have this path: it holds a NUL or half of a surrogate pair")
        else:
            if S_ISREG(status.st_mode):
                stats[row] = stat_fields(status)
            else:
                problems[row] = Problem("it is not a file", "transient")
    return stats, problems


def key_files(
    paths: Sequence[str],
    stats: NDArray[np.int64],
    problems: dict[int, Problem],
    memo: KeyMemo,
    scanned_ns: int,
) -> NDArray[np.uint8]:
    """Keys of image files, shape (N, 16); zeros where there is a problem.

    Parameters
    ----------
    paths : sequence of str, length N
        Where each file can be read.
    stats : ndarray of int64, shape (N, 5)
        Its stat fields, taken earlier than this call: a file that changes in between is read as it
        is now, and what the memo then holds under the old fingerprint is never asked for again.
    problems : dict of int to Problem
        Rows to leave alone; empty and unreadable files are added to it.
    memo : KeyMemo
    scanned_ns : int
        The time when the scan began, in ns since the epoch.
    """
    for row in np.flatnonzero(stats[:, SIZE] == 0).tolist():
        problems.setdefault(row, EMPTY_FILE)
    prints = fingerprints(stats)
    found, known = memo.lookup(prints)
    unknown = [row for row in np.flatnonzero(~known).tolist() if row not in problems]
    files = np.where(known[:, None], found, 0).astype(np.uint8)
    files[list(problems)] = 0
    read = _read_keys([paths[row] for row in unknown])
    for row, result in zip(unknown, read, strict=True):
        if isinstance(result, Problem):
            problems[row] = result
        else:
            files[row] = np.frombuffer(result, dtype=np.uint8)
    _remember(memo, prints, files, [row for row in unknown if row not in problems], stats, scanned_ns)
    return files


def fingerprints(stats: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The fingerprints, shape (N, 16), of stat fields of shape (N, 5)."""
    packed = stats.astype("<i8").tobytes()
    width = N_STATS * 8
    return keys.pack(
        blake2b(packed[start : start + width], digest_size=keys.KEY_BYTES).digest()
        for start in range(0, len(packed), width)
    )


def read_image(path: str, origin: str) -> bytes:
    """The bytes of an image file.

    Raises
    ------
    SampleError
        It is gone, or cannot be read any more.
    """
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise SampleError(f"{origin}: {unreadable(error)}") from error


def unreadable(error: OSError) -> str:
    """Why a file cannot be read, for the user."""
    if isinstance(error, FileNotFoundError):
        return "the file is missing"
    return f"the file cannot be read: {error.strerror or error}"


def _read_keys(paths: Sequence[str]) -> list[bytes | Problem]:
    if not paths:
        return []
    with ThreadPoolExecutor(min(READERS, len(paths))) as pool:
        return list(pool.map(_read_key, paths))


def _read_key(path: str) -> bytes | Problem:
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        return Problem(unreadable(error), "transient")
    return keys.key_of("image", content) if content else EMPTY_FILE


def _remember(
    memo: KeyMemo,
    prints: NDArray[np.uint8],
    files: NDArray[np.uint8],
    rows: list[int],
    stats: NDArray[np.int64],
    scanned_ns: int,
) -> None:
    changed = np.maximum(stats[rows, MTIME], stats[rows, CTIME])
    # Clocks of file servers differ, so a time in the future counts as young as well.
    old = np.array(rows, dtype=np.int64)[scanned_ns - changed >= CLOCK_TICK_NS]
    if len(old):
        memo.remember(prints[old], files[old])
