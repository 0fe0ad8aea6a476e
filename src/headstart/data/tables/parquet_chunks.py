"""Columns of bytes in Parquet files, decoded a few megabytes at a time.

A row group may hold gigabytes, so what is kept in memory is a chunk: some consecutive rows of it.
Reading a file from its beginning to its end decodes every chunk once.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headstart.errors import SampleError
from headstart.files import stat_fields

CHUNK_BYTES = 1 << 24
CHUNK_ROWS = 8192
KEPT_CHUNKS = 8
"""Enough for a few threads that read about the same place."""

KEPT_FILES = 4
READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ColumnOfBytes:
    """Where a column of encoded files lies in a Parquet file.

    Parameters
    ----------
    kind : str
        What it holds, for the user.
    stats : tuple of int
        The stat fields of the file when it was opened first.
    groups : tuple of int
        The first row of each row group, and at last the number of rows.
    chunk_rows : tuple of int
        For each row group how many rows are decoded together.
    """

    path: Path
    name: str
    kind: str
    stats: tuple[int, int, int, int, int]
    groups: tuple[int, ...]
    chunk_rows: tuple[int, ...]

    @property
    def rows_per_group(self) -> int:
        """The rows of its largest row group."""
        return max(stop - start for start, stop in pairwise(self.groups))

    def find(self, row: int) -> tuple[int, int]:
        """The row group and the number of the chunk within it that hold a row."""
        group = bisect_right(self.groups, row) - 1
        while self.groups[group + 1] <= row:  # empty row groups begin where others do
            group += 1
        return group, (row - self.groups[group]) // self.chunk_rows[group]

    def span(self, group: int, chunk: int) -> tuple[int, int]:
        """The first row of a chunk, and the one after its last."""
        start = self.groups[group] + chunk * self.chunk_rows[group]
        return start, min(start + self.chunk_rows[group], self.groups[group + 1])


def column_of_bytes(
    path: Path, name: str, kind: str, metadata: pq.FileMetaData, stats: tuple[int, int, int, int, int]
) -> ColumnOfBytes:
    """Plan the chunks of a column by the sizes that the file's footer gives."""
    starts, chunk_rows = [0], []
    leaves = [
        number
        for number in range(metadata.num_columns)
        if metadata.schema.column(number).path.partition(".")[0] == name
        or metadata.schema.column(number).path == name
    ]
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        size = sum(group.column(leaf).total_uncompressed_size for leaf in leaves)
        fitting = group.num_rows * CHUNK_BYTES // max(size, 1)
        chunk_rows.append(max(1, min(fitting, CHUNK_ROWS)))
        starts.append(starts[-1] + group.num_rows)
    return ColumnOfBytes(path, name, kind, stats, tuple(starts), tuple(chunk_rows))


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows of a column.

    Parameters
    ----------
    start : int
        The number of the first row in the file.
    paths : pyarrow.Array of string, optional
        Where contents are null: the files that hold them.
    """

    start: int
    contents: pa.Array
    paths: pa.Array | None


class ChunkReader:
    """Decodes chunks of any number of files; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._files: OrderedDict[Path, _OpenFile] = OrderedDict()
        self._chunks: OrderedDict[tuple[Path, int, int], Chunk] = OrderedDict()

    def chunk(self, column: ColumnOfBytes, row: int) -> Chunk:
        """The chunk that holds a row.

        Raises
        ------
        SampleError
            The file has changed since its footer was read.
        OSError, pyarrow.ArrowException
            It cannot be read.
        """
        group, number = column.find(row)
        place = (column.path, group, number)
        with self._lock:
            if place not in self._chunks:
                self._chunks[place] = self._read(column, group, number)
            self._chunks.move_to_end(place)
            while len(self._chunks) > KEPT_CHUNKS:
                self._chunks.popitem(last=False)
            return self._chunks[place]

    def _read(self, column: ColumnOfBytes, group: int, number: int) -> Chunk:
        if stat_fields(os.stat(column.path)) != column.stats:
            self._forget(column.path)
            raise SampleError(f"{column.path} has changed since it was opened")
        if column.path not in self._files:
            self._files[column.path] = _OpenFile(column)
        self._files.move_to_end(column.path)
        while len(self._files) > KEPT_FILES:
            self._files.popitem(last=False)[1].close()
        try:
            return self._files[column.path].read(group, number)
        except BaseException:
            self._forget(column.path)
            raise

    def _forget(self, path: Path) -> None:
        if opened := self._files.pop(path, None):
            opened.close()


class _OpenFile:
    """A file that is read forward, chunk by chunk."""

    def __init__(self, column: ColumnOfBytes) -> None:
        self._column = column
        # Buffered, and not prefetched: otherwise all of a row group would be in memory at once.
        self._file = pq.ParquetFile(column.path, buffer_size=READ_BYTES, pre_buffer=False)
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._group, self._next = -1, 0

    def close(self) -> None:
        self._batches = iter(())
        self._file.close()

    def read(self, group: int, number: int) -> Chunk:
        column = self._column
        if group != self._group or number < self._next:
            self._batches = self._file.iter_batches(
                column.chunk_rows[group], row_groups=[group], columns=[column.name], use_threads=False
            )
            self._group, self._next = group, 0
        batch = None
        while self._next <= number:
            batch = next(self._batches, None)
            self._next += 1
        start, stop = column.span(group, number)
        if batch is None or batch.num_rows != stop - start:
            raise pa.ArrowInvalid("it holds fewer rows than its footer promises")
        return _chunk(start, batch.column(batch.schema.get_field_index(column.name)))


def _chunk(start: int, array: pa.Array) -> Chunk:
    if not pa.types.is_struct(array.type):
        return Chunk(start, _plain(array), None)
    # `flatten` gives null where the struct itself is null, `field` would not.
    parts = dict(zip((field.name for field in array.type), array.flatten(), strict=True))
    paths = parts.get("path")
    return Chunk(start, _plain(parts["bytes"]), None if paths is None else _plain(paths))


def _plain(array: pa.Array) -> Any:
    if pa.types.is_dictionary(array.type):
        return pc.cast(array, array.type.value_type)
    return pc.cast(array, pa.large_binary()) if pa.types.is_binary_view(array.type) else array
