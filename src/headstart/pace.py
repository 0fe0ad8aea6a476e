"""How fast work goes, and how long it will still take."""

from __future__ import annotations

import math

MARKS = 64
"""How much of the past is remembered, evenly thinned."""


class Pace:
    """How fast a phase goes, from its first part on: what comes before that is loading.

    Parameters
    ----------
    total : int or None
        How much there is to do, if it is known.
    """

    def __init__(self, total: int | None) -> None:
        self.total, self.done = total, 0
        self._work = 0.0
        self._first: tuple[float, int] | None = None
        self._marks: list[tuple[float, float]] = []  # when how much work was done

    def advance(self, n: int, now: float, work: float | None = None) -> None:
        """So much more is done; ``work`` is what it came to in parts of average size, if not as many."""
        self.done += n
        self._work += n if work is None else work
        if self._first is None and self.done:
            self._first = now, self.done
        if self._work:
            self._marks.append((now, self._work))
            if len(self._marks) > MARKS:
                self._marks = [*self._marks[:-1:2], self._marks[-1]]

    @property
    def rate(self) -> float | None:
        """In a second; None before the second part."""
        if self._first is None or self.done == self._first[1] or self._marks[-1][0] <= self._first[0]:
            return None
        return (self.done - self._first[1]) / (self._marks[-1][0] - self._first[0])

    @property
    def left(self) -> float | None:
        """Seconds, at the rate of the last third of the time so far; None where nobody knows."""
        if self.rate is None or self.total is None:
            return None
        (began, _), (now, work) = self._marks[0], self._marks[-1]
        since, earlier = next(mark for mark in reversed(self._marks[:-1]) if mark[0] <= (began + 2 * now) / 3)
        if self.done >= self.total or work == earlier:
            return 0.0
        return max(self.total - work, 0.0) * (now - since) / (work - earlier)

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
