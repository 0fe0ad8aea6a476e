"""Consecutive samples of an opened tar: their keys, and what their small members say."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from headstart import keys
from headstart.arrow import strings
from headstart.data.contents import EMPTY_FILE, EMPTY_TEXT, READERS, is_blank
from headstart.data.label_cells import cell_text, string_lists
from headstart.data.labels import read_labels
from headstart.data.source import Problem, prefixed
from headstart.data.tar_index import NO_MEMBER
from headstart.data.tar_roles import CLASS, OBJECT, TEXTS
from headstart.files import fingerprint, fingerprint_of
from headstart.remote.listing import CHANGED
from headstart.remote.paths import RemotePath
from headstart.remote.ranged import RangedFile, blocks_of
from headstart.tasks import open_task

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.data.contents import ScanMemo
    from headstart.data.labels import HiddenLabels
    from headstart.data.tar_index import TarIndex
    from headstart.data.tar_roles import TarRoles
    from headstart.types import LabelColumn, LabelKind, LabelReading, Modality, Payload

    Cells = dict[str, list[Any]]
    """Values as JSON has them, by column; None where a sample says nothing."""

TAR = ".tar"
SPAN_BYTES = 4 << 20
GAP_BYTES = 1 << 16
"""Members that are no further apart are read at once, up to so many bytes: tiny files are most of all
system calls."""

SHRUNK = Problem("the tar has become shorter than it was", "transient")


@dataclass(frozen=True, slots=True)
class TarFile:
    """A tar: its path below the folder that was given, with its ending, and the split that its ``word`` says."""

    path: Path
    name: str
    split: str | None
    word: str = ""

    @property
    def prefix(self) -> str:
        """What the ids of its samples begin with."""
        return self.name[: -len(TAR)] if self.name.lower().endswith(TAR) else self.name


class OpenTar(Protocol):
    """A tar, opened for reading at any place, by any number of threads."""

    size: int
    fingerprint: bytes
    changed_ns: int

    def close(self) -> None:
        """Read no more."""

    def read(self, offset: int, size: int) -> bytes:
        """The bytes there; fewer where the tar has become shorter."""

    def as_file(self, buffer_size: int) -> BinaryIO:
        """The same tar as a file that is read from its beginning; close it."""


def open_tar(path: Path) -> OpenTar:
    """Open a tar, wherever it is; OSError if it cannot be read."""
    return RemoteTar(path) if isinstance(path, RemotePath) else LocalTar(path)


class RemoteTar:
    """A tar in a bucket or on a web server; samples that follow each other are read ahead."""

    def __init__(self, path: RemotePath) -> None:
        stats = path.stats()
        self.size = path.size
        self.changed_ns = stats[CHANGED]
        self.fingerprint = fingerprint_of(stats)
        self._blocks = blocks_of(path)

    def close(self) -> None:
        """Read no more; what is under way stays with the file, of which each sample is read for itself."""

    def read(self, offset: int, size: int) -> bytes:
        """The bytes there."""
        return self._blocks.read(offset, size)

    def as_file(self, buffer_size: int) -> BinaryIO:
        """The same tar as a file that is read from its beginning."""
        return io.BufferedReader(RangedFile(self._blocks), buffer_size)


class LocalTar:
    """A tar on this machine."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY)
        status = os.fstat(self._file)
        self.size = status.st_size
        self.changed_ns = max(status.st_mtime_ns, status.st_ctime_ns)
        self.fingerprint = fingerprint(status)

    def close(self) -> None:
        """Read no more."""
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


@dataclass(frozen=True, slots=True)
class TarBlock:
    """N samples of an opened tar, from one number to another."""

    file: TarFile
    tar: OpenTar
    index: TarIndex
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def keys(self) -> pa.Array:
        """The samples' names."""
        return self.index.keys[self.start : self.stop]

    def ids(self) -> pa.StringArray:
        """``<tar>/<key>`` of each sample."""
        return prefixed(f"{self.file.prefix}/", self.keys)

    def origins(self, members: NDArray[np.int64]) -> pa.StringArray:
        """``<tar>:<member>``; of a sample without such a member, its first."""
        firsts = self.index.firsts[self.start : self.stop]
        codes = self.index.codes[np.where(members == NO_MEMBER, firsts, members)].tolist()
        endings, name = self.index.endings, self.file.name
        return strings(
            [f"{name}:{key}.{endings[code]}" for key, code in zip(self.keys.to_pylist(), codes, strict=True)]
        )

    def members(self, kinds: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The member of each sample that ends so, or -1, and how many there are; shape (N,)."""
        members, counts = self.index.find(kinds)
        return members[self.start : self.stop], counts[self.start : self.stop]

    def content(self, roles: TarRoles) -> tuple[NDArray[np.int64], dict[int, Problem]]:
        """The members that hold each part of each sample, shape (N, P), and what is wrong, by row."""
        problems: dict[int, Problem] = {}
        parts = []
        for kinds, name in zip(roles.content, roles.parts(), strict=True):
            members, counts = self.members(kinds)
            if (counts == 0).any() and (others := roles.others(name)):
                more, n_more = self.members(others)
                members, counts = (
                    np.where(counts == 0, more, members),
                    np.where(counts == 0, n_more, counts),
                )
            for row in np.flatnonzero(counts == 0).tolist():
                problems.setdefault(row, Problem(f"it has no {name}, only {self._shown(row)}"))
            for row in np.flatnonzero(counts > 1).tolist():
                problems[row] = Problem(
                    f"it has several members that could be its {name}: {self._shown(row)}"
                )
            parts.append(members)
        for row, reason in self.index.refused.items():
            if self.start <= row < self.stop:
                problems[row - self.start] = Problem(reason)
        return np.stack(parts, axis=1), problems

    def places(self, members: NDArray[np.int64]) -> NDArray[np.int64]:
        """Offset and size of members, shape (N, P, 2); zeros where there is none."""
        places = np.stack([self.index.offsets[members], self.index.sizes[members]], axis=-1)
        places[members == NO_MEMBER] = 0
        return places

    def read(self, member: int) -> bytes:
        """The bytes of a member; OSError if they cannot be read."""
        content = self.index.small_content(member)
        if content is None:
            size = int(self.index.sizes[member])
            content = self.tar.read(int(self.index.offsets[member]), size)
            if len(content) < size:
                raise OSError(0, "it has become shorter than it was")
        return content

    def place(self, row: int) -> str:
        """Tar and name of a sample, for a message."""
        return f"{self.file.path}, sample {self.keys[row].as_py()!r}"

    def cells(self, but_for: Sequence[str], also: Sequence[str]) -> tuple[Cells, dict[int, Problem]]:
        """What small members say, by column, and what is wrong, by row.

        Members that end like one ``but_for`` are the content, and those like one ``also`` are further texts.
        """
        problems: dict[int, Problem] = {}
        cells = self._objects(problems)
        there = self.index.kinds()
        for kind in dict.fromkeys((CLASS, *TEXTS, *also)):
            if kind in there and kind not in but_for:
                cells[kind] = self._texts(kind, problems)
        return cells, problems

    def _texts(self, kind: str, problems: dict[int, Problem]) -> list[str | None]:
        texts: list[str | None] = [None] * len(self)
        for row, member in enumerate(self.members((kind,))[0].tolist()):
            try:
                texts[row] = None if member == NO_MEMBER else self.read(member).decode("utf-8")
            except UnicodeDecodeError:
                problems.setdefault(row, Problem(f"its .{kind} is not UTF-8"))
        return [text and text.strip() for text in texts] if kind == CLASS else texts

    def _objects(self, problems: dict[int, Problem]) -> Cells:
        """What JSON objects say, by name."""
        members = self.members((OBJECT,))[0]
        cells: Cells = {}
        for row in np.flatnonzero(members != NO_MEMBER).tolist():
            try:
                said = json.loads(self.read(int(members[row])))
            except (ValueError, RecursionError):
                said = None
            if not isinstance(said, dict):
                problems[row] = Problem("its .json is no JSON object")
                continue
            for name, value in said.items():
                if name not in cells:
                    cells[name] = [None] * len(self)
                cells[name][row] = value
        return {name: values for name, values in cells.items() if _storable(name) == name}

    def _shown(self, row: int) -> str:
        start, stop = self.index.firsts[self.start + row : self.start + row + 2].tolist()
        return ", ".join(f".{self.index.endings[code]}" for code in self.index.codes[start:stop])


def meta_columns(cells: Cells, roles: TarRoles) -> dict[str, pa.Array]:
    """What is no label, as strings; lists and objects are left out."""
    return {
        f"meta:{name}": _strings(values)
        for name, values in cells.items()
        if name not in roles.labels and not any(isinstance(value, list | dict) for value in values)
    }


def label_columns(
    cells: Cells,
    roles: TarRoles,
    reading: LabelReading,
    kinds: Mapping[str, LabelKind],
    block: TarBlock,
    hidden: Mapping[str, HiddenLabels],
) -> dict[str, LabelColumn]:
    """The labels of some samples, of the kinds that are decided; ``hidden`` says of some labels what -1 is.

    Raises
    ------
    DataError, ConfigError
        A label is not what it should be.
    """
    columns = {name: label_cells(cells, name, len(block)) for name in roles.labels}
    if roles.are_flags:
        flags = open_task(reading.kind).read_flags(columns, reading, block.place)
        return dict.fromkeys(roles.label_columns(), flags)
    return {
        name: read_labels(column, name, _reading_of(name, reading, kinds, hidden), block.place)
        for name, column in columns.items()
    }


def _reading_of(
    name: str, reading: LabelReading, kinds: Mapping[str, LabelKind], hidden: Mapping[str, HiddenLabels]
) -> LabelReading:
    """How one label is read: of its kind, and with -1 as what it is in all tars."""
    reading = replace(reading, kind=kinds.get(name, reading.kind))
    return hidden[name].reading(reading) if name in hidden else reading


def label_cells(cells: Cells, name: str, n: int) -> Any:
    """What n samples say of a label, in Arrow: strings, or lists of them."""
    return _column(cells.get(name) or [None] * n)


def _column(values: Sequence[Any]) -> Any:
    if not any(isinstance(value, list) for value in values):
        return _strings(values)
    lists = [value if isinstance(value, list) or value is None else [value] for value in values]
    return string_lists([None if value is None else [cell_text(part) for part in value] for value in lists])


def _strings(values: Sequence[Any]) -> pa.StringArray:
    return strings([_storable(cell_text(value)) for value in values])


def _storable(text: str | None) -> str | None:
    """A text as UTF-8 can write it: JSON may hold half of a surrogate pair."""
    return text and text.encode("utf-8", "backslashreplace").decode("utf-8")


def content_of(modality: Modality, parts: Sequence[bytes]) -> Payload | Problem:
    """The content of a sample from the bytes of its members.

    Examples
    --------
    >>> content_of("image-text", [b"...", b"a cat"])
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
    if is_blank(text):
        return EMPTY_TEXT
    return text if modality == "text" else (parts[0], text)


def key_members(
    tar: OpenTar,
    modality: Modality,
    places: NDArray[np.int64],
    problems: dict[int, Problem],
    memo: ScanMemo,
) -> NDArray[np.uint8]:
    """Keys of N samples, shape (N, 16), by offset and size of their parts (N, P, 2); zeros where there is a problem.

    Rows with a problem are left alone; what cannot be used is added to them.
    """

    def key_span(span: list[int]) -> list[bytes | Problem]:
        return [_key(modality, parts) for parts in _read_span(tar, places[span])]

    def compute(rows: list[int]) -> list[bytes | Problem]:
        with ThreadPoolExecutor(READERS) as pool:
            return [key for found in pool.map(key_span, _spans(places, rows)) for key in found]

    # Of the tar and the place in it; of the modality as well, since a key is.
    start = tar.fingerprint + modality.encode("ascii")
    prints = keys.pack(
        blake2b(start + place.tobytes(), digest_size=keys.KEY_BYTES).digest()
        for place in places.astype("<i8")
    )
    return memo.keys(len(places), prints, problems, tar.changed_ns, compute)


def _key(modality: Modality, parts: Sequence[bytes] | None) -> bytes | Problem:
    if parts is None:
        return SHRUNK
    payload = content_of(modality, parts)
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
    # One sample whose image and text are far apart is read in parts.
    far = end - begin > max(SPAN_BYTES, 2 * int(places[..., 1].sum()))
    content = b"" if far else tar.read(begin, end - begin)
    for row in places.tolist():
        parts = [
            tar.read(offset, size) if far else content[offset - begin : offset - begin + size]
            for offset, size in row
        ]
        yield parts if all(len(part) == size for part, (_, size) in zip(parts, row, strict=True)) else None
