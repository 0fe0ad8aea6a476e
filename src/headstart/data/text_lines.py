"""Text files, a sample a line: plain texts, fastText's ``__label__`` lines, or lines that begin with their label."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from headstart.arrow import strings
from headstart.data.delimited import read_delimited
from headstart.data.dialect import LABEL, SAMPLE_CHARACTERS, TEXT
from headstart.data.growing import GrowingTable
from headstart.data.label_cells import string_lists
from headstart.data.source import BLOCK_ROWS, string_table
from headstart.data.streams import codec_name, head, lines
from headstart.data.table_file import RowNumbers, TableFile, reading
from headstart.errors import DataError
from headstart.words import plural

if TYPE_CHECKING:
    from headstart.data.options import SourceOptions

_LINE_END = re.compile(r"\r\n|\n|\r")  # str.splitlines knows eight more
FASTTEXT = "__label__"
FEWEST_LINES = 4
"""Fewer say nothing of what lines begin with."""
_BEGINS = re.compile(r"(\d{1,3}|[A-Z][A-Z0-9_]*:[A-Za-z0-9_]+|[A-Z][A-Z0-9_]+)[ \t]+\S")
"""A label in front of a text: a small number, or one as in TREC's ``DESC:manner``; lower-case words are words."""

_Cut = Callable[[str], "tuple[str, list[str]]"]
"""A line as its text and its labels."""


def read_text_lines(path: Path, options: SourceOptions) -> TableFile:
    """Read a sample a line; blank lines are skipped, but counted.

    Raises
    ------
    DataError
        It holds no text, or a line lacks the label that others begin with.
    """
    codec = codec_name(options.encoding)
    with reading(path, codec):
        sample = head(path, codec, SAMPLE_CHARACTERS)
        first = [line for line in _LINE_END.split(sample) if line.strip()][: BLOCK_ROWS // 8]
        if len(sample) == SAMPLE_CHARACTERS and len(first) > 1:
            first.pop()
        if not first:
            raise DataError(f"{path} is empty")
        if options.delimiter or options.columns or options.header is not None or _are_cells(first):
            return read_delimited(path, options)
        kind, cut, n_labels = _form(first)
        return _read(path, codec, kind, cut, n_labels)


def _are_cells(first: Sequence[str]) -> bool:
    """Whether tabs divide all lines alike."""
    counts = {line.count("\t") for line in first}
    return len(counts) == 1 and counts != {0} and len(first) > 1


def _form(first: Sequence[str]) -> tuple[str, _Cut, int]:
    """What the lines are, how one is cut, and how many labels it has at most."""
    if all(line.startswith(FASTTEXT) for line in first):
        return "fastText lines", _cut_fasttext, max(len(_cut_fasttext(line)[1]) for line in first)
    if len(first) >= FEWEST_LINES and all(map(_BEGINS.match, first)):
        labels = {line.split(None, 1)[0] for line in first}
        if 2 * len(labels) <= len(first):
            return "lines that begin with their label", _cut_label, 1
    return "text, a sample a line", lambda line: (line, []), 0


def _cut_fasttext(line: str) -> tuple[str, list[str]]:
    labels = []
    while line.startswith(FASTTEXT):
        word, _, line = line.partition(" ") if " " in line else (line, "", "")
        labels.append(word.removeprefix(FASTTEXT))
        line = line.lstrip(" ")
    return line, labels


def _cut_label(line: str) -> tuple[str, list[str]]:
    label, text = line.split(None, 1) if len(line.split(None, 1)) == 2 else ("", line)
    return text, [label] if label else []


def _read(path: Path, codec: str, kind: str, cut: _Cut, n_labels: int) -> TableFile:
    stored = GrowingTable()
    left_out = array("q")
    labels: list[Any] = []
    block: list[tuple[str, list[str]]] = []
    n = 0

    def flush() -> None:
        stored.append(_columns(block, n_labels))
        if n_labels > 1:
            labels.append(string_lists([found for _, found in block]))
        block.clear()

    for number, line in enumerate(lines(path, codec), 1):
        line = line.rstrip("\n")
        if not line.strip():
            left_out.append(number)
            continue
        text, found = cut(line)
        if n_labels and not found:
            raise DataError(
                f"{path}, line {number:,}: it does not begin with a label, as the lines before it do; mend it, or make "
                "a CSV or TSV of texts and labels"
            )
        if n_labels == 1 and len(found) > 1:
            return _read(path, codec, kind, cut, len(found))
        n += 1
        block.append((text, found))
        if len(block) == BLOCK_ROWS:
            flush()
    if block or not n:
        flush()
    lists = {LABEL: partial(pa.chunked_array, labels, pa.list_(pa.string()))} if n_labels > 1 else {}
    return TableFile(
        kind,
        stored.whole(),
        RowNumbers(n, left_out),
        lists=lists,
        stored=stored,
        said=[f"{len(left_out):,} blank {plural('line', len(left_out))}"] if left_out else [],
    )


def _columns(block: Sequence[tuple[str, list[str]]], n_labels: int) -> pa.Table:
    columns = {TEXT: strings([text for text, _ in block])}
    if n_labels == 1:
        columns[LABEL] = strings([found[0] for _, found in block])
    return string_table(columns)
