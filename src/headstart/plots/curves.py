"""Curves over epochs, and over the number of training samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from headstart.plots.plot import Plot
from headstart.plots.style import (
    PALETTE,
    TRAIN,
    VALIDATION,
    add_axes,
    add_legend,
    label_axes,
    new_figure,
    title_figure,
)

if TYPE_CHECKING:
    from headstart.types import Json

SIDES = ("train", "validation")
MOST_PANELS = 5


def history_plot(history: Sequence[Mapping[str, Json]], title: str = "Training") -> Plot:
    """Losses, metrics and the learning rate of each epoch.

    Parameters
    ----------
    history : sequence of mapping
        One record an epoch: ``epoch``, ``lr``, and ``train_<name>`` and ``validation_<name>`` for each
        loss and metric; None where there is no value. A panel for each name, its best validation value
        marked (the least of a name that ends in loss or error, else the greatest), the learning
        rate last.
    title : str

    Returns
    -------
    Plot
    """
    return Plot(partial(_draw_history, history, title))


def plot_history(history: Sequence[Mapping[str, Json]], title: str = "Training") -> bytes:
    """The PNG of `history_plot`."""
    return history_plot(history, title).png()


def learning_curve_plot(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    metric: str = "accuracy",
    x: str = "training samples",
    title: str = "Learning curve",
    base: int = 10,
) -> Plot:
    """Scores against the number of training samples or of shots: means, and a band of ± one deviation.

    Parameters
    ----------
    curves : mapping
        {name: (sizes (M,), scores (M, S))}, S seeds each; NaN of those that failed.
    metric, x, title : str
    base : int
        Of the logarithm of the x axis. Of 2, for shots, it is logarithmic always; of others from a factor of 8
        between the sizes on.

    Returns
    -------
    Plot
    """
    return Plot(partial(_draw_learning, curves, metric, x, title, base))


def _draw_history(history: Sequence[Mapping[str, Json]], title: str) -> Any:
    panels = _panels(history)
    figure = new_figure(3.9 * len(panels) + 0.3, 3.4)
    for place, name in enumerate(panels):
        axes = add_axes(figure, 0.75 + 3.9 * place, 0.55, 3.25, 2.2)
        keys = ["lr"] if name == "lr" else [f"{side}_{name}" for side in SIDES]
        drawn = [key for key in keys if _curve(axes, history, key)]
        _finish_epochs(axes, "learning rate" if name == "lr" else name.replace("_", " "))
        if len(drawn) > 1:
            add_legend(axes)
    title_figure(figure, title)
    return figure


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
    points = [(record["epoch"], record[key]) for record in history if record.get(key) is not None]
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
        axes.annotate(
            f"{values[best]:.3g}",
            at,
            xytext=(0, -13 if falls else 6),
            textcoords="offset points",
            ha="center",
            size=9,
            color=colour,
        )
    return True


def _finish_epochs(axes: Any, label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    label_axes(axes, "epoch", title=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(y=0.15)


def _draw_learning(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]], metric: str, x: str, title: str, base: int
) -> Any:
    figure = new_figure(5.6, 3.9)
    axes = add_axes(figure, 0.75, 0.6, 4.6, 2.65)
    every = np.concatenate([np.asarray(sizes, dtype=np.float64) for sizes, _ in curves.values()])
    for place, (name, (sizes, scores)) in enumerate(curves.items()):
        _band(axes, np.asarray(sizes, dtype=np.float64), np.asarray(scores, dtype=np.float64), name, place)
    least = 2 if base == 2 else 8
    if every.min() > 0 and every.max() >= least * every.min():
        _logarithmic(axes, np.unique(every), base)
    label_axes(axes, x, metric.replace("_", " "))
    if len(curves) > 1:
        add_legend(axes)
    title_figure(figure, title)
    return figure


def _band(axes: Any, sizes: Any, scores: Any, name: str, place: int) -> None:
    order = np.argsort(sizes)
    sizes, scores = sizes[order], scores.reshape(len(sizes), -1)[order]
    colour = PALETTE[place % len(PALETTE)]
    known = np.isfinite(scores)
    n = known.sum(axis=1)
    mean = _ratio(np.where(known, scores, 0).sum(axis=1), n)
    if scores.shape[1] > 1:
        squares = np.where(known, (scores - mean[:, None]) ** 2, 0).sum(axis=1)
        deviation = np.where(n > 1, np.sqrt(_ratio(squares, n - 1)), 0)
        axes.fill_between(sizes, mean - deviation, mean + deviation, color=colour, alpha=0.15, linewidth=0)
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
    axes.set_xticks(shown, [f"{size:,.4g}" for size in shown])
    axes.set_xticks([], minor=True)
