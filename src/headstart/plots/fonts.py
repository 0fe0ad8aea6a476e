"""Fonts for class names in any script, from among those that the machine has."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

LAST_RESORT = "Last Resort"
"""A font that has a box for every letter there is."""


def families_for(words: Iterable[str]) -> list[str]:
    """Font families in the order in which matplotlib should look for letters.

    Parameters
    ----------
    words : iterable of str

    Returns
    -------
    list of str
        The family that is set already, then others for letters that it lacks. What no font of this machine has
        is drawn as boxes.
    """
    from matplotlib import font_manager, rcParams

    own = list(rcParams["font.family"])
    letters = {letter for word in words for letter in word if not letter.isascii() and _is_drawn(letter)}
    lacking = _lacking(font_manager.findfont(font_manager.FontProperties()), frozenset(letters))
    if not lacking:
        return own
    return [*own, *_others(lacking, len(font_manager.fontManager.ttflist))]


def words_of(figure: Any) -> Iterator[str]:
    """All that is written in a figure."""
    from matplotlib.text import Text

    from headstart.plots.lettering import Words

    for text in figure.findobj(Text):
        yield text.get_text()
    for words in figure.findobj(Words):
        yield from words.words


@cache
def _others(lacking: frozenset[str], n_fonts: int) -> tuple[str, ...]:
    """Families that together have all of the letters, or as many as there are; few families rather than many."""
    del n_fonts  # a font that is added later may have what was lacking
    chosen = []
    while lacking:
        left = {name: _lacking(path, lacking) for name, path in _installed()}
        name, still = min(left.items(), key=lambda item: len(item[1]), default=("", lacking))
        if len(still) == len(lacking):
            break
        chosen.append(name)
        lacking = still
    return tuple(chosen)


def _installed() -> list[tuple[str, str]]:
    """Name and file of each family in its plain form, by name: the same choice on every day."""
    from matplotlib.font_manager import fontManager

    plain = {
        entry.name: entry.fname
        for entry in fontManager.ttflist
        if entry.style == "normal" and not entry.name.startswith((LAST_RESORT, "."))
    }
    return sorted(plain.items())


def _lacking(path: str, letters: frozenset[str]) -> frozenset[str]:
    """The letters that a font file has no glyph for."""
    from matplotlib.ft2font import FT2Font

    if not letters:
        return letters
    try:
        font = FT2Font(path)
    except (OSError, RuntimeError):  # gone, or of coloured pictures, which matplotlib cannot draw
        return letters
    return frozenset(letter for letter in letters if not font.get_char_index(ord(letter)))


def _is_drawn(letter: str) -> bool:
    """Whether it has a shape: spaces and marks of direction have none."""
    return unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zs", "Zl", "Zp")
