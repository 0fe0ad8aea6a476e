"""How good runs are against the time they took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from headstart.plots.plot import Plot
from headstart.plots.style import (
    GREY,
    INK,
    PALETTE,
    add_axes,
    label_axes,
    new_figure,
    shorten,
    title_figure,
)

LINE = 0.055
"""How far apart two names are, as a share of the height, where there is room."""


def cost_plot(
    seconds: Mapping[str, float],
    values: Mapping[str, float],
    intervals: Mapping[str, Sequence[float] | None],
    whole_seconds: Mapping[str, float],
    metric: str = "accuracy",
    title: str = "Accuracy against time",
) -> Plot:
    """A point for each run over a logarithmic axis of seconds.

    Parameters
    ----------
    seconds : mapping of str to float
        Of training, in (0, inf).
    values : mapping of str to float
        How good each is.
    intervals : mapping of str to [low, high] or None
        Drawn as lines through the points.
    whole_seconds : mapping of str to float
        With what had to be extracted first; drawn hollow where it is more.
    metric, title : str

    Returns
    -------
    Plot
    """
    return Plot(partial(_draw, seconds, values, intervals, whole_seconds, metric, title))


def _draw(
    seconds: Mapping[str, float],
    values: Mapping[str, float],
    intervals: Mapping[str, Sequence[float] | None],
    whole_seconds: Mapping[str, float],
    metric: str,
    title: str,
) -> Any:
    figure = new_figure(7.4, 4.4)
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
    title_figure(figure, title)
    return figure


def _write_seconds(axes: Any) -> None:
    """Ticks as people say them; matplotlib's own are powers of ten, and overlap within one of them."""
    low, high = axes.get_xlim()
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    steps = (1, 2, 5) if high / low < 100 else (1,)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    shown = [tick for tick in ticks if low <= tick <= high]
    axes.set_xticks(shown, [f"{tick:,.10g}" for tick in shown])
    axes.set_xticks([], minor=True)
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
