"""The reliability diagram."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.metrics.calibration import BINS, Reliability, reliability
from headstart.plots.plot import Plot
from headstart.plots.style import (
    GREY,
    INK,
    VALIDATION,
    add_axes,
    add_legend,
    label_axes,
    new_figure,
    title_figure,
)

ACCURACY, GAP = "#93b4f5", "#ea580c55"


def reliability_plot(
    confidence: NDArray[Any], is_right: NDArray[Any], title: str = "Reliability", bins: int = BINS
) -> Plot:
    """Accuracy against confidence, and how many samples have which confidence.

    Parameters
    ----------
    confidence : ndarray of float, shape (N,)
        The probability of the predicted class.
    is_right : ndarray of bool, shape (N,)
    title : str
    bins : int

    Returns
    -------
    Plot
    """
    return Plot(partial(_draw, reliability(confidence, is_right, bins), title))


def _draw(table: Reliability, title: str) -> Any:
    figure = new_figure(4.6, 5.4)
    upper = add_axes(figure, 0.7, 1.85, 3.7, 2.85)
    lower = add_axes(figure, 0.7, 0.6, 3.7, 0.95)
    width, starts = np.diff(table.edges), table.edges[:-1]
    held = table.n > 0
    bars: dict[str, Any] = {"width": width[held], "align": "edge", "linewidth": 0.8}
    upper.bar(starts[held], table.accuracy[held], color=ACCURACY, edgecolor="white", label="accuracy", **bars)
    gap = (table.confidence - table.accuracy)[held]
    label = "from there to the confidence"
    upper.bar(
        starts[held], gap, bottom=table.accuracy[held], color=GAP, edgecolor=VALIDATION, label=label, **bars
    )
    upper.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (4, 4)))
    upper.set_ylim(0, 1.02)
    label_axes(upper, y="accuracy")
    add_legend(upper, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, columnspacing=1.2)
    figure.text(0.97, 1 - 0.12 / 5.4, f"ECE {table.ece:.3f}", ha="right", va="top", size=10, color=INK)
    lower.bar(
        starts, table.n / table.n.sum(), width, align="edge", color=GREY, edgecolor="white", linewidth=0.8
    )
    lower.set_yticks([0, round(float(table.n.max() / table.n.sum()), 2)])
    label_axes(lower, "confidence", "share of samples")
    for axes in (upper, lower):
        axes.set_xlim(0, 1)
    title_figure(figure, title)
    return figure
