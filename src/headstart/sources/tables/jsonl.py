"""JSON Lines files.

Python's parser, not Arrow's: Arrow takes a column of dates for times and rewrites them, stops at a
column that mixes numbers and strings even if nobody asked for it, and does not say in which line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from headstart.arrow import nulls_of, strings
from headstart.errors import DataError
from headstart.sources.blocks import BLOCK_ROWS
from headstart.sources.encoding import codec_name, reading
from headstart.sources.labels.cells import cell_text
from headstart.sources.labels.lists import string_lists
from headstart.sources.tables.file import TableFile, string_table

CHUNK_CHARACTERS = 1 << 26
NO_LIST = "is no list, but other lines hold lists; write a list in every line"


def read_jsonl(path: Path, encoding: str) -> TableFile:
    """Read one object a line; blank lines are skipped, but counted."""
    codec = codec_name(encoding)
    chunks: list[_Chunk] = []
    bad: list[tuple[int, str]] = []
    with reading(path, codec):
        for numbered in _chunks(path, codec, bad):
            chunks.append(_columns(numbered))
        if not chunks:
            raise DataError(f"{path} is empty" if not bad else f"{path}, line {bad[0][0]}: {bad[0][1]}")
    unusable = dict.fromkeys((name for chunk in chunks for name in chunk.structs), "structs")
    names = dict.fromkeys(name for chunk in chunks for name in chunk.lists if name not in unusable)
    lists = {name: partial(_list_column, path, name, chunks) for name in names}
    rows = pa.concat_tables([chunk.rows for chunk in chunks], promote_options="default")
    usable = rows.select([name for name in rows.column_names if name not in {*unusable, *lists}])
    numbers = np.concatenate([chunk.numbers for chunk in chunks])
    return TableFile("JSONL", usable, numbers, bad, unusable, lists)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Consecutive lines as columns.

    Parameters
    ----------
    numbers : ndarray of int64, shape (n,)
        The numbers of the lines.
    rows : pyarrow.Table of string
        All columns; null where a cell is no plain value.
    lists : mapping of str to pyarrow.ListArray of string
        The columns that hold lists here; null where a cell is no list.
    structs : set of str
        The columns that hold objects here.
    odd : mapping of str to (int, str)
        For a column of lists the first line that disagrees, and why.
    """

    numbers: np.ndarray[Any, np.dtype[np.int64]]
    rows: pa.Table
    lists: dict[str, pa.ListArray]
    structs: set[str]
    odd: dict[str, tuple[int, str]]


def _list_column(path: Path, name: str, chunks: Sequence[_Chunk]) -> pa.ChunkedArray:
    """A column of lists, over all chunks.

    Raises
    ------
    DataError
        A cell of it is neither a list of plain values nor null.
    """
    for chunk in chunks:
        number, reason = chunk.odd.get(name, (0, ""))
        if not number and name not in chunk.lists and name in chunk.rows.column_names:
            present = np.flatnonzero(~nulls_of(chunk.rows.column(name)))
            number, reason = (int(chunk.numbers[present[0]]), NO_LIST) if len(present) else (0, "")
        if number:
            raise DataError(f"{path}, line {number:,}: {name!r} {reason}")
    kind = pa.list_(pa.string())
    return pa.chunked_array(
        [chunk.lists.get(name, pa.nulls(len(chunk.numbers), kind)) for chunk in chunks], kind
    )


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


def _columns(numbered: Sequence[tuple[int, dict[str, Any]]]) -> _Chunk:
    names = dict.fromkeys(name for _, row in numbered for name in row)
    numbers = np.array([number for number, _ in numbered], dtype=np.int64)
    columns = {}
    chunk = _Chunk(numbers, None, {}, set(), {})
    for name in names:
        values = [row.get(name) for _, row in numbered]
        columns[name] = strings([cell_text(value) for value in values])
        if any(isinstance(value, dict) for value in values):
            chunk.structs.add(name)
        elif any(isinstance(value, list) for value in values):
            cells = [_list_cell(value) for value in values]
            chunk.lists[name] = string_lists([cell if isinstance(cell, list) else None for cell in cells])
            odd = next((row for row, cell in enumerate(cells) if isinstance(cell, str)), None)
            if odd is not None:
                chunk.odd[name] = (int(numbers[odd]), str(cells[odd]))
    return replace(chunk, rows=string_table(columns))


def _list_cell(value: Any) -> list[str | None] | str | None:
    """The labels of a list; for what is neither list nor null, what is wrong with it."""
    if value is None:
        return None
    if not isinstance(value, list):
        return NO_LIST
    if any(isinstance(part, list | dict) for part in value):
        return "holds a list or an object within a list; write one list of plain values"
    return [cell_text(part) for part in value]
