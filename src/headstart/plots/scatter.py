"""Points in two dimensions (PCA, t-SNE, UMAP), coloured by label or by a number."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.plots.plot import Plot
from headstart.plots.style import (
    GREY,
    PALETTE,
    add_axes,
    add_colour_bar,
    new_figure,
    shorten,
    title_figure,
)

MOST_POINTS = 20_000
"""More are thinned evenly: nobody sees them."""

MOST_SHAPES = 2_000
"""With more points an SVG file holds a picture of them, and not each."""


def scatter_plot(
    points: NDArray[Any], colour_by: NDArray[Any], title: str = "Embedding", column: str = "label"
) -> Plot:
    """An embedding of features.

    Parameters
    ----------
    points : ndarray of float, shape (N, 2)
    colour_by : ndarray, shape (N,)
        Of str: the twelve most frequent names have colours and are written at the middle of their
        points, the rest is grey. Of float: a colour bar.
    title : str
    column : str
        What ``colour_by`` is, for the colour bar.

    Returns
    -------
    Plot
    """
    return Plot(partial(_draw, points, np.asarray(colour_by), title, column))


def _draw(points: NDArray[Any], colour_by: NDArray[Any], title: str, column: str) -> Any:
    points, colour_by = thinned(points), thinned(colour_by)
    figure = new_figure(7.0, 6.4)
    numeric = colour_by.dtype.kind in "iuf"
    axes = add_axes(figure, 0.25, 0.25, 5.7 if numeric else 6.5, 5.7)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    size = float(np.clip(6000 / max(len(points), 1), 3, 30))
    if numeric:
        _by_number(figure, axes, points, colour_by.astype(np.float64), size, column)
    else:
        _by_name(axes, points, colour_by.astype(np.str_), size)
    for drawn in axes.collections:
        drawn.set_rasterized(len(points) > MOST_SHAPES)
    title_figure(figure, title)
    return figure


def thinned(values: NDArray[Any]) -> NDArray[Any]:
    """As many rows as anybody sees, evenly from first to last; the same rows of what has as many."""
    if len(values) <= MOST_POINTS:
        return values
    return values[np.linspace(0, len(values) - 1, MOST_POINTS).astype(np.intp)]


def _by_number(
    figure: Any, axes: Any, points: Any, values: NDArray[np.float64], size: float, column: str
) -> None:
    known = np.isfinite(values)
    axes.scatter(*points[~known].T, s=size, c=GREY, alpha=0.25, linewidths=0)
    drawn = axes.scatter(*points[known].T, s=size, c=values[known], cmap="viridis", alpha=0.8, linewidths=0)
    add_colour_bar(figure, drawn, (6.05, 1.6, 0.14, 3.0), column)


def _by_name(axes: Any, points: Any, names: NDArray[np.str_], size: float) -> None:
    distinct, codes, counts = np.unique(names, return_inverse=True, return_counts=True)
    named = np.argsort(-counts, kind="stable")[: len(PALETTE)]
    rest = ~np.isin(codes, named)
    if rest.any():
        axes.scatter(*points[rest].T, s=size, c=GREY, alpha=0.25, linewidths=0)
        note = f"{len(distinct)} labels; the {len(named)} most frequent are named"
        axes.text(0, 0, note, transform=axes.transAxes, size=8, color=GREY)
    middles = []
    for colour, code in zip(PALETTE, named, strict=False):
        mine = points[codes == code]
        axes.scatter(*mine.T, s=size, c=colour, alpha=0.65, linewidths=0)
        middles.append(np.median(mine, axis=0))
    _write(axes, [shorten(str(distinct[code])) for code in named], np.array(middles), points)


def _write(axes: Any, words: list[str], middles: NDArray[Any], points: Any) -> None:
    """Names at the middles, moved up or down until none lies on another."""
    low, high = points.min(axis=0), points.max(axis=0)
    span = np.where(high > low, high - low, 1)
    # White behind the letters, and not around them: a stroke would turn text into paths in an SVG.
    backing = {"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 1.0}
    placed: list[tuple[float, float, float]] = []
    for word, middle, colour in zip(words, middles, PALETTE, strict=False):
        x, y = ((middle - low) / span).tolist()
        half = 0.0085 * len(word)
        x, y = min(max(x, half), 1 - half), _free(x, y, half, placed)
        placed.append((x, y, half))
        at = low + np.array([x, y]) * span
        axes.text(
            *at, word, size=9, weight="bold", color=colour, ha="center", va="center", parse_math=False,
            bbox=backing, zorder=5,
        )  # fmt: skip
    axes.set_xlim(low[0] - 0.03 * span[0], high[0] + 0.03 * span[0])
    axes.set_ylim(low[1] - 0.05 * span[1], high[1] + 0.03 * span[1])


def _free(x: float, y: float, half: float, placed: list[tuple[float, float, float]]) -> float:
    """The nearest height at which a word of this half width touches none of those placed."""
    line = 0.034
    for step in range(40):
        for sign in (1, -1):
            height = y + sign * step * line / 2
            if 0 <= height <= 1 and all(
                abs(x - other) > half + width or abs(height - level) >= line for other, level, width in placed
            ):
                return height
    return y
