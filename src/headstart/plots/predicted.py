"""Predicted against true numbers."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.plots.plot import Plot
from headstart.plots.scatter import MOST_SHAPES, thinned
from headstart.plots.style import GREY, TRAIN, add_axes, label_axes, new_figure, title_figure


def prediction_plot(
    y_true: NDArray[Any], y_pred: NDArray[Any], title: str = "Predictions", column: str = ""
) -> Plot:
    """What a regressor predicts against what is true, with the diagonal on which both are the same.

    Parameters
    ----------
    y_true, y_pred : ndarray of float, shape (N,)
    title : str
    column : str
        What the numbers are.

    Returns
    -------
    Plot
        Both axes have one scale. A sample of which a number is missing is left out.
    """
    return Plot(partial(_draw, y_true, y_pred, title, column))


def _draw(y_true: NDArray[Any], y_pred: NDArray[Any], title: str, column: str) -> Any:
    pairs = np.stack([y_true, y_pred], axis=1).astype(np.float64)
    pairs = thinned(pairs[np.isfinite(pairs).all(axis=1)])
    figure = new_figure(5.2, 5.2)
    axes = add_axes(figure, 0.85, 0.7, 4.1, 3.9)
    size = float(np.clip(6000 / max(len(pairs), 1), 3, 30))
    drawn = axes.scatter(*pairs.T, s=size, c=TRAIN, alpha=0.45, linewidths=0)
    drawn.set_rasterized(len(pairs) > MOST_SHAPES)
    low, high = (float(pairs.min()), float(pairs.max())) if len(pairs) else (0.0, 1.0)
    room = 0.04 * (high - low) or max(abs(high), 1.0)  # of a constant there is no span
    axes.axline((low, low), (high + room, high + room), color=GREY, linewidth=0.8, linestyle=(0, (4, 4)))
    axes.set_xlim(low - room, high + room)
    axes.set_ylim(low - room, high + room)
    axes.grid(visible=True, axis="x", color="#c9d1d9", linewidth=0.6, alpha=0.6)
    label_axes(axes, f"true {column}".strip(), f"predicted {column}".strip())
    title_figure(figure, title)
    return figure
