"""How a classifier does: the confusion matrix, ROC and precision-recall curves, the reliability diagram."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.metrics.calibration import reliability
from headstart.metrics.ranking import ranking_curve, ranking_figures
from headstart.plots.look import CELLS, FAINT, GREY, INK, PALETTE, POINTS_AN_INCH, SHADES, VALIDATION
from headstart.plots.plot import drawing
from headstart.plots.style import (
    add_axes,
    add_bars,
    add_colour_bar,
    add_diagonal,
    add_legend,
    label_axes,
    new_figure,
    set_ticks,
    shorten,
    write_at_top,
)

if TYPE_CHECKING:
    from headstart.types import Json

SMALLEST_FONT = 5.0
"""In points; what would be smaller is left out."""
MOST_POINTS = 2000
"""Of one curve."""
NAMED = 8
"""More classes than so many are drawn faintly, without names."""

GRID = np.linspace(0, 1, 201)
Line = tuple[NDArray[np.float64], NDArray[np.float64]]
ACCURACY, GAP = "#93b4f5", "#ea580c55"


@drawing
def confusion_plot(confusion: Mapping[str, Json], title: str = "Confusion matrix") -> Any:
    """A confusion matrix that grows with the number of classes: colours are shares of a true class, numbers counts."""
    from matplotlib.colors import LinearSegmentedColormap

    from headstart.plots.lettering import width_inches

    counts = np.array(confusion["matrix"], dtype=np.int64)
    names = [shorten(name) for name in confusion["labels"]]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    cell = _cell_inches(len(names))
    longest = width_inches(names, _name_size(cell))
    side, margin = cell * len(names), 0.5 + longest
    width, height = max(side + margin + 1.2, 4.2), side + margin + 0.6
    figure = new_figure(width, height)
    axes = add_axes(figure, margin, margin, side, side, CELLS)
    shades = LinearSegmentedColormap.from_list("shades", SHADES)
    image = axes.imshow(shares, cmap=shades, vmin=0, vmax=1, aspect="equal")
    _draw_cells(axes, len(names), cell)
    _write_names(axes, names, cell, longest)
    _write_counts(axes, counts, shares, cell)
    _add_scale(figure, image, margin, side)
    _write_heading(axes, title, side, width - margin)
    return figure


def _cell_inches(n_classes: int) -> float:
    """The side of a cell: generous for few classes, and the whole never much above 20 inches."""
    return min(max(0.16, 5.0 / n_classes), 1.1) if n_classes <= 125 else 20 / n_classes


def _font(cell: float, share: float) -> float:
    """A font size in points that fills a share of a cell's side."""
    return min(10.0, cell * POINTS_AN_INCH * share)


def _name_size(cell: float) -> float:
    return max(_font(cell, 0.55), SMALLEST_FONT)


def _draw_cells(axes: Any, n: int, cell: float) -> None:
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
    at, align = np.stack([places, below], 1), 1 if upright else 0.5
    axes.add_artist(Words(shown, at, axes.transData, size, INK, align=align, upright=upright))
    middle, beyond = (len(names) - 1) / 2, (longest + 0.25) / cell
    title_size = min(10 + cell * len(names) / 5, 14)
    under = beyond if upright else 0.4 / cell
    axes.add_artist(Words(["predicted"], [(middle, edge + under)], axes.transData, title_size, INK))
    axes.add_artist(Words(["true"], [(-0.5 - beyond, middle)], axes.transData, title_size, INK, upright=True))


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
    ticks = {0: "0 %", 0.5: "50 %", 1: "100 %"}
    add_colour_bar(figure, image, place, "share of the true class", ticks)


def _write_heading(axes: Any, title: str, side: float, room: float) -> None:
    size = min(12 + side / 2.5, 20)
    fitting = int(room * POINTS_AN_INCH / (0.65 * size))
    label_axes(axes, title=shorten(title, fitting), size=size, pad=10, weight="bold")


@drawing
def roc_plot(
    y_true: NDArray[Any], probabilities: NDArray[Any], classes: Sequence[str], title: str = "ROC"
) -> Any:
    """ROC curves with their areas, of names (N,) or labels 0 and 1 (N, C) and probabilities (N, C).

    They are of two classes the second; of up to eight each, named; of more each faintly, and the macro and
    micro averages. A class without samples, or without others, has no curve.
    """
    return _draw_ranking(y_true, probabilities, classes, title, is_roc=True)


@drawing
def precision_recall_plot(
    y_true: NDArray[Any],
    probabilities: NDArray[Any],
    classes: Sequence[str],
    title: str = "Precision and recall",
) -> Any:
    """Precision-recall curves with their average precision, as those of `roc_plot`."""
    return _draw_ranking(y_true, probabilities, classes, title, is_roc=False)


def _draw_ranking(
    y_true: NDArray[Any], probabilities: NDArray[Any], classes: Sequence[str], title: str, is_roc: bool
) -> Any:
    from matplotlib.collections import LineCollection

    truth, scores, names = _columns(y_true, probabilities, classes)
    areas = ranking_figures(truth, scores)[0 if is_roc else 1]
    scored = np.flatnonzero(np.isfinite(areas))
    figure = new_figure(5.2, 5.0, title)
    axes = add_axes(figure, 0.7, 0.6, 4.2, 3.9)
    if is_roc:
        add_diagonal(axes)
    shown = _thinned if len(scored) == 1 else _on_grid
    lines = [shown(_line(truth[:, column], scores[:, column], is_roc), is_roc) for column in scored]
    if len(lines) <= NAMED:
        for line, column, colour in zip(lines, scored, PALETTE, strict=False):
            name = f"{shorten(names[column])}  {areas[column]:.3f}"
            axes.plot(*line, color=colour, linewidth=1.5, label=name)
    else:
        segments = [np.stack(line, axis=1) for line in lines]
        axes.add_collection(LineCollection(segments, colors=FAINT, linewidths=0.7, alpha=0.8))
        axes.plot([], [], color=FAINT, linewidth=0.9, label=f"{len(lines)} classes")
    if len(lines) > 1:
        mean = np.mean([line[1] for line in lines], axis=0)
        name = f"macro average  {areas[scored].mean():.3f}"
        axes.plot(lines[0][0], mean, color=INK, linewidth=2, label=name)
        flat_truth, flat_scores = truth[:, scored].ravel(), scores[:, scored].ravel()
        area = ranking_figures(flat_truth[:, None], flat_scores[:, None])[0 if is_roc else 1][0]
        micro = _on_grid(_line(flat_truth, flat_scores, is_roc), is_roc)
        name = f"micro average  {area:.3f}"
        axes.plot(*micro, color=GREY, linewidth=1.6, linestyle=(0, (3, 2)), label=name)
    _finish(axes, is_roc)
    return figure


def _columns(
    y_true: NDArray[Any], probabilities: NDArray[Any], classes: Sequence[str]
) -> tuple[NDArray[np.bool_], NDArray[Any], list[str]]:
    """Truth and score of each column that is drawn; of two exclusive classes only the second is."""
    names = [str(name) for name in classes]
    if np.ndim(y_true) == 2:
        return np.asarray(y_true) > 0, probabilities, names
    truth = np.asarray(y_true, dtype=np.str_)[:, None] == np.asarray(names, dtype=np.str_)
    first = 1 if len(names) == 2 else 0
    return truth[:, first:], probabilities[:, first:], names[first:]


def _line(truth: NDArray[np.bool_], scores: NDArray[Any], is_roc: bool) -> Line:
    curve = ranking_curve(truth, scores)
    if is_roc:
        return curve.false_positive_rate, curve.true_positive_rate
    return curve.true_positive_rate, curve.precision


def _on_grid(line: Line, is_roc: bool) -> Line:
    """The height over an even grid: between thresholds ROC goes straight, precision in steps."""
    x, y = line
    if is_roc:
        # Over a false positive rate of 0 the curve is vertical; it starts at its upper end.
        last = np.append(np.flatnonzero(np.diff(x)), len(x) - 1)
        return np.append(0.0, GRID), np.append(0.0, np.interp(GRID, x[last], y[last]))
    return GRID, y[np.clip(np.searchsorted(x, GRID, side="left"), 1, len(y) - 1)]


def _thinned(line: Line, is_roc: bool) -> Line:
    x, y = line
    if len(x) <= MOST_POINTS:
        return line
    kept = np.unique(np.linspace(0, len(x) - 1, MOST_POINTS).astype(np.intp))
    return x[kept], y[kept]


def _finish(axes: Any, is_roc: bool) -> None:
    labels = ("false positive rate", "true positive rate") if is_roc else ("recall", "precision")
    label_axes(axes, *labels)
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.02)
    if axes.get_legend_handles_labels()[0]:
        what = "area under the curve" if is_roc else "average precision"
        add_legend(axes, "lower right" if is_roc else "lower left", what)


@drawing
def reliability_plot(confidence: NDArray[Any], is_right: NDArray[Any], title: str = "Reliability") -> Any:
    """Accuracy against confidence (N,), the probability of the predicted class, and how many samples have which."""
    table = reliability(confidence, is_right)
    figure = new_figure(4.6, 5.4, title)
    upper = add_axes(figure, 0.7, 1.85, 3.7, 2.85)
    lower = add_axes(figure, 0.7, 0.6, 3.7, 0.95)
    starts, ends = table.edges[:-1], table.edges[1:]
    held = table.n > 0
    right, said, share = table.accuracy[held], table.confidence[held], table.n / table.n.sum()
    within = (starts[held], ends[held])
    add_bars(upper, 0, right, *within, facecolor=ACCURACY, edgecolor="white", label="accuracy", linewidth=0.8)
    gap = {"facecolor": GAP, "edgecolor": VALIDATION, "label": "from there to the confidence"}
    add_bars(upper, right, said, *within, linewidth=0.8, **gap)
    add_diagonal(upper)
    upper.set_ylim(0, 1.02)
    label_axes(upper, y="accuracy")
    add_legend(upper, "above")
    write_at_top(figure, 0.97 * 4.6, f"ECE {table.ece:.3f}", 10, align=1)
    add_bars(lower, 0, share, starts, ends, facecolor=GREY, edgecolor="white", linewidth=0.8)
    set_ticks(lower.yaxis, [0, round(float(share.max()), 2)])
    label_axes(lower, "confidence", "share of samples")
    for axes in (upper, lower):
        axes.set_xlim(0, 1)
    return figure
