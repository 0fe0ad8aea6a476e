"""numpy's archives: ``x_train, y_train, x_test, y_test``, ``train_images, train_labels``, ``X, y``; no pickles."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from headstart.data.array_files import ArrayPair, ArraySource, StoredArray, describe, open_arrays
from headstart.errors import DataError, first_line

if TYPE_CHECKING:
    from headstart.data.options import SourceOptions
    from headstart.types import Modality

NPZ = ".npz"
CONTENT = frozenset(("x", "image", "images", "img", "imgs", "data", "inputs", "features"))
LABELS = frozenset(("y", "label", "labels", "target", "targets", "class", "classes"))
_LOCAL_HEADER = struct.Struct("<26xHH")
_HEADERS = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}


def is_npz(name: str) -> bool:
    """Whether a file's ending says that it is an archive of arrays."""
    return name.lower().endswith(NPZ)


def open_npz(
    path: Path, options: SourceOptions, modality: Modality | None, notes: Sequence[str] = ()
) -> ArraySource:
    """Open the images of an archive, with the labels and the splits that its names say.

    Raises
    ------
    DataError
        It is damaged, holds Python objects, or no array of images with a name that is known.
    ConfigError
        A split is not known.
    """
    arrays, others = _arrays(path)
    roles = {name: _role(name) for name in arrays}
    images = {word: arrays[name] for name, (role, word) in roles.items() if role == "images"}
    labels = {word: arrays[name] for name, (role, word) in roles.items() if role == "labels"}
    if not images:
        shown = describe(arrays) or "nothing that can be read"
        raise DataError(
            f"{path} holds {shown}, and no array is called as images are; save it again with the names x_train, "
            "y_train, x_test, y_test, or images and labels"
        )
    pairs = [ArrayPair(array, labels.get(word), word or None) for word, array in images.items()]
    used = {pair.images.member for pair in pairs} | {pair.labels.member for pair in pairs if pair.labels}
    others = [*others, *(name for name in arrays if name not in used)]
    notes = [*notes, *([f"arrays left out: {', '.join(map(repr, others))}"] if others else [])]
    return open_arrays(pairs, "npz", notes, options, modality)


def _role(name: str) -> tuple[str | None, str]:
    """What an array is by its name: images or labels, and the word of its split.

    Examples
    --------
    >>> _role("x_train"), _role("val_labels"), _role("X"), _role("mean")
    (('images', 'train'), ('labels', 'val'), ('images', ''), (None, ''))
    """
    parts = [part for part in re.split(r"[-_. ]", name.lower()) if part]
    for role, words in (("images", CONTENT), ("labels", LABELS)):
        named = [part for part in parts if part in words]
        if len(named) == 1:
            return role, "_".join(part for part in parts if part not in words)
    return None, ""


def _arrays(path: Path) -> tuple[dict[str, StoredArray], list[str]]:
    """The arrays of an archive by name, and the names of what is none or holds Python objects."""
    arrays: dict[str, StoredArray] = {}
    others: list[str] = []
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                name = info.filename.removesuffix(".npy")
                array = _array(path, archive, info, name) if info.filename.endswith(".npy") else None
                if array is None:
                    others.append(name)
                else:
                    arrays[name] = array
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, struct.error) as error:
        raise DataError(
            f"{path} cannot be read as npz: {first_line(error)}; make or fetch it again"
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or first_line(error)}") from error
    return arrays, others


def _array(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> StoredArray | None:
    """What the head of an array says of it; None if it holds Python objects, which only pickle reads."""
    with archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)[0]
        if version not in _HEADERS:
            return None
        shape, is_fortran, dtype = _HEADERS[version](stream)
        head = stream.tell()
    if dtype.hasobject or dtype.names:
        if _role(name)[0]:
            raise DataError(
                f"{path}: {name!r} holds Python objects, and to read those runs code; save it again as an array of "
                "numbers or strings: np.savez(…, np.stack(images))"
            )
        return None
    if is_fortran and len(shape) > 1 and _role(name)[0]:
        raise DataError(
            f"{path}: {name!r} is stored column by column; save it again with np.ascontiguousarray({name})"
        )
    array = StoredArray(path, name, shape, dtype, _offset(path, info, head), _values, has_sum=True)
    array.check_length(info.file_size - head)
    array.check_packed(info.compress_size)
    return array


def _offset(path: Path, info: zipfile.ZipInfo, head: int) -> int | None:
    """Where the values lie in the archive; None where they are compressed."""
    if info.compress_type != zipfile.ZIP_STORED:
        return None
    with open(path, "rb") as file:
        file.seek(info.header_offset)
        name_length, extra_length = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    return info.header_offset + _LOCAL_HEADER.size + int(name_length) + int(extra_length) + head


def _values(array: StoredArray) -> BinaryIO:
    """The values of a member, behind its head; damage is named."""
    return cast("BinaryIO", _Member(array))


class _Member:
    def __init__(self, array: StoredArray) -> None:
        self._name = array.name
        self._archive = zipfile.ZipFile(array.path)
        self._stream: Any = self._archive.open(f"{array.member}.npy")
        _HEADERS[np.lib.format.read_magic(self._stream)[0]](self._stream)

    def read(self, size: int = -1) -> bytes:
        try:
            return bytes(self._stream.read(size))
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError) as error:
            raise DataError(
                f"{self._name} is damaged: {first_line(error)}; make or fetch it again"
            ) from error

    def __enter__(self) -> _Member:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._archive.close()
