"""A table of samples is written a row group at a time, and says the same as one that is written whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from caches import keys_of

from headstart.arrow import names_by_code
from headstart.cache.commit import ROWS_PER_GROUP, commit_set
from headstart.cache.set_state import read_splits
from headstart.cache.store import Cache
from headstart.errors import CorruptShardError
from headstart.types import SPLITS


def table_of(n: int, chunk: int) -> pa.Table:
    """Samples in chunks that are no multiple of anything."""
    keys = keys_of(range(997))
    rows = np.arange(n)
    splits = names_by_code(rows % 3, SPLITS)
    parts = []
    for start in range(0, n, chunk):
        stop = min(start + chunk, n)
        parts.append(
            pa.table(
                {
                    "id": [f"row {row}" for row in rows[start:stop]],
                    "key": pa.array([keys[row % 997].tobytes() for row in rows[start:stop]], pa.binary(16)),
                    "split": splits.slice(start, stop - start),
                    "label:tags": [["a", "b"][: row % 3] or None for row in rows[start:stop]],
                }
            )
        )
    return pa.concat_tables(parts)


class Groups:
    """Rows that are handed out a group at a time, with a split column of its own for each."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def groups(self, n_rows: int) -> Iterator[pa.Table]:
        for start in range(0, self._table.num_rows, n_rows):
            group = self._table.slice(start, n_rows)
            yield group.set_column(2, "split", group.column("split").combine_chunks())


@pytest.mark.parametrize(("n", "chunk"), [(1000, 7), (ROWS_PER_GROUP, 8192), (ROWS_PER_GROUP + 3000, 8191)])
def test_the_file_is_that_of_a_whole_table(n: int, chunk: int, cache_root: Path, tmp_path: Path) -> None:
    """So that a set of an earlier version, or of other groups, keeps its digest."""
    table = table_of(n, chunk)
    whole = table.set_column(2, "split", table.column("split").combine_chunks())
    cache = Cache(cache_root)
    made = commit_set(cache, "some", Groups(table), {}, [])
    assert made is not None
    pq.write_table(
        whole,
        tmp_path / "whole.parquet",
        row_group_size=ROWS_PER_GROUP,
        compression="zstd",
        write_page_checksum=True,
    )
    assert (made.path / "samples.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    again = commit_set(cache, "some", whole, {}, [])
    assert again is not None
    assert again.digest == made.digest


def test_a_set_without_samples_can_be_written_and_read(cache_root: Path) -> None:
    made = commit_set(Cache(cache_root), "none", table_of(3, 3).slice(0, 0), {}, [])
    assert made is not None
    assert made.samples.num_rows == 0
    assert made.samples.column_names == ["id", "key", "split", "label:tags"]


def test_splits_are_read_without_the_rest(cache_root: Path) -> None:
    table = table_of(ROWS_PER_GROUP + 10, 8191)
    made = commit_set(Cache(cache_root), "some", table, {}, [])
    assert made is not None
    keys, splits = read_splits(made)
    assert keys.tobytes() == b"".join(table.column("key").to_pylist())
    assert [SPLITS[code] for code in splits] == table.column("split").to_pylist()


def test_a_damaged_table_of_samples_is_named(cache_root: Path) -> None:
    made = commit_set(Cache(cache_root), "some", table_of(100, 100), {}, [])
    assert made is not None
    path = made.path / "samples.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CorruptShardError, match=r"samples\.parquet cannot be read"):
        read_splits(made)
