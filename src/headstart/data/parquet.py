"""Parquet files: plain values as strings, lists and bytes where they lie until somebody asks for them.

Bytes are decoded a few megabytes at a time. A row group may hold gigabytes, so what is kept in memory is a chunk: some
consecutive rows of it. Reading a file from its beginning to its end decodes every chunk once.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, pairwise
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headstart.arrow import column_of
from headstart.data.answers import are_answers, as_json
from headstart.data.contents import Images
from headstart.data.growing import GrowingTable
from headstart.data.label_cells import as_strings, is_plain_list
from headstart.data.named_files import CTIME, MTIME, joined, read_image, shown_path, unreadable
from headstart.data.source import BLOCK_ROWS, string_table
from headstart.data.table_file import RowNumbers, TableFile, check_names, check_sound, reading
from headstart.errors import DataError, SampleError, first_line
from headstart.files import fingerprint_of
from headstart.parquet_file import ROWS_OF_ANY, open_parquet, readable, stats_at

if TYPE_CHECKING:
    from headstart.data.contents import Cell
    from headstart.data.options import SourceOptions

CHUNK_BYTES = 1 << 24
CHUNK_ROWS = 8192
KEPT_CHUNKS = 8
"""Enough for a few threads that read about the same place."""

KEPT_FILES = 4
READ_BYTES = 1 << 20


def read_parquet(path: Path, options: SourceOptions) -> TableFile:
    """Read the columns whose values can be written as strings; options mean nothing here."""
    with reading(path):
        stats = stats_at(path)  # before it is opened: see `key_files`
        with open_parquet(path, ROWS_OF_ANY) as file:  # pq.read_table would import pandas
            schema = file.schema_arrow
            check_names(path, schema.names)
            unusable = {field.name: kind for field in schema if (kind := _unusable(field.type))}
            lists = {
                field.name: partial(_read_column, path, field.name)
                for field in schema
                if is_plain_list(field.type)
            }
            images = {
                field.name: ParquetImages(path, field.name, kind, file.metadata, stats)
                for field in schema
                if (kind := _kind_of_bytes(field.type))
            }
            numbers = RowNumbers(file.metadata.num_rows)
            elsewhere = {*unusable, *lists, *images}
            stored = _strings(path, [name for name in schema.names if name not in elsewhere], unusable)
    rows = stored.whole()
    rows = rows.select([name for name in rows.column_names if name not in unusable])
    names = class_names_of(schema.metadata or {})
    return TableFile("Parquet", rows, numbers, (), unusable, lists, images, names, stored)


def _open(path: Path, keeps: bool = False) -> pq.ParquetFile:
    # Buffered, and not prefetched: otherwise all of a row group would be in memory at once. The footer was looked at
    # when the file was first opened.
    return pq.ParquetFile(readable(path, keeps), buffer_size=READ_BYTES, pre_buffer=False)


def _strings(path: Path, names: list[str], unusable: dict[str, str]) -> GrowingTable:
    """Columns as strings, a few megabytes at a time; what no string stands for is unusable."""
    stored = GrowingTable()
    with _open(path, keeps=True) as file:
        chosen = pa.schema([field for field in file.schema_arrow if field.name in names])
        stored.append(_as_strings(pa.Table.from_batches([], schema=chosen), path, 0, unusable))
        n_rows = 0
        for batch in _batches(file, names):
            stored.append(_as_strings(pa.Table.from_batches([batch]), path, n_rows, unusable))
            n_rows += batch.num_rows
    return stored


def _batches(file: pq.ParquetFile, names: list[str]) -> Iterator[pa.RecordBatch]:
    """Columns by the batch, each of about as many bytes."""
    if not names:
        return
    metadata = file.metadata
    leaves = [n for n in range(metadata.num_columns) if metadata.schema.column(n).path in names]
    size = sum(_size(metadata.row_group(number), leaves) for number in range(metadata.num_row_groups))
    fitting = metadata.num_rows * CHUNK_BYTES // max(size, 1)
    yield from file.iter_batches(max(1, min(fitting, BLOCK_ROWS)), columns=names, use_threads=False)


def _size(group: pq.RowGroupMetaData, leaves: list[int]) -> int:
    return sum(group.column(leaf).total_uncompressed_size for leaf in leaves)


def _as_strings(table: pa.Table, path: Path, rows_before: int, unusable: dict[str, str]) -> pa.Table:
    columns: dict[str, Any] = {}
    for name in table.column_names:
        if name in unusable:
            continue
        try:
            column = table.column(name)
            columns[name] = as_json(column) if are_answers(column.type) else as_strings(column)
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
            unusable[name] = f"values of the type {table.schema.field(name).type}"
            continue
        check_sound(columns[name], path, name, rows_before)
    return string_table(columns)


def class_names_of(metadata: Mapping[bytes, bytes]) -> dict[str, tuple[str, ...]]:
    """The names of integer classes, as Hugging Face datasets keeps them beside the schema."""
    named = {}
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        for name, feature in features.items():
            label = feature[0] if isinstance(feature, list) else feature.get("feature", feature)
            if label.get("_type") == "ClassLabel":
                named[name] = tuple(map(str, label["names"]))
    except (ValueError, LookupError, TypeError, AttributeError):
        return {}  # written by something else: the integers stay integers
    return named


def _read_column(path: Path, name: str) -> Any:
    with reading(path), open_parquet(path, ROWS_OF_ANY) as file:
        column = file.read(columns=[name]).column(name)
    check_sound(column, path, name)
    return column


def _kind_of_bytes(kind: pa.DataType) -> str | None:
    """What a column of encoded files holds: bytes, or Hugging Face's structs of bytes and path."""
    if _is_bytes(kind):
        return "bytes"
    is_struct = pa.types.is_struct(kind) and "bytes" in [field.name for field in kind]
    return "structs of bytes and path" if is_struct and _is_bytes(kind.field("bytes").type) else None


def _is_bytes(kind: pa.DataType) -> bool:
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_binary(value) or pa.types.is_large_binary(value) or pa.types.is_binary_view(value):
        return True
    return bool(pa.types.is_fixed_size_binary(value) and not pa.types.is_decimal(value))


def _unusable(kind: pa.DataType) -> str | None:
    """What a column holds that neither strings, lists of strings nor bytes stand for; else None."""
    if pa.types.is_dictionary(kind):
        return _unusable(kind.value_type)
    if _kind_of_bytes(kind) or is_plain_list(kind) or are_answers(kind):
        return None
    if pa.types.is_struct(kind) or pa.types.is_map(kind) or pa.types.is_union(kind):
        return "structs"
    return f"lists of {kind.value_type}" if pa.types.is_nested(kind) else None


class ParquetImages(Images):
    """A column of encoded files; chunks are planned by the sizes that the file's footer gives."""

    def __init__(
        self,
        path: Path,
        name: str,
        kind: str,
        metadata: pq.FileMetaData,
        stats: tuple[int, int, int, int, int],
    ) -> None:
        self.path, self.name, self.kind = path, name, kind
        self.folder = path.parent
        self.identity = fingerprint_of(stats) + name.encode("utf-8")
        self.changed_ns = max(stats[MTIME], stats[CTIME])
        self.stats = stats
        leaves = [
            number
            for number in range(metadata.num_columns)
            if (leaf := metadata.schema.column(number).path) == name or leaf.partition(".")[0] == name
        ]
        self.groups, self.chunk_rows = [0], list[int]()
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            fitting = group.num_rows * CHUNK_BYTES // max(_size(group, leaves), 1)
            self.chunk_rows.append(max(1, min(fitting, CHUNK_ROWS)))
            self.groups.append(self.groups[-1] + group.num_rows)
        self.rows_per_block = max((stop - start for start, stop in pairwise(self.groups)), default=None)
        self._reader = ChunkReader()

    def share(self, other: Images | None) -> None:
        """Keep chunks together with another file."""
        if isinstance(other, ParquetImages):
            self._reader = other._reader

    def place(self, row: int) -> tuple[int, int]:
        """The row group that holds a row, and the first row of the chunk within it."""
        group = bisect_right(self.groups, row) - 1
        while self.groups[group + 1] <= row:  # empty row groups begin where others do
            group += 1
        return group, row - (row - self.groups[group]) % self.chunk_rows[group]

    def chunks(self, group: int) -> Iterator[Chunk]:
        """The chunks from a row group on."""
        with _open(self.path) as file:
            for number in range(group, len(self.chunk_rows)):
                start, stop = self.groups[number : number + 2]
                step = self.chunk_rows[number]
                batches = file.iter_batches(step, row_groups=[number], columns=[self.name], use_threads=False)
                for first in range(start, stop, step):
                    batch = next(batches, None)
                    if batch is None or batch.num_rows != min(step, stop - first):
                        raise pa.ArrowInvalid("it holds fewer rows than its footer promises")
                    yield Chunk.of(first, batch.column(batch.schema.get_field_index(self.name)))

    def cells(self, rows: Sequence[int]) -> Iterator[Cell]:
        """Bytes and path of some rows, chunk by chunk, while all of the table is read."""
        for place, some in groupby(rows, self.place):
            with reading(self.path):
                try:
                    chunk = self._reader.chunk(self, *place)
                except SampleError as error:
                    raise DataError(f"{error}; run the command again once it stays as it is") from error
            yield from chunk.cells(list(some))

    def read(self, row: int) -> bytes:
        """Read the chunk of the row, unless it is in memory."""
        try:
            chunk = self._reader.chunk(self, *self.place(row))
        except (OSError, pa.ArrowException) as error:
            reason = unreadable(error) if isinstance(error, OSError) else first_line(error)
            raise SampleError(f"{self.path}, row {row + 1:,}: {reason}") from error
        ((content, path),) = chunk.cells([row])
        if content is None and path:
            return read_image(joined(self.folder, path), shown_path(path))
        return content or b""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows of a column, from a row of the file on; ``paths`` name files where contents are null."""

    start: int
    contents: pa.Array
    paths: pa.Array | None

    @classmethod
    def of(cls, start: int, array: pa.Array) -> Chunk:
        """Bytes, or structs of bytes and path."""
        if not pa.types.is_struct(array.type):
            return cls(start, _plain(array), None)
        # `flatten` gives null where the struct itself is null, `field` would not.
        parts = dict(zip((field.name for field in array.type), array.flatten(), strict=True))
        return cls(start, _plain(parts["bytes"]), _plain(parts["path"]) if "path" in parts else None)

    def cells(self, rows: list[int]) -> Iterator[Cell]:
        """Bytes and path of some rows of the file."""
        numbers = column_of(np.array(rows, dtype=np.int64) - self.start)
        paths = [None] * len(rows) if self.paths is None else self.paths.take(numbers).to_pylist()
        return zip(self.contents.take(numbers).to_pylist(), paths, strict=True)


class ChunkReader:
    """Decodes chunks of any number of files, each read forward; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._files: OrderedDict[Path, tuple[int, Iterator[Chunk]]] = OrderedDict()
        self._chunks: OrderedDict[tuple[Path, int], Chunk] = OrderedDict()

    def __reduce__(self) -> tuple[type[ChunkReader], tuple[()]]:
        return ChunkReader, ()

    def chunk(self, column: ParquetImages, group: int, start: int) -> Chunk:
        """The chunk of a row group that begins at a row.

        Raises
        ------
        SampleError
            The file has changed since its footer was read.
        OSError, pyarrow.ArrowException
            It cannot be read.
        """
        place = (column.path, start)
        with self._lock:
            if place not in self._chunks:
                self._chunks[place] = self._read(column, group, start)
            self._chunks.move_to_end(place)
            while len(self._chunks) > KEPT_CHUNKS:
                self._chunks.popitem(last=False)
            return self._chunks[place]

    def _read(self, column: ParquetImages, group: int, start: int) -> Chunk:
        next_row, chunks = self._files.pop(column.path, (-1, iter(())))
        if stats_at(column.path) != column.stats:
            raise SampleError(f"{column.path} has changed since it was opened")
        if not column.groups[group] <= next_row <= start:
            chunks = column.chunks(group)
        chunk = next(chunk for chunk in chunks if chunk.start == start)
        self._files[column.path] = start + len(chunk.contents), chunks
        while len(self._files) > KEPT_FILES:
            self._files.popitem(last=False)  # which closes it
        return chunk


def _plain(array: pa.Array) -> Any:
    if pa.types.is_dictionary(array.type):
        return pc.cast(array, array.type.value_type)
    return pc.cast(array, pa.large_binary()) if pa.types.is_binary_view(array.type) else array
