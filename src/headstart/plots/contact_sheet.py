"""A contact sheet: rows of small pictures, or of texts, with words below each."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headstart.plots.look import FAINT, GREY, INK
from headstart.plots.plot import drawing
from headstart.plots.style import new_figure, shorten

ACROSS = 5
"""Tiles beside each other."""
SIDE, GAP, WORDS, HEAD, EDGE = 1.55, 0.15, 0.36, 0.34, 0.15
"""Inches: of a tile, between tiles, below a tile, above the tiles of a row, around all."""
LETTERS, LINES = 27, 9
"""Of a text in a tile."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A picture as a file, or a text, over two lines of words."""

    image: bytes | None
    text: str
    caption: str
    name: str


@dataclass(frozen=True, slots=True)
class Row:
    """Tiles under a title, beside which there may be a picture."""

    title: str
    image: bytes | None
    tiles: Sequence[Tile]

    @property
    def n_lines(self) -> int:
        """Lines of tiles."""
        return -(-len(self.tiles) // ACROSS)

    @property
    def head(self) -> float:
        """Inches above the tiles."""
        return HEAD + (0 if self.image is None else SIDE / 2 + GAP)

    @property
    def height(self) -> float:
        """Inches of all of it."""
        return self.head + self.n_lines * (SIDE + WORDS + GAP)


@drawing
def contact_sheet(rows: Sequence[Row]) -> Any:
    """Rows below each other."""
    across = max((min(len(row.tiles), ACROSS) for row in rows), default=1)
    width = max(2 * EDGE + across * (SIDE + GAP), 4.0)
    height = 2 * EDGE + sum(row.height for row in rows)
    figure = new_figure(width, height)
    top = height - EDGE
    for row in rows:
        _title(figure, row, top)
        for number, tile in enumerate(row.tiles):
            left = EDGE + number % ACROSS * (SIDE + GAP)
            below = row.head + (number // ACROSS) * (SIDE + WORDS + GAP) + SIDE
            _tile(figure, tile, left, top - below)
        top -= row.height
    return figure


def _title(figure: Any, row: Row, top: float) -> None:
    _write(
        figure,
        shorten(row.title, int(figure.get_figwidth() * 11)),
        EDGE,
        top - 0.14,
        size=10,
        color=INK,
        weight="bold",
    )
    if row.image is not None:
        side = SIDE / 2
        _show(figure, row.image, EDGE, top - HEAD - side, side)


def _tile(figure: Any, tile: Tile, left: float, bottom: float) -> None:
    if tile.image is not None:
        _show(figure, tile.image, left, bottom, SIDE)
    else:
        lines = textwrap.wrap(tile.text, LETTERS, max_lines=LINES, placeholder=" …") or ["(not shown)"]
        axes = _axes(figure, left, bottom, SIDE)
        axes.patch.set(facecolor="white", edgecolor=FAINT, linewidth=0.8)
        _write(figure, "\n".join(lines), left + 0.06, bottom + SIDE - 0.06, size=7, color=INK, va="top")
    _write(figure, shorten(tile.caption, 28), left, bottom - 0.1, size=7.5, color=INK)
    _write(figure, shorten(tile.name, 32), left, bottom - 0.24, size=6.5, color=GREY)


def _show(figure: Any, image: bytes, left: float, bottom: float, side: float) -> None:
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(image)) as opened:
        pixels = np.asarray(opened.convert("RGB"))
    axes = _axes(figure, left, bottom, side)
    axes.patch.set_visible(False)
    axes.imshow(pixels, interpolation="antialiased")
    axes.set_anchor("SW")


def _axes(figure: Any, left: float, bottom: float, side: float) -> Any:
    width, height = figure.get_size_inches()
    axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def _write(figure: Any, text: str, left: float, at: float, va: str = "center", **style: Any) -> None:
    width, height = figure.get_size_inches()
    figure.text(left / width, at / height, text, ha="left", va=va, parse_math=False, **style)
