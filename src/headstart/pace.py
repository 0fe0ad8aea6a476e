"""How fast work goes, and how long it will still take."""

from __future__ import annotations

import math


class Pace:
    """How fast a phase goes, from its first part on: what comes before that is loading.

    Parameters
    ----------
    total : int or None
        How much there is to do, if it is known.
    """

    def __init__(self, total: int | None) -> None:
        self.total, self.done = total, 0
        self._first: tuple[float, int] | None = None
        self._last = 0.0

    def advance(self, n: int, now: float) -> None:
        """So much more is done."""
        self.done += n
        self._last = now
        if self._first is None and self.done:
            self._first = now, self.done

    @property
    def rate(self) -> float | None:
        """In a second; None before the second part."""
        if self._first is None or self.done == self._first[1] or self._last <= self._first[0]:
            return None
        return (self.done - self._first[1]) / (self._last - self._first[0])

    @property
    def left(self) -> float | None:
        """Seconds; None where nobody knows."""
        return None if self.rate is None or self.total is None else (self.total - self.done) / self.rate

    def __str__(self) -> str:
        """Such as ``20 of 100, 5.0/s, 16 s left``."""
        said = [f"{self.done:,}" if self.total is None else f"{self.done:,} of {self.total:,}"]
        if self.rate is not None:
            said.append(rate_of(self.rate))
        if self.left is not None:
            said.append(f"{math.ceil(self.left):,} s left")
        return ", ".join(said)


def rate_of(rate: float) -> str:
    """So many a second, or so many seconds each.

    Examples
    --------
    >>> rate_of(1234.5), rate_of(2.34), rate_of(0.05)
    ('1,234/s', '2.3/s', '20 s each')
    """
    if rate < 0.5:
        return f"{1 / rate:,.0f} s each"
    return f"{rate:,.1f}/s" if rate < 100 else f"{rate:,.0f}/s"
