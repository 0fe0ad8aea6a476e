"""Shards in Parquet: for exchange, readable by any Arrow tool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.arrow import column_of, keys_from_arrow, keys_to_arrow, numbers_of, vectors_of
from headstart.cache.layout import SHARD_FORMAT, check_shard_format
from headstart.cache.rows import problem_of, take
from headstart.errors import CorruptShardError
from headstart.types import Features

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS_PER_GROUP = 8192
_ARROW_TYPES = {"float16": pa.float16(), "float32": pa.float32()}


class ParquetFormat:
    """Writes and opens ``.parquet`` shards."""

    suffix = ".parquet"

    def encode(self, features: Features, recipe: str) -> memoryview:
        """A whole Parquet file: ``key`` and ``features``, uncompressed, without dictionaries.

        Raises
        ------
        ValueError
            There is no row, or keys and features do not fit each other.
        """
        if problem := problem_of(features):
            raise ValueError(f"this cannot be a shard: {problem}")
        table = pa.table({"key": keys_to_arrow(features.keys), "features": _to_arrow(features)})
        table = table.replace_schema_metadata(
            {"headstart.format": str(SHARD_FORMAT), "headstart.recipe": recipe}
        )
        buffer = pa.BufferOutputStream()
        pq.write_table(
            table,
            buffer,
            compression="none",
            use_dictionary=False,
            write_statistics=False,
            row_group_size=ROWS_PER_GROUP,
        )
        return memoryview(buffer.getvalue())

    def open(self, path: Path) -> ParquetShard:
        """Open a shard; nothing but its metadata is read."""
        try:
            with pq.ParquetFile(path) as file:
                metadata = file.schema_arrow.metadata or {}
        except FileNotFoundError:
            raise
        except (OSError, pa.ArrowException) as error:
            raise CorruptShardError(f"{path} is not a readable Parquet shard ({error})") from error
        version, recipe = metadata.get(b"headstart.format"), metadata.get(b"headstart.recipe")
        check_shard_format(version, path)
        if recipe is None:
            raise CorruptShardError(f"{path} does not carry its recipe")
        try:
            return ParquetShard(path, recipe.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise CorruptShardError(f"{path} does not carry its recipe") from error


class ParquetShard:
    """An opened Parquet shard. Each question reads the file: who asks again keeps what it got."""

    def __init__(self, path: Path, recipe: str) -> None:
        self.recipe = recipe
        self._path = path

    def keys(self) -> NDArray[np.uint8]:
        """All keys, shape (N, 16)."""
        return keys_from_arrow(self._read(["key"]).column("key"))

    def features(self, rows: NDArray[np.int64] | None = None) -> Features:
        """The given rows in that order; all of them if None."""
        whole = _from_arrow(self._read(["key", "features"]), self._path)
        return whole if rows is None else take(whole, rows)

    def _read(self, columns: list[str]) -> pa.Table:
        try:
            # ParquetFile, not read_table: that one imports pandas where it is installed.
            with pq.ParquetFile(self._path) as file:
                table = file.read(columns=columns, use_threads=True)
        except FileNotFoundError:
            raise
        except (OSError, pa.ArrowException) as error:
            raise CorruptShardError(f"{self._path} cannot be read ({error})") from error
        if set(table.column_names) != set(columns):
            raise CorruptShardError(f"{self._path} lacks one of its columns {', '.join(columns)}")
        return table


def count_rows(path: Path) -> int:
    """The rows of a shard by its metadata."""
    try:
        with pq.ParquetFile(path) as file:
            return int(file.metadata.num_rows)
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise CorruptShardError(f"{path} is not a readable Parquet shard ({error})") from error


def _to_arrow(features: Features) -> pa.Array:
    vectors = vectors_of(features.values)
    if features.offsets is None:
        return vectors
    return pa.LargeListArray.from_arrays(column_of(features.offsets), vectors)


def _from_arrow(table: pa.Table, path: Path) -> Features:
    keys = keys_from_arrow(table.column("key"))
    column = table.column("features").combine_chunks()
    ragged = pa.types.is_large_list(column.type) or pa.types.is_list(column.type)
    vectors = column.values if ragged else column
    if not pa.types.is_fixed_size_list(vectors.type) or vectors.type.value_type not in _ARROW_TYPES.values():
        raise CorruptShardError(f"{path}: features are {column.type}, expected fixed-size lists of floats")
    if column.null_count or vectors.null_count or vectors.values.null_count:
        raise CorruptShardError(f"{path}: features hold a null")
    values = numbers_of(vectors.values).reshape(-1, vectors.type.list_size)
    values = values[vectors.offset : vectors.offset + len(vectors)]
    whole = Features(keys, values, numbers_of(column.offsets).astype(np.int64) if ragged else None)
    if problem := problem_of(whole):
        raise CorruptShardError(f"{path} is not a sound shard: {problem}")
    return whole
