"""How figures, times and sizes are written for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headstart.comparison.costs import Cost
    from headstart.types import Figure

SHARE_BELOW = 0.55
"""Where a ratio is written as a share."""


def gained(gain: float, interval: Sequence[float] | None, figure: Figure) -> str:
    """A gain with half the width of its interval.

    Examples
    --------
    >>> from headstart.types import Figure
    >>> accuracy, mae = Figure("accuracy", "accuracy", is_share=True), Figure("mae", "mean absolute error")
    >>> gained(0.008, [0.003, 0.013], accuracy), gained(-0.25, [-0.5, 0.0], mae)
    ('0.8 ± 0.5 points', '-0.25 ± 0.25 of mean absolute error')
    """
    half = (interval[1] - interval[0]) / 2 if interval else math.nan
    if figure.is_share:
        return f"{100 * gain:.1f} ± {100 * half:.1f} points"
    return f"{gain:.3g} ± {half:.2g} of {figure.title}"


def share_of_time(cost: Cost, other: Cost) -> str:
    """How a run's time compares with another's: in training, and with extraction where that changes it.

    Examples
    --------
    >>> from headstart.comparison.costs import Cost
    >>> share_of_time(Cost(fit_seconds=80.0, extractions=()), Cost(fit_seconds=2.0))
    '40 × the training time'
    """
    if cost.fit_seconds is None or not other.fit_seconds:
        return "a time that is unknown"
    ratio = cost.fit_seconds / other.fit_seconds
    said = f"{times(ratio)} {'of ' if ratio < SHARE_BELOW else ''}the training time"
    whole, others = cost.seconds(), other.seconds()
    if whole is None or not others or cost.extractions == other.extractions:
        return said
    return f"{said} ({times(whole / others)} with extraction counted)"


def times(ratio: float) -> str:
    """``40 ×``, or ``1/40`` where it is less.

    Examples
    --------
    >>> times(40.2), times(1.52), times(0.025), times(0.8)
    ('40 ×', '1.5 ×', '1/40', '0.80 ×')
    """
    if ratio >= 1:
        return f"{ratio:,.0f} ×" if ratio >= 9.5 else f"{ratio:.1f} ×"
    return f"1/{1 / ratio:,.0f}" if 0 < ratio < SHARE_BELOW else f"{ratio:.2f} ×"


def written_seconds(seconds: float | None) -> str:
    """A time in seconds; ``-``: unknown.

    Examples
    --------
    >>> written_seconds(0.378), written_seconds(77.8), written_seconds(4321), written_seconds(None)
    ('0.38 s', '78 s', '4,321 s', '-')
    """
    if seconds is None:
        return "-"
    return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s" if seconds < 10 else f"{seconds:,.0f} s"


def written_bytes(size: int | None) -> str:
    """A size in MB; ``-``: unknown.

    Examples
    --------
    >>> written_bytes(403_927_040), written_bytes(124_724)
    ('404 MB', '0.12 MB')
    """
    if size is None:
        return "-"
    return f"{size / 1e6:,.0f} MB" if size >= 1e7 else f"{size / 1e6:.2g} MB"


def written_count(number: int | None) -> str:
    """A number; ``-``: unknown."""
    return "-" if number is None else f"{number:,}"
