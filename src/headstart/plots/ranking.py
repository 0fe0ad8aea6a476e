"""ROC and precision-recall curves: of two classes, of a few, or of many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.metrics.ranking import RankingCurve, ranking_curve, ranking_figures
from headstart.plots.plot import Plot
from headstart.plots.style import (
    FAINT,
    GREY,
    INK,
    PALETTE,
    add_axes,
    add_legend,
    label_axes,
    new_figure,
    shorten,
    title_figure,
)

NAMED = 8
"""More classes than so many are drawn faintly, without names."""

GRID = np.linspace(0, 1, 201)
Line = tuple[NDArray[np.float64], NDArray[np.float64]]


def roc_plot(
    y_true: NDArray[Any], probabilities: NDArray[Any], classes: Sequence[str], title: str = "ROC"
) -> Plot:
    """ROC curves with their areas.

    Parameters
    ----------
    y_true : ndarray of str, shape (N,), or of 0 and 1, shape (N, C)
        Names, or the labels of a multi-label head.
    probabilities : ndarray of float, shape (N, C)
    classes : sequence of str, length C
    title : str

    Returns
    -------
    Plot
        Of two classes the second; of up to eight each, named; of more each faintly, and the macro and
        micro averages. A class without samples, or without others, has no curve.
    """
    return Plot(partial(_draw, y_true, probabilities, classes, title, is_roc=True))


def precision_recall_plot(
    y_true: NDArray[Any],
    probabilities: NDArray[Any],
    classes: Sequence[str],
    title: str = "Precision and recall",
) -> Plot:
    """Precision-recall curves with their average precision; parameters as of `roc_plot`."""
    return Plot(partial(_draw, y_true, probabilities, classes, title, is_roc=False))


def _draw(
    y_true: NDArray[Any], probabilities: NDArray[Any], classes: Sequence[str], title: str, is_roc: bool
) -> Any:
    truth, scores, names = _columns(y_true, probabilities, classes)
    areas = ranking_figures(truth, scores)[0 if is_roc else 1]
    scored = np.flatnonzero(np.isfinite(areas))
    line_of = _roc_line if is_roc else _precision_line
    figure = new_figure(5.2, 5.0)
    axes = add_axes(figure, 0.7, 0.6, 4.2, 3.9)
    if is_roc:
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (4, 4)))
    curves = [ranking_curve(truth[:, column], scores[:, column]) for column in scored]
    if len(curves) == 1:
        _named(axes, [_thinned(line_of(curves[0]))], [names[scored[0]]], areas[scored])
    elif curves:
        _several(axes, curves, [names[column] for column in scored], areas[scored], line_of)
        _micro(axes, truth[:, scored], scores[:, scored], is_roc, line_of)
    _finish(axes, is_roc)
    title_figure(figure, title)
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


def _several(
    axes: Any,
    curves: Sequence[RankingCurve],
    names: Sequence[str],
    areas: NDArray[np.float64],
    line_of: Callable[[RankingCurve], Line],
) -> None:
    from matplotlib.collections import LineCollection

    lines = [_on_grid(line_of(curve), line_of is _roc_line) for curve in curves]
    if len(curves) <= NAMED:
        _named(axes, lines, names, areas)
    else:
        segments = [np.stack(line, axis=1) for line in lines]
        axes.add_collection(LineCollection(segments, colors=FAINT, linewidths=0.7, alpha=0.8))
        axes.plot([], [], color=FAINT, linewidth=0.9, label=f"{len(curves)} classes")
    mean = np.mean([line[1] for line in lines], axis=0)
    axes.plot(lines[0][0], mean, color=INK, linewidth=2, label=f"macro average  {areas.mean():.3f}")


def _named(axes: Any, lines: Sequence[Line], names: Sequence[str], areas: NDArray[np.float64]) -> None:
    for line, name, area, colour in zip(lines, names, areas, PALETTE, strict=False):
        axes.plot(*line, color=colour, linewidth=1.5, label=f"{shorten(name)}  {area:.3f}")


def _micro(
    axes: Any,
    truth: NDArray[np.bool_],
    scores: NDArray[Any],
    is_roc: bool,
    line_of: Callable[[RankingCurve], Line],
) -> None:
    flat_truth, flat_scores = truth.ravel(), scores.ravel()
    area = ranking_figures(flat_truth[:, None], flat_scores[:, None])[0 if is_roc else 1][0]
    line = _on_grid(line_of(ranking_curve(flat_truth, flat_scores)), is_roc)
    label = f"micro average  {area:.3f}"
    axes.plot(*line, color=GREY, linewidth=1.6, linestyle=(0, (3, 2)), label=label)


def _roc_line(curve: RankingCurve) -> Line:
    return curve.false_positive_rate, curve.true_positive_rate


def _precision_line(curve: RankingCurve) -> Line:
    return curve.true_positive_rate, curve.precision


def _on_grid(line: Line, is_roc: bool) -> Line:
    """The height over an even grid: between thresholds ROC goes straight, precision in steps."""
    x, y = line
    if is_roc:
        # Over a false positive rate of 0 the curve is vertical; it starts at its upper end.
        last = np.append(np.flatnonzero(np.diff(x)), len(x) - 1)
        return np.append(0.0, GRID), np.append(0.0, np.interp(GRID, x[last], y[last]))
    return GRID, y[np.clip(np.searchsorted(x, GRID, side="left"), 1, len(y) - 1)]


def _thinned(line: Line, most: int = 2000) -> Line:
    x, y = line
    if len(x) <= most:
        return line
    kept = np.unique(np.linspace(0, len(x) - 1, most).astype(np.intp))
    return x[kept], y[kept]


def _finish(axes: Any, is_roc: bool) -> None:
    labels = ("false positive rate", "true positive rate") if is_roc else ("recall", "precision")
    label_axes(axes, *labels)
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.02)
    if axes.get_legend_handles_labels()[0]:
        what = "area under the curve" if is_roc else "average precision"
        add_legend(axes, loc="lower right" if is_roc else "lower left", title=what, title_fontsize=8)
