"""What all plots share: colours, sizes, and names that fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

DPI = 120
POINTS_AN_INCH = 72
INK, FAINT, GREY = "#1f2933", "#c9d1d9", "#6b7785"
TRAIN, VALIDATION = "#2563eb", "#ea580c"
SHADES = ("#ffffff", "#bfdbfe", "#2563eb", "#172554")
PALETTE = (
    "#2563eb", "#ea580c", "#059669", "#c026d3", "#ca8a04", "#0891b2",
    "#dc2626", "#7c3aed", "#65a30d", "#db2777", "#78350f", "#475569",
)  # fmt: skip
"""Twelve colours that can be told apart."""

LONGEST_NAME = 26
MOST_INTERVALS = 5  # between the ticks of an axis


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


def new_figure(width: float, height: float, title: str | None = None) -> Any:
    """An empty figure with as much of its title as fits, at the upper left; inches."""
    from matplotlib.figure import Figure

    figure, size = Figure(figsize=(width, height), dpi=DPI, facecolor="white"), 12
    if title is not None:
        fitting = int((width - 0.4) * POINTS_AN_INCH / (0.65 * size))
        style: dict[str, Any] = {
            "size": size,
            "weight": "bold",
            "color": INK,
            "va": "top",
            "parse_math": False,
        }
        figure.text(0.15 / width, 1 - 0.12 / height, shorten(title, fitting), **style)
    return figure


def add_axes(figure: Any, left: float, bottom: float, width: float, height: float) -> Any:
    """Axes at a place in inches. A layout engine would draw everything twice to find one.

    A third of the time that a plot takes goes into the ticks of its axes: there are few.
    """
    from matplotlib.ticker import MaxNLocator

    axes = _place(figure, left, bottom, width, height)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(MOST_INTERVALS, steps=(1, 2, 2.5, 5, 10)))
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors=INK, labelsize=9, length=3)
    axes.grid(axis="y", color=FAINT, linewidth=0.6, alpha=0.6)
    axes.set_axisbelow(True)
    return axes


def _place(figure: Any, left: float, bottom: float, width: float, height: float) -> Any:
    whole_width, whole_height = figure.get_size_inches()
    return figure.add_axes(
        (left / whole_width, bottom / whole_height, width / whole_width, height / whole_height)
    )


def add_diagonal(axes: Any) -> None:
    """Where both axes say the same."""
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (4, 4)))


def label_axes(axes: Any, x: str = "", y: str = "", title: str = "") -> None:
    """Name what is drawn."""
    axes.set_xlabel(x, color=INK, size=9, parse_math=False)
    axes.set_ylabel(y, color=INK, size=9, parse_math=False)
    axes.set_title(title, size=10, color=INK, loc="left", parse_math=False)


def add_legend(axes: Any, **options: Any) -> None:
    """A legend without a frame, whose names are taken literally."""
    legend = axes.legend(frameon=False, alignment="left", fontsize=8, labelcolor=INK, **options)
    for text in legend.get_texts():
        text.set_parse_math(False)


def ink_on(colour: Sequence[float]) -> str:
    """The colour of letters that stand out from a background (r, g, b, …) in [0, 1], by WCAG's contrast."""
    shares = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3]]
    luminance = 0.2126 * shares[0] + 0.7152 * shares[1] + 0.0722 * shares[2]
    return INK if luminance > 0.223 else "white"  # there both have a contrast of 3.8


def add_colour_bar(figure: Any, image: Any, place: tuple[float, float, float, float], label: str) -> Any:
    """What the colours mean; place (left, bottom, width, height) in inches."""
    bar = figure.colorbar(image, cax=_place(figure, *place))
    bar.set_label(label, size=8, color=INK, parse_math=False)
    bar.ax.tick_params(length=0, labelsize=8, colors=INK)
    bar.outline.set_edgecolor(FAINT)
    return bar
