"""CoNLL files: a word and its tags a line, in columns, and a blank line behind each sentence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.arrow import strings
from headstart.data.label_cells import string_lists
from headstart.data.source import string_table
from headstart.data.streams import codec_name, lines
from headstart.data.table_file import RowNumbers, TableFile, check_names, reading
from headstart.errors import ConfigError, DataError
from headstart.words import counted

if TYPE_CHECKING:
    from headstart.data.options import SourceOptions

CONLL_SUFFIXES = (".conll", ".conllu", ".iob", ".iob2", ".bio", ".conll03", ".ner")
DOCUMENT = "document"
"""The column with the number of the document that a sentence is of, where the file tells them apart."""
_DOCUMENT_START = "-DOCSTART-"
_CONLL_U = ("id", "tokens", "lemma", "upos_tags", "xpos_tags", "feats", "head", "deprel_tags", "deps", "misc")
_NAMES = {
    1: ("tokens",),
    2: ("tokens", "tags"),
    3: ("tokens", "pos_tags", "chunk_tags"),  # CoNLL-2000
    4: ("tokens", "pos_tags", "chunk_tags", "ner_tags"),  # CoNLL-2003
    10: _CONLL_U,
}
"""What the columns of files with so many are called."""
_PART_OF_ANOTHER = re.compile(r"\d+[-.]\d+")
"""The number of a line of CoNLL-U that is no word: a range of words written as one, or a word that is not written."""
_TAG = re.compile(r"O|[A-Z][-_].*")
_BLANKS = re.compile(r"[ \t]+")
LOOKED_AT = 200
"""Lines with words that tell how many columns there are."""


@dataclass(slots=True)
class _Sentence:
    """The cells of consecutive lines, and what is wrong with them."""

    rows: list[list[str]] = field(default_factory=list)
    problem: str = ""


@dataclass(slots=True)
class _Content:
    """What a file holds: of each sentence the cells by column, and the document that it is of."""

    columns: list[list[list[str]]]
    documents: list[str] = field(default_factory=list)
    bad_rows: list[tuple[int, str]] = field(default_factory=list)
    n_documents: int = 0
    n_comments: int = 0


def looks_like_conll(first: Sequence[str]) -> bool:
    """Whether the first lines of a file have a word and its tags each: as many cells, of which the last is a tag.

    Examples
    --------
    >>> looks_like_conll(["EU B-ORG", "rejects O", "", "Peter B-PER"])
    True
    >>> looks_like_conll(["I am O", "so is he"])
    False
    """
    if not any(not line.strip() for line in first):
        return False
    cells = [_cells(line, None) for line in first if line.strip() and not line.startswith("#")]
    cells = [row for row in cells if row[0] != _DOCUMENT_START]
    widths = {len(row) for row in cells}
    has_tags = all(_TAG.fullmatch(row[-1]) for row in cells)
    return len(widths) == 1 and widths != {1} and has_tags and any(row[-1] != "O" for row in cells)


def read_conll(path: Path, options: SourceOptions) -> TableFile:
    """Read a sentence a row: its words, and its tags by column, as lists.

    Words are in the first column, or the second of CoNLL-U. Lines that begin with ``#`` and have another number of
    cells than the others are comments; ``-DOCSTART-`` begins a document. A sentence of which a line has too few or too
    many cells is a bad row.

    Raises
    ------
    DataError
        It holds no words, or lines of as many cells as there are lines.
    ConfigError
        ``columns`` names more or fewer columns than it has.
    """
    codec = codec_name(options.encoding)
    with reading(path, codec):
        separator, width = _form(path, lines(path, codec))
        names = _names(path, width, options)
        content = _read(lines(path, codec), separator, names)
    columns = {name: content.columns[place] for place, name in enumerate(names)}
    n = len(content.columns[0])
    bad = [number for number, _ in content.bad_rows]
    rows = {DOCUMENT: strings(content.documents)} if content.n_documents else {}
    return TableFile(
        "CoNLL",
        string_table(rows),
        RowNumbers(n, bad),
        content.bad_rows,
        lists={name: partial(string_lists, cells) for name, cells in columns.items()},
        said=_said(content),
    )


def _said(content: _Content) -> list[str]:
    said = []
    if content.n_documents:
        said.append(
            f"{counted(content.n_documents, 'document')} ({_DOCUMENT_START}; --group-column {DOCUMENT} keeps each on "
            "one side of a split)"
        )
    if content.n_comments:
        said.append(f"{counted(content.n_comments, 'comment')} left out")
    return said


def _form(path: Path, all_lines: Iterable[str]) -> tuple[str | None, int]:
    """What stands between cells, None for blanks, and how many there are in a line."""
    held = (line.rstrip("\r\n") for line in all_lines if line.strip())
    first = list(islice((line for line in held if not line.startswith(_DOCUMENT_START)), LOOKED_AT))
    if not first:
        raise DataError(f"{path} holds no words")
    n_tabbed = sum("\t" in line for line in first)
    separator = "\t" if 2 * n_tabbed > len(first) else None
    words = [line for line in first if not line.startswith("#")] or first
    return separator, Counter(len(_cells(line, separator)) for line in words).most_common(1)[0][0]


def _cells(line: str, separator: str | None) -> list[str]:
    """Not by `str.split` alone, for which a no-break space within a word divides it."""
    if separator is None:
        return _BLANKS.split(line.strip(" \t"))
    return [cell.strip(" ") for cell in line.split(separator)]


def _names(path: Path, width: int, options: SourceOptions) -> tuple[str, ...]:
    """What the columns are called: as the user says, as the field does, or by their numbers."""
    if options.columns:
        if len(options.columns) != width:
            raise ConfigError(
                f"--columns names {len(options.columns)} columns, and {path} has {width} a line; name each, in order"
            )
        check_names(path, options.columns)
        return options.columns
    between = tuple(f"column_{number}" for number in range(2, width))
    return _NAMES.get(width, ("tokens", *between, "tags"))


def _read(all_lines: Iterable[str], separator: str | None, names: Sequence[str]) -> _Content:
    content = _Content([[] for _ in names])
    number = 0
    for sentence in _sentences(all_lines, separator, names, content):
        number += 1
        if sentence.problem:
            content.bad_rows.append((number, sentence.problem))
            continue
        for column, cells in zip(content.columns, zip(*sentence.rows, strict=True), strict=True):
            column.append(list(cells))
        content.documents.append(str(content.n_documents))
    return content


def _sentences(
    all_lines: Iterable[str], separator: str | None, names: Sequence[str], content: _Content
) -> Iterator[_Sentence]:
    """The sentences of a file, one after the other; what stands between them is counted."""
    is_conll_u = tuple(names) == _CONLL_U
    sentence = _Sentence()
    for line_number, whole in enumerate(all_lines, 1):
        line = whole.rstrip("\r\n")
        cells = _cells(line, separator)
        is_over = not line.strip() or line.startswith(_DOCUMENT_START)
        if is_over:
            content.n_documents += line.startswith(_DOCUMENT_START)
            if sentence.rows or sentence.problem:
                yield sentence
                sentence = _Sentence()
        elif line.startswith("#") and len(cells) != len(names):
            content.n_comments += 1
        elif len(cells) != len(names):
            sentence.problem = sentence.problem or (
                f"line {line_number:,} has {counted(len(cells), 'cell')}, and others have {len(names)}: {line[:40]!r}"
            )
        elif not (is_conll_u and _PART_OF_ANOTHER.fullmatch(cells[0])):
            sentence.rows.append(cells)
    if sentence.rows or sentence.problem:
        yield sentence
