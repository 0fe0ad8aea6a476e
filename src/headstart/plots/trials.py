"""The trials of a search between values, as points: no two of them share a value, so that there is no grid to fill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.errors import ConfigError
from headstart.plots.look import TRAIN, VALIDATION
from headstart.plots.plot import drawing
from headstart.plots.style import (
    add_axes,
    add_colour_bar,
    label_axes,
    new_figure,
    power_of_ten,
    set_ticks,
    shorten,
)

LOGARITHMIC_FROM = 30.0
"""The ratio of the largest to the least positive value from which an axis is logarithmic."""


@drawing
def trials_plot(
    parameters: Mapping[str, Sequence[Any]],
    scores: ArrayLike,
    metric: str = "accuracy",
    title: str = "Search",
    chosen: int | None = None,
) -> Any:
    """A point for each trial: its score over one parameter, or by colour in the plane of two.

    The score of a trial that failed is NaN, and is not drawn; a ring is around the trial that was chosen.

    Raises
    ------
    ConfigError
        There are more than two parameters, or none.
    """
    if len(parameters) not in (1, 2):
        raise ConfigError(f"a plot of trials shows one or two parameters, not {len(parameters)}: choose two")
    values = np.asarray(scores, dtype=np.float64)
    figure = new_figure(6.4 if len(parameters) == 2 else 5.6, 3.9, title)
    axes = add_axes(figure, 0.9, 0.6, 4.4, 2.65)
    names = list(parameters)
    places = [_placed(axes, axis, parameters[name]) for axis, name in zip("xy", names, strict=False)]
    if len(places) == 1:
        axes.plot(places[0], values, "o", color=TRAIN, alpha=0.6, markersize=5)
        label_axes(axes, names[0], metric.replace("_", " "))
        heights = values
    else:
        known, heights = np.isfinite(values), places[1]
        drawn = axes.scatter(
            places[0][known], heights[known], s=36, c=values[known], cmap="viridis", linewidths=0
        )
        label_axes(axes, names[0], names[1])
        add_colour_bar(figure, drawn, (5.5, 0.6, 0.14, 2.65), metric.replace("_", " "))
    if chosen is not None:
        ring = {
            "markerfacecolor": "none",
            "markeredgecolor": VALIDATION,
            "markeredgewidth": 2,
            "markersize": 11,
        }
        axes.plot([places[0][chosen]], [heights[chosen]], "o", **ring)
    axes.margins(x=0.08, y=0.12)
    return figure


def _placed(axes: Any, axis: str, given: Sequence[Any]) -> NDArray[np.float64]:
    """Where values stand on an axis: numbers as they are, by decades where they span some; words side by side."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in given):
        numbers = np.array(given, dtype=np.float64)
        if numbers.min() > 0 and numbers.max() >= LOGARITHMIC_FROM * numbers.min():
            getattr(axes, f"set_{axis}scale")("log")
            getattr(axes, f"{axis}axis").set_major_formatter(power_of_ten)
        return numbers
    levels, codes = np.unique([str(value) for value in given], return_inverse=True)
    words = [shorten(str(level), 14) for level in levels]
    set_ticks(getattr(axes, f"{axis}axis"), range(len(levels)), words)
    return codes.astype(np.float64)
