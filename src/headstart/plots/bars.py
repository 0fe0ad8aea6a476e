"""Bars with intervals, and distributions of feature dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.plots.plot import drawing
from headstart.plots.style import (
    FAINT,
    GREY,
    INK,
    PALETTE,
    TRAIN,
    add_axes,
    add_legend,
    label_axes,
    new_figure,
    shorten,
)

MOST_BARS = 80
MOST_PANELS = 12
MOST_GROUPS = 6
GAP = "…"


@drawing
def bar_plot(
    values: Mapping[str, float],
    intervals: Mapping[str, Sequence[float] | None] | None = None,
    metric: str = "",
    title: str = "",
) -> Any:
    """A bar for each name, from top to bottom in the order given: classes, heads, layers, columns.

    Parameters
    ----------
    values : mapping of str to float
        Of more than 80, the first and last 40 are shown.
    intervals : mapping of str to [low, high], optional
        Drawn as lines over the ends of the bars.
    metric, title : str
    """
    from headstart.plots.lettering import Words, width_inches

    intervals, names = intervals or {}, _shown(list(values))
    row = 0.26 if len(names) <= 30 else 0.17
    size = min(9.0, row * 72 * 0.62)
    words = [name if name == GAP else shorten(name, 40) for name in names]
    margin = 0.3 + width_inches(words, size)
    figure = new_figure(margin + 4.4, row * len(names) + 1.25, title)
    axes = add_axes(figure, margin, 0.6, 3.7, row * len(names))
    heights = np.array([np.nan if name == GAP else values[name] for name in names], dtype=np.float64)
    places = np.arange(len(names))
    axes.barh(places, np.nan_to_num(heights), height=0.72, color=TRAIN, alpha=0.85)
    _draw_intervals(axes, names, intervals)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_yticks([])
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x", color=FAINT, linewidth=0.6, alpha=0.6)
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
    features: NDArray[Any],
    names: Sequence[str],
    labels: NDArray[Any] | None = None,
    title: str = "Distributions",
) -> Any:
    """A histogram for each dimension.

    Parameters
    ----------
    features : ndarray of float, shape (N, D)
        The first 12 dimensions are drawn; a single one is drawn large.
    names : sequence of str, length D
        Of the dimensions.
    labels : ndarray of str, shape (N,), optional
        Up to six are told apart, each as shares of its own samples; with more, all samples are drawn as one.
    title : str
    """
    n_panels = min(features.shape[1], MOST_PANELS)
    columns = min(n_panels, 4)
    rows = -(-n_panels // columns)
    wide, high = (4.9, 2.6) if n_panels == 1 else (2.1, 1.2)
    figure = new_figure((wide + 0.3) * columns + 0.4, (high + 0.55) * rows + 0.75, title)
    groups = _groups(len(features), labels)
    for panel in range(n_panels):
        row, column = divmod(panel, columns)
        place = 0.3 + (wide + 0.3) * column, 0.4 + (high + 0.55) * (rows - 1 - row)
        axes = add_axes(figure, *place, wide, high)
        _histogram(axes, np.asarray(features[:, panel], dtype=np.float64), groups)
        name = shorten(str(names[panel]), int(wide * 13))
        axes.set_title(name, size=9, color=INK, loc="left", pad=3, parse_math=False)
    if len(groups) > 1:
        add_legend(figure.axes[0], loc="upper right", handlelength=1)
    return figure


def _groups(n: int, labels: NDArray[Any] | None) -> dict[str, NDArray[np.bool_]]:
    distinct = np.unique(np.asarray(labels, dtype=np.str_)).tolist() if labels is not None else []
    if not 1 < len(distinct) <= MOST_GROUPS:
        return {"": np.ones(n, dtype=bool)}
    named = np.asarray(labels, dtype=np.str_)
    return {name: named == name for name in distinct}


def _histogram(axes: Any, values: NDArray[np.float64], groups: Mapping[str, NDArray[np.bool_]]) -> None:
    known = values[np.isfinite(values)]
    n_bins = int(np.clip(2 * len(known) ** 0.5, 8, 40))  # more would hold a sample or none
    edges = np.histogram_bin_edges(known, bins=n_bins)
    for (name, mine), colour in zip(groups.items(), PALETTE, strict=False):
        density = np.histogram(values[mine], bins=edges)[0] / max(int(mine.sum()), 1)
        shown = {"color": colour if name else GREY, "label": shorten(name, 14)}
        axes.stairs(density, edges, fill=True, alpha=0.25, color=shown["color"])
        axes.stairs(density, edges, linewidth=1.2, **shown)
    axes.set_yticks([])
    axes.tick_params(labelsize=7)
    axes.spines["left"].set_visible(False)
