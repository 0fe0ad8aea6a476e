"""The confusion matrix."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.plots.plot import Plot
from headstart.plots.style import (
    FAINT,
    INK,
    POINTS_AN_INCH,
    add_colour_bar,
    new_figure,
    shades,
    shorten,
)

if TYPE_CHECKING:
    from headstart.types import Json

SMALLEST_FONT = 5.0
"""In points; what would be smaller is left out."""


def confusion_plot(confusion: Mapping[str, Json], title: str = "Confusion matrix") -> Plot:
    """A confusion matrix: colours are shares of the true class, numbers are counts.

    Parameters
    ----------
    confusion : mapping
        ``labels`` and ``matrix`` as `evaluate` gives them.
    title : str

    Returns
    -------
    Plot
        It grows with the number of classes.
    """
    return Plot(partial(_draw, confusion, title))


def plot_confusion(confusion: Mapping[str, Json], title: str = "Confusion matrix") -> bytes:
    """The PNG of `confusion_plot`."""
    return confusion_plot(confusion, title).png()


def _draw(confusion: Mapping[str, Json], title: str) -> Any:
    from headstart.plots.lettering import width_inches

    counts = np.array(confusion["matrix"], dtype=np.int64)
    names = [shorten(name) for name in confusion["labels"]]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    cell = _cell_inches(len(names))
    longest = width_inches(names, _name_size(cell))
    side, margin = cell * len(names), 0.5 + longest
    width, height = max(side + margin + 1.2, 4.2), side + margin + 0.6
    figure = new_figure(width, height)
    axes = figure.add_axes((margin / width, margin / height, side / width, side / height))
    image = axes.imshow(shares, cmap=shades(), vmin=0, vmax=1, aspect="equal")
    _draw_lines(axes, len(names), cell)
    _write_names(axes, names, cell, longest)
    _write_counts(axes, counts, shares, cell)
    _add_scale(figure, image, margin, side)
    _write_title(axes, title, side, width - margin)
    return figure


def _cell_inches(n_classes: int) -> float:
    """The side of a cell: generous for few classes, and the whole never much above 20 inches."""
    return min(max(0.16, 5.0 / n_classes), 1.1) if n_classes <= 125 else 20 / n_classes


def _font(cell: float, share: float) -> float:
    """A font size in points that fills a share of a cell's side."""
    return min(10.0, cell * POINTS_AN_INCH * share)


def _name_size(cell: float) -> float:
    return max(_font(cell, 0.55), SMALLEST_FONT)


def _draw_lines(axes: Any, n: int, cell: float) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(FAINT)
    if cell * POINTS_AN_INCH >= SMALLEST_FONT:
        edges = np.arange(1, n) - 0.5
        axes.hlines(edges, -0.5, n - 0.5, color=FAINT, linewidth=min(0.8, cell))
        axes.vlines(edges, -0.5, n - 0.5, color=FAINT, linewidth=min(0.8, cell))


def _write_names(axes: Any, names: Sequence[str], cell: float, longest: float) -> None:
    """Put the names beside the cells, as many as are readable."""
    from headstart.plots.lettering import Words

    every = math.ceil(SMALLEST_FONT / (cell * POINTS_AN_INCH * 0.9))  # of 1,000 names not all fit
    shown, places = names[::every], np.arange(0, len(names), every, dtype=np.float64)
    edge, gap, size = len(names) - 0.5, 0.06 / cell, _name_size(cell)
    before = np.full(len(places), -0.5 - gap)
    upright = longest > 0.95 * cell
    below = np.full(len(places), edge + gap + (0 if upright else size / POINTS_AN_INCH / 2 / cell))
    axes.add_artist(Words(shown, np.stack([before, places], 1), axes.transData, size, INK, align=1))
    axes.add_artist(
        Words(
            shown,
            np.stack([places, below], 1),
            axes.transData,
            size,
            INK,
            align=1 if upright else 0.5,
            upright=upright,
        )
    )
    middle, beyond = (len(names) - 1) / 2, (longest + 0.25) / cell
    title_size = min(10 + cell * len(names) / 5, 14)
    under = beyond if upright else 0.4 / cell
    style = {"size": title_size, "color": INK, "ha": "center", "va": "center"}
    axes.text(middle, edge + under, "predicted", **style)
    axes.text(-0.5 - beyond, middle, "true", rotation=90, **style)


def _write_counts(axes: Any, counts: NDArray[np.int64], shares: NDArray[np.float64], cell: float) -> None:
    """Print each count that is not zero where the numbers would be large enough to read."""
    from headstart.plots.lettering import Words

    digits = len(str(counts.max()))
    size = _font(cell, min(0.55, 1.3 / digits))
    if size < SMALLEST_FONT:
        return
    for colour, chosen in (("white", shares > 0.5), (INK, shares <= 0.5)):
        places = np.argwhere((counts > 0) & chosen)
        written = [str(counts[row, column]) for row, column in places]
        axes.add_artist(Words(written, places[:, ::-1], axes.transData, size, colour))


def _add_scale(figure: Any, image: Any, margin: float, side: float) -> None:
    length = min(side, 4.0)
    place = (margin + side + 0.2, margin + side - length, 0.14, length)
    bar = add_colour_bar(figure, image, place, "share of the true class")
    bar.set_ticks([0, 0.5, 1], labels=["0 %", "50 %", "100 %"])


def _write_title(axes: Any, title: str, side: float, room: float) -> None:
    size = min(12 + side / 2.5, 20)
    fitting = int(room * POINTS_AN_INCH / (0.65 * size))
    axes.set_title(
        shorten(title, fitting), loc="left", size=size, weight="bold", color=INK, pad=10, parse_math=False
    )
