"""A table's file, read whole: `read_table_file` is the one door, and the hand-written readers of text stand behind it.

JSON Lines are read by Python's parser, not Arrow's: Arrow takes a column of dates for times and rewrites them, stops at
a column that mixes numbers and strings even if nobody asked for it, and does not say in which line.
"""

from __future__ import annotations

import codecs
import csv
import json
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv as arrow_csv

from headstart.arrow import strings
from headstart.data.growing import GrowingTable
from headstart.data.label_cells import cell_text, string_lists
from headstart.data.source import BLOCK_ROWS, string_table
from headstart.data.table_file import RowNumbers, TableFile, check_names, reading
from headstart.errors import ConfigError, DataError

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")

BLOCK_BYTES = 1 << 20
LONGEST_ROW = 1 << 24
"""A row must fit into a block; and no sane row is longer than 16 MB."""

DELIMITERS = ",;\t|"
SHOWN = {",": "", ";": " separated by semicolons", "\t": " separated by tabs", "|": " separated by bars"}

CHUNK_CHARACTERS = 1 << 23
NO_LIST = "is no list, but other lines hold lists; write a list in every line"


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
            read = read_delimited
        case ".jsonl" | ".ndjson":
            read = read_jsonl
        case ".parquet":
            from headstart.data.parquet import read_parquet as read
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


def codec_name(encoding: str) -> str:
    """The codec of an encoding; UTF-8 always the one that skips a byte order mark.

    Raises
    ------
    ConfigError
        There is no such encoding.

    Examples
    --------
    >>> codec_name("UTF8"), codec_name("Latin-1")
    ('utf-8-sig', 'iso8859-1')
    """
    try:
        name = codecs.lookup(encoding).name
        "".encode(name)  # "hex" and its like are codecs, but not of text
        codecs.getincrementaldecoder(name)
    except (LookupError, ValueError) as error:
        raise ConfigError(
            f"there is no encoding {encoding!r}; common ones are --encoding utf-8, latin-1, cp1252, utf-16"
        ) from error
    return "utf-8-sig" if name == "utf-8" else name


def read_delimited(path: Path, encoding: str) -> TableFile:
    """Read all columns as strings; rows with too few or too many values are bad rows."""
    codec = codec_name(encoding)
    with reading(path, codec):
        delimiter, names, n_blank = _header(path, codec)
        stored, bad = _read(path, codec, delimiter, names, n_blank)
    rows = stored.whole()
    numbers = RowNumbers(rows.num_rows, [number for number, _ in bad])
    kind = "TSV" if path.suffix.lower() == ".tsv" else f"CSV{SHOWN[delimiter]}"
    return TableFile(kind, rows, numbers, bad, stored=stored)


def _header(path: Path, codec: str) -> tuple[str, list[str], int]:
    """The delimiter, the names of the columns, and how many blank lines come before them.

    Python's reader names the columns, so that a name given twice, or none at all, is seen before
    Arrow reads them.
    """
    with open(path, encoding=codec, newline="") as file:
        n_blank = 0
        for line in file:
            if line.strip("\r\n"):
                break
            n_blank += 1
        else:
            raise DataError(f"{path} is empty")
        delimiter = "\t" if path.suffix.lower() == ".tsv" else _delimiter(line)
        names = next(csv.reader(chain([line], file), delimiter=delimiter))
    names = [name if name else f"column {number}" for number, name in enumerate(names, 1)]
    check_names(path, names)
    return delimiter, names, n_blank


def _delimiter(header: str) -> str:
    """The first delimiter that divides the header: many spreadsheets write semicolons."""
    for delimiter in DELIMITERS:
        if len(next(csv.reader([header], delimiter=delimiter), [])) > 1:
            return delimiter
    return ","


def _read(
    path: Path, codec: str, delimiter: str, names: list[str], n_blank: int
) -> tuple[GrowingTable, list[tuple[int, str]]]:
    """All rows, and those that are bad."""
    for block_bytes in (BLOCK_BYTES, LONGEST_ROW):
        try:
            return _read_blocks(path, codec, delimiter, names, n_blank, block_bytes)
        except pa.ArrowInvalid as error:
            if "straddling" not in str(error):
                raise
            straddling = error
    if path.stat().st_size < LONGEST_ROW:
        raise DataError(f"{path} holds no rows") from straddling  # a header without its newline
    raise DataError(
        f"{path}: a row is longer than {LONGEST_ROW >> 20} MB, as if a quote were never closed"
    ) from straddling


def _read_blocks(
    path: Path, codec: str, delimiter: str, names: list[str], n_blank: int, block_bytes: int
) -> tuple[GrowingTable, list[tuple[int, str]]]:
    bad: list[tuple[int, str]] = []

    def note(row: Any) -> str:
        bad.append((row.number - n_blank - 1, _ragged(row)))
        return "skip"

    stored = GrowingTable()
    with arrow_csv.open_csv(
        path,
        # Threads would not know the numbers of the rows.
        read_options=arrow_csv.ReadOptions(
            use_threads=False,
            block_size=block_bytes,
            skip_rows=n_blank,
            column_names=names,
            skip_rows_after_names=1,
            encoding="utf8" if codec == "utf-8-sig" else codec,
        ),
        parse_options=arrow_csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, invalid_row_handler=note
        ),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        ),
    ) as reader:
        stored.append(string_table({name: strings([]) for name in names}))
        for batch in reader:
            stored.append(pa.Table.from_batches([batch]))
    return stored, bad


def _ragged(row: Any) -> str:
    unclosed = ", as if a quote were never closed" if "\n" in (row.text or "") else ""
    return f"{row.actual_columns} values where the header has {row.expected_columns}{unclosed}"


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

    ``plain`` has the columns of plain values with the number of the first line with one, ``lists`` those of lists
    (null where a cell is none), ``structs`` those of objects, and ``odd`` for a column of lists the first line that
    disagrees, and why.
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
