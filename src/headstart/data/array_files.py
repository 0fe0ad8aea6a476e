"""Arrays of images in files (IDX, npz): read row by row where they lie, with labels beside them.

Images become files of their pixels by the rule of arrays in memory (`headstart.data.pixels`), so both have one
key.
"""

from __future__ import annotations

import os
import shutil
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pyarrow as pa

from headstart.data.contents import Images
from headstart.data.hub_source import HubSource, part_of
from headstart.data.named_files import unreadable
from headstart.data.pixels import check_range, encode_array, layout_of
from headstart.data.splits import LEFT_OUT, SplitNames
from headstart.data.streams import BLOCK_BYTES, folder_of_process
from headstart.data.table_file import RowNumbers
from headstart.errors import ConfigError, DataError, SampleError
from headstart.files import fingerprint
from headstart.words import counted, plural

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.data.contents import Cell
    from headstart.data.options import SourceOptions
    from headstart.data.table import Part
    from headstart.types import Modality

IMAGE, LABEL = "image", "label"
SPAN_BYTES = 1 << 22
MOST_SHRUNK = 1100
"""How many bytes one may stand for: gzip and zip reach 1,032."""


@dataclass(frozen=True, slots=True)
class StoredArray:
    """An array in a file: its values lie at ``offset`` (None: they are compressed), and are given by ``open``.

    ``member`` is what the file calls it, empty where the file holds one array alone.
    """

    path: Path
    member: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int | None
    open: Callable[[StoredArray], BinaryIO]
    """A stream of the values, uncompressed, from the first one on."""
    has_sum: bool = False
    """Whether the stream ends in an error where the values are not those whose checksum the file has."""

    @property
    def name(self) -> str:
        """For a message."""
        return f"{self.path}, {self.member!r}" if self.member else str(self.path)

    @property
    def shown(self) -> str:
        """Its shape, for a message."""
        return " × ".join(map(str, self.shape))

    @property
    def n_bytes(self) -> int:
        """Of all its values."""
        return prod(self.shape) * self.dtype.itemsize

    def whole(self) -> NDArray[Any]:
        """All values: of labels, which are few bytes a sample."""
        with self.open(self) as stream:
            content = stream.read(self.n_bytes + 1)
        self.check_length(len(content))
        return np.frombuffer(content, dtype=self.dtype).reshape(self.shape)

    def check_packed(self, n_packed: int) -> None:
        """Refuse to say more than any compression could have made of so many bytes: memory is taken by what it says."""
        if self.n_bytes > MOST_SHRUNK * n_packed:
            raise DataError(
                f"{self.name} says that it holds {self.shown} values of {self.dtype}, in {n_packed:,} compressed "
                "bytes; make or fetch it again"
            )

    def check_length(self, n: int) -> None:
        """Refuse fewer bytes than the shape says, or more."""
        if n != self.n_bytes:
            less = "is cut short" if n < self.n_bytes else "holds more than it says"
            raise DataError(
                f"{self.name} {less}: {self.shown} values of {self.dtype}; make or fetch it again"
            )


class StoredImages(Images):
    """The images of a stored array, in its order; what is compressed is unpacked when it is first needed."""

    kind = "pixels"

    def __init__(self, array: StoredArray) -> None:
        self._array = array
        if len(array.shape) < 3:
            raise DataError(
                f"{array.name} is an array of {array.shown}, and no images: those are N × height × width, with 1, 3 or "
                "4 channels before or after that (features that you have already go in by `headstart cache import`)"
            )
        self._layout = layout_of(array.shape[1:])
        if array.dtype != np.uint8 and not np.issubdtype(array.dtype, np.floating):
            check_range(np.zeros(0, dtype=array.dtype), array.name)  # refuses it
        status = os.stat(array.path)
        self.identity: bytes = fingerprint(status) + array.member.encode("utf-8") + b":pixels"
        self.changed_ns = max(status.st_mtime_ns, status.st_ctime_ns)
        self._start()

    def _start(self) -> None:
        self._lock = Lock()
        self._file: int | None = None
        self._offset = 0

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None, "_file": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._start()

    def cells(self, rows: Sequence[int]) -> Iterator[Cell]:
        """Each image as a file of its pixels."""
        for place, pixels in zip(rows, self._rows(rows), strict=True):
            yield encode_array(pixels, self._layout, f"{self._array.name}, image {place}"), None

    def read(self, row: int) -> bytes:
        """One image as a file of its pixels.

        Raises
        ------
        SampleError
            The array has changed since it was opened.
        """
        try:
            seen = fingerprint(os.stat(self._array.path))
        except OSError as error:
            raise SampleError(f"{self._array.path}: {unreadable(error)}") from error
        if seen != self.identity[: len(seen)]:
            raise SampleError(f"{self._array.path} has changed since it was opened")
        return super().read(row)

    def check_range(self) -> None:
        """Refuse floats that are no brightness, looking at a part at a time."""
        n = max(1, SPAN_BYTES // max(self._row_bytes, 1))
        for start in range(0, self._array.shape[0] if self._array.dtype != np.uint8 else 0, n):
            some = list(self._rows(range(start, min(start + n, self._array.shape[0]))))
            check_range(np.stack(some), self._array.name)

    @property
    def _row_bytes(self) -> int:
        return self._array.n_bytes // max(self._array.shape[0], 1)

    def _rows(self, rows: Sequence[int]) -> Iterator[NDArray[Any]]:
        """The values of rows in rising order, neighbours read at once."""
        size, file = self._row_bytes, self._opened()
        most = max(1, SPAN_BYTES // max(size, 1))
        place = 0
        while place < len(rows):
            end = place + 1
            while end < len(rows) and end - place < most and rows[end] == rows[end - 1] + 1:
                end += 1
            content = _read(file, (end - place) * size, self._offset + rows[place] * size)
            if len(content) < (end - place) * size:
                raise DataError(f"{self._array.name} is cut short; make or fetch it again")
            several = np.frombuffer(content, dtype=self._array.dtype)
            yield from several.reshape(end - place, *self._array.shape[1:])
            place = end

    def _opened(self) -> int:
        """A file with the plain values."""
        with self._lock:
            if self._file is None:
                plain, self._offset = self._plain()
                self._file = os.open(plain, os.O_RDONLY)
                weakref.finalize(self, os.close, self._file)
            return self._file

    def _plain(self) -> tuple[Path, int]:
        """The path of a file with the plain values, and where they begin in it."""
        array = self._array
        if array.offset is not None:
            self._check_sum()
            return array.path, array.offset
        unpacked = folder_of_process() / "values"
        with array.open(array) as source, open(unpacked, "wb") as file:
            shutil.copyfileobj(_Bounded(source, array.n_bytes + 1), file, BLOCK_BYTES)
        array.check_length(unpacked.stat().st_size)
        return unpacked, 0

    def _check_sum(self) -> None:
        """Refuse values that are not those whose checksum the file has."""
        if not self._array.has_sum:
            return
        with self._array.open(self._array) as stream:
            while stream.read(BLOCK_BYTES):
                pass  # the stream raises at its end


class _Bounded:
    """A stream that ends after so many bytes: what a file says of its size bounds what is unpacked of it."""

    def __init__(self, stream: BinaryIO, n: int) -> None:
        self._stream, self._left = stream, n

    def read(self, size: int = -1) -> bytes:
        content = self._stream.read(min(size if size >= 0 else self._left, self._left))
        self._left -= len(content)
        return content


def _read(file: int, size: int, offset: int) -> bytes:
    parts = []
    while size > 0 and (part := os.pread(file, size, offset)):
        parts.append(part)  # a call gives at most 2 GB
        offset, size = offset + len(part), size - len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


@dataclass(frozen=True, slots=True)
class ArrayPair:
    """Images and their labels (None: there are none), and the ``word`` that says their split, if any does."""

    images: StoredArray
    labels: StoredArray | None
    word: str | None = None


class ArraySource(HubSource):
    """The images of arrays in files; a sample's id is ``<split>:<row>``, rows counted from 0 as in the arrays."""

    def __init__(self, kind: str, notes: Sequence[str], *about: Any, **more: Any) -> None:
        self._kind, self._notes = kind, notes
        super().__init__(*about, **more)

    def _files_said(self) -> str:
        parts, n = self._table.parts, self._table.n_rows
        splits = f", {plural('split', len(parts))} {', '.join(part.prefix for part in parts)}"
        return f"{self._kind}{splits if self._has_splits else ''}, {counted(n, 'row')}"

    def _left_out(self) -> list[str]:
        return [*super()._left_out(), *self._notes]


def open_arrays(
    pairs: Sequence[ArrayPair],
    kind: str,
    notes: Sequence[str],
    options: SourceOptions,
    modality: Modality | None,
) -> ArraySource:
    """Open arrays of images.

    Raises
    ------
    ConfigError
        A split is not known, or two of them are one.
    DataError
        An array is damaged, or has no label for each image.
    """
    names = SplitNames(options.split_map)
    words = [pair.word for pair in pairs if pair.word is not None]
    place = pairs[0].images.path
    if len(pairs) > 1 and len(words) < len(pairs):
        raise ConfigError(
            f"{place}: it holds {len(pairs)} arrays of images, and not all of them name a split"
        )
    names.check(words, place)
    parts: list[Part] = []
    start = 0
    for pair in pairs:
        if pair.word is not None and names.of(pair.word) == LEFT_OUT:
            continue
        part = _part(pair, None if pair.word is None else names.of(pair.word), start)
        parts.append(part)
        start += len(part.file.numbers)
    if not start:
        raise DataError(f"{place} holds no images")
    return ArraySource(kind, notes, parts, options, modality, {}, {}, words=words)


def _part(pair: ArrayPair, split: str | None, start: int) -> Part:
    """Images and labels as a file of a table."""
    images = StoredImages(pair.images)
    images.check_range()
    n = pair.images.shape[0]
    labels = _labels(pair.labels, n, pair.images) if pair.labels is not None else pa.nulls(n, pa.string())
    path = pair.images.path
    part = part_of(pa.table({LABEL: labels}), {}, path, pair.word or path.name, split, start)
    return replace(part, file=replace(part.file, images={IMAGE: images}, numbers=RowNumbers(n, first=0)))


def _labels(labels: StoredArray, n: int, images: StoredArray) -> Any:
    """The labels of n images, in Arrow."""
    if not labels.shape or labels.shape[0] != n:
        n_labels = labels.shape[0] if labels.shape else 1
        raise DataError(
            f"{images.name} holds {n:,} images, and {labels.member or labels.path.name!r} {n_labels:,} labels; give "
            "one a label each"
        )
    values = labels.whole()
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim > 2:
        raise DataError(
            f"{labels.name} is an array of {labels.shown}, and no labels: those are N, or N × labels"
        )
    return pa.array(values.tolist())


def describe(arrays: Mapping[str, StoredArray]) -> str:
    """Arrays with their shapes, for a message."""
    return ", ".join(f"{name!r} ({array.shown})" for name, array in arrays.items())
