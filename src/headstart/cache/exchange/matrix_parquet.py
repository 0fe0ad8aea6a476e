"""Matrices in Parquet files: a column of lists of numbers, all of one length."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headstart.cache.exchange.matrices import Matrix, choose_features, stored_as
from headstart.cache.exchange.selection import LabelColumn
from headstart.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.types import Json

ROWS_A_BATCH = 8192


def open_parquet(path: Path, features_column: str | None) -> Matrix:
    """A matrix in a Parquet file, an export or any other."""
    with pq.ParquetFile(path) as file:
        schema, n_rows = file.schema_arrow, file.metadata.num_rows
        lists = [
            one.name for one in schema if _is_list(one.type) and pa.types.is_floating(one.type.value_type)
        ]
        _refuse_tokens(path, schema, features_column or "features")
        name = choose_features(path, features_column, schema.names, lists)
        kind = schema.field(name).type
        if not _is_list(kind):
            raise DataError(f"{path}: column {name!r} is {kind}, expected lists of numbers")
        others = [other for other in schema.names if other != name]
        columns = file.read(columns=others).replace_schema_metadata(None)
        said = schema.metadata or {}
    dtype = stored_as(path, np.dtype(_numpy_name(path, kind.value_type)))
    width = kind.list_size if pa.types.is_fixed_size_list(kind) else _first_length(path, name)
    labels, about = _said(said)
    if width < 1:
        raise DataError(f"{path}: column {name!r} holds empty lists")
    return Matrix(path, n_rows, width, dtype, lambda: _batches(path, name, width), columns, labels, about)


def _refuse_tokens(path: Path, schema: pa.Schema, name: str) -> None:
    place = schema.get_field_index(name)
    if place >= 0 and _is_list(schema.types[place]) and _is_list(schema.types[place].value_type):
        raise DataError(
            f"{path}: column {name!r} holds several vectors a sample, and an import takes one; "
            "export a pooled tap instead"
        )


def _said(metadata: Mapping[bytes, bytes]) -> tuple[dict[str, LabelColumn], dict[str, Json]]:
    """What an export says of itself in the metadata of its schema."""
    if b"headstart.export" not in metadata:
        return {}, {}
    labels = {
        column: LabelColumn(one["kind"], tuple(one["names"]))
        for column, one in json.loads(metadata[b"headstart.labels"]).items()
    }
    about = {
        name.decode().removeprefix("headstart."): value.decode()
        for name, value in metadata.items()
        if name.startswith(b"headstart.") and name != b"headstart.labels"
    }
    return labels, about


def _batches(path: Path, name: str, width: int) -> Iterator[NDArray[Any]]:
    start = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=ROWS_A_BATCH, columns=[name]):
            column = batch.column(0)
            lengths = np.asarray(pc.fill_null(pc.list_value_length(column), -1))
            wrong = np.flatnonzero(lengths != width)
            if len(wrong):
                found = int(lengths[wrong[0]])
                what = "is null" if found < 0 else f"holds {found} numbers"
                raise DataError(
                    f"{path}, row {start + int(wrong[0]) + 1}: {name!r} {what}, expected {width} as in the others"
                )
            values = column.flatten()
            if values.null_count:
                row = start + int(np.flatnonzero(np.asarray(values.is_null()))[0]) // width + 1
                raise DataError(f"{path}, row {row}: {name!r} holds a null")
            start += len(column)
            yield values.to_numpy(zero_copy_only=False).reshape(-1, width)


def _first_length(path: Path, name: str) -> int:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1, columns=[name]):
            return int(pc.list_value_length(batch.column(0))[0].as_py() or 0)
    return 0


def _numpy_name(path: Path, kind: pa.DataType) -> str:
    names = {"halffloat": "float16", "float": "float32", "double": "float64"}
    name = names.get(str(kind), str(kind))
    if name.rstrip("0123456789") not in ("float", "int", "uint"):
        raise DataError(f"{path}: the features are {kind}, expected numbers")
    return name


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
