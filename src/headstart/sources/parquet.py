"""Parquet files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headstart.sources.encoding import reading
from headstart.sources.table_file import TableFile, check_names, string_table


def read_parquet(path: Path, encoding: str) -> TableFile:
    """Read the columns whose values can be written as strings; ``encoding`` means nothing here."""
    with reading(path), pq.ParquetFile(path) as file:  # pq.read_table would import pandas
        schema = file.schema_arrow
        check_names(path, schema.names)
        unusable = {field.name: kind for field in schema if (kind := _unusable(field.type))}
        table = file.read(columns=[name for name in schema.names if name not in unusable])
        columns: dict[str, Any] = {}
        for name in table.column_names:
            try:
                columns[name] = _as_strings(table.column(name))
            except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
                unusable[name] = f"values of the type {table.schema.field(name).type}"
        numbers = np.arange(1, file.metadata.num_rows + 1, dtype=np.int64)
    return TableFile("Parquet", string_table(columns), numbers, (), unusable)


def _unusable(kind: pa.DataType) -> str | None:
    """What a column holds that no string stands for; None if it can be used."""
    if pa.types.is_dictionary(kind):
        return _unusable(kind.value_type)
    if pa.types.is_struct(kind) or pa.types.is_map(kind) or pa.types.is_union(kind):
        return "structs"
    if pa.types.is_nested(kind):
        return "lists"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return "bytes"
    return None


def _as_strings(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.nulls(1, column.type)[0], column)
    return column if pa.types.is_string(column.type) else pc.cast(column, pa.string())
