"""Parquet shards keep the contract, and any Arrow tool reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headstart.cache.formats import ParquetFormat
from headstart.contracts import ShardFormat
from headstart.errors import CorruptShardError
from headstart.testing.shard_format import RECIPE, ShardFormatContract, make_features

METADATA = {"headstart.format": "1", "headstart.recipe": RECIPE}


class TestParquet(ShardFormatContract):
    @pytest.fixture
    def shard_format(self) -> ShardFormat:
        return ParquetFormat()

    def rewrite_format(self, content: bytes, number: int) -> bytes:
        table = pq.read_table(pa.BufferReader(content))
        metadata = {**table.schema.metadata, b"headstart.format": str(number).encode()}
        sink = pa.BufferOutputStream()
        pq.write_table(table.replace_schema_metadata(metadata), sink)
        return sink.getvalue().to_pybytes()


def write(path: Path, features: Any, key: Any = None, metadata: Any = METADATA) -> Path:
    key = pa.array([bytes(16), bytes([1] * 16)], pa.binary(16)) if key is None else key
    pq.write_table(pa.table({"key": key, "features": features}).replace_schema_metadata(metadata), path)
    return path


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_plain_pyarrow_reads_the_columns_that_the_contract_names(tmp_path: Path, dtype: Any) -> None:
    features = make_features(5, 3, dtype)
    path = tmp_path / "shard.parquet"
    path.write_bytes(ParquetFormat().encode(features, RECIPE))
    table = pq.read_table(path)
    assert table.column_names == ["key", "features"]
    assert table.schema.field("key").type == pa.binary(16)
    value_type = pa.float16() if dtype == np.float16 else pa.float32()
    assert table.schema.field("features").type == pa.list_(value_type, 3)
    assert table.column("key").to_pylist() == [key.tobytes() for key in features.keys]
    assert np.array_equal(np.array(table.column("features").to_pylist(), dtype=dtype), features.values)
    assert table.schema.metadata[b"headstart.recipe"].decode() == RECIPE


def test_plain_pyarrow_reads_ragged_features(tmp_path: Path) -> None:
    features = make_features(5, 3, ragged=True)
    assert features.offsets is not None
    path = tmp_path / "shard.parquet"
    path.write_bytes(ParquetFormat().encode(features, RECIPE))
    table = pq.read_table(path)
    assert table.schema.field("features").type == pa.large_list(pa.list_(pa.float32(), 3))
    lengths = [len(row) for row in table.column("features").to_pylist()]
    assert lengths == np.diff(features.offsets).tolist()


def test_it_is_uncompressed_and_without_dictionaries(tmp_path: Path) -> None:
    path = tmp_path / "shard.parquet"
    path.write_bytes(ParquetFormat().encode(make_features(50, 4), RECIPE))
    metadata = pq.ParquetFile(path).metadata
    for number in range(metadata.num_columns):
        column = metadata.row_group(0).column(number)
        assert column.compression == "UNCOMPRESSED"
        assert not column.has_dictionary_page


def test_a_shard_that_another_tool_rewrote_with_its_defaults_still_reads(tmp_path: Path) -> None:
    features = make_features(30, 4, np.float16, ragged=True)
    path = tmp_path / "shard.parquet"
    path.write_bytes(ParquetFormat().encode(features, RECIPE))
    pq.write_table(pq.read_table(path), path, compression="zstd", row_group_size=7)
    found = ParquetFormat().open(path).features()
    assert np.array_equal(found.values, features.values)
    assert np.array_equal(found.offsets, features.offsets)  # type: ignore[arg-type]


VECTORS = pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32(), 2))


@pytest.mark.parametrize(
    ("features", "key"),
    [
        (pa.array([[1.0, 2.0], None], pa.list_(pa.float32(), 2)), None),
        (pa.array([[1.0, None], [3.0, 4.0]], pa.list_(pa.float32(), 2)), None),
        (pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float64(), 2)), None),
        (pa.array([[1.0, 2.0], [3.0]], pa.list_(pa.float32())), None),
        (pa.array(["a", "b"]), None),
        (VECTORS, pa.array([b"a", b"b"], pa.binary())),
        (VECTORS, pa.array([bytes(16), None], pa.binary(16))),
    ],
    ids=["null vector", "null number", "float64", "no width", "texts", "free keys", "null key"],
)
def test_columns_that_are_not_the_contracts_are_corrupt(features: Any, key: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "planted.parquet", features, key)
    with pytest.raises(CorruptShardError):
        ParquetFormat().open(path).features()


def test_a_missing_column_is_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "planted.parquet"
    pq.write_table(pa.table({"features": VECTORS}).replace_schema_metadata(METADATA), path)
    with pytest.raises(CorruptShardError, match="column"):
        ParquetFormat().open(path).keys()


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"headstart.format": "1"},
        {"headstart.recipe": RECIPE},
        {**METADATA, "headstart.format": "one"},
        {**METADATA, "headstart.recipe": b"\xff"},
    ],
)
def test_without_format_and_recipe_it_is_corrupt(metadata: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "planted.parquet", VECTORS, metadata=metadata)
    with pytest.raises(CorruptShardError, match=r"planted\.parquet"):
        ParquetFormat().open(path)
