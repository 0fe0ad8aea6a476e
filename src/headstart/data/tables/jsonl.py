"""JSON Lines files.

Python's parser, not Arrow's: Arrow takes a column of dates for times and rewrites them, stops at a
column that mixes numbers and strings even if nobody asked for it, and does not say in which line.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from headstart.arrow import strings
from headstart.data.blocks import BLOCK_ROWS
from headstart.data.encoding import codec_name, reading
from headstart.data.growing import GrowingTable
from headstart.data.labels.cells import cell_text
from headstart.data.labels.lists import string_lists
from headstart.data.tables.file import RowNumbers, TableFile, string_table
from headstart.errors import DataError

CHUNK_CHARACTERS = 1 << 23
NO_LIST = "is no list, but other lines hold lists; write a list in every line"


def read_jsonl(path: Path, encoding: str) -> TableFile:
    """Read one object a line; blank lines are skipped, but counted."""
    codec = codec_name(encoding)
    chunks: list[_Chunk] = []
    stored = GrowingTable()
    bad: list[tuple[int, str]] = []
    left_out = array("q")
    with reading(path, codec):
        for numbered in _chunks(path, codec, bad, left_out):
            chunk, rows = _columns(numbered)
            chunks.append(chunk)
            stored.append(rows)
        if not chunks:
            raise DataError(f"{path} is empty" if not bad else f"{path}, line {bad[0][0]}: {bad[0][1]}")
    unusable = dict.fromkeys((name for chunk in chunks for name in chunk.structs), "structs")
    names = dict.fromkeys(name for chunk in chunks for name in chunk.lists if name not in unusable)
    lists = {name: partial(_list_column, path, name, chunks) for name in names}
    usable = stored.whole()
    usable = usable.select([name for name in usable.column_names if name not in {*unusable, *lists}])
    numbers = RowNumbers(sum(chunk.n_rows for chunk in chunks), left_out)
    return TableFile("JSONL", usable, numbers, bad, unusable, lists, stored=stored)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """What is known of consecutive lines beside their plain values.

    Parameters
    ----------
    plain : mapping of str to int
        The columns that hold plain values here, and the number of the first line with one.
    lists : mapping of str to pyarrow.ListArray of string
        The columns that hold lists here; null where a cell is no list.
    structs : set of str
        The columns that hold objects here.
    odd : mapping of str to (int, str)
        For a column of lists the first line that disagrees, and why.
    """

    n_rows: int
    plain: dict[str, int]
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
        if not number and name not in chunk.lists and name in chunk.plain:
            number, reason = chunk.plain[name], NO_LIST
        if number:
            raise DataError(f"{path}, line {number:,}: {name!r} {reason}")
    kind = pa.list_(pa.string())
    return pa.chunked_array([chunk.lists.get(name, pa.nulls(chunk.n_rows, kind)) for chunk in chunks], kind)


def _chunks(
    path: Path, codec: str, bad: list[tuple[int, str]], left_out: array[int]
) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    """Numbered rows, a bounded number at a time; notes the lines that are none."""
    chunk: list[tuple[int, dict[str, Any]]] = []
    size = 0
    with open(path, encoding=codec) as file:
        for number, line in enumerate(file, 1):
            if line.isspace():
                left_out.append(number)
                continue
            row = _row(path, number, line)
            if _is_storable(line, row):
                chunk.append((number, row))
                size += len(line)
            else:
                left_out.append(number)
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


def _columns(numbered: Sequence[tuple[int, dict[str, Any]]]) -> tuple[_Chunk, pa.Table]:
    """What is known of some lines, and their plain values as strings; null where a cell is none."""
    names = dict.fromkeys(name for _, row in numbered for name in row)
    columns = {}
    chunk = _Chunk(len(numbered), {}, {}, set(), {})
    for name in names:
        values = [row.get(name) for _, row in numbered]
        texts = [cell_text(value) for value in values]
        columns[name] = strings(texts)
        first = next((place for place, text in enumerate(texts) if text is not None), None)
        if first is not None:
            chunk.plain[name] = numbered[first][0]
        if any(isinstance(value, dict) for value in values):
            chunk.structs.add(name)
        elif any(isinstance(value, list) for value in values):
            cells = [_list_cell(value) for value in values]
            chunk.lists[name] = string_lists([cell if isinstance(cell, list) else None for cell in cells])
            odd = next((row for row, cell in enumerate(cells) if isinstance(cell, str)), None)
            if odd is not None:
                chunk.odd[name] = (numbered[odd][0], str(cells[odd]))
    return chunk, string_table(columns)


def _list_cell(value: Any) -> list[str | None] | str | None:
    """The labels of a list; for what is neither list nor null, what is wrong with it."""
    if value is None:
        return None
    if not isinstance(value, list):
        return NO_LIST
    if any(isinstance(part, list | dict) for part in value):
        return "holds a list or an object within a list; write one list of plain values"
    return [cell_text(part) for part in value]
