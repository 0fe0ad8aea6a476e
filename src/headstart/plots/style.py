"""What all plots share: colours, sizes, and names that fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from headstart.plots.look import DPI, GREY, INK, LINES, POINTS_AN_INCH, SCALE, Look

LONGEST_NAME = 26
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
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
        write_at_top(figure, 0.15, shorten(title, fitting), size, align=0, weight="bold")
    return figure


def write_at_top(
    figure: Any, x: float, words: str, size: float, align: float, weight: str = "normal"
) -> None:
    """Write into the uppermost line of a figure; x in inches."""
    from headstart.plots.lettering import Words

    place, inches = (x, figure.get_figheight() - 0.12), figure.dpi_scale_trans
    figure.add_artist(Words([words], [place], inches, size, INK, align, rise=1, weight=weight))


def add_axes(
    figure: Any,
    left: float,
    bottom: float,
    width: float,
    height: float,
    look: Look = LINES,
) -> Any:
    """Axes at a place in inches. A layout engine would draw everything twice to find one."""
    from matplotlib.ticker import MaxNLocator

    from headstart.plots.frame import Frame, Grid

    axes = _place(figure, left, bottom, width, height)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(MOST_INTERVALS, steps=(1, 2, 2.5, 5, 10)))
    axes.set_axis_off()  # for a frame of ours
    figure.add_artist(Grid(axes, look))
    figure.add_artist(Frame(axes, look))
    return axes


def _place(figure: Any, left: float, bottom: float, width: float, height: float) -> Any:
    whole_width, whole_height = figure.get_size_inches()
    return figure.add_axes(
        (left / whole_width, bottom / whole_height, width / whole_width, height / whole_height)
    )


def set_ticks(axis: Any, places: Sequence[float], words: Sequence[str] | None = None) -> None:
    """Say where an axis has ticks, and what is written at them; numbers, if nothing is said."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    axis.set_major_locator(FixedLocator(places))
    axis.set_minor_locator(NullLocator())
    if words is not None:
        axis.set_major_formatter(FixedFormatter(words))


def power_of_ten(value: float, _place: int) -> str:
    """A power of ten as it is written at a tick.

    Examples
    --------
    >>> power_of_ten(0.001, 0)
    '10⁻³'
    """
    return "10" + f"{round(np.log10(value))}".translate(RAISED)


def add_diagonal(axes: Any) -> None:
    """Where both axes say the same."""
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (4, 4)))


def add_bars(
    axes: Any, lows: ArrayLike, highs: ArrayLike, left: ArrayLike, right: ArrayLike, **style: Any
) -> None:
    """Rectangles from ``lows`` to ``highs`` and from ``left`` to ``right``, (M,) each, as one collection."""
    from matplotlib.collections import PolyCollection

    corners = [(left, lows), (left, highs), (right, highs), (right, lows)]
    boxes = np.stack([np.stack(np.broadcast_arrays(x, y), axis=-1) for x, y in corners], axis=1)
    bars = PolyCollection(list(boxes), **style)
    bars.sticky_edges.x[:] = bars.sticky_edges.y[:] = [0]  # no room below zero
    axes.add_collection(bars)
    axes.autoscale_view()


def label_axes(
    axes: Any,
    x: str = "",
    y: str = "",
    title: str = "",
    size: float = 10,
    pad: float = 6,
    weight: str = "normal",
) -> None:
    """Name what is drawn; the title's size, and how far it is above the axes, are in points."""
    from headstart.plots.lettering import Words

    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if title:
        axes.set_title(title, loc="left", y=1, visible=False)  # to be asked for; drawn by what is cheaper
        place, over = (0, 1), (0.0, pad)
        words = Words([title], [place], axes.transAxes, size, INK, 0, rise=0, shift=over, weight=weight)
        axes.figure.add_artist(words)


def add_legend(axes: Any, spot: str = "best", title: str = "") -> None:
    """A legend without a frame, whose names are taken literally, at a spot of `headstart.plots.key.Key`."""
    from headstart.plots.key import Key

    axes.figure.add_artist(Key(axes, spot, title))


def _limits(image: Any) -> tuple[float, float]:
    """The least and the largest value that have a colour, apart even where there is only one."""
    image.autoscale_None()
    low, high = np.ma.filled(np.ma.array(image.get_clim(), dtype=np.float64), np.nan).tolist()
    if not np.isfinite([low, high]).all():  # of no value at all
        return 0.0, 1.0
    room = 0.0 if low < high else 0.1 * abs(low) or 0.1
    return low - room, high + room


def ink_on(colour: Sequence[float]) -> str:
    """The colour of letters that stand out from a background (r, g, b, …) in [0, 1], by WCAG's contrast."""
    shares = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3]]
    luminance = 0.2126 * shares[0] + 0.7152 * shares[1] + 0.0722 * shares[2]
    return INK if luminance > 0.223 else "white"  # there both have a contrast of 3.8


def add_colour_bar(
    figure: Any,
    image: Any,
    place: tuple[float, float, float, float],
    label: str,
    ticks: Mapping[float, str] | None = None,
) -> None:
    """What the colours mean, with the words of ``ticks``; place (left, bottom, width, height) in inches."""
    from matplotlib.ticker import MaxNLocator

    low, high = _limits(image)
    axes = add_axes(figure, *place, SCALE)
    shades: dict[str, Any] = {"cmap": image.cmap, "alpha": image.get_alpha(), "interpolation": "nearest"}
    extent = (0, 1, low, high)
    axes.imshow(np.linspace(0, 1, 256)[:, None], aspect="auto", origin="lower", extent=extent, **shades)
    n_ticks = int(np.clip(place[3] * POINTS_AN_INCH / (2 * SCALE.size), 1, 9))
    axes.yaxis.set_major_locator(MaxNLocator(n_ticks, steps=(1, 2, 2.5, 5, 10)))
    if ticks:
        set_ticks(axes.yaxis, list(ticks), list(ticks.values()))
    label_axes(axes, y=label)
