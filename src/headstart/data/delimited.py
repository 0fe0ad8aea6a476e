r"""CSV, TSV and their like: every row as it was written, or refused.

A file is read in blocks that end with a row. Arrow parses a block, and the row ends that lie outside quotes are counted
beside it; where the two disagree the table is refused. What Arrow does not take, a row with too few or too many cells
or quotes in odd places, is read by Python's parser, which checks what RFC 4180 says of quotes.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from headstart.arrow import strings
from headstart.data.dialect import SAMPLE_CHARACTERS, SHOWN, Dialect, find_dialect
from headstart.data.growing import GrowingTable
from headstart.data.options import check_quoting
from headstart.data.source import BLOCK_ROWS, string_table
from headstart.data.streams import bare_name, codec_name, head, lines, texts
from headstart.data.swallowed import LongCells
from headstart.data.table_file import RowNumbers, TableFile, reading
from headstart.errors import DataError
from headstart.words import plural

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.data.options import SourceOptions

DOUBLE, NONE = "double", "none"
LONGEST_ROW = 1 << 24
"""No sane row is longer than 16 MB."""
_QUOTE, _LF, _CR = b'"\n\r'
_OPENED = re.compile(r'(?:^|\t)"')


class OddQuotesError(Exception):
    """Quotes that RFC 4180 does not allow: the line of the row, from 1 (0: not known), and what is wrong there."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line, self.reason = line, reason


def read_delimited(path: Path, options: SourceOptions) -> TableFile:
    """Read all columns as strings; rows with too few or too many values are bad rows.

    Quotes count if every cell that opens one closes it by RFC 4180. Otherwise they are characters like others, if that
    gives every row as many cells as the first, or in TSV whatever it gives.

    Raises
    ------
    DataError
        Neither reading of the quotes is right, or two readers do not count the same rows.
    ConfigError
        An option does not fit the file.
    """
    check_quoting(options.quoting)
    codec = codec_name(options.encoding)
    with reading(path, codec), _long_cells():
        sample = head(path, codec, SAMPLE_CHARACTERS)
        if options.quoting == NONE:
            return _Reader(path, codec, find_dialect(path, sample, options, quoted=False)).read()
        try:
            reader = _Reader(path, codec, find_dialect(path, sample, options, quoted=True))
            return reader.read(lenient=options.quoting == DOUBLE)
        except OddQuotesError as odd:
            return _read_literally(path, codec, sample, options, odd)


@contextmanager
def _long_cells() -> Iterator[None]:
    """Let Python's reader take cells as long as a row may be."""
    limit = csv.field_size_limit(LONGEST_ROW)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _read_literally(
    path: Path, codec: str, sample: str, options: SourceOptions, odd: OddQuotesError
) -> TableFile:
    place = f"line {odd.line:,}: {odd.reason}"
    if options.quoting == DOUBLE:
        raise DataError(f"{path}, {place}; mend it, or pass --quoting none to take quotes literally") from odd
    dialect = find_dialect(path, sample, options, quoted=False)
    said = f"quotes taken literally ({place}; --quoting double to have them enclose cells)"
    reader = _Reader(path, codec, dialect, said, patient=dialect.delimiter == "\t")
    try:
        return reader.read()
    except _RaggedError as ragged:
        raise DataError(
            f"{path}, {place}, and taken literally it would have {ragged}; mend the line, or say how quotes are meant "
            "with --quoting double (they enclose cells) or --quoting none (they are characters like others)"
        ) from odd


class _RaggedError(Exception):
    """A row of another length, in a file whose reading stands and falls with that."""


class _Reader:
    """Reads one file in one dialect; not ``patient``: a row of another length ends it."""

    def __init__(
        self, path: Path, codec: str, dialect: Dialect, said: str = "", patient: bool = True
    ) -> None:
        self._path, self._codec, self._dialect, self._patient = path, codec, dialect, patient
        self._width = len(dialect.names)
        self._said = [*dialect.said, *([said] if said else [])]
        self._forget()

    def _forget(self) -> None:
        self._stored = GrowingTable()
        self._stored.append(string_table({name: strings([]) for name in self._dialect.names}))
        self._bad: list[tuple[int, str]] = []
        self._n_rows = 0
        self._n_alone = self._n_nuls = 0
        self._has_line_feeds = self._header_seen = self._encloses = False
        self._long = LongCells(self._dialect.names, self._dialect.delimiter)

    def read(self, lenient: bool = False) -> TableFile:
        """All rows, by Arrow where quotes are where they belong, else by Python's reader.

        Raises
        ------
        OddQuotesError
            They are not, and nobody said that they may be.
        """
        try:
            for block, ends in self._blocks():
                self._take(block, ends)
        except OddQuotesError:
            self._forget()
            self._read_exactly(lenient)
        if not lenient:
            self._long.check(self._path, self._stored.whole())
        return self._table()

    def _table(self) -> TableFile:
        rows = self._stored.whole()
        numbers = RowNumbers(rows.num_rows, [number for number, _ in self._bad])
        said = [*self._said, *self._oddities()]
        return TableFile(self._kind(), rows, numbers, self._bad, stored=self._stored, said=said)

    def _kind(self) -> str:
        delimiter = self._dialect.delimiter
        is_tsv = bare_name(self._path.name).lower().endswith((".tsv", ".tab"))
        if delimiter == ("\t" if is_tsv else ","):
            return "TSV" if is_tsv else "CSV"
        return f"CSV separated by {SHOWN.get(delimiter, repr(delimiter))}"

    def _oddities(self) -> Iterator[str]:
        """What another reader could read otherwise."""
        if self._encloses and self._dialect.delimiter == "\t":
            yield "quotes enclose cells (each that opens is closed; --quoting none to take them literally)"
        if self._long.n:
            yield str(self._long)
        if self._n_nuls:
            n = self._n_nuls
            yield f"{n:,} NUL {plural('character', n)} kept"
        if self._n_alone and self._has_line_feeds:
            yield f"line ends of several kinds ({self._n_alone:,} carriage returns alone end rows)"

    # By Arrow

    def _blocks(self) -> Iterator[tuple[bytes, NDArray[np.int64]]]:
        """Blocks that end with a row, and where rows end in them."""
        rest = b""
        for text in texts(self._path, self._codec):
            block = rest + text.encode("utf-8")
            ends = self._row_ends(block, is_last=False)
            if not len(ends):
                if len(block) > LONGEST_ROW:
                    raise OddQuotesError(0, f"a row is longer than {LONGEST_ROW >> 20} MB")
                rest = block
                continue
            stop = int(ends[-1]) + 1
            yield block[:stop], ends
            rest = block[stop:]
        if rest:
            if rest[-1] not in (_LF, _CR):
                rest += b"\n"
            ends = self._row_ends(rest, is_last=True)
            if not len(ends) or ends[-1] + 1 < len(rest):
                raise OddQuotesError(0, "a quote is never closed")
            yield rest, ends

    def _row_ends(self, block: bytes, is_last: bool) -> Any:
        """The places of the bytes that end rows: line ends outside quotes."""
        raw = np.frombuffer(block, dtype=np.uint8)
        ends = np.flatnonzero(raw == _LF)
        if b"\r" in block:
            returns = np.flatnonzero(raw == _CR)
            last = len(raw) - 1
            alone = raw[np.minimum(returns + 1, last)] != _LF
            alone[returns == last] = is_last  # its line feed may follow
            ends = np.sort(np.concatenate([ends, returns[alone]]))
        if not self._dialect.quoted or b'"' not in block:
            return ends
        quotes = np.flatnonzero(raw == _QUOTE)
        opens = self._opening(raw, quotes)
        if not opens.any():
            return ends  # as in 5" screens: a quote within a cell is a character
        first = quotes[opens.argmax()]
        if quotes[0] < first and len(ends) and ends[0] < first:
            return ends[ends < first]  # the quotes before it are such
        self._encloses = True
        before = np.searchsorted(quotes, ends)
        outside = ends[before % 2 == 0]
        if len(outside):
            quotes = quotes[: before[np.searchsorted(ends, outside[-1])]]
            self._check_quotes(raw, quotes)
        return outside

    def _check_quotes(self, raw: NDArray[np.uint8], quotes: NDArray[np.int64]) -> None:
        """Every first quote opens a cell or is one of two in it, every second closes one or is one of two."""
        doubled = np.diff(quotes) == 1
        opening, closing = quotes[::2], quotes[1::2]
        opens = self._opening(raw, opening)
        opens[1:] |= doubled[1::2]
        closes = self._is_around(raw[np.minimum(closing + 1, len(raw) - 1)])
        closes[: len(doubled[1::2])] |= doubled[1::2]
        if not (opens.all() and closes.all()):
            raise OddQuotesError(0, "a quote within a cell")

    def _opening(self, raw: NDArray[np.uint8], quotes: NDArray[np.int64]) -> Any:
        """Which quotes begin a cell."""
        return self._is_around(raw[np.maximum(quotes - 1, 0)]) | (quotes == 0)

    def _is_around(self, raw: NDArray[np.uint8]) -> Any:
        """Which bytes stand before or after a cell."""
        return (raw == ord(self._dialect.delimiter)) | (raw == _LF) | (raw == _CR)

    def _take(self, block: bytes, ends: NDArray[np.int64]) -> None:
        starts = np.concatenate([[0], ends[:-1] + 1])
        raw = np.frombuffer(block, dtype=np.uint8)
        is_blank = (ends == starts) | ((ends == starts + 1) & (raw[starts] == _CR) & (raw[ends] == _LF))
        first = self._first_row(len(ends), is_blank)
        if first is None:
            return
        n = int((~is_blank[first:]).sum())
        block, ends = block[starts[first] :], ends[first:] - starts[first]
        raw = np.frombuffer(block, dtype=np.uint8)
        if b"\0" in block:
            self._n_nuls += block.count(b"\0")
        alone = raw[ends] == _CR
        self._n_alone += int(alone.sum())
        self._has_line_feeds |= not alone.all()
        if not n:
            return
        batch = self._parse(block)
        if batch is None or batch.num_rows != n:
            self._take_ragged(block, n)
            return
        if self._encloses and self._has_breaks(block, ends):
            self._long.add(batch, self._n_rows)
        self._append(batch)

    def _first_row(self, n_lines: int, is_blank: NDArray[np.bool_]) -> int | None:
        """The first row of a block, behind the header; None if there is none."""
        if self._n_rows or not self._dialect.has_header or self._header_seen:
            return 0
        found = np.flatnonzero(~is_blank)
        if not len(found):
            return None
        self._header_seen = True
        return int(found[0]) + 1 if found[0] + 1 < n_lines else None

    @staticmethod
    def _has_breaks(block: bytes, ends: NDArray[np.int64]) -> bool:
        """Whether lines end within cells."""
        return block.count(b"\n") + (block.count(b"\r") - block.count(b"\r\n")) > len(ends)

    def _parse(self, block: bytes) -> pa.Table | None:
        """A block by Arrow; None if a row has another length."""
        names = list(self._dialect.names)
        try:
            return arrow_csv.read_csv(
                pa.BufferReader(block),
                read_options=arrow_csv.ReadOptions(
                    use_threads=False, block_size=len(block) + 1, column_names=names
                ),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=self._dialect.delimiter,
                    quote_char='"' if self._dialect.quoted and b'"' in block else False,
                    newlines_in_values=True,
                ),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
                ),
            )
        except pa.ArrowInvalid:
            return None

    def _append(self, batch: pa.Table) -> None:
        self._stored.append(batch)
        self._n_rows += batch.num_rows

    # By Python's reader

    def _take_ragged(self, block: bytes, n: int) -> None:
        text = io.StringIO(block.decode("utf-8"), newline="")
        reader = csv.reader(text, delimiter=self._dialect.delimiter, quoting=self._dialect.quoting)  # type: ignore[arg-type]
        rows = [row for row in reader if row]
        if len(rows) != n:
            raise self._miscounted(len(rows), n)
        self._keep(rows)

    def _miscounted(self, n: int, other: int) -> DataError:
        return DataError(
            f"{self._path}, rows from {self._n_rows + 1:,}: one reader counts {n:,} rows and another {other:,}; mend "
            "the quotes and line ends there, or say what quotes are with --quoting none or --quoting double"
        )

    def _keep(self, rows: Sequence[Sequence[str]]) -> None:
        """Rows of the right length; the others are bad."""
        good = []
        for number, row in enumerate(rows, self._n_rows + 1):
            if len(row) == self._width:
                good.append(row)
            else:
                self._refuse(number, row)
        columns = zip(*good, strict=True) if good else [()] * self._width
        batch = string_table(dict(zip(self._dialect.names, map(strings, map(list, columns)), strict=True)))
        self._long.add(batch, self._n_rows)
        self._stored.append(batch)
        self._n_rows += len(rows)

    def _refuse(self, number: int, row: Sequence[str]) -> None:
        where = "header" if self._dialect.has_header else "first row"
        unclosed = ", as if a quote were never closed" if any("\n" in cell for cell in row) else ""
        reason = f"{len(row)} values where the {where} has {self._width}{unclosed}"
        if not self._patient:
            raise _RaggedError(f"{reason} in row {number:,}")
        if self._n_alone and self._has_line_feeds:
            raise DataError(
                f"{self._path}, row {number:,}: {reason}, and carriage returns alone end rows beside line feeds; "
                "put cells that hold one into quotes, or replace it"
            )
        self._bad.append((number, reason))

    def _read_exactly(self, lenient: bool) -> None:
        """All rows by Python's reader, which knows where a quote is not as RFC 4180 has it."""
        read: list[str] = []
        source = _noted(lines(self._path, self._codec, newline=""), read)
        reader = csv.reader(source, delimiter=self._dialect.delimiter, strict=not lenient)
        done = 0  # lines of the rows that are whole

        def rows_of() -> Iterator[list[str]]:
            nonlocal done
            for row in reader:
                done = reader.line_num
                if row:
                    yield row

        try:
            rows = rows_of()
            if self._dialect.has_header:
                next(rows, None)
                read.clear()
            while some := list(islice(rows, BLOCK_ROWS)):
                self._keep_checked(some, read, lenient)
                read.clear()
        except csv.Error as error:
            raise OddQuotesError(done + 1, _explained(error)) from error

    def _keep_checked(self, rows: Sequence[Sequence[str]], read: Sequence[str], lenient: bool) -> None:
        """Rows, once Arrow has counted as many in the lines that were read for them."""
        block = "".join(read).encode("utf-8")
        self._n_nuls += block.count(b"\0")
        self._n_alone += sum(line.endswith("\r") for line in read)
        self._has_line_feeds |= b"\n" in block
        self._encloses |= any(_OPENED.search(line) for line in read if '"' in line)
        batch = None if lenient else self._parse(block)
        if batch is not None and batch.num_rows != len(rows):
            raise self._miscounted(len(rows), batch.num_rows)
        self._keep(rows)


def _noted(source: Iterator[str], read: list[str]) -> Iterator[str]:
    for line in source:
        read.append(line)
        yield line


def _explained(error: csv.Error) -> str:
    said = str(error)
    if "expected after" in said:
        return "text follows a closing quote"
    if "unexpected end" in said or "field limit" in said:
        return "a quote is never closed"
    return said
