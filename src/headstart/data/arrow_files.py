"""Arrow and Feather files, and the images in columns of Arrow tables wherever these come from."""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from headstart.data.answers import are_answers, as_json
from headstart.data.contents import Images
from headstart.data.growing import GrowingTable
from headstart.data.label_cells import as_strings, is_plain_list
from headstart.data.parquet import class_names_of
from headstart.data.source import BLOCK_ROWS, string_table
from headstart.data.table_file import RowNumbers, TableFile, check_names, check_sound, reading
from headstart.errors import DataError, SampleError
from headstart.files import fingerprint, stat_fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headstart.data.contents import Cell
    from headstart.data.options import SourceOptions

ROWS_PER_BLOCK = 1024
_FEATHER_1 = b"FEA1"


def read_arrow(path: Path, options: SourceOptions) -> TableFile:
    """Read the columns whose values can be written as strings; lists and bytes stay where they are.

    Raises
    ------
    DataError
        It is damaged, or of the first version of Feather.
    """
    with reading(path):
        status = os.stat(path)
        with _Mapped(path) as mapped:
            schema = mapped.schema
            check_names(path, schema.names)
            images, lists, unusable = _columns(path, schema, status)
            elsewhere = {*images, *lists, *unusable}
            names = [name for name in schema.names if name not in elsewhere]
            stored, n_rows = _strings(path, mapped, names, unusable)
    rows = stored.whole()
    rows = rows.select([name for name in rows.column_names if name not in unusable])
    classes = class_names_of(schema.metadata or {})
    return TableFile("Arrow", rows, RowNumbers(n_rows), (), unusable, lists, images, classes, stored)


class _Mapped:
    """An Arrow file, in the format for files or in that for streams, whose batches are read one after the other."""

    def __init__(self, path: Path) -> None:
        with open(path, "rb") as file:
            start = file.read(6)
            if start.startswith(_FEATHER_1):
                raise DataError(
                    f"{path} is of the first version of Feather; write it again with a newer pyarrow"
                )
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._is_file = start == b"ARROW1"
        content = pa.py_buffer(self._map)
        self._reader: Any = pa.ipc.open_file(content) if self._is_file else pa.ipc.open_stream(content)
        self.schema: pa.Schema = self._reader.schema

    def __enter__(self) -> _Mapped:
        return self

    def __exit__(self, *_: object) -> None:
        del self._reader

    def column(self, name: str) -> pa.ChunkedArray:
        """A whole column, which keeps what it lies in."""
        return self._reader.read_all().column(name)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All batches; what was read of the file before goes back to the system."""
        if not self._is_file:
            yield from self._reader
            return
        for number in range(self._reader.num_record_batches):
            yield self._reader.get_batch(number)
            self.release()

    def release(self) -> None:
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


def _columns(
    path: Path, schema: pa.Schema, status: os.stat_result
) -> tuple[dict[str, Images], dict[str, Any], dict[str, str]]:
    """The columns of images, of lists, and those of which nothing can be made."""
    images: dict[str, Images] = {}
    lists: dict[str, Any] = {}
    unusable: dict[str, str] = {}
    origin = FileOrigin.of([os.fspath(path)], None, [status])
    for field in schema:
        if holds_bytes(field.type):
            images[field.name] = ArrowImages(_column(path, field.name), field.name, path.parent, origin)
        elif is_plain_list(field.type):
            lists[field.name] = partial(_column, path, field.name)
        elif pa.types.is_nested(field.type) and not are_answers(field.type):
            unusable[field.name] = "structs" if pa.types.is_struct(field.type) else f"{field.type}"[:40]
    return images, lists, unusable


def _column(path: Path, name: str) -> Any:
    """A whole column, mapped from the file where it is not compressed."""
    with reading(path):
        column = _Mapped(path).column(name)
    check_sound(column, path, name)
    return column


def _strings(
    path: Path, mapped: _Mapped, names: list[str], unusable: dict[str, str]
) -> tuple[GrowingTable, int]:
    """Columns as strings, a bounded number of rows at a time, and how many rows there are."""
    stored = GrowingTable()
    empty = pa.Table.from_batches([], schema=mapped.schema)
    stored.append(_as_strings(empty.select(names), path, 0, unusable))
    n_rows = 0
    for batch in mapped.batches():
        table = pa.Table.from_batches([batch]).select(names)
        for start in range(0, batch.num_rows, BLOCK_ROWS):
            stored.append(_as_strings(table.slice(start, BLOCK_ROWS), path, n_rows + start, unusable))
            mapped.release()
        n_rows += batch.num_rows
    return stored, n_rows


def _as_strings(table: pa.Table, path: Path, rows_before: int, unusable: dict[str, str]) -> pa.Table:
    columns: dict[str, Any] = {}
    for name in table.column_names:
        check_sound(table.column(name), path, name, rows_before)
        try:
            column = table.column(name)
            columns[name] = as_json(column) if are_answers(column.type) else as_strings(column)
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
            unusable[name] = f"values of the type {table.schema.field(name).type}"
    return string_table(columns)


@dataclass(frozen=True, slots=True)
class FileOrigin:
    """The files that rows lie in, with the stat fields that they had when they were mapped."""

    fingerprint: bytes
    changed_ns: int
    files: tuple[tuple[str, tuple[int, ...]], ...]

    @classmethod
    def of(
        cls, paths: Sequence[str], split: str | None, stats: Sequence[os.stat_result] | None = None
    ) -> FileOrigin | None:
        """What the rows of a split are known by on this machine; None if they lie in no files."""
        if not paths:
            return None
        stats = stats or [os.stat(path) for path in paths]
        known = b"".join([(split or "").encode("utf-8"), *map(fingerprint, stats)])
        changed_ns = max(max(status.st_mtime_ns, status.st_ctime_ns) for status in stats)
        files = tuple(zip(paths, map(stat_fields, stats), strict=True))
        return cls(blake2b(known, digest_size=16).digest(), changed_ns, files)

    def check(self) -> None:
        """Refuse to read on in files that have changed: a map of one cut shorter would end the process."""
        for path, fields in self.files:
            try:
                same = stat_fields(os.stat(path)) == fields
            except OSError:
                same = False
            if not same:
                raise SampleError(f"{path} changed while it was being read")


class ArrowImages(Images):
    """The images of a column of bytes, or of structs of bytes and path."""

    rows_per_block = ROWS_PER_BLOCK

    def __init__(self, column: Any, name: str, folder: Path, origin: FileOrigin | None) -> None:
        is_struct = pa.types.is_struct(column.type)
        fields = [field.name for field in column.type] if is_struct else []
        self.kind = "images" if is_struct else "bytes"
        # Null where the struct is.
        self._contents = pc.struct_field(column, "bytes") if is_struct else column
        self._paths = pc.struct_field(column, "path") if "path" in fields else None
        self.folder = folder
        self._origin = origin
        if origin is not None:
            self.identity = origin.fingerprint + name.encode("utf-8") + b"\0"
            self.changed_ns = origin.changed_ns

    def cells(self, rows: Sequence[int]) -> Iterator[Cell]:
        """Bytes and path of some rows."""
        for row in rows:
            # Not `take`, which copies all chunks into one before it looks for a row.
            content = self._contents[row].as_py()
            path = self._paths[row].as_py() if content is None and self._paths is not None else None
            yield content, path

    def read(self, row: int) -> bytes:
        """The bytes of a row, unless the data set has changed."""
        if self._origin is not None:
            self._origin.check()
        return super().read(row)


def holds_bytes(kind: pa.DataType) -> bool:
    """Whether a column holds encoded files: bytes, or structs with bytes."""
    if pa.types.is_struct(kind):
        return "bytes" in [field.name for field in kind] and holds_bytes(kind.field("bytes").type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
