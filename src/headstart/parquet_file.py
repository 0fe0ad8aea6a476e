"""Parquet files that anybody may have made: the sizes in a footer are looked at before memory is taken by them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headstart.files import stat_fields
from headstart.remote.paths import RemotePath
from headstart.remote.ranged import RANGED, RangedFile, blocks_of

ROWS_PER_BYTE = 64
"""The most rows that a byte of a file can stand for: even of equal rows, ids and keys differ."""
TIMES_SMALLER, SLACK = 10_000, 16 << 20
"""How much smaller a column may be in the file than in memory, beyond so many bytes."""


ROWS_OF_ANY = 100_000
"""The same of tables that people bring, of which all rows may be equal, beyond a million."""
FEW_ROWS = 1 << 20


def readable(path: Path, keeps: bool = False) -> Any:
    """What Arrow opens: the file; of one elsewhere that would be long to fetch, parts of it as they are read.

    ``keeps``: those parts are read whenever the file is opened, and stay on this machine.
    """
    if isinstance(path, RemotePath) and path.size > RANGED:
        return RangedFile(blocks_of(path), keeps)
    return os.fspath(path)


def size_at(path: Path) -> int:
    """The bytes of a file."""
    return path.size if isinstance(path, RemotePath) else os.stat(path).st_size


def stats_at(path: Path) -> tuple[int, int, int, int, int]:
    """The stat fields of a file."""
    return path.stats() if isinstance(path, RemotePath) else stat_fields(os.stat(path))


@contextmanager
def open_parquet(path: Path, rows_per_byte: int = ROWS_PER_BYTE, **options: Any) -> Iterator[pq.ParquetFile]:
    """A Parquet file whose footer can be true; options are those of pyarrow.

    Raises
    ------
    pyarrow.ArrowException, OSError
        It cannot be read, or says sizes that its bytes cannot hold.
    """
    with pq.ParquetFile(readable(path, keeps=True), **options) as file:
        if problem := _problem_of(file.metadata, size_at(path), rows_per_byte):
            raise pa.ArrowInvalid(f"its footer says {problem}")
        yield file


def _problem_of(footer: pq.FileMetaData, n_bytes: int, rows_per_byte: int) -> str | None:
    """What cannot be true of a file of so many bytes; None if all can."""
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    rows = [group.num_rows for group in groups]
    if min(rows, default=0) < 0 or footer.num_rows != sum(rows):
        return f"{footer.num_rows:,} rows, in groups of {', '.join(map(str, rows[:5])) or 'none'}"
    few = FEW_ROWS if rows_per_byte > ROWS_PER_BYTE else 0
    if footer.num_rows > max(rows_per_byte * n_bytes, few):
        return f"{footer.num_rows:,} rows in {n_bytes:,} bytes"
    for group in groups:
        for number in range(group.num_columns):
            column = group.column(number)
            kept, whole = column.total_compressed_size, column.total_uncompressed_size
            if not (0 <= kept <= n_bytes and 0 <= whole <= TIMES_SMALLER * kept + SLACK):
                return f"{kept:,} bytes of {column.path_in_schema!r} that are {whole:,} in memory"
    return None
