"""Words in plots: many short ones at once, and fonts for any script. To be imported where something is drawn.

A matplotlib Text is laid out several times and rendered glyph by glyph: of the 77 names and 500
counts of a confusion matrix that takes a second. Here they are one path, from outlines kept for
each letter, in a twentieth of the time; an SVG file gets them as text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from matplotlib import font_manager, rcParams
from matplotlib.artist import Artist
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.textpath import text_to_path
from matplotlib.transforms import Affine2D, IdentityTransform
from numpy.typing import NDArray

CAPITAL = 0.73
"""The height of a capital letter in font sizes."""
ALIGNED = {0: "left", 0.5: "center", 1: "right"}
LAST_RESORT = "Last Resort"
"""A font that has a box for every letter there is."""


@dataclass(frozen=True, slots=True)
class Outline:
    """The shape of a word at font size 1, from the left end of its base line."""

    vertices: NDArray[np.float64]
    codes: NDArray[np.uint8]
    width: float


def outline(word: str, weight: str = "normal") -> Outline:
    """The shape of a word; of ASCII put together from its letters, else as the font shapes it."""
    return _outline(word, weight, tuple(rcParams["font.family"]))


@cache
def _outline(word: str, weight: str, families: tuple[str, ...]) -> Outline:
    if len(word) > 1 and word.isascii():
        return _joined([_outline(letter, weight, families) for letter in word])
    vertices, codes = _path(word, weight)
    # Between two bars, for a space has no outline, and a letter is less wide than its step.
    width = _path(f"|{word}|", weight)[0][:, 0].max() - _path("||", weight)[0][:, 0].max()
    return Outline(vertices, codes, float(width))


def _path(word: str, weight: str) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    vertices, codes = text_to_path.get_text_path(FontProperties(weight=weight), word)
    scaled = np.array(vertices, dtype=np.float64).reshape(-1, 2) / text_to_path.FONT_SCALE
    return scaled, np.array(codes, dtype=np.uint8)


def _joined(letters: Sequence[Outline]) -> Outline:
    starts = np.cumsum([0.0, *(letter.width for letter in letters)])
    vertices = [letter.vertices + np.array([x, 0]) for letter, x in zip(letters, starts[:-1], strict=True)]
    return Outline(
        np.concatenate(vertices), np.concatenate([letter.codes for letter in letters]), float(starts[-1])
    )


class Words(Artist):
    """Words of one size in points and of one colour, at places (M, 2) in the coordinates of ``transform``.

    A place, moved by ``shift`` (right, up) in points, is the left end (``align`` 0), the middle (0.5) or the right end
    (1) of a word, and the foot (``rise`` 0), the middle or the top (1) of its capitals; what is upright is read from
    bottom to top.
    """

    def __init__(
        self,
        words: Sequence[str],
        places: Any,
        transform: Any,
        size: float,
        color: Any,
        align: float = 0.5,
        upright: bool = False,
        rise: float = 0.5,
        shift: tuple[float, float] = (0, 0),
        weight: str = "normal",
    ) -> None:
        super().__init__()
        self.set_transform(transform)
        self.rise, self.shift, self.weight = rise, shift, weight
        self.words, self.places = list(words), np.asarray(places, dtype=np.float64).reshape(-1, 2)
        self.size, self.color, self.align, self.upright = size, color, align, upright
        self.set_zorder(3)

    def draw(self, renderer: Any) -> None:
        """Draw them all, on whatever canvas."""
        if not any(self.words) or not self.get_visible():
            return
        gc = renderer.new_gc()
        gc.set_foreground(self.color)
        gc.set_linewidth(0)
        origins = self._origins(renderer)
        if isinstance(self.figure.canvas, FigureCanvasSVG):
            self._write(renderer, gc, origins)
        else:
            renderer.draw_path(gc, self._shape(renderer, origins), IdentityTransform(), gc.get_rgb())
        gc.restore()

    def _origins(self, renderer: Any) -> NDArray[np.float64]:
        """Where each word's base line starts, in pixels."""
        em = renderer.points_to_pixels(self.size)
        back = -self.align * np.array([outline(word, self.weight).width for word in self.words]) * em
        down = np.full(len(self.words), -CAPITAL * self.rise * em)
        shifts = np.stack([-down, back] if self.upright else [back, down], axis=1)
        moved = renderer.points_to_pixels(1.0) * np.array(self.shift)
        places: NDArray[np.float64] = self.get_transform().transform(self.places) + shifts + moved
        return places

    def _shape(self, renderer: Any, origins: NDArray[np.float64]) -> Path:
        turn = Affine2D().rotate_deg(90 if self.upright else 0).scale(renderer.points_to_pixels(self.size))
        shapes = [outline(word, self.weight) for word in self.words]
        vertices = turn.transform(np.concatenate([shape.vertices for shape in shapes]))
        vertices += np.repeat(origins, [len(shape.vertices) for shape in shapes], axis=0)
        return Path(vertices, np.concatenate([shape.codes for shape in shapes]))

    def _write(self, renderer: Any, gc: Any, origins: NDArray[np.float64]) -> None:
        font = FontProperties(size=self.size, weight=self.weight)
        style: dict[str, Any] = {"ha": ALIGNED[self.align], "va": "baseline", "rotation_mode": "anchor"}
        em, angle = renderer.points_to_pixels(self.size), 90 if self.upright else 0
        for word, (x, y) in zip(self.words, origins.tolist(), strict=True):
            ahead = self.align * outline(word, self.weight).width * em
            # Whoever shows the file may lack the font: the word is as wide as theirs, and ends where it should.
            anchor = Text(x + (0 if angle else ahead), y + (ahead if angle else 0), word, **style)
            renderer.draw_text(gc, x, renderer.height - y, word, font, angle, mtext=anchor)


def width_points(words: Sequence[str], size: float) -> float:
    """The width of the longest of some words at a font size in points."""
    return max((outline(word).width for word in words), default=0.0) * size


def width_inches(words: Sequence[str], size: float) -> float:
    """The width of the longest of some words at a font size in points."""
    return width_points(words, size) / 72


def families_for(words: Iterable[str]) -> list[str]:
    """Font families in the order in which matplotlib should look for letters: the one that is set already first.

    What no font of this machine has is drawn as boxes.
    """
    own = list(rcParams["font.family"])
    letters = {letter for word in words for letter in word if not letter.isascii() and _is_drawn(letter)}
    lacking = _lacking(font_manager.findfont(font_manager.FontProperties()), frozenset(letters))
    if not lacking:
        return own
    return [*own, *_others(lacking, len(font_manager.fontManager.ttflist))]


def words_of(figure: Any) -> Iterator[str]:
    """All that is written in a figure, but for numbers. (`findobj` would make every tick that nobody draws.)"""
    for part in (figure, *figure.axes):
        for artist in (*part.texts, *part.artists):
            yield from [artist.get_text()] if isinstance(artist, Text) else getattr(artist, "words", [])


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
    plain = {
        entry.name: entry.fname
        for entry in font_manager.fontManager.ttflist
        if entry.style == "normal" and not entry.name.startswith((LAST_RESORT, "."))
    }
    return sorted(plain.items())


def _lacking(path: str, letters: frozenset[str]) -> frozenset[str]:
    """The letters that a font file has no glyph for."""
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
