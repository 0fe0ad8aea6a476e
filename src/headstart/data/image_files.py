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
from headstart.data.blocks import Problem
from headstart.errors import SampleError
from headstart.files import CLOCK_TICK_NS, stat_fields

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
    texts: Sequence[str] | None = None,
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
    texts : sequence of str, length N, optional
        The other halves of pairs of image and text: the keys are those of the pairs.
    """
    for row in np.flatnonzero(stats[:, SIZE] == 0).tolist():
        problems.setdefault(row, EMPTY_FILE)
    prints = fingerprints(stats) if texts is None else pair_prints(fingerprints(stats), texts)
    found, known = memo.lookup(prints)
    unknown = [row for row in np.flatnonzero(~known).tolist() if row not in problems]
    files = np.where(known[:, None], found, 0).astype(np.uint8)
    files[list(problems)] = 0
    read = _read_keys([paths[row] for row in unknown], None if texts is None else [texts[r] for r in unknown])
    for row, result in zip(unknown, read, strict=True):
        if isinstance(result, Problem):
            problems[row] = result
        else:
            files[row] = np.frombuffer(result, dtype=np.uint8)
    changed = np.maximum(stats[:, MTIME], stats[:, CTIME])
    old = [row for row in unknown if row not in problems and is_old(int(changed[row]), scanned_ns)]
    if old:
        memo.remember(prints[old], files[old])
    return files


def key_of_image(content: bytes, text: str | None = None) -> bytes:
    """The key of an image, or of a pair of image and text."""
    return keys.key_of("image", content) if text is None else keys.key_of("image-text", (content, text))


def is_old(changed_ns: int, scanned_ns: int) -> bool:
    """Whether a file that was last changed at a time may be remembered by a scan that began later.

    Clocks of file servers differ, so a time in the future counts as young as well.
    """
    return scanned_ns - changed_ns >= CLOCK_TICK_NS


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


def pair_prints(prints: NDArray[np.uint8], texts: Sequence[str]) -> NDArray[np.uint8]:
    """Fingerprints, shape (N, 16), of pairs: not the images' own, under which their keys are known."""
    return keys.pack(
        blake2b(b"image-text" + image.tobytes() + text.encode("utf-8"), digest_size=keys.KEY_BYTES).digest()
        for image, text in zip(prints, texts, strict=True)
    )


def _read_keys(paths: Sequence[str], texts: Sequence[str] | None) -> list[bytes | Problem]:
    if not paths:
        return []
    with ThreadPoolExecutor(min(READERS, len(paths))) as pool:
        return list(pool.map(_read_key, paths, texts or [None] * len(paths)))


def _read_key(path: str, text: str | None) -> bytes | Problem:
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        return Problem(unreadable(error), "transient")
    return key_of_image(content, text) if content else EMPTY_FILE
