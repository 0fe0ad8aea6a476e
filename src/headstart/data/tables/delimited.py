"""CSV and TSV files."""

from __future__ import annotations

import csv
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv as arrow_csv

from headstart.arrow import strings
from headstart.data.encoding import codec_name, reading
from headstart.data.growing import GrowingTable
from headstart.data.tables.file import RowNumbers, TableFile, check_names, string_table
from headstart.errors import DataError

BLOCK_BYTES = 1 << 20
LONGEST_ROW = 1 << 24
"""A row must fit into a block; and no sane row is longer than 16 MB."""

DELIMITERS = ",;\t|"
SHOWN = {",": "", ";": " separated by semicolons", "\t": " separated by tabs", "|": " separated by bars"}


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
