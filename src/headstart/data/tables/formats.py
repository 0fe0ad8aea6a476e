"""The formats of tables, by the endings of files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headstart.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from headstart.data.tables.file import TableFile

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")


def is_table(name: str) -> bool:
    """Whether a file's ending says that it is a table."""
    return name.lower().endswith(TABLE_SUFFIXES)


def read_table_file(path: Path, encoding: str) -> TableFile:
    """Read a CSV, TSV, JSONL or Parquet file.

    Raises
    ------
    DataError
        It is empty, cut short, malformed, or written in another encoding.
    """
    match path.suffix.lower():
        case ".csv" | ".tsv":
            from headstart.data.tables.delimited import read_delimited as read
        case ".jsonl" | ".ndjson":
            from headstart.data.tables.jsonl import read_jsonl as read
        case ".parquet":
            from headstart.data.tables.parquet import read_parquet as read
        case other:
            raise DataError(f"{path}: {other} is none of {', '.join(TABLE_SUFFIXES)}")
    table = read(path, encoding)
    if not len(table.numbers):
        raise DataError(f"{path} holds no rows{_first_problem(table)}")
    return table


def _first_problem(table: TableFile) -> str:
    if not table.bad_rows:
        return ""
    number, reason = table.bad_rows[0]
    return f" that can be read (row {number}: {reason})"
