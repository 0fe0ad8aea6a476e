"""JSON Lines files.

Python's parser, not Arrow's: Arrow takes a column of dates for times and rewrites them, stops at a
column that mixes numbers and strings even if nobody asked for it, and does not say in which line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from headstart.arrow import strings
from headstart.errors import DataError
from headstart.sources.blocks import BLOCK_ROWS
from headstart.sources.encoding import codec_name, reading
from headstart.sources.table_file import TableFile, string_table

CHUNK_CHARACTERS = 1 << 26
EXACT_INTEGERS = 1e15


def read_jsonl(path: Path, encoding: str) -> TableFile:
    """Read one object a line; blank lines are skipped, but counted."""
    codec = codec_name(encoding)
    tables: list[pa.Table] = []
    numbers: list[np.ndarray[Any, np.dtype[np.int64]]] = []
    bad: list[tuple[int, str]] = []
    unusable: dict[str, str] = {}
    with reading(path, codec):
        for chunk in _chunks(path, codec, bad):
            tables.append(_table([row for _, row in chunk], unusable))
            numbers.append(np.array([number for number, _ in chunk], dtype=np.int64))
        if not tables:
            raise DataError(f"{path} is empty" if not bad else f"{path}, line {bad[0][0]}: {bad[0][1]}")
        rows = pa.concat_tables(tables, promote_options="default")
    usable = rows.select([name for name in rows.column_names if name not in unusable])
    return TableFile("JSONL", usable, np.concatenate(numbers), bad, unusable)


def _chunks(path: Path, codec: str, bad: list[tuple[int, str]]) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    """Numbered rows, a bounded number at a time."""
    chunk: list[tuple[int, dict[str, Any]]] = []
    size = 0
    with open(path, encoding=codec) as file:
        for number, line in enumerate(file, 1):
            if line.isspace():
                continue
            row = _row(path, number, line)
            if _is_storable(line, row):
                chunk.append((number, row))
                size += len(line)
            else:
                bad.append((number, "half of a surrogate pair, which no UTF-8 can write"))
            if len(chunk) == BLOCK_ROWS or size > CHUNK_CHARACTERS:
                yield chunk
                chunk, size = [], 0
    if chunk:
        yield chunk


def _row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}, line {number:,}: not JSON ({error}); mend or remove the line") from error
    if isinstance(row, dict):
        return row
    raise DataError(
        f"{path}, line {number:,}: a {type(row).__name__}, not an object; "
        'write one object a line, such as {"text": "…", "label": "…"}'
    )


def _is_storable(line: str, row: dict[str, Any]) -> bool:
    """Whether UTF-8 can write all of a row: an escape may stand for half of a surrogate pair."""
    if "\\ud" not in line and "\\uD" not in line:
        return True
    try:
        json.dumps(row, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _table(rows: Sequence[dict[str, Any]], unusable: dict[str, str]) -> pa.Table:
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {}
    for name in names:
        values = [row.get(name) for row in rows]
        for value in values:
            if isinstance(value, list | dict):
                unusable[name] = "lists" if isinstance(value, list) else "structs"
                break
        columns[name] = strings([_cell(value) for value in values])
    return string_table(columns)


def _cell(value: Any) -> str | None:
    """A JSON value as a string; null for null, NaN, and what no string stands for."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if value.is_integer() and abs(value) < EXACT_INTEGERS:
            return str(int(value))
        return repr(value) if value == value else None
    return str(value) if isinstance(value, int) else None
