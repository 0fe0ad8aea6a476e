"""Keys of texts and pairs of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headstart import keys
from headstart.data.blocks import Problem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NO_KEY = bytes(keys.KEY_BYTES)
EMPTY_TEXT = Problem("the text is empty")
SURROGATE = Problem("the text holds half of a surrogate pair, which no UTF-8 can write")


def is_blank(text: str | None) -> bool:
    """Whether there is nothing to read in a text."""
    return not text or text.isspace()


def text_problems(texts: Sequence[str | None]) -> dict[int, Problem]:
    """The texts that are not usable, by place.

    Examples
    --------
    >>> text_problems(["fine", " "])
    {1: Problem(reason='the text is empty', kind='permanent')}
    """
    return {row: problem for row, text in enumerate(texts) if (problem := _problem(text))}


def _problem(text: str | None) -> Problem | None:
    if text is None or is_blank(text):
        return EMPTY_TEXT
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return SURROGATE
    return None


def key_texts(texts: Sequence[str | None]) -> tuple[NDArray[np.uint8], dict[int, Problem]]:
    """Keys of texts, shape (N, 16); rows without a usable text have a problem and a key of zeros.

    Examples
    --------
    >>> key_texts(["fine", " "])[1]
    {1: Problem(reason='the text is empty', kind='permanent')}
    """
    problems: dict[int, Problem] = {}
    digests = [NO_KEY] * len(texts)
    for row, text in enumerate(texts):
        if text is None or is_blank(text):
            problems[row] = EMPTY_TEXT
            continue
        try:
            digests[row] = keys.key_of("text", text)
        except UnicodeEncodeError:
            problems[row] = SURROGATE
    return keys.pack(digests), problems


def key_pairs(
    pairs: Sequence[tuple[str | None, str | None]],
) -> tuple[NDArray[np.uint8], dict[int, Problem]]:
    """Keys of pairs of texts, shape (N, 16), as `key_texts`."""
    problems: dict[int, Problem] = {}
    digests = [NO_KEY] * len(pairs)
    for row, (first, second) in enumerate(pairs):
        if not first or first.isspace() or not second or second.isspace():
            which = "second" if first and not first.isspace() else "first"
            problems[row] = Problem(f"the {which} text of the pair is empty")
            continue
        try:
            digests[row] = keys.key_of("text-pair", (first, second))
        except UnicodeEncodeError:
            problems[row] = SURROGATE
    return keys.pack(digests), problems
