"""Files of corrections: CSV by RFC 4180 with a header, every row as it was written or refused with its line."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.cache.corrections import ACTIONS
from headstart.cache.layout import STATE_NAME
from headstart.data.label_cells import cell_text
from headstart.errors import ConfigError, DataError
from headstart.files import content_digest
from headstart.options import did_you_mean
from headstart.places import expanded

COLUMNS = ("key", "id", "label", "old", "new", "action", "note", "digest")
NEEDED = tuple(name for name in COLUMNS if name != "note")
LONGEST_CELL = 1 << 24
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
"""Spreadsheets write semicolons where a comma stands in numbers."""
SHOWN = 60
_KEY = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a file as it is written; ``place`` says where it stands."""

    key: str
    id: str
    label: str
    old: str
    new: str
    action: str
    note: str
    digest: str
    place: str


@dataclass(frozen=True)
class CorrectionFile:
    """Corrections that were given together: what they are called, what they say, and the BLAKE2b-64 of it in hex.

    ``n_open`` are rows in which nothing is decided yet.
    """

    name: str
    digest: str
    rows: tuple[Row, ...]
    n_open: int = 0

    @classmethod
    def of(cls, name: str, digest: str, rows: Iterable[Row | None]) -> CorrectionFile:
        """Of rows, None where nothing is decided."""
        found = list(rows)
        decided = tuple(row for row in found if row is not None)
        return cls(name, digest, decided, len(found) - len(decided))


def read_files(given: Any) -> list[CorrectionFile]:
    """Read corrections: one file or table, or several in any order.

    Parameters
    ----------
    given : path, pyarrow.Table, DataFrame, or a sequence of them

    Raises
    ------
    DataError
        A file cannot be read, or a row says something that no correction can; the message has its line.
    ConfigError
        It is neither a path nor a table.
    """
    several = given if isinstance(given, list | tuple) else [given]
    return [_read(one) for one in several]


def _read(given: Any) -> CorrectionFile:
    if isinstance(given, str | os.PathLike):
        return _read_csv(Path(expanded(given)))
    return _read_table(given)


def _read_csv(path: Path) -> CorrectionFile:
    content, lines = read_lines(path)
    return CorrectionFile.of(
        path.name, content_digest(content), (_checked(values, place) for values, place in lines)
    )


def read_lines(path: Path) -> tuple[bytes, list[tuple[Mapping[str, str], str]]]:
    """A file, and its rows by the names of their columns, each with its place.

    Raises
    ------
    DataError
        It cannot be read, or is no CSV with the columns of corrections.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}; it is to be a file of corrections"
        ) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line:,}: it is not UTF-8; save it as UTF-8") from error
    with _long_cells():
        return content, list(_lines(path, text))


def _lines(path: Path, text: str) -> Iterator[tuple[Mapping[str, str], str]]:
    """The rows by the names of their columns, with their places."""
    delimiter = _delimiter_of(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    start = 1
    try:
        for row in reader:
            place, start = f"{path}, line {start:,}", reader.line_num + 1
            if not row:
                continue
            if header is None:
                header = _header(row, place)
                continue
            if len(row) != len(header):
                raise DataError(
                    f"{place}: {len(row)} values where the header has {len(header)}; put values with "
                    f"{DELIMITERS[delimiter]} into quotes"
                )
            yield dict(zip(header, row, strict=True)), place
    except csv.Error as error:
        raise DataError(
            f"{path}, line {start:,}: {error}; quotes are not as CSV has them (RFC 4180)"
        ) from error
    if header is None:
        raise DataError(f"{path} is empty; its first line is to be {','.join(COLUMNS)}")


def _delimiter_of(text: str) -> str:
    """What parts the names of the header: the first with which all columns of corrections are there, else a comma."""
    for delimiter in DELIMITERS:
        with suppress(csv.Error):
            rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
            if set(NEEDED) <= set(next(filter(None, rows), ())):
                return delimiter
    return ","


def _header(names: Sequence[str], place: str) -> list[str]:
    missing = [name for name in NEEDED if name not in names]
    if missing:
        found = ", ".join(map(repr, names))[:200]
        raise DataError(
            f"{place}: there is no column {missing[0]!r} of corrections (there are {found}); the header is "
            f"{','.join(COLUMNS)}"
        )
    if twice := [name for name in NEEDED if names.count(name) > 1]:
        raise DataError(f"{place}: there are several columns {twice[0]!r}; keep one")
    return list(names)


def _checked(values: Mapping[str, str], place: str) -> Row | None:
    """A row that can be one; None of a suggestion that nobody has filled in. With a new label alone it relabels."""
    if not values["action"]:
        values = {**values, "action": "relabel" if values["new"] else ""}
        if not values["action"]:
            return None
    row = Row(**{name: values.get(name, "") for name in COLUMNS}, place=place)
    if any("\ud800" <= letter <= "\udfff" for text in values.values() for letter in text):
        raise DataError(f"{place}: it holds half of a character (a surrogate), which no file in UTF-8 can")
    key, digest = row.key.strip().lower(), row.digest.strip().lower()
    if not _KEY.fullmatch(key):
        raise DataError(f"{place}: {row.key[:SHOWN]!r} is no key; keys are 32 hex digits")
    if not STATE_NAME.fullmatch(digest):
        raise DataError(
            f"{place}: {row.digest[:SHOWN]!r} is no digest; it is the state of the set that the corrections were made "
            "for, 16 hex digits"
        )
    if row.action not in ACTIONS:
        raise DataError(
            f"{place}: there is no action {row.action[:SHOWN]!r}{did_you_mean(row.action, ACTIONS)}"
        )
    if row.action == "relabel" and not row.new:
        raise DataError(f"{place}: relabel without a new label; write one, or drop the sample")
    if row.action != "relabel" and row.new:
        raise DataError(
            f"{place}: {row.action} takes no new label, and here is {row.new[:SHOWN]!r}; did you mean relabel?"
        )
    return Row(key, row.id, row.label, row.old, row.new, row.action, row.note, digest, place)


@contextmanager
def _long_cells() -> Iterator[None]:
    """Let Python's reader take labels as long as texts are."""
    limit = csv.field_size_limit(LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


# -- tables


def _read_table(given: Any) -> CorrectionFile:
    columns = _columns_of(given)
    _header(list(columns), "corrections")
    lines = zip(*(columns[name] for name in columns), strict=True)
    texts = [[_cell(value) for value in line] for line in lines]
    rows = [
        _checked(dict(zip(columns, line, strict=True)), f"corrections, row {number:,}")
        for number, line in enumerate(texts)
    ]
    said = json.dumps([list(columns), texts], ensure_ascii=False).encode("utf-8", "surrogatepass")
    return CorrectionFile.of("a table", content_digest(said), rows)


def _columns_of(given: Any) -> dict[str, list[Any]]:
    """The columns of a table of Arrow, pandas or polars, or of rows by name."""
    if hasattr(given, "to_pydict"):  # Arrow
        return dict(given.to_pydict())
    if hasattr(given, "to_dict"):
        columns = given.to_dict("list") if hasattr(given, "iloc") else given.to_dict(as_series=False)
        return {str(name): list(values) for name, values in columns.items()}
    raise ConfigError(
        f"corrections are a file, an Arrow table or a DataFrame, or several of them (got a {type(given).__name__})"
    )


def _cell(value: Any) -> str:
    """A value as a file has it."""
    if isinstance(value, bytes):
        return value.hex()
    value = value.tolist() if hasattr(value, "tolist") else value  # of numpy
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, ensure_ascii=False)
    return cell_text(value) or ""
