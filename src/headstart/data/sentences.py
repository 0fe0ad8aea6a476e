"""Samples that are words in order: given as lists, or as texts that are still to be divided."""

from __future__ import annotations

import json
import re
from ast import literal_eval
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from unicodedata import category

import pyarrow as pa

from headstart import keys
from headstart.data.label_cells import as_string_lists, cell_text, is_plain_list, string_lists
from headstart.data.source import Problem
from headstart.errors import DataError

if TYPE_CHECKING:
    from headstart.data.contents import Keyed
    from headstart.types import Place

NO_WORDS = Problem("there are no words: the cell is empty")
SURROGATE = Problem("a word has half a character (a lone surrogate)")
SHOWN_CHARACTERS = 60
_WORD = re.compile(
    r"(?i:https?://\S+|www\.\S+)|[@#]\w+|[\u3400-\u9fff]|(?:(?![\u3400-\u9fff])\w)+(?:-(?:(?![\u3400-\u9fff])\w)+)*"
    r"|['\u2019](?i:s|re|ve|ll|d|m|t)\b|\S"
)  # a case that is ignored throughout takes 20 ms to compile, for each of 28,000 characters


class Span(NamedTuple):
    """Where a word stands in its text: characters [start, end)."""

    start: int
    end: int


class Words(tuple[str, ...]):
    """The words of a sentence, with the text that they stand in; of words that were given, joined by blanks.

    Examples
    --------
    >>> words = Words(["New", "York"])
    >>> words.text, words.spans[1]
    ('New York', Span(start=4, end=8))
    """

    text: str
    spans: Sequence[Span]

    def __new__(cls, words: Sequence[str], text: str | None = None, spans: Sequence[Span] = ()) -> Words:
        made = super().__new__(cls, words)
        if text is None:
            text, spans = " ".join(words), []
            for word in words:
                start = spans[-1].end + 1 if spans else 0
                spans.append(Span(start, start + len(word)))
        made.text, made.spans = text, spans
        return made

    def __reduce__(self) -> Any:
        return Words, (tuple(self), self.text, tuple(self.spans))


def split_words(text: str) -> Words:
    """A text as words: at blanks, and at punctuation but for hyphens, addresses, ``@names`` and ``#tags``.

    Examples
    --------
    >>> list(split_words("It's @anna's well-known e-mail, isn't it?"))
    ['It', "'s", '@anna', "'s", 'well-known', 'e-mail', ',', 'isn', "'t", 'it', '?']
    >>> split_words("New  York").spans
    [Span(start=0, end=3), Span(start=5, end=9)]
    """
    # Marks that combine with a letter are part of its word, and Python's \w has none of them.
    shadow = text if text.isascii() else "".join(map(_shadow, text))
    spans = [Span(*found.span()) for found in _WORD.finditer(shadow)]
    return Words([text[start:end] for start, end in spans], text, spans)


@lru_cache(maxsize=4096)
def _shadow(character: str) -> str:
    return "x" if category(character)[0] == "M" else character


class Sentences:
    """The samples of a table that are words."""

    def part(self, start: int, n: int) -> Iterator[Words | None]:
        """Those of some rows; None where a cell is empty."""
        raise NotImplementedError


class GivenWords(Sentences):
    """Words as lists of strings."""

    def __init__(self, lists: pa.ChunkedArray) -> None:
        self._lists = lists

    def part(self, start: int, n: int) -> Iterator[Words | None]:
        for words in self._lists.slice(start, n).to_pylist():
            yield None if words is None or None in words else Words(words)


class SplitTexts(Sentences):
    """Words of texts, which `split_words` divides."""

    def __init__(self, texts: pa.ChunkedArray) -> None:
        self._texts = texts

    def part(self, start: int, n: int) -> Iterator[Words | None]:
        for text in self._texts.slice(start, n).to_pylist():
            yield None if text is None or not text.strip() else split_words(text)


def key_words(sentences: Sequence[Sequence[str] | None]) -> Keyed:
    """Keys of sequences of words, shape (N, 16); rows without any have a problem and a key of zeros.

    An empty sequence is a sample like others.
    """
    problems: dict[int, Problem] = {}
    digests = [bytes(keys.KEY_BYTES)] * len(sentences)
    for row, words in enumerate(sentences):
        if words is None:
            problems[row] = NO_WORDS
            continue
        try:
            digests[row] = keys.key_of("words", tuple(words))
        except UnicodeEncodeError:
            problems[row] = SURROGATE
    return keys.pack(digests), problems


def uneven_labels(
    sentences: Sequence[Sequence[str] | None], labels: Sequence[Any], name: str
) -> dict[int, Problem]:
    """The rows with another number of labels than words, by place; a row without labels is none of them.

    Examples
    --------
    >>> uneven_labels([["New", "York"]], [["B-place"]], "ner_tags")
    {0: Problem(reason="there are 2 words, and 1 tag in 'ner_tags'", kind='permanent')}
    """
    return {
        row: Problem(
            f"there {'is 1 word' if len(words) == 1 else f'are {len(words):,} words'}, and {len(tags):,} "
            f"{'tag' if len(tags) == 1 else 'tags'} in {name!r}"
        )
        for row, (words, tags) in enumerate(zip(sentences, labels, strict=True))
        if words is not None and isinstance(tags, list) and len(tags) != len(words)
    }


def lists_in(column: Any, name: str, place: Place) -> pa.ListArray:
    """A column of words or tags as lists of strings: lists as they are, cells as JSON or Python lists or by blanks.

    Raises
    ------
    DataError
        A cell begins like a list, and is none.

    Examples
    --------
    >>> cells = pa.chunked_array([["EU rejects", "['a', 'b c']", None]])
    >>> lists_in(cells, "words", str).to_pylist()
    [['EU', 'rejects'], ['a', 'b c'], None]
    """
    if is_plain_list(column.type):
        return as_string_lists(column)
    cells = column.to_pylist()
    return string_lists([_list_in(cell, name, place, row) for row, cell in enumerate(cells)])


def _list_in(cell: str | None, name: str, place: Place, row: int) -> list[str | None] | None:
    if cell is None or not cell.strip():
        return None
    if not cell.lstrip().startswith("["):
        return list(cell.split())
    for read in (json.loads, literal_eval):  # pandas writes lists as Python does
        try:
            values = read(cell.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(values, list):
            return [cell_text(value) for value in values]
    shown = cell if len(cell) <= SHOWN_CHARACTERS else f"{cell[:SHOWN_CHARACTERS]}…"
    raise DataError(
        f'{place(row)}: {shown} in the column {name!r} is no list; write ["a", "b"], or words with blanks between them'
    )
