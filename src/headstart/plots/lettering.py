"""Many short words at once. Imports matplotlib: to be imported where something is drawn.

A matplotlib Text is laid out several times and rendered glyph by glyph: of the 77 names and 500
counts of a confusion matrix that takes a second. Here they are one path, from outlines kept for
each letter, in a twentieth of the time; an SVG file gets them as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import text_to_path
from matplotlib.transforms import Affine2D, IdentityTransform
from numpy.typing import NDArray

CAPITAL = 0.73
"""The height of a capital letter in font sizes."""


@dataclass(frozen=True, slots=True)
class Outline:
    """The shape of a word at font size 1, from the left end of its base line."""

    vertices: NDArray[np.float64]
    codes: NDArray[np.uint8]
    width: float


def outline(word: str) -> Outline:
    """The shape of a word; of ASCII put together from its letters, else as the font shapes it."""
    return _outline(word, tuple(rcParams["font.family"]))


@cache
def _outline(word: str, families: tuple[str, ...]) -> Outline:
    if len(word) > 1 and word.isascii():
        return _joined([_outline(letter, families) for letter in word])
    vertices, codes = _path(word)
    # Between two bars, for a space has no outline, and a letter is less wide than its step.
    width = _path(f"|{word}|")[0][:, 0].max() - _path("||")[0][:, 0].max()
    return Outline(vertices, codes, float(width))


def _path(word: str) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    vertices, codes = text_to_path.get_text_path(FontProperties(), word)
    scaled = np.array(vertices, dtype=np.float64).reshape(-1, 2) / text_to_path.FONT_SCALE
    return scaled, np.array(codes, dtype=np.uint8)


def _joined(letters: Sequence[Outline]) -> Outline:
    starts = np.cumsum([0.0, *(letter.width for letter in letters)])
    vertices = [letter.vertices + np.array([x, 0]) for letter, x in zip(letters, starts[:-1], strict=True)]
    return Outline(
        np.concatenate(vertices), np.concatenate([letter.codes for letter in letters]), float(starts[-1])
    )


class Words(Artist):
    """Words of one size and colour.

    Parameters
    ----------
    words : sequence of str, length M
    places : array-like, shape (M, 2)
        In the coordinates of ``transform``.
    transform : matplotlib Transform
    size : float
        Points.
    color : str
    align : {0, 0.5, 1}
        The place is the left end, the middle or the right end of a word.
    upright : bool
        Reading from bottom to top.
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
    ) -> None:
        super().__init__()
        self.set_transform(transform)
        self.words, self.places = list(words), np.asarray(places, dtype=np.float64).reshape(-1, 2)
        self.size, self.color, self.align, self.upright = size, color, align, upright
        self.set_zorder(3)

    def draw(self, renderer: Any) -> None:
        """Draw them all, on whatever canvas."""
        if not self.words or not self.get_visible():
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
        back = -self.align * np.array([outline(word).width for word in self.words]) * em
        down = np.full(len(self.words), -CAPITAL / 2 * em)
        shifts = np.stack([-down, back] if self.upright else [back, down], axis=1)
        places: NDArray[np.float64] = self.get_transform().transform(self.places) + shifts
        return places

    def _shape(self, renderer: Any, origins: NDArray[np.float64]) -> Path:
        turn = Affine2D().rotate_deg(90 if self.upright else 0).scale(renderer.points_to_pixels(self.size))
        shapes = [outline(word) for word in self.words]
        vertices = turn.transform(np.concatenate([shape.vertices for shape in shapes]))
        vertices += np.repeat(origins, [len(shape.vertices) for shape in shapes], axis=0)
        return Path(vertices, np.concatenate([shape.codes for shape in shapes]))

    def _write(self, renderer: Any, gc: Any, origins: NDArray[np.float64]) -> None:
        font = FontProperties(size=self.size)
        for word, (x, y) in zip(self.words, origins.tolist(), strict=True):
            renderer.draw_text(gc, x, renderer.height - y, word, font, 90 if self.upright else 0)


def width_inches(words: Sequence[str], size: float) -> float:
    """The width of the longest of some words at a font size in points."""
    return max((outline(word).width for word in words), default=0.0) * size / 72
