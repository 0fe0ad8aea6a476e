"""JSON: an object a line, an array of objects, or an object that holds one such array.

Python's parser reads it, not Arrow's: Arrow takes a column of dates for times and rewrites them, stops at a column that
mixes numbers and strings even if nobody asked for it, and does not say in which line. Numbers keep the writing that
they have in the file.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from headstart.arrow import strings
from headstart.data.answers import hold_answers, squad_rows
from headstart.data.growing import GrowingTable
from headstart.data.label_cells import cell_text, string_lists
from headstart.data.source import BLOCK_ROWS, string_table
from headstart.data.streams import codec_name, head, lines, texts
from headstart.data.table_file import RowNumbers, TableFile, reading
from headstart.errors import DataError

if TYPE_CHECKING:
    from headstart.data.options import SourceOptions

CHUNK_CHARACTERS = 1 << 23
LONGEST_VALUE = 1 << 26
"""Characters of one object of an array."""
NO_LIST = "is no list, but other lines hold lists; write a list in every line"
SURROGATE = "half of a surrogate pair, which no UTF-8 can write"
_LOOK = 1 << 16
_BLANKS = " \t\n\r"


def _constant(name: str) -> str | None:
    """What stands for JavaScript's numbers that are none: NaN is missing."""
    return None if name == "NaN" else name


_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_constant)

_Numbered = tuple[int, dict[str, Any]]


def read_json(path: Path, options: SourceOptions) -> TableFile:
    """Read rows of plain values, and lists of them; a blank line of JSON Lines is skipped, but counted.

    Raises
    ------
    DataError
        It is no JSON, or not of objects.
    """
    codec = codec_name(options.encoding)
    bad: list[tuple[int, str]] = []
    left_out = array("q")
    with reading(path, codec):
        if _is_by_line(path, codec):
            rows, kind, unit = _lines(path, codec), "JSONL", "line"
        else:
            rows, kind, unit = _Document(path, texts(path, codec)).rows(), "JSON", "row"
        return _table(path, kind, unit, squad_rows(path, rows), bad, left_out)


def _is_by_line(path: Path, codec: str) -> bool:
    """Whether it is an object a line: a second one follows the first, or the ending says so."""
    start = head(path, codec, _LOOK).lstrip(_BLANKS)
    if start.startswith("["):
        return False
    if ".jsonl" in path.name.lower() or ".ndjson" in path.name.lower():
        return True
    try:
        value, end = _DECODER.raw_decode(start)
    except (ValueError, RecursionError):
        first, _, more = start.partition("\n")
        return bool(more) and first.rstrip().endswith("}")
    if not isinstance(value, dict):
        return False
    if start[end:].lstrip(_BLANKS)[:1] == "{":
        return True
    holds_rows = any(isinstance(part, list) and part and isinstance(part[0], dict) for part in value.values())
    return not holds_rows and "\n" not in start[:end]


def _table(
    path: Path,
    kind: str,
    unit: str,
    rows: Iterator[tuple[int, str, dict[str, Any] | None]],
    bad: list[tuple[int, str]],
    left_out: array[int],
) -> TableFile:
    chunks: list[_Chunk] = []
    stored = GrowingTable()
    for numbered in _chunks(rows, bad, left_out):
        chunk, columns = _columns(numbered)
        chunks.append(chunk)
        stored.append(columns)
    if not chunks:
        raise DataError(f"{path} is empty" if not bad else f"{path}, {unit} {bad[0][0]}: {bad[0][1]}")
    unusable = dict.fromkeys((name for chunk in chunks for name in chunk.structs), "structs")
    names = dict.fromkeys(name for chunk in chunks for name in chunk.lists if name not in unusable)
    lists = {name: partial(_list_column, f"{path}, {unit}", name, chunks) for name in names}
    usable = stored.whole()
    usable = usable.select([name for name in usable.column_names if name not in {*unusable, *lists}])
    numbers = RowNumbers(sum(chunk.n_rows for chunk in chunks), left_out)
    return TableFile(kind, usable, numbers, bad, unusable, lists, stored=stored)


# Rows


def _lines(path: Path, codec: str) -> Iterator[tuple[int, str, dict[str, Any] | None]]:
    """Each line by its number, and the object in it; None for a blank one."""
    for number, line in enumerate(lines(path, codec), 1):
        yield number, line, None if line.isspace() else _row(path, number, line)


def _row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = _DECODER.decode(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}, line {number:,}: not JSON ({error}); mend or remove the line") from error
    if isinstance(row, dict):
        return row
    raise DataError(
        f"{path}, line {number:,}: a {_kind(row)}, not an object; "
        'write one object a line, such as {"text": "…", "label": "…"}'
    )


def _kind(value: Any) -> str:
    """What JSON calls a value; numbers are read as texts."""
    return "string or number" if isinstance(value, str) else type(value).__name__


class _Document:
    """A document that is read some characters at a time, forward."""

    def __init__(self, path: Path, source: Iterator[str]) -> None:
        self._path, self._source = path, source
        self._text, self._place = "", 0
        self._done_characters = 0

    def rows(self) -> Iterator[tuple[int, str, dict[str, Any] | None]]:
        """The objects of the array, by their numbers from 1."""
        if self._peek() == "[":
            yield from self._array()
        elif self._peek() == "{":
            yield from self._array_within()
        else:
            raise self._wrong("it begins with neither [ nor {")
        if self._peek():
            raise self._wrong("something follows its end")

    def _array_within(self) -> Iterator[tuple[int, str, dict[str, Any] | None]]:
        """The only array of objects of an object."""
        self._take("{")
        found = ""
        while self._peek() != "}":
            _, name = self._value()
            self._take(":")
            if self._peek() == "[" and self._holds_objects():
                if found:
                    raise DataError(
                        f"{self._path} holds two arrays of objects, {found!r} and {name!r}; keep that of the samples"
                    )
                found = str(name)
                yield from self._array()
            else:
                self._value()
            if self._peek() != "}":
                self._take(",")
        self._take("}")
        if not found:
            raise DataError(
                f"{self._path} holds no array of objects; write one, such as "
                '[{"text": "…", "label": "…"}] (pandas: orient="records")'
            )

    def _array(self) -> Iterator[tuple[int, str, dict[str, Any] | None]]:
        self._take("[")
        number = 0
        while self._peek() != "]":
            number += 1
            raw, row = self._value(f"row {number:,}")
            if not isinstance(row, dict):
                raise DataError(f"{self._path}, row {number:,}: a {_kind(row)}, not an object")
            yield number, raw, row
            if self._peek() != "]":
                self._take(",")
        self._take("]")

    def _holds_objects(self) -> bool:
        place = self._place + 1
        while True:
            rest = self._text[place:].lstrip(_BLANKS)
            if rest or not self._more():
                return rest[:1] == "{"
            place = self._place + 1

    def _more(self) -> bool:
        if not (text := next(self._source, "")):
            return False
        self._done_characters += self._place
        self._text = self._text[self._place :] + text
        self._place = 0
        return True

    def _peek(self) -> str:
        """The next character that is not blank; none at the end."""
        while True:
            while self._place < len(self._text):
                character = self._text[self._place]
                if character not in _BLANKS:
                    return character
                self._place += 1
            if not self._more():
                return ""

    def _take(self, character: str) -> None:
        if self._peek() != character:
            raise self._wrong(f"{character} is missing")
        self._place += 1

    def _value(self, where: str = "") -> tuple[str, Any]:
        """The next value, as it is written and as it is."""
        self._peek()
        wanted = 0
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._place)
                if end < len(self._text) or not self._more():
                    break
            except (ValueError, RecursionError) as error:
                if isinstance(error, RecursionError) or not self._grow(wanted, where):
                    raise self._wrong(f"{where or 'a value'} is not JSON ({error})") from error
                wanted = 2 * (len(self._text) - self._place)
        raw = self._text[self._place : end]
        self._place = end
        return raw, value

    def _grow(self, wanted: int, where: str) -> bool:
        """Read on, twice as far each time: a value may be cut; whether there was more."""
        if len(self._text) - self._place > LONGEST_VALUE:
            raise self._wrong(f"{where or 'a value'} is longer than {LONGEST_VALUE:,} characters")
        if not self._more():
            return False
        while len(self._text) < wanted and self._more():
            pass
        return True

    def _wrong(self, reason: str) -> DataError:
        place = self._done_characters + self._place + 1
        return DataError(f"{self._path}, character {place:,}: {reason}; mend it, or make it again")


# Columns


@dataclass(frozen=True, slots=True)
class _Chunk:
    """What is known of consecutive rows beside their plain values.

    ``plain`` has the columns of plain values with the number of the first row with one, ``lists`` those of lists
    (null where a cell is none), ``structs`` those of objects, and ``odd`` for a column of lists the first row that
    disagrees, and why.
    """

    n_rows: int
    plain: dict[str, int]
    lists: dict[str, pa.ListArray]
    structs: set[str]
    odd: dict[str, tuple[int, str]]


def _list_column(where: str, name: str, chunks: Sequence[_Chunk]) -> pa.ChunkedArray:
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
            raise DataError(f"{where} {number:,}: {name!r} {reason}")
    kind = pa.list_(pa.string())
    return pa.chunked_array([chunk.lists.get(name, pa.nulls(chunk.n_rows, kind)) for chunk in chunks], kind)


def _chunks(
    rows: Iterator[tuple[int, str, dict[str, Any] | None]], bad: list[tuple[int, str]], left_out: array[int]
) -> Iterator[list[_Numbered]]:
    """Numbered rows, a bounded number at a time; notes those that cannot be kept."""
    chunk: list[_Numbered] = []
    size = 0
    for number, raw, row in rows:
        if row is None:
            left_out.append(number)
            continue
        if _is_storable(raw, row):
            chunk.append((number, row))
            size += len(raw)
        else:
            left_out.append(number)
            bad.append((number, SURROGATE))
        if len(chunk) == BLOCK_ROWS or size > CHUNK_CHARACTERS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _is_storable(raw: str, row: dict[str, Any]) -> bool:
    """Whether UTF-8 can write all of a row: an escape may stand for half of a surrogate pair."""
    if "\\ud" not in raw and "\\uD" not in raw:
        return True
    try:
        json.dumps(row, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _columns(numbered: Sequence[_Numbered]) -> tuple[_Chunk, pa.Table]:
    """What is known of some rows, and their plain values as strings; null where a cell is none."""
    names = dict.fromkeys(name for _, row in numbered for name in row)
    columns = {}
    chunk = _Chunk(len(numbered), {}, {}, set(), {})
    for name in names:
        values = [row.get(name) for _, row in numbered]
        if any(map(hold_answers, values)):
            values = [None if value is None else json.dumps(value) for value in values]
        kinds = set(map(type, values))
        texts = values if kinds <= {str, type(None)} else [cell_text(value) for value in values]
        columns[name] = strings(texts)
        first = next((place for place, text in enumerate(texts) if text is not None), None)
        if first is not None:
            chunk.plain[name] = numbered[first][0]
        if dict in kinds:
            chunk.structs.add(name)
        elif list in kinds:
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
