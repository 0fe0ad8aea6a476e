"""Tables in files, in the format that their name asks for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".parquet", ".csv", ".jsonl")


def check_writable(path: Path | None, *inputs: str | Path) -> None:
    """Refuse a file that cannot be written, or that is part of an input, before any work is done."""
    if path is None:
        return
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path} has none of the endings {', '.join(SUFFIXES)}; choose one of them")
    if not path.parent.is_dir():
        raise ConfigError(f"there is no folder {path.parent} to write {path.name} to")
    for place in map(Path, inputs):
        # Writing is an atomic replacement: the input would be read well, and be gone all the same.
        if path.exists() and place.exists() and place.resolve() in (path.resolve(), *path.resolve().parents):
            raise ConfigError(
                f"{path} is there already, and part of {place}, which is read; choose another --out"
            )


def write_table(table: pa.Table, path: Path | None) -> None:
    """Write a table as Parquet, CSV or JSONL by its file's ending; as CSV to stdout without one."""
    if path is None:
        sys.stdout.buffer.write(_csv(table))
        sys.stdout.buffer.flush()
        return
    from headstart.files import write_durably
    from headstart.registry.run_files import parquet_bytes

    encoders = {".csv": _csv, ".jsonl": _jsonl, ".parquet": parquet_bytes}
    write_durably(path, encoders[path.suffix.lower()](table))


def _csv(table: pa.Table) -> bytes:
    import pyarrow as pa
    from pyarrow import csv

    for position, field in enumerate(table.schema):
        if pa.types.is_nested(field.type):  # several labels a sample: a cell holds one value
            table = table.set_column(position, field.name, _as_json(table.column(position)))
    buffer = pa.BufferOutputStream()
    csv.write_csv(table, buffer)
    content: bytes = buffer.getvalue().to_pybytes()
    return content


def _as_json(column: pa.ChunkedArray) -> pa.StringArray:
    """Lists as JSON, as a label column of a table is read."""
    import json

    from headstart.arrow import strings

    cells = column.to_pylist()
    return strings([None if cell is None else json.dumps(cell, ensure_ascii=False) for cell in cells])


def _jsonl(table: pa.Table) -> bytes:
    import json

    lines = (
        json.dumps(row, ensure_ascii=False) + "\n"
        for batch in table.to_batches()
        for row in batch.to_pylist()
    )
    return "".join(lines).encode("utf-8")
