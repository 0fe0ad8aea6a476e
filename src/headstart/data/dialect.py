"""How delimited text is written: what stands between cells, what quotes mean, and whether there is a header."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.data.column_names import KNOWN, plain
from headstart.data.streams import bare_name
from headstart.data.table_file import check_names
from headstart.errors import ConfigError, DataError
from headstart.words import counted

if TYPE_CHECKING:
    from headstart.data.options import SourceOptions

DELIMITERS = ",;\t|"
SHOWN = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "blanks"}
SAMPLE_CHARACTERS = 1 << 18
SAMPLE_ROWS = 200
LONGEST_NAME = 4
"""Words of a column's name; what has more is a text."""
TEXT, LABEL = "text", "label"
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")
_ESCAPES = {"\\t": "\t", "tab": "\t", "space": " "}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the cells of a file are told apart; ``quoted`` is False where quotes are characters like others.

    ``n_blank`` lines come before the first row; ``said`` is for the user.
    """

    delimiter: str
    quoted: bool
    names: tuple[str, ...]
    has_header: bool
    n_blank: int = 0
    said: tuple[str, ...] = ()

    @property
    def quoting(self) -> int:
        """What Python's reader calls it."""
        return csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE


def find_dialect(path: Path, sample: str, options: SourceOptions, quoted: bool) -> Dialect:
    """Look at the beginning of a file.

    Raises
    ------
    DataError
        It holds no row, or two columns have one name.
    ConfigError
        An option does not fit it.
    """
    n_blank, sample = _skip_blank(sample)
    if not sample:
        raise DataError(f"{path} is empty")
    usual = "\t" if bare_name(path.name).lower().endswith((".tsv", ".tab")) else _delimiter(sample, quoted)
    delimiter = _asked_delimiter(options.delimiter) or usual
    rows = _rows(sample, delimiter, quoted)
    said = []
    if "delimiter" in options.remembered and len(rows[0]) == 1 < len(_rows(sample, usual, quoted)[0]):
        said.append(f"cells are divided by {SHOWN[usual]}, and not as those of the run's data")
        delimiter, rows = usual, _rows(sample, usual, quoted)
    options, misfit = _fitting_names(options, rows)
    said += misfit
    has_header = options.header if options.header is not None else looks_like_header(rows)
    if has_header:
        names = [name if name else f"column {number}" for number, name in enumerate(rows[0], 1)]
        width = len(names)
    else:
        width = Counter(map(len, rows)).most_common(1)[0][0]
        names = _made_names(rows, width)
    if options.columns:
        if len(options.columns) != width:
            raise ConfigError(
                f"--columns names {len(options.columns)} columns, and {path} has {width}; name each, in order"
            )
        names = list(options.columns)
    if not has_header:
        asked = ", as --no-header says" if options.header is False else ""
        said.append(f"no header{asked}: columns {', '.join(map(repr, names))}")
    elif options.columns:
        said.append("its header under the names of --columns")
    check_names(path, names)
    return Dialect(delimiter, quoted, tuple(names), has_header, n_blank, tuple(said))


def _fitting_names(options: SourceOptions, rows: Sequence[Sequence[str]]) -> tuple[SourceOptions, list[str]]:
    """The options without a header and names that are remembered of other files, and wrong here; and what to say."""
    first = {plain(cell) for cell in rows[0]}
    known = {*map(plain, options.columns or ())} if "columns" in options.remembered else set[str]()
    if first & (known or KNOWN) and (known or (options.header is False and "header" in options.remembered)):
        had = "without one" if options.header is False else "under other names"
        options = options.forgetting(["header", "columns"])
        return replace(options, header=True), [f"it has a header; the run's data was read {had}"]
    said = []
    if options.header and "header" in options.remembered and not looks_like_header(rows):
        options = options.forgetting(["header"])
        said.append("it has no header, and the run's data has one")
    width = Counter(map(len, rows)).most_common(1)[0][0]
    if known and len(options.columns or ()) != width:
        said.append(f"it has {counted(width, 'column')}, and the run's data {len(options.columns or ())}")
        options = options.forgetting(["columns"])
    return options, said


def looks_like_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns.

    It does if one of its cells is a usual name of a column. It does not if one is a number, a text of many words, or a
    value of its column further down.

    Examples
    --------
    >>> looks_like_header([["text", "label"], ["a", "b"]]), looks_like_header([["so good", "pos"], ["bad", "pos"]])
    (True, False)
    """
    first = rows[0]
    if any(plain(cell) in KNOWN for cell in first):
        return True
    if any(_NUMBER.fullmatch(cell) or len(cell.split()) > LONGEST_NAME for cell in first):
        return False
    below = [row for row in rows[1:] if len(row) == len(first)]
    return not any(cell and cell in {row[place] for row in below} for place, cell in enumerate(first))


def columns_of_texts(rows: Sequence[Sequence[str]], width: int) -> tuple[list[int], list[int]]:
    """The places of columns of words, and of columns whose values come again."""
    rows = [row for row in rows if len(row) == width]
    words, repeating = [], []
    for place in range(width):
        cells = [row[place] for row in rows if row[place].strip()]
        distinct = set(cells)
        if 2 * sum(_has_words(cell) for cell in cells) > len(cells) and 2 * len(distinct) > len(cells):
            words.append(place)
        elif cells and 2 * len(distinct) <= len(cells):
            repeating.append(place)
    return words, repeating


def _made_names(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Names for the columns of a file without a header: text and label, where only one can be meant."""
    names = [f"column {number}" for number in range(1, width + 1)]
    if width == 1:
        return [TEXT]
    words, repeating = columns_of_texts(rows, width)
    if width == 2 and len(words) == 1 and len(rows) > 1:
        repeating = [1 - words[0]]
    if len(words) == 1:
        names[words[0]] = TEXT
    if len(repeating) == 1:
        names[repeating[0]] = LABEL
    return names


def _has_words(cell: str) -> bool:
    return sum(any(map(str.isalpha, word)) for word in cell.split()) > 1


def _skip_blank(sample: str) -> tuple[int, str]:
    n_blank = 0
    for line in io.StringIO(sample, newline=""):
        if line.strip("\r\n"):
            break
        n_blank += 1
    return n_blank, sample.lstrip("\r\n")


def _asked_delimiter(asked: str | None) -> str | None:
    if asked is None:
        return None
    found = _ESCAPES.get(asked.lower(), asked)
    if len(found) != 1 or found in '\r\n"' or ord(found) > 127:
        raise ConfigError(
            f"--delimiter takes one character, such as ',' or ';', or tab or space (got {asked!r})"
        )
    return found


def _delimiter(sample: str, quoted: bool) -> str:
    """The first delimiter that divides all rows alike; else the first that divides the first row."""
    dividing = []
    for delimiter in DELIMITERS:
        widths = [len(row) for row in _rows(sample, delimiter, quoted)]
        if widths[0] > 1:
            dividing.append(delimiter)
            if len(set(widths)) == 1 and len(widths) > 1:
                return delimiter
    return dividing[0] if dividing else ","


def _rows(sample: str, delimiter: str, quoted: bool) -> list[list[str]]:
    """The first rows, but for one that the end of the sample cuts."""
    quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    lines = io.StringIO(sample, newline="")
    reader = csv.reader(lines, delimiter=delimiter, quoting=quoting)  # type: ignore[arg-type]
    rows = [row for row in islice(reader, SAMPLE_ROWS) if row]
    if len(sample) == SAMPLE_CHARACTERS and not lines.read(1):
        rows = rows[:-1] or rows
    return rows
