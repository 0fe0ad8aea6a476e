"""Curves over epochs and over the number of training samples, and the scores of sweeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.errors import ConfigError
from headstart.plots.look import FAINT, INK, PALETTE, SHADES, TRAIN, VALIDATION, Look
from headstart.plots.plot import Plot, drawing
from headstart.plots.style import (
    add_axes,
    add_colour_bar,
    add_legend,
    ink_on,
    label_axes,
    new_figure,
    power_of_ten,
    set_ticks,
    shorten,
)

if TYPE_CHECKING:
    from headstart.types import Json

SIDES = ("train", "validation")
MOST_PANELS = 5
MOST_BANDS = 4
ASIDE = 1.025
"""By what curves stand beside each other where there are more than that."""
TINTS = ("#dbeafe", *SHADES[1:])
"""Light blue to dark blue: the worst cell is still a cell on the white page."""


@drawing
def history_plot(history: Sequence[Mapping[str, Json]], title: str = "Training") -> Any:
    """Losses, metrics and the learning rate of each epoch.

    A record per epoch has ``epoch`` (or ``number``, if it is one of several phases, which lines part: the epochs of all
    of them are counted on), ``lr``, and ``train_<name>`` and ``validation_<name>`` for each loss and metric;
    None where there is no value. There is a panel for each name, its best validation value marked (the least of a
    name that ends in loss or error, else the greatest), the learning rate last.
    """
    from matplotlib.ticker import MaxNLocator

    panels = _panels(history)
    figure = new_figure(3.9 * len(panels) + 0.3, 3.4, title)
    for place, name in enumerate(panels):
        axes = add_axes(figure, 0.75 + 3.9 * place, 0.55, 3.25, 2.2)
        keys = ["lr"] if name == "lr" else [f"{side}_{name}" for side in SIDES]
        drawn = [key for key in keys if _curve(axes, history, key)]
        for first in _phase_starts(history):
            axes.axvline(first - 0.5, color=FAINT, linewidth=1.0, linestyle=(0, (4, 4)), zorder=0)
        label_axes(axes, "epoch", title="learning rate" if name == "lr" else name.replace("_", " "))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(y=0.15)
        if len(drawn) > 1:
            add_legend(axes)
    return figure


def _at(record: Mapping[str, Json]) -> float:
    """Where an epoch stands: over all phases, each of which counts its own from 1."""
    return float(record.get("number") or record["epoch"])


def _phase_starts(history: Sequence[Mapping[str, Json]]) -> list[float]:
    """Where each phase but the first begins."""
    return [_at(later) for earlier, later in pairwise(history) if earlier.get("phase") != later.get("phase")]


def _panels(history: Sequence[Mapping[str, Json]]) -> list[str]:
    """The names that have a value somewhere: the loss first, the learning rate last."""
    present = dict.fromkeys(key for record in history for key, value in record.items() if value is not None)
    sided = dict.fromkeys(
        key.removeprefix(f"{side}_") for key in present for side in SIDES if key.startswith(f"{side}_")
    )
    named: Iterable[str] = sorted(sided, key=lambda name: name != "loss")
    return [*list(named)[: MOST_PANELS - 1], *(["lr"] if "lr" in present else [])] or ["loss"]


def _curve(axes: Any, history: Sequence[Mapping[str, Json]], key: str) -> bool:
    """One line over the epochs, its best validation value marked; False if it has no point."""
    from headstart.plots.lettering import Words

    points = [(_at(record), record[key]) for record in history if record.get(key) is not None]
    if not points:
        return False
    epochs, values = (np.array(column, dtype=np.float64) for column in zip(*points, strict=True))
    values[~np.isfinite(values)] = np.nan  # of a head that diverged: infinity has no place on an axis
    is_validation = key.startswith("validation_")
    colour = VALIDATION if is_validation else TRAIN
    marker = "" if len(values) > 1 else "o"
    axes.plot(epochs, values, color=colour, linewidth=1.8, label=key.partition("_")[0], marker=marker)
    if is_validation and not np.isnan(values).all():
        falls = key.endswith(("loss", "error", "mae", "rmse", "brier"))
        best = int(np.nanargmin(values) if falls else np.nanargmax(values))
        at = (epochs[best], values[best])
        axes.plot(*at, "o", color=colour, markersize=5)
        shift = (0, -9.5 if falls else 9.5)
        axes.add_artist(Words([f"{values[best]:.3g}"], [at], axes.transData, 9, colour, shift=shift))
    return True


@drawing
def schedule_plot(history: Sequence[Mapping[str, Json]], title: str = "Learning rate") -> Any:
    """The learning rate at the end of each epoch, with lines between phases; records are those of `history_plot`.

    The axis is logarithmic where the rates span a factor of 30 or more.
    """
    from matplotlib.ticker import MaxNLocator

    points = [(_at(record), record["lr"]) for record in history if record.get("lr") is not None]
    epochs, rates = np.array(points, dtype=np.float64).reshape(-1, 2).T
    figure = new_figure(5.6, 3.4, title)
    axes = add_axes(figure, 0.9, 0.6, 4.4, 2.15)
    axes.plot(epochs, rates, "o-", color=TRAIN, linewidth=1.8, markersize=4)
    for first in _phase_starts(history):
        axes.axvline(first - 0.5, color=FAINT, linewidth=1.0, linestyle=(0, (4, 4)), zorder=0)
    if len(rates) and rates.min() > 0 and rates.max() >= 30 * rates.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(power_of_ten)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(y=0.15)
    label_axes(axes, "epoch", "learning rate")
    return figure


@drawing
def learning_curve_plot(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    metric: str = "accuracy",
    x: str = "training samples",
    title: str = "Learning curve",
    base: int = 10,
    intervals: Mapping[str, ArrayLike | None] | None = None,
) -> Any:
    """Scores against the number of training samples or of shots: means, and a band of their intervals.

    Intervals are {name: (M, 2)}, NaN where there is none; the band of a curve without any is ± one deviation.

    Curves are {name: (sizes (M,), scores (M, S))}, S seeds each; NaN of those that failed. The x axis is logarithmic
    by base 2, for shots, always; by others from a factor of 8 between the sizes on.
    """
    figure = new_figure(5.6, 3.9, title)
    axes = add_axes(figure, 0.75, 0.6, 4.6, 2.65)
    every = np.concatenate([np.asarray(sizes, dtype=np.float64) for sizes, _ in curves.values()])
    for place, (name, (sizes, scores)) in enumerate(curves.items()):
        given = (intervals or {}).get(name)
        band = None if given is None else np.asarray(given, dtype=np.float64)
        at, values = np.asarray(sizes, dtype=np.float64), np.asarray(scores, dtype=np.float64)
        _band(axes, at, values, band, name, place, len(curves))
    least = 2 if base == 2 else 8
    if every.min() > 0 and every.max() >= least * every.min():
        _logarithmic(axes, np.unique(every), base)
    label_axes(axes, x, metric.replace("_", " "))
    if len(curves) > 1:
        add_legend(axes)
    return figure


def _band(axes: Any, sizes: Any, scores: Any, band: Any, name: str, place: int, n_curves: int) -> None:
    order = np.argsort(sizes)
    sizes, scores = sizes[order], scores.reshape(len(sizes), -1)[order]
    colour = PALETTE[place % len(PALETTE)]
    known = np.isfinite(scores)
    n = known.sum(axis=1)
    mean = _ratio(np.where(known, scores, 0).sum(axis=1), n)
    if band is None and scores.shape[1] > 1:
        squares = np.where(known, (scores - mean[:, None]) ** 2, 0).sum(axis=1)
        deviation = np.where(n > 1, np.sqrt(_ratio(squares, n - 1)), 0)
        band = np.stack([mean - deviation, mean + deviation], axis=1)
    elif band is not None:
        band = band[order]
    if n_curves > MOST_BANDS:  # which would lie on each other: bars beside each other instead
        sizes = sizes * ASIDE ** (place - (n_curves - 1) / 2)
        if band is not None:
            axes.vlines(sizes, band[:, 0], band[:, 1], color=colour, alpha=0.6, linewidth=1.2)
        axes.plot(sizes, mean, "o-", color=colour, linewidth=1.2, markersize=3.5, label=name)
        return
    if band is not None:
        axes.fill_between(sizes, band[:, 0], band[:, 1], color=colour, alpha=0.15, linewidth=0)
    if scores.shape[1] > 1:
        axes.plot(sizes, scores, "o", color=colour, markersize=2.5, alpha=0.3)
    axes.plot(sizes, mean, "o-", color=colour, linewidth=1.8, markersize=4.5, label=name)


def _ratio(total: Any, n: Any) -> Any:
    """NaN where there is nothing to divide by."""
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)


def _logarithmic(axes: Any, sizes: Any, base: int) -> None:
    """Ticks at the sizes themselves, as many as have room."""
    axes.set_xscale("log", base=base)
    shown: list[float] = []
    for size in sizes.tolist():
        if not shown or size >= shown[-1] * 10 ** (np.log10(sizes[-1] / sizes[0]) / 10):
            shown.append(size)
    set_ticks(axes.xaxis, shown, [f"{size:,.4g}" for size in shown])


def sweep_plot(
    parameters: Mapping[str, Sequence[Any]],
    scores: ArrayLike,
    metric: str = "accuracy",
    title: str = "Sweep",
    chosen: int | None = None,
) -> Plot:
    """A heat map over two parameters, or a line over one, of one value and one score for each trial.

    The score of a trial that failed is NaN; trials with the same values (seeds) are averaged. The cell of the trial
    that was chosen is framed, or else that with the highest score.

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
    return _map(parameters, values, metric, title, chosen)


def _line(
    parameters: Mapping[str, Sequence[Any]], scores: NDArray[np.float64], metric: str, title: str
) -> Plot:
    ((name, values),) = parameters.items()
    levels, codes = _levels(values)
    if not all(isinstance(level, int | float) and not isinstance(level, bool) for level in levels):
        return _levels_plot(name, levels, codes, scores, metric, title)
    groups = [scores[(codes == code) & np.isfinite(scores)] for code in range(len(levels))]
    padded = np.full((len(levels), max(map(len, groups), default=0)), np.nan)
    for row, group in zip(padded, groups, strict=True):
        row[: len(group)] = group
    return learning_curve_plot({name: (levels, padded)}, metric, name, title)


@drawing
def _levels_plot(
    name: str,
    levels: list[Any],
    codes: NDArray[np.intp],
    scores: NDArray[np.float64],
    metric: str,
    title: str,
) -> Any:
    figure = new_figure(max(3.2, 0.9 * len(levels) + 1.2), 3.9, title)
    width = figure.get_size_inches()[0]
    axes = add_axes(figure, 0.75, 0.6, width - 1.0, 2.65)
    axes.plot(codes, scores, "o", color=INK, alpha=0.4, markersize=5)
    set_ticks(axes.xaxis, range(len(levels)), [shorten(str(level), 14) for level in levels])
    label_axes(axes, name, metric.replace("_", " "))
    return figure


@drawing
def _map(
    parameters: Mapping[str, Sequence[Any]],
    scores: NDArray[np.float64],
    metric: str,
    title: str,
    chosen: int | None,
) -> Any:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    (y_name, ys), (x_name, xs) = parameters.items()
    (rows, row_of), (columns, column_of) = _levels(ys), _levels(xs)
    table = _means(row_of, column_of, scores, (len(rows), len(columns)))
    width, height = max(0.62 * len(columns), 2.4), max(0.42 * len(rows), 1.2)
    figure = new_figure(width + 2.4, height + 1.4, title)
    axes = add_axes(figure, 1.0, 0.75, width, height, Look(grid=(), edges=(), size=8, length=0))
    tints = LinearSegmentedColormap.from_list("tints", TINTS).with_extremes(bad=FAINT)  # grey: no score
    image = axes.imshow(table, cmap=tints, aspect="auto")
    edges: dict[str, Any] = {"color": "white", "linewidth": 1.5}
    axes.hlines(np.arange(1, len(rows)) - 0.5, -0.5, len(columns) - 0.5, **edges)
    axes.vlines(np.arange(1, len(columns)) - 0.5, -0.5, len(rows) - 0.5, **edges)
    set_ticks(axes.xaxis, range(len(columns)), [_written(value) for value in columns])
    set_ticks(axes.yaxis, range(len(rows)), [_written(value) for value in rows])
    label_axes(axes, x_name, y_name)
    _write_scores(axes, table, image)
    if np.isfinite(table).any():
        best = np.unravel_index(np.nanargmax(table), table.shape)
        row, column = best if chosen is None else (row_of[chosen], column_of[chosen])
        style: dict[str, Any] = {"fill": False, "edgecolor": VALIDATION, "linewidth": 2.5, "zorder": 4}
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **style))
    add_colour_bar(figure, image, (1.2 + width, 0.75, 0.14, height), metric.replace("_", " "))
    return figure


def _levels(values: Sequence[Any]) -> tuple[list[Any], NDArray[np.intp]]:
    """The distinct values in order, numbers before names, and the place of each value among them."""
    plain = [value.item() if isinstance(value, np.generic) else value for value in values]

    def order(value: Any) -> tuple[bool, float, str]:
        numeric = isinstance(value, int | float)
        return not numeric, float(value) if numeric else 0.0, str(value)

    levels = sorted(set(plain), key=order)
    place = {level: code for code, level in enumerate(levels)}
    return levels, np.array([place[value] for value in plain], dtype=np.intp)


def _means(
    row_of: NDArray[np.intp], column_of: NDArray[np.intp], scores: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.float64]:
    known = np.isfinite(scores)
    sums, n = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, (row_of[known], column_of[known]), scores[known])
    np.add.at(n, (row_of[known], column_of[known]), 1)
    return np.asarray(_ratio(sums, n))


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


def _written(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else shorten(str(value), 14)
