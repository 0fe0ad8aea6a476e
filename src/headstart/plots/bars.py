"""Bars with intervals, and distributions of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.plots.look import GREY, INK, PALETTE, POINTS_AN_INCH, TRAIN, Look
from headstart.plots.plot import drawing
from headstart.plots.style import add_axes, add_bars, add_legend, label_axes, new_figure, set_ticks, shorten

MOST_BARS = 80
MOST_GROUPS = 6
GAP = "…"
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@drawing
def bar_plot(
    values: Mapping[str, float],
    intervals: Mapping[str, Sequence[float] | None] | None = None,
    metric: str = "",
    title: str = "",
) -> Any:
    """A bar for each name, from top to bottom in the order given: classes, heads, layers, columns.

    Of more than 80 the first and last 40 are shown; intervals are lines over the ends of the bars.
    """
    from headstart.plots.lettering import Words, width_inches

    intervals, names = intervals or {}, _shown(list(values))
    row = 0.26 if len(names) <= 30 else 0.17
    size = min(9.0, row * POINTS_AN_INCH * 0.62)
    words = [name if name == GAP else shorten(name, 40) for name in names]
    margin = 0.3 + width_inches(words, size)
    figure = new_figure(margin + 4.4, row * len(names) + 1.25, title)
    axes = add_axes(figure, margin, 0.6, 3.7, row * len(names), Look(grid=("bottom",)))
    heights = np.array([np.nan if name == GAP else values[name] for name in names], dtype=np.float64)
    places = np.arange(len(names))
    shown = np.nan_to_num(heights)
    add_bars(
        axes, places - 0.36, places + 0.36, np.zeros(len(names)), shown, color=TRAIN, alpha=0.85, linewidth=0
    )
    _draw_intervals(axes, names, intervals)
    axes.set_ylim(len(names) - 0.4, -0.6)
    set_ticks(axes.yaxis, [])
    at = np.stack([np.full(len(names), -0.02), places], axis=1)
    axes.add_artist(Words(words, at, axes.get_yaxis_transform(), size, INK, align=1))
    ends = np.maximum(heights, [(intervals.get(name) or (0, 0))[1] for name in names])
    _write_values(axes, heights, ends, size)
    label_axes(axes, metric.replace("_", " "))
    return figure


def _shown(names: list[str]) -> list[str]:
    half = MOST_BARS // 2
    return names if len(names) <= MOST_BARS else [*names[:half], GAP, *names[-half:]]


def _draw_intervals(axes: Any, names: list[str], intervals: Mapping[str, Sequence[float] | None]) -> None:
    spans = [(place, span) for place, name in enumerate(names) if (span := intervals.get(name)) is not None]
    if spans:
        places = [place for place, _ in spans]
        axes.hlines(
            places, [span[0] for _, span in spans], [span[1] for _, span in spans], color=INK, linewidth=1.2
        )


def _write_values(axes: Any, heights: NDArray[np.float64], ends: NDArray[np.float64], size: float) -> None:
    from headstart.plots.lettering import Words

    known = np.flatnonzero(np.isfinite(heights))
    low, high = axes.get_xlim()
    room = 0.02 * (high - low)
    at = np.stack([np.maximum(ends[known], 0) + room, known], axis=1)
    axes.add_artist(Words([f"{heights[i]:.3f}" for i in known], at, axes.transData, size * 0.9, INK, align=0))


@drawing
def distribution_plot(
    values: NDArray[Any], name: str, labels: NDArray[Any] | None = None, title: str = "Distributions"
) -> Any:
    """A histogram of numbers (N,).

    Up to six labels (N,) are told apart, each as shares of its own samples; with more, all samples are drawn as one.
    """
    figure = new_figure(5.6, 3.9, title)
    axes = add_axes(figure, 0.3, 0.4, 4.9, 2.6, Look(grid=(), edges=("bottom",), sides=("bottom",), size=7))
    numbers = np.asarray(values, dtype=np.float64)
    groups = _groups(len(numbers), labels)
    known = numbers[np.isfinite(numbers)]
    n_bins = int(np.clip(2 * len(known) ** 0.5, 8, 40))  # more would hold a sample or none
    edges = np.histogram_bin_edges(known, bins=n_bins)
    for (group, mine), colour in zip(groups.items(), PALETTE, strict=False):
        density = np.histogram(numbers[mine], bins=edges)[0] / max(int(mine.sum()), 1)
        shown = {"color": colour if group else GREY, "label": shorten(group, 14)}
        axes.stairs(density, edges, fill=True, alpha=0.25, color=shown["color"])
        axes.stairs(density, edges, linewidth=1.2, **shown)
    label_axes(axes, title=shorten(name, 63), size=9, pad=3)
    if len(groups) > 1:
        add_legend(axes, "upper right")
    return figure


@drawing
def spread_plot(
    values: Mapping[str, NDArray[Any]], groups: Mapping[str, NDArray[np.bool_]], title: str = "Distributions"
) -> Any:
    """How numbers (N,) spread within groups: a panel for each of the numbers, a row for each group.

    The middle half is a bar, 5 % to 95 % a line, the median a dot. Of more than 80 groups the first and last 40 are
    shown; a sample may be in several groups (N,), or in none.
    """
    from headstart.plots.lettering import Words, width_inches

    names = _shown([name for name, mine in groups.items() if mine.any()])
    row = 0.26 if len(names) <= 30 else 0.17
    size = min(9.0, row * POINTS_AN_INCH * 0.62)
    words = [name if name == GAP else shorten(name, 30) for name in names]
    margin = 0.3 + width_inches(words, size)
    figure = new_figure(margin + 2.5 * len(values), row * len(names) + 1.25, title)
    for place, (name, numbers) in enumerate(values.items()):
        axes = add_axes(
            figure,
            margin + 2.5 * place,
            0.6,
            2.2,
            row * len(names),
            Look(grid=("bottom",), edges=("bottom",)),
        )
        _draw_spreads(axes, [np.empty(0) if each == GAP else numbers[groups[each]] for each in names])
        axes.set_ylim(len(names) - 0.4, -0.6)
        set_ticks(axes.yaxis, [])
        label_axes(axes, name)
        if not place:
            at = np.stack([np.full(len(names), -0.03), np.arange(len(names))], axis=1)
            axes.add_artist(Words(words, at, axes.get_yaxis_transform(), size, INK, align=1))
    return figure


def _draw_spreads(axes: Any, groups: Sequence[NDArray[Any]]) -> None:
    """The quantiles of each group, from top to bottom."""
    known = {place: mine[np.isfinite(mine)] for place, mine in enumerate(groups)}
    found = {place: np.quantile(mine, QUANTILES) for place, mine in known.items() if len(mine)}
    places = np.array(list(found), dtype=np.float64)
    low, start, middle, end, high = np.array(list(found.values())).reshape(-1, len(QUANTILES)).T
    axes.hlines(places, low, high, color=TRAIN, linewidth=1.0)
    add_bars(axes, places - 0.3, places + 0.3, start, end, color=TRAIN, alpha=0.35, linewidth=0)
    axes.plot(middle, places, "o", color=TRAIN, markersize=3.5)


def _groups(n: int, labels: NDArray[Any] | None) -> dict[str, NDArray[np.bool_]]:
    distinct = np.unique(np.asarray(labels, dtype=np.str_)).tolist() if labels is not None else []
    if not 1 < len(distinct) <= MOST_GROUPS:
        return {"": np.ones(n, dtype=bool)}
    named = np.asarray(labels, dtype=np.str_)
    return {name: named == name for name in distinct}
