"""Parquet files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.files import stat_fields
from headstart.sources.encoding import reading
from headstart.sources.labels.cells import as_strings, is_plain_list
from headstart.sources.tables.checks import check_sound
from headstart.sources.tables.file import TableFile, check_names, string_table
from headstart.sources.tables.parquet_chunks import ColumnOfBytes, column_of_bytes


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
            elsewhere = {*unusable, *lists, *images}
            table = file.read(columns=[name for name in schema.names if name not in elsewhere])
            columns: dict[str, Any] = {}
            for name in table.column_names:
                try:
                    columns[name] = as_strings(table.column(name))
                except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
                    unusable[name] = f"values of the type {table.schema.field(name).type}"
                    continue
                check_sound(columns[name], path, name)
            numbers = np.arange(1, file.metadata.num_rows + 1, dtype=np.int64)
    names = _class_names(schema.metadata or {})
    return TableFile("Parquet", string_table(columns), numbers, (), unusable, lists, images, names)


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
