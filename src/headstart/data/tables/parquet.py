"""Parquet files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headstart.data.blocks import BLOCK_ROWS
from headstart.data.encoding import reading
from headstart.data.growing import GrowingTable
from headstart.data.labels.cells import as_strings, is_plain_list
from headstart.data.tables.checks import check_sound
from headstart.data.tables.file import RowNumbers, TableFile, check_names, string_table
from headstart.data.tables.parquet_chunks import CHUNK_BYTES, READ_BYTES, ColumnOfBytes, column_of_bytes
from headstart.files import stat_fields


def read_parquet(path: Path, encoding: str) -> TableFile:
    """Read the columns whose values can be written as strings; ``encoding`` means nothing here.

    Lists and bytes stay in the file until somebody asks for them.
    """
    with reading(path):
        stats = stat_fields(os.stat(path))  # before it is opened: see `key_files`
        with pq.ParquetFile(path) as file:  # pq.read_table would import pandas
            schema = file.schema_arrow
            check_names(path, schema.names)
            unusable = {field.name: kind for field in schema if (kind := _unusable(field.type))}
            lists = {
                field.name: partial(_read_column, path, field.name)
                for field in schema
                if is_plain_list(field.type)
            }
            images = _columns_of_bytes(path, file, stats)
            numbers = RowNumbers(file.metadata.num_rows)
            elsewhere = {*unusable, *lists, *images}
            stored = _strings(path, [name for name in schema.names if name not in elsewhere], unusable)
    rows = stored.whole()
    rows = rows.select([name for name in rows.column_names if name not in unusable])
    names = _class_names(schema.metadata or {})
    return TableFile("Parquet", rows, numbers, (), unusable, lists, images, names, stored)


def _strings(path: Path, names: list[str], unusable: dict[str, str]) -> GrowingTable:
    """Columns as strings, a few megabytes at a time; what no string stands for is unusable."""
    stored = GrowingTable()
    # Buffered, and not prefetched: otherwise all of a row group would be in memory at once.
    with pq.ParquetFile(path, buffer_size=READ_BYTES, pre_buffer=False) as file:
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
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    leaves = [
        number for number in range(metadata.num_columns) if metadata.schema.column(number).path in names
    ]
    size = sum(group.column(leaf).total_uncompressed_size for group in groups for leaf in leaves)
    fitting = metadata.num_rows * CHUNK_BYTES // max(size, 1)
    yield from file.iter_batches(max(1, min(fitting, BLOCK_ROWS)), columns=names, use_threads=False)


def _as_strings(table: pa.Table, path: Path, rows_before: int, unusable: dict[str, str]) -> pa.Table:
    columns: dict[str, Any] = {}
    for name in table.column_names:
        if name in unusable:
            continue
        try:
            columns[name] = as_strings(table.column(name))
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
            unusable[name] = f"values of the type {table.schema.field(name).type}"
            continue
        check_sound(columns[name], path, name, rows_before)
    return string_table(columns)


def _class_names(metadata: Mapping[bytes, bytes]) -> dict[str, tuple[str, ...]]:
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
    with reading(path), pq.ParquetFile(path) as file:
        column = file.read(columns=[name]).column(name)
    check_sound(column, path, name)
    return column


def _columns_of_bytes(
    path: Path, file: pq.ParquetFile, stats: tuple[int, int, int, int, int]
) -> dict[str, ColumnOfBytes]:
    return {
        field.name: column_of_bytes(path, field.name, kind, file.metadata, stats)
        for field in file.schema_arrow
        if (kind := _kind_of_bytes(field.type))
    }


def _kind_of_bytes(kind: pa.DataType) -> str | None:
    """What a column of encoded files holds: bytes, or Hugging Face's structs of bytes and path."""
    if _is_bytes(kind):
        return "bytes"
    if (
        pa.types.is_struct(kind)
        and "bytes" in [field.name for field in kind]
        and _is_bytes(kind.field("bytes").type)
    ):
        return "structs of bytes and path"
    return None


def _is_bytes(kind: pa.DataType) -> bool:
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_binary(value) or pa.types.is_large_binary(value) or pa.types.is_binary_view(value):
        return True
    return bool(pa.types.is_fixed_size_binary(value) and not pa.types.is_decimal(value))


def _unusable(kind: pa.DataType) -> str | None:
    """What a column holds that neither strings, lists of strings nor bytes stand for; else None."""
    if pa.types.is_dictionary(kind):
        return _unusable(kind.value_type)
    if _kind_of_bytes(kind) or is_plain_list(kind):
        return None
    if pa.types.is_struct(kind) or pa.types.is_map(kind) or pa.types.is_union(kind):
        return "structs"
    if pa.types.is_nested(kind):
        return f"lists of {kind.value_type}"
    return None
