"""Points in the plane: embeddings coloured by label, predicted against true numbers, runs against their cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.plots.look import BARE, GREY, INK, PALETTE, TRAIN, Look
from headstart.plots.plot import drawing
from headstart.plots.style import add_axes, add_colour_bar, label_axes, new_figure, set_ticks, shorten

MOST_POINTS = 20_000
"""More are thinned evenly: nobody sees them."""

MOST_SHAPES = 2_000
"""With more points an SVG file holds a picture of them, and not each."""
LINE = 0.055
"""How far apart two names are, as a share of the height, where there is room."""


@drawing
def scatter_plot(
    points: NDArray[Any], colour_by: NDArray[Any], title: str = "Embedding", column: str = "label"
) -> Any:
    """An embedding of features: points (N, 2), coloured by names or by numbers (N,).

    The twelve most frequent names have colours and are written at the middle of their points, the rest is grey; numbers
    have a colour bar, named by the column.
    """
    points, colour_by = _thinned(points), _thinned(np.asarray(colour_by))
    figure = new_figure(7.0, 6.4, title)
    numeric = colour_by.dtype.kind in "iuf"
    axes = add_axes(figure, 0.25, 0.25, 5.7 if numeric else 6.5, 5.7, BARE)
    size = _dot_size(len(points))
    if numeric:
        _by_number(figure, axes, points, colour_by.astype(np.float64), size, column)
    else:
        _by_name(axes, points, colour_by.astype(np.str_), size)
    for drawn in axes.collections:
        drawn.set_rasterized(len(points) > MOST_SHAPES)
    return figure


def _thinned(values: NDArray[Any]) -> NDArray[Any]:
    """As many rows as anybody sees, evenly from first to last; the same rows of what has as many."""
    if len(values) <= MOST_POINTS:
        return values
    return values[np.linspace(0, len(values) - 1, MOST_POINTS).astype(np.intp)]


def _dot_size(n: int) -> float:
    return float(np.clip(6000 / max(n, 1), 3, 30))


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
    _write_labels(axes, [shorten(str(distinct[code])) for code in named], np.array(middles), points)


def _write_labels(axes: Any, words: list[str], middles: NDArray[Any], points: Any) -> None:
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


@drawing
def prediction_plot(
    y_true: NDArray[Any], y_pred: NDArray[Any], title: str = "Predictions", column: str = ""
) -> Any:
    """What a regressor predicts (N,) against what is true, with the diagonal on which both are the same.

    Both axes have one scale. A sample of which a number is missing is left out.
    """
    pairs = np.stack([y_true, y_pred], axis=1).astype(np.float64)
    pairs = _thinned(pairs[np.isfinite(pairs).all(axis=1)])
    figure = new_figure(5.2, 5.2, title)
    axes = add_axes(figure, 0.85, 0.7, 4.1, 3.9, Look(grid=("left", "bottom")))
    size = _dot_size(len(pairs))
    drawn = axes.scatter(*pairs.T, s=size, c=TRAIN, alpha=0.45, linewidths=0)
    drawn.set_rasterized(len(pairs) > MOST_SHAPES)
    low, high = (float(pairs.min()), float(pairs.max())) if len(pairs) else (0.0, 1.0)
    room = 0.04 * (high - low) or max(abs(high), 1.0)  # of a constant there is no span
    axes.axline((low, low), (high + room, high + room), color=GREY, linewidth=0.8, linestyle=(0, (4, 4)))
    axes.set_xlim(low - room, high + room)
    axes.set_ylim(low - room, high + room)
    label_axes(axes, f"true {column}".strip(), f"predicted {column}".strip())
    return figure


@drawing
def cost_plot(
    seconds: Mapping[str, float],
    values: Mapping[str, float],
    intervals: Mapping[str, Sequence[float] | None],
    whole_seconds: Mapping[str, float],
    metric: str = "accuracy",
    title: str = "Accuracy against time",
) -> Any:
    """A point for each run over a logarithmic axis of seconds of training, with a line through it for the interval.

    What it takes with what had to be extracted first is drawn hollow, where it is more.
    """
    figure = new_figure(7.4, 4.4, title)
    axes = add_axes(figure, 0.75, 0.75, 4.6, 3.0)
    axes.set_xscale("log")
    for place, name in enumerate(seconds):
        colour, value = PALETTE[place % len(PALETTE)], values[name]
        if whole_seconds.get(name, 0.0) > seconds[name]:
            axes.plot([seconds[name], whole_seconds[name]], [value, value], ":", color=colour, linewidth=1.2)
            axes.plot([whole_seconds[name]], [value], "o", mfc="white", color=colour, markersize=7)
        if span := intervals.get(name):
            axes.vlines(seconds[name], *span, color=colour, linewidth=1.4)
        axes.plot([seconds[name]], [value], "o", color=colour, markersize=7)
    axes.margins(x=0.12, y=0.1)
    _write_seconds(axes)
    label_axes(axes, "seconds of training; hollow: with extraction", metric)
    _write_names(axes, values)
    return figure


def _write_seconds(axes: Any) -> None:
    """Ticks as people say them; matplotlib's own are powers of ten, and overlap within one of them."""
    low, high = axes.get_xlim()
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    steps = (1, 2, 5) if high / low < 100 else (1,)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    shown = [tick for tick in ticks if low <= tick <= high]
    set_ticks(axes.xaxis, shown, [f"{tick:,.10g}" for tick in shown])
    axes.set_xlim(low, high)


def _write_names(axes: Any, values: Mapping[str, float]) -> None:
    """Names beside the axes at the heights of their points, moved apart where they would touch."""
    low, high = axes.get_ylim()
    heights = {name: (value - low) / (high - low) for name, value in values.items()}
    order = sorted(heights, key=lambda name: heights[name])
    wanted = np.array([heights[name] for name in order])
    steps = min(LINE, 1 / len(order)) * np.arange(len(order))
    # Each at least a line above the one before, and all of them no higher than need be.
    placed = np.maximum.accumulate(wanted - steps) + steps
    placed -= max(placed[-1] - 1.0, 0.0)
    colours = dict(zip(values, (PALETTE[i % len(PALETTE)] for i in range(len(values))), strict=True))
    for name, at in zip(order, placed, strict=True):
        style: dict[str, Any] = {"transform": axes.transAxes, "size": 8, "va": "center", "parse_math": False}
        axes.plot([1.005, 1.03], [heights[name], at], transform=axes.transAxes, color=GREY, linewidth=0.6,
                  clip_on=False)  # fmt: skip
        axes.text(1.04, at, shorten(name), color=colours[name] if len(values) > 1 else INK, **style)
