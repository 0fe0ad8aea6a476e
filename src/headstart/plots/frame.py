"""What is around the data of a plot: edges, ticks, their words, grid lines. To be imported where something is drawn.

matplotlib makes six artists for each tick, and lays out each word several times: three quarters of the time that a plot
takes. Here its axes keep the state (limits, locators, formatters, labels), and the ticks of a side are one stroke, and
their words one path.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.path import Path
from matplotlib.ticker import FixedFormatter
from matplotlib.transforms import IdentityTransform
from numpy.typing import NDArray

from headstart.plots.lettering import CAPITAL, Words, width_points
from headstart.plots.look import FAINT, INK, Look

TICK_PAD, LABEL_PAD, OFFSET_PAD = 3.5, 4.0, 4.0
"""Between a tick and its word, the words and the label, the axes and the power of ten that is above the words;
in points."""
LINE_HEIGHT, DESCENT = 1.0, 0.24
"""Of a line of words, and of what hangs below it, in font sizes."""
OUTWARD = {"bottom": (0, -1), "left": (-1, 0), "right": (1, 0), "top": (0, 1)}

Pixels = NDArray[np.float64]


def draw_strokes(
    renderer: Any, starts: Pixels, ends: Pixels, color: str, width: float, alpha: float = 1.0
) -> None:
    """Draw straight lines from and to pixels (M, 2), all at once, sharply; the width is in points."""
    gc = renderer.new_gc()
    gc.set_foreground(color)
    gc.set_alpha(alpha)
    gc.set_linewidth(width)
    gc.set_snap(True)
    gc.set_capstyle("projecting" if alpha == 1 else "butt")
    vertices = np.stack([starts, ends], axis=1).reshape(-1, 2)
    codes = np.tile(np.array([Path.MOVETO, Path.LINETO], dtype=np.uint8), len(starts))
    renderer.draw_path(gc, Path(vertices, codes), IdentityTransform())
    gc.restore()


class Ticks:
    """Where the ticks of one side of axes are, in pixels (M, 2), and what is written at them."""

    def __init__(self, axes: Any, side: str) -> None:
        along = 0 if side in ("bottom", "top") else 1
        self.axis = (axes.xaxis, axes.yaxis)[along]
        axes.viewLim  # noqa: B018 - it is from here on that of all that was drawn
        values = np.asarray(self.axis.get_majorticklocs(), dtype=np.float64)
        words = self.axis.get_major_formatter().format_ticks(values)
        places = _pixels(axes, side, values)
        seen = _within(axes, places[:, along], along)
        self.places, self.words = places[seen], [words[i] for i in np.flatnonzero(seen)]
        minor = _pixels(axes, side, np.asarray(self.axis.get_minorticklocs(), dtype=np.float64))
        self.minor = minor[_within(axes, minor[:, along], along)]


def _pixels(axes: Any, side: str, values: NDArray[np.float64]) -> Pixels:
    edge = np.full(len(values), 1.0 if side in ("right", "top") else 0.0)
    if side in ("bottom", "top"):
        return np.asarray(axes.get_xaxis_transform().transform(np.stack([values, edge], axis=1)))
    return np.asarray(axes.get_yaxis_transform().transform(np.stack([edge, values], axis=1)))


def _within(axes: Any, pixels: NDArray[np.float64], along: int) -> NDArray[np.bool_]:
    low, high = axes.bbox.get_points()[:, along]
    return np.asarray((pixels >= low - 0.5) & (pixels <= high + 0.5))


class Grid(Artist):
    """Faint lines through the ticks of some sides, behind the data."""

    def __init__(self, host: Any, look: Look) -> None:
        super().__init__()
        self.host, self.sides = host, look.grid
        self.set_zorder(-1)

    def draw(self, renderer: Any) -> None:
        """Draw them, on whatever canvas."""
        for side in self.sides:
            starts = Ticks(self.host, side).places
            size = self.host.bbox.size * (1 if side in ("bottom", "left") else -1)
            ends = starts + (np.array([0, size[1]]) if side in ("bottom", "top") else np.array([size[0], 0]))
            draw_strokes(renderer, starts, ends, FAINT, 0.6, alpha=0.6)


class Frame(Artist):
    """Edges of axes, and ticks, words and labels along some sides."""

    def __init__(self, host: Any, look: Look) -> None:
        super().__init__()
        self.host, self.look = host, look
        self.set_zorder(1)

    @property
    def words(self) -> list[str]:
        """Labels, and the names that stand at ticks."""
        axes = (self.host.xaxis, self.host.yaxis)
        named = [each.get_major_formatter() for each in axes]
        at_ticks = [word for one in named if isinstance(one, FixedFormatter) for word in one.seq]
        return [*(each.get_label_text() for each in axes), *at_ticks]

    def draw(self, renderer: Any) -> None:
        """Draw it all, on whatever canvas."""
        starts, ends = self._corners()
        if self.look.edges:
            draw_strokes(renderer, starts, ends, FAINT, 0.8)
        for side in self.look.sides:
            ticks = Ticks(self.host, side)
            for places, length, width in (
                (ticks.places, self.look.length, 0.8),
                (ticks.minor, self.look.length * 2 / 3, 0.6),
            ):
                if length and len(places):
                    outer = places + length * renderer.points_to_pixels(1.0) * np.array(OUTWARD[side])
                    draw_strokes(renderer, places, outer, INK, width)
            for words in self._written(ticks, side):
                words.set_figure(self.host.figure)
                words.draw(renderer)

    def _corners(self) -> tuple[Pixels, Pixels]:
        (x0, y0), (x1, y1) = self.host.bbox.get_points()
        ends = {
            "bottom": ((x0, y0), (x1, y0)), "top": ((x0, y1), (x1, y1)),
            "left": ((x0, y0), (x0, y1)), "right": ((x1, y0), (x1, y1)),
        }  # fmt: skip
        lines = np.array([ends[edge] for edge in self.look.edges], dtype=np.float64).reshape(-1, 2, 2)
        return lines[:, 0], lines[:, 1]

    def _written(self, ticks: Ticks, side: str) -> Iterator[Words]:
        (x0, y0), (x1, y1) = self.host.bbox.get_points()
        size, label_size, pad = self.look.size, self.look.label_size, self.look.length + TICK_PAD
        out, reach, here = np.array(OUTWARD[side]), pad, IdentityTransform()
        below, label = side == "bottom", ticks.axis.get_label_text()
        offset = ticks.axis.get_major_formatter().get_offset() if ticks.words else ""
        deep = reach + CAPITAL / 2 * size if below else reach
        align = {"bottom": 0.5, "left": 1.0, "right": 0.0}[side]
        yield Words(ticks.words, ticks.places, here, size, INK, align, shift=tuple(out * deep))
        reach += LINE_HEIGHT * size if below else width_points(ticks.words, size)
        reach += LABEL_PAD + (CAPITAL / 2 + (0 if below else DESCENT)) * label_size
        middle = ((x0 + x1) / 2, y0) if below else (x1 if side == "right" else x0, (y0 + y1) / 2)
        yield Words([label], [middle], here, label_size, INK, upright=not below, shift=tuple(out * reach))
        end, shift = ((x1, y0), tuple(out * reach)) if below else ((x0, y1), (-pad, OFFSET_PAD))
        yield Words([offset], [end], here, size, INK, align=1, shift=shift, rise=0.5 if below else 0)
