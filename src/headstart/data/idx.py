"""IDX files, as MNIST and its kin come: ``train-images-idx3-ubyte.gz`` beside ``train-labels-idx1-ubyte.gz``."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from headstart.data.array_files import ArrayPair, ArraySource, StoredArray, open_arrays
from headstart.data.file_tree import entries_in
from headstart.data.streams import bare_name, compression_of, open_bytes
from headstart.data.table_file import reading
from headstart.errors import DataError
from headstart.words import counted

if TYPE_CHECKING:
    from headstart.data.options import SourceOptions
    from headstart.types import Modality

_NAME = re.compile(r"(?P<word>.*?)[-_.]?(?P<what>images?|labels?)[-_.]idx\d[-_.]ubyte", re.IGNORECASE)
_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_AXES = 4


def is_idx(name: str) -> bool:
    """Whether a file's name says that it is an IDX file, be it compressed."""
    return _NAME.fullmatch(bare_name(name)) is not None


def idx_files(folder: Path, names: Sequence[str]) -> list[Path]:
    """The IDX files of images among the names in a folder, of one that is there compressed as well the plain one."""
    plain = {bare_name(name): folder / name for name in sorted(names, reverse=True) if _says(name) == "image"}
    return [plain[name] for name in sorted(plain)]


def open_idx(
    paths: Sequence[Path], options: SourceOptions, modality: Modality | None, notes: Sequence[str] = ()
) -> ArraySource:
    """Open IDX files of images, each with the one of its labels beside it.

    Raises
    ------
    DataError
        One is damaged, or its name says that it holds labels.
    ConfigError
        A split is not known.
    """
    pairs = [_pair(path) for path in paths]
    notes = [*notes, *(f"no labels beside {p.images.path.name}" for p in pairs if p.labels is None)]
    kind = f"IDX, {counted(len(paths), 'file')} of images"
    return open_arrays(pairs, kind, notes, options, modality)


def _pair(path: Path) -> ArrayPair:
    match = _NAME.fullmatch(bare_name(path.name))
    if match is None or _says(path.name) != "image":
        raise DataError(f"{path} holds labels; give the file of their images, or the folder of both")
    word = match["word"] or None
    beside = [
        name for name in [name for name, _ in entries_in(path.parent)] if _labels_of(name, match["word"])
    ]
    labels = _open(path.parent / min(beside, key=len)) if beside else None
    return ArrayPair(_open(path), labels, word)


def _labels_of(name: str, word: str) -> bool:
    match = _NAME.fullmatch(bare_name(name))
    return match is not None and _says(name) == "label" and match["word"] == word


def _says(name: str) -> str | None:
    match = _NAME.fullmatch(bare_name(name))
    return match["what"].lower().rstrip("s") if match else None


def _open(path: Path) -> StoredArray:
    """The array that an IDX file holds, by its first bytes."""
    with reading(path), open_bytes(path) as stream:
        magic = stream.read(4)
        if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES or not 1 <= magic[3] <= MOST_AXES:
            raise DataError(
                f"{path} is no IDX file: it begins with {magic.hex(' ') or 'nothing'}; make or fetch it again"
            )
        sizes = stream.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise DataError(f"{path} is cut short; make or fetch it again")
    shape = tuple(np.frombuffer(sizes, dtype=">u4").astype(int).tolist())
    compressed = compression_of(path) is not None
    offset = None if compressed else 4 + len(sizes)
    array = StoredArray(path, "", shape, np.dtype(_TYPES[magic[2]]), offset, _values)
    if offset is not None:
        array.check_length(os.stat(path).st_size - offset)
    else:
        array.check_packed(os.stat(path).st_size)
    return array


def _values(array: StoredArray) -> BinaryIO:
    """The values of an IDX file, behind its head."""
    stream: Any = open_bytes(array.path)
    return cast("BinaryIO", _Behind(stream, 4 + 4 * len(array.shape), array.path))


class _Behind:
    """A stream from some byte on, whose damage is named."""

    def __init__(self, stream: Any, start: int, path: Path) -> None:
        self._stream, self._path = stream, path
        stream.read(start)

    def read(self, size: int = -1) -> bytes:
        with reading(self._path):
            parts = []
            while size and (part := self._stream.read(size)):
                parts.append(part)  # a stream may give less than it is asked for
                size -= len(part)
            return b"".join(parts)

    def __enter__(self) -> _Behind:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
