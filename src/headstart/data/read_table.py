"""A table's file, read whole: `read_table_file` is the one door, and a reader for each format stands behind it.

What the file is called says its format, else its first bytes do; whether it is compressed its first bytes say alone.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from headstart.data.conll import CONLL_SUFFIXES, LOOKED_AT, looks_like_conll
from headstart.data.options import OF_DIALECT
from headstart.data.streams import (
    BLOCK_BYTES,
    bare_name,
    codec_name,
    compression_of,
    folder_of_process,
    lines,
    open_bytes,
    unpack,
)
from headstart.data.table_file import reading
from headstart.errors import ConfigError, DataError
from headstart.remote.paths import remarks_on

if TYPE_CHECKING:
    from headstart.data.options import SourceOptions
    from headstart.data.table_file import TableFile

    Read = Callable[[Path, SourceOptions], TableFile]

_READERS = {
    ".csv": "delimited:read_delimited",
    ".tsv": "delimited:read_delimited",
    ".tab": "delimited:read_delimited",
    ".jsonl": "json_rows:read_json",
    ".ndjson": "json_rows:read_json",
    ".parquet": "parquet:read_parquet",
    ".arrow": "arrow_files:read_arrow",
    ".feather": "arrow_files:read_arrow",
    ".ipc": "arrow_files:read_arrow",
    **dict.fromkeys(CONLL_SUFFIXES, "conll:read_conll"),
}
_OFTEN_OTHERS = {
    ".json": "json_rows:read_json",
    ".txt": "text_lines:read_text_lines",
    ".label": "text_lines:read_text_lines",
}
"""Formats of tables in which people write other things as well."""
TABLE_SUFFIXES = (*_READERS, *_OFTEN_OTHERS)
_MAYBE_CONLL = (".txt", ".tsv", ".tab")
"""Endings that files with a word and its tags a line have as well."""
_BINARY = {b"PAR1": ".parquet", b"ARROW1": ".arrow", b"FEA1": ".feather"}


def is_table(name: str) -> bool:
    """Whether a file's ending says that it is a table, be it compressed."""
    return suffix_of(name) in TABLE_SUFFIXES


def is_surely_table(name: str) -> bool:
    """The same, of endings that hardly anything else has."""
    return suffix_of(name) in _READERS


def suffix_of(name: str) -> str:
    """The ending that says the format.

    Examples
    --------
    >>> suffix_of("train.csv.gz"), suffix_of("Train.CSV")
    ('.csv', '.csv')
    """
    return os.path.splitext(bare_name(name))[1].lower()


def stem_of(name: str) -> str:
    """A file's name without the endings of its format and compression.

    Examples
    --------
    >>> stem_of("train.csv.gz"), stem_of("v1.2.parquet")
    ('train', 'v1.2')
    """
    return os.path.splitext(bare_name(name))[0]


def format_of(location: Any) -> str | None:
    """The ending of the table that a place of data is, or of those that a pattern stands for; None if it is another.

    Examples
    --------
    >>> format_of("data/train-*.csv.gz"), format_of("data/photos"), format_of(None)
    ('.csv', None, None)
    """
    suffix = suffix_of(os.path.basename(location)) if isinstance(location, str) else ""
    return suffix if suffix in TABLE_SUFFIXES else None


def read_table_file(path: Path, options: SourceOptions) -> TableFile:
    """Read a table of any format.

    Raises
    ------
    DataError
        It is empty, cut short, malformed, or written in another encoding.
    ConfigError
        An option does not fit its format.
    """
    with reading(path):
        suffix = suffix_of(path.name)
        if suffix not in TABLE_SUFFIXES:
            suffix = _sniffed(path)
        if suffix in _MAYBE_CONLL and not options.for_delimited() and _has_words(path, options):
            suffix = CONLL_SUFFIXES[0]
        compression = compression_of(path)
        options, said = _fitting(path, suffix, options)
    _check_options(path, suffix, options)
    if compression and suffix in _BINARY.values():
        table = _read_unpacked(path, suffix, options)
    else:
        table = _reader(suffix)(path, options)
    table = replace(table, said=[*said, *table.said, *remarks_on([path])])
    if compression:
        table = replace(table, kind=f"{table.kind} ({compression})")
    if not len(table.numbers):
        raise DataError(f"{path} holds no rows{_first_problem(table)}")
    return table


def _reader(suffix: str) -> Read:
    module, _, name = ({**_READERS, **_OFTEN_OTHERS})[suffix].partition(":")
    return cast("Read", getattr(import_module(f"headstart.data.{module}"), name))


def _sniffed(path: Path) -> str:
    """The format of a file whose name does not say it."""
    with open_bytes(path) as file:
        start = file.read(BLOCK_BYTES >> 4)
    for magic, suffix in _BINARY.items():
        if start.startswith(magic):
            return suffix
    begins = start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if begins in (b"{", b"["):
        return ".json"
    first = start.lstrip().partition(b"\n")[0]
    return ".csv" if any(mark in first for mark in b",;\t|") and b"__label__" not in first else ".txt"


def _has_words(path: Path, options: SourceOptions) -> bool:
    """Whether a file holds a word and its tags a line."""
    return looks_like_conll(
        [line.rstrip("\r\n") for line in islice(lines(path, codec_name(options.encoding)), LOOKED_AT)]
    )


def _fitting(path: Path, suffix: str, options: SourceOptions) -> tuple[SourceOptions, list[str]]:
    """The options without what was remembered of files of another format or encoding, and what to say of it."""
    if suffix != options.remembered_of and (
        options.remembered_of is not None or suffix in (".txt", ".label")
    ):
        options = options.forgetting(OF_DIALECT)
    if "encoding" not in options.remembered:
        return options, []
    with open_bytes(path) as file:
        start = file.read(BLOCK_BYTES >> 4)
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return options, []
    if codecs.getincrementaldecoder(codec_name(options.encoding))("replace").decode(start) == text:
        return options, []
    return options.forgetting(["encoding"]), [f"it is UTF-8, and the run's data was {options.encoding}"]


def _check_options(path: Path, suffix: str, options: SourceOptions) -> None:
    if suffix in (".csv", ".tsv", ".tab", ".txt", ".label", *CONLL_SUFFIXES):
        return
    for option in options.for_delimited():
        raise ConfigError(f"{option} is for CSV, TSV and text files, but {path} is none; leave it out")


def _read_unpacked(path: Path, suffix: str, options: SourceOptions) -> TableFile:
    """Read a format whose bytes are read here and there: unpacked into a file that goes with this process."""
    unpacked = folder_of_process() / (stem_of(path.name) + suffix)
    with reading(path):
        unpack(path, unpacked)
    return _reader(suffix)(unpacked, options)


def _first_problem(table: TableFile) -> str:
    if not table.bad_rows:
        return ""
    number, reason = table.bad_rows[0]
    return f" that can be read (row {number}: {reason})"
