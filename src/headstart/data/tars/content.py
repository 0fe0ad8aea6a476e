"""Reading members of a tar at their places, and their keys."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from headstart import keys
from headstart.data.blocks import Problem
from headstart.data.image_files import CTIME, EMPTY_FILE, MTIME, READERS
from headstart.data.texts import NO_KEY
from headstart.files import CLOCK_TICK_NS, fingerprint, stat_fields

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import BinaryIO, Self

    from numpy.typing import NDArray

    from headstart.contracts import KeyMemo
    from headstart.types import Modality, Payload

SPAN_BYTES = 4 << 20
GAP_BYTES = 1 << 16
"""Members that are no further apart are read at once, up to so many bytes: tiny files are most of all
system calls."""

SHRUNK = Problem("the tar has become shorter than it was", "transient")


class OpenTar:
    """A tar, opened for reading at any place, by any number of threads.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    stats : tuple of int
        The stat fields of what was opened.
    fingerprint : bytes
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY)
        status = os.fstat(self._file)
        self.stats = stat_fields(status)
        self.fingerprint = fingerprint(status)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def read(self, offset: int, size: int) -> bytes:
        """The bytes there; fewer where the tar has become shorter."""
        parts = []
        while size > 0 and (part := os.pread(self._file, size, offset)):
            parts.append(part)  # a call gives at most 2 GB
            offset, size = offset + len(part), size - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def as_file(self, buffer_size: int) -> BinaryIO:
        """The same tar as a file that is read from its beginning; close it."""
        return open(os.dup(self._file), "rb", buffering=buffer_size)

    def is_old(self, scanned_ns: int) -> bool:
        """Whether it has not changed within the last tick of its file system's clock."""
        return scanned_ns - max(self.stats[MTIME], self.stats[CTIME]) >= CLOCK_TICK_NS


def payload_of(modality: Modality, parts: Sequence[bytes]) -> Payload | Problem:
    """The content of a sample from the bytes of its members.

    Examples
    --------
    >>> payload_of("image-text", [b"...", b"a cat"])
    (b'...', 'a cat')
    """
    if modality != "text" and not parts[0]:
        return EMPTY_FILE
    if modality == "image":
        return parts[0]
    try:
        text = parts[-1].decode("utf-8")
    except UnicodeDecodeError:
        return Problem("the text is not UTF-8")
    if not text or text.isspace():
        return Problem("the text is empty")
    return text if modality == "text" else (parts[0], text)


def key_members(
    tar: OpenTar,
    modality: Modality,
    places: NDArray[np.int64],
    problems: dict[int, Problem],
    memo: KeyMemo,
    scanned_ns: int,
) -> NDArray[np.uint8]:
    """Keys of samples, shape (N, 16); zeros where there is a problem.

    Parameters
    ----------
    tar : OpenTar
    modality : {"image", "text", "image-text"}
    places : ndarray of int64, shape (N, P, 2)
        Offset and size of each part of each sample.
    problems : dict of int to Problem
        Rows to leave alone; what cannot be used is added to it.
    memo : KeyMemo
    scanned_ns : int
        The time when the scan began, in ns since the epoch.
    """
    prints = _fingerprints(tar, modality, places)
    found, known = memo.lookup(prints)
    result = np.where(known[:, None], found, 0).astype(np.uint8)
    result[list(problems)] = 0
    unknown = [row for row in np.flatnonzero(~known).tolist() if row not in problems]
    if not unknown:
        return result
    read = _key_spans(tar, modality, places, unknown)
    problems.update({row: key for row, key in zip(unknown, read, strict=True) if isinstance(key, Problem)})
    result[unknown] = keys.pack(NO_KEY if isinstance(key, Problem) else key for key in read)
    good = [row for row in unknown if row not in problems]
    if good and tar.is_old(scanned_ns):
        memo.remember(prints[good], result[good])
    return result


def _fingerprints(tar: OpenTar, modality: Modality, places: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Of the tar and the place in it; of the modality as well, since a key is."""
    start = blake2b(tar.fingerprint + modality.encode("ascii"), digest_size=keys.KEY_BYTES)
    packed = places.astype("<i8").tobytes()
    width = places.shape[1] * places.shape[2] * 8
    prints = []
    for at in range(0, len(packed), width):
        digest = start.copy()
        digest.update(packed[at : at + width])
        prints.append(digest.digest())
    return keys.pack(prints)


def _key_spans(
    tar: OpenTar, modality: Modality, places: NDArray[np.int64], rows: list[int]
) -> list[bytes | Problem]:
    def key_span(span: list[int]) -> list[bytes | Problem]:
        return [_key(modality, parts) for parts in _read_span(tar, places[span])]

    with ThreadPoolExecutor(READERS) as pool:
        return [key for found in pool.map(key_span, _spans(places, rows)) for key in found]


def _key(modality: Modality, parts: Sequence[bytes] | None) -> bytes | Problem:
    if parts is None:
        return SHRUNK
    payload = payload_of(modality, parts)
    return payload if isinstance(payload, Problem) else keys.key_of(modality, payload)


def _spans(places: NDArray[np.int64], rows: list[int]) -> Iterator[list[int]]:
    """Rows that lie close together, up to so many bytes."""
    starts = places[rows, :, 0].min(axis=1).tolist()
    ends = places[rows].sum(axis=2).max(axis=1).tolist()
    span: list[int] = []
    begin = end = 0
    for row, row_start, row_end in zip(rows, starts, ends, strict=True):
        if span and not (0 <= row_start - end <= GAP_BYTES and row_end - begin <= SPAN_BYTES):
            yield span
            span = []
        if not span:
            begin = row_start
        span.append(row)
        end = row_end
    if span:
        yield span


def _read_span(tar: OpenTar, places: NDArray[np.int64]) -> Iterator[list[bytes] | None]:
    """The parts of each row; None for what the tar no longer has."""
    begin, end = int(places[..., 0].min()), int(places.sum(axis=2).max())
    if end - begin > max(SPAN_BYTES, 2 * int(places[..., 1].sum())):
        # One sample whose image and text are far apart.
        for row in places.tolist():
            yield _whole([tar.read(offset, size) for offset, size in row], row)
        return
    content = tar.read(begin, end - begin)
    for row in places.tolist():
        yield _whole([content[offset - begin : offset - begin + size] for offset, size in row], row)


def _whole(parts: list[bytes], row: list[list[int]]) -> list[bytes] | None:
    return parts if all(len(part) == size for part, (_, size) in zip(parts, row, strict=True)) else None
