"""Plots as PNG bytes, drawn without pyplot: no window, no global state."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from headstart.types import Json

DPI = 120
INK, FAINT = "#1f2933", "#c9d1d9"
TRAIN, VALIDATION = "#2563eb", "#ea580c"
LONGEST_NAME = 26
POINTS_AN_INCH = 72
SMALLEST_FONT = 5.0
"""In points; what would be smaller is left out."""


def plot_confusion(confusion: Mapping[str, Json], title: str = "Confusion matrix") -> bytes:
    """A confusion matrix: colours are shares of the true class, numbers are counts.

    Parameters
    ----------
    confusion : mapping
        ``labels`` and ``matrix`` as `evaluate` gives them.
    title : str

    Returns
    -------
    bytes
        A PNG file. It grows with the number of classes.
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    counts = np.array(confusion["matrix"], dtype=np.int64)
    names = [shorten(name) for name in confusion["labels"]]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    cell = _cell_inches(len(names))
    side, margin = cell * len(names), 0.55 + _longest(names, cell)
    width, height = max(side + margin + 1.3, 4.2), side + margin + 0.7
    figure = Figure(figsize=(width, height), facecolor="white")
    axes = figure.add_axes((margin / width, margin / height, side / width, side / height))
    colours = LinearSegmentedColormap.from_list("share", ["#ffffff", "#bfdbfe", "#2563eb", "#172554"])
    image = axes.imshow(shares, cmap=colours, vmin=0, vmax=1, aspect="equal")
    _name_axes(axes, names, cell)
    _write_counts(axes, counts, shares, cell)
    _colour_bar(figure, image, left=margin + side + 0.2, bottom=margin, side=side)
    size = min(12 + side / 2.5, 20)
    fitting = int((width - margin) * POINTS_AN_INCH / (0.65 * size))
    axes.set_title(
        shorten(title, fitting), loc="left", size=size, weight="bold", color=INK, pad=10, parse_math=False
    )
    return _png(figure)


def plot_history(history: Sequence[Mapping[str, Json]], title: str = "Training") -> bytes:
    """Loss, validation accuracy and learning rate of each epoch.

    Parameters
    ----------
    history : sequence of mapping
        As `LinearHead.history_`; entries of None (no validation data) are left out.
    title : str

    Returns
    -------
    bytes
        A PNG file.
    """
    from matplotlib.figure import Figure

    panels = [("loss", ("train_loss", "validation_loss")), ("learning rate", ("lr",))]
    if any(record["validation_accuracy"] is not None for record in history):
        panels.insert(1, ("accuracy", ("validation_accuracy",)))
    figure = Figure(figsize=(4.2 * len(panels), 3.4), facecolor="white", layout="constrained")
    for axes, (label, names) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        for name in names:
            _curve(axes, history, name)
        _dress(axes, label)
    figure.suptitle(title, size=12, weight="bold", color=INK, parse_math=False)
    return _png(figure)


def shorten(name: str, longest: int = LONGEST_NAME) -> str:
    """A name in one line of at most so many characters, keeping its start and its end.

    Examples
    --------
    >>> shorten("balance_not_updated_after_cheque_or_cash_deposit", 21)
    'balance_no…sh_deposit'
    """
    name = " ".join(name.split()) or "(empty)"
    if len(name) <= longest:
        return name
    head, tail = (longest - 1) - (longest - 1) // 2, (longest - 1) // 2
    return f"{name[:head]}…{name[-tail:]}"


def _cell_inches(n_classes: int) -> float:
    """The side of a cell: generous for few classes, and the whole never much above 20 inches."""
    return min(max(0.16, 5.0 / n_classes), 1.1) if n_classes <= 125 else 20 / n_classes


def _font(cell: float, share: float) -> float:
    """A font size in points that fills a share of a cell's side."""
    return min(10.0, cell * POINTS_AN_INCH * share)


def _longest(names: Sequence[str], cell: float) -> float:
    """The width of the longest name in inches: a letter is about 0.6 times as wide as high."""
    return max(map(len, names)) * _font(cell, 0.55) * 0.6 / POINTS_AN_INCH


def _name_axes(axes: Any, names: Sequence[str], cell: float) -> None:
    """Put the names beside the cells, as many as are readable, and lines between the cells."""
    size = max(_font(cell, 0.55), SMALLEST_FONT)
    every = math.ceil(SMALLEST_FONT / (cell * POINTS_AN_INCH * 0.9))  # of 1,000 names not all fit
    places = np.arange(0, len(names), every)
    style: dict[str, Any] = {"size": size, "color": INK, "parse_math": False}
    title_size = min(10 + cell * len(names) / 5, 14)
    upright = 90 if _longest(names, cell) > 0.95 * cell else 0
    axes.set_xticks(places, names[::every], rotation=upright, **style)
    axes.set_yticks(places, names[::every], **style)
    axes.set_xlabel("predicted", color=INK, labelpad=6, size=title_size)
    axes.set_ylabel("true", color=INK, labelpad=6, size=title_size)
    axes.tick_params(length=0)
    axes.spines[:].set_color(FAINT)
    if every == 1:
        edges = np.arange(1, len(names)) - 0.5
        axes.hlines(edges, -0.5, len(names) - 0.5, color=FAINT, linewidth=min(0.8, cell))
        axes.vlines(edges, -0.5, len(names) - 0.5, color=FAINT, linewidth=min(0.8, cell))


def _write_counts(axes: Any, counts: NDArray[np.int64], shares: NDArray[np.float64], cell: float) -> None:
    """Print each count that is not zero where the numbers would be large enough to read."""
    digits = len(str(counts.max()))
    size = _font(cell, min(0.55, 1.3 / digits))
    if size < SMALLEST_FONT:
        return
    for row, column in np.argwhere(counts):
        colour = "white" if shares[row, column] > 0.5 else INK
        count = str(counts[row, column])
        axes.text(column, row, count, ha="center", va="center", size=size, color=colour)


def _colour_bar(figure: Any, image: Any, left: float, bottom: float, side: float) -> None:
    """What the colours mean, right of the matrix; places in inches."""
    width, height = figure.get_size_inches()
    length = min(side, 4.0)
    place = (left / width, (bottom + side - length) / height, 0.14 / width, length / height)
    bar = figure.colorbar(image, cax=figure.add_axes(place), ticks=[0, 0.5, 1])
    bar.ax.set_yticklabels(["0 %", "50 %", "100 %"], size=8, color=INK)
    bar.set_label("share of the true class", size=8, color=INK)
    bar.ax.tick_params(length=0)
    bar.outline.set_edgecolor(FAINT)


def _curve(axes: Any, history: Sequence[Mapping[str, Json]], name: str) -> None:
    """One line over the epochs, its best validation value marked."""
    points = [(record["epoch"], record[name]) for record in history if record[name] is not None]
    if not points:
        return
    epochs, values = zip(*points, strict=True)
    is_validation = name.startswith("validation")
    colour = VALIDATION if is_validation else TRAIN
    label = name.removesuffix("_loss").removesuffix("_accuracy")
    axes.plot(epochs, values, color=colour, linewidth=1.8, label=label, marker="" if len(values) > 1 else "o")
    if is_validation:
        best = int(np.argmin(values) if name.endswith("loss") else np.argmax(values))
        axes.plot(epochs[best], values[best], "o", color=colour, markersize=5)
        axes.annotate(
            f"{values[best]:.3g}",
            (epochs[best], values[best]),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            size=9,
            color=colour,
        )


def _dress(axes: Any, label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch", color=INK)
    axes.set_title(label, size=10, color=INK, loc="left")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors=INK, labelsize=9)
    axes.grid(axis="y", color=FAINT, linewidth=0.6, alpha=0.6)
    axes.margins(y=0.15)
    if len(axes.get_legend_handles_labels()[0]) > 1:
        axes.legend(frameon=False, fontsize=9)


def _png(figure: Any) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    stream = io.BytesIO()
    with warnings.catch_warnings():
        # A class name may be in a script that the font lacks; a box is drawn for it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        FigureCanvasAgg(figure).print_png(stream)
    return stream.getvalue()
