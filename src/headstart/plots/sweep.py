"""The scores of a sweep over one or two parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.errors import ConfigError
from headstart.plots.curves import learning_curve_plot
from headstart.plots.plot import Plot
from headstart.plots.style import (
    FAINT,
    INK,
    SHADES,
    VALIDATION,
    add_axes,
    add_colour_bar,
    ink_on,
    label_axes,
    new_figure,
    shorten,
    title_figure,
)

TINTS = ("#dbeafe", *SHADES[1:])


def sweep_plot(
    parameters: Mapping[str, Sequence[Any]],
    scores: ArrayLike,
    metric: str = "accuracy",
    title: str = "Sweep",
    chosen: int | None = None,
) -> Plot:
    """A heat map over two parameters, or a line over one.

    Parameters
    ----------
    parameters : mapping
        One or two of {name: M values}, one value for each trial.
    scores : array-like, shape (M,)
        Of each trial; NaN of one that failed. Trials with the same values (seeds) are averaged.
    metric, title : str
    chosen : int, optional
        The trial whose cell is framed; without it the cell with the highest score is.

    Returns
    -------
    Plot

    Raises
    ------
    ConfigError
        There are more than two parameters, or none.
    """
    values = np.asarray(scores, dtype=np.float64)
    if len(parameters) not in (1, 2):
        raise ConfigError(f"a sweep plot shows one or two parameters, not {len(parameters)}: choose two")
    if len(parameters) == 1:
        return _line(parameters, values, metric, title)
    return Plot(partial(_draw_map, parameters, values, metric, title, chosen))


def _line(
    parameters: Mapping[str, Sequence[Any]], scores: NDArray[np.float64], metric: str, title: str
) -> Plot:
    ((name, values),) = parameters.items()
    levels, codes = _levels(values)
    if not all(isinstance(level, int | float) and not isinstance(level, bool) for level in levels):
        return Plot(partial(_draw_levels, name, levels, codes, scores, metric, title))
    groups = [scores[(codes == code) & np.isfinite(scores)] for code in range(len(levels))]
    most = max((len(group) for group in groups), default=0)
    padded = np.full((len(levels), most), np.nan)
    for row, group in zip(padded, groups, strict=True):
        row[: len(group)] = group
    return learning_curve_plot({name: (levels, padded)}, metric, name, title)


def _draw_levels(
    name: str,
    levels: list[Any],
    codes: NDArray[np.intp],
    scores: NDArray[np.float64],
    metric: str,
    title: str,
) -> Any:
    figure = new_figure(max(3.2, 0.9 * len(levels) + 1.2), 3.9)
    width = figure.get_size_inches()[0]
    axes = add_axes(figure, 0.75, 0.6, width - 1.0, 2.65)
    axes.plot(codes, scores, "o", color=INK, alpha=0.4, markersize=5)
    axes.set_xticks(range(len(levels)), [shorten(str(level), 14) for level in levels])
    label_axes(axes, name, metric.replace("_", " "))
    title_figure(figure, title)
    return figure


def _draw_map(
    parameters: Mapping[str, Sequence[Any]],
    scores: NDArray[np.float64],
    metric: str,
    title: str,
    chosen: int | None,
) -> Any:
    from matplotlib.patches import Rectangle

    (y_name, ys), (x_name, xs) = parameters.items()
    (rows, row_of), (columns, column_of) = _levels(ys), _levels(xs)
    table = _means(row_of, column_of, scores, (len(rows), len(columns)))
    width, height = max(0.62 * len(columns), 2.4), max(0.42 * len(rows), 1.2)
    figure = new_figure(width + 2.4, height + 1.4)
    axes = add_axes(figure, 1.0, 0.75, width, height)
    axes.grid(visible=False)
    image = axes.imshow(table, cmap=_tints(), aspect="auto")
    _draw_edges(axes, len(rows), len(columns))
    style: dict[str, Any] = {"size": 8, "parse_math": False}
    axes.set_xticks(range(len(columns)), [_written(value) for value in columns], **style)
    axes.set_yticks(range(len(rows)), [_written(value) for value in rows], **style)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    label_axes(axes, x_name, y_name)
    _write_scores(axes, table, image)
    if np.isfinite(table).any():
        best = np.unravel_index(np.nanargmax(table), table.shape)
        row, column = best if chosen is None else (row_of[chosen], column_of[chosen])
        style = {"fill": False, "edgecolor": VALIDATION, "linewidth": 2.5, "zorder": 4}
        frame = Rectangle((column - 0.5, row - 0.5), 1, 1, **style)
        axes.add_patch(frame)
    add_colour_bar(figure, image, (1.2 + width, 0.75, 0.14, height), metric.replace("_", " "))
    title_figure(figure, title)
    return figure


def _levels(values: Sequence[Any]) -> tuple[list[Any], NDArray[np.intp]]:
    """The distinct values in order, numbers before names, and the place of each value among them."""
    plain = [value.item() if isinstance(value, np.generic) else value for value in values]
    levels = sorted(set(plain), key=_order)
    place = {level: code for code, level in enumerate(levels)}
    return levels, np.array([place[value] for value in plain], dtype=np.intp)


def _order(value: Any) -> tuple[bool, float, str]:
    numeric = isinstance(value, int | float)
    return not numeric, float(value) if numeric else 0.0, str(value)


def _means(
    row_of: NDArray[np.intp], column_of: NDArray[np.intp], scores: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.float64]:
    known = np.isfinite(scores)
    sums, n = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, (row_of[known], column_of[known]), scores[known])
    np.add.at(n, (row_of[known], column_of[known]), 1)
    return np.where(n > 0, sums / np.maximum(n, 1), np.nan)


def _draw_edges(axes: Any, n_rows: int, n_columns: int) -> None:
    style = {"color": "white", "linewidth": 1.5}
    axes.hlines(np.arange(1, n_rows) - 0.5, -0.5, n_columns - 0.5, **style)
    axes.vlines(np.arange(1, n_columns) - 0.5, -0.5, n_rows - 0.5, **style)


def _write_scores(axes: Any, table: NDArray[np.float64], image: Any) -> None:
    from headstart.plots.lettering import Words

    places = np.argwhere(np.isfinite(table))
    if not len(places):
        return
    inks = np.array([ink_on(colour) for colour in image.to_rgba(table[tuple(places.T)])])
    for ink in np.unique(inks).tolist():
        mine = places[inks == ink]
        words = [f"{table[row, column]:.3f}" for row, column in mine]
        axes.add_artist(Words(words, mine[:, ::-1], axes.transData, 8, ink))


def _tints() -> Any:
    """Light blue to dark blue: the worst cell is still a cell on the white page. Grey: no score."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("tints", TINTS).with_extremes(bad=FAINT)


def _written(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else shorten(str(value), 14)
