"""Contestants that take turns, and what their times say."""

from __future__ import annotations

import gc
import operator
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

Turn = Callable[[], float]
"""One run of a contestant, which gives the seconds that count."""


@dataclass(frozen=True)
class Contestant:
    """Something that is measured.

    Parameters
    ----------
    label : str
        What it is called in a table.
    turn : callable
        One run of it; gives the seconds that count.
    n : int
        Samples that one turn works on; 0: a turn is not about samples.
    """

    label: str
    turn: Turn
    n: int = 0


@dataclass(frozen=True)
class Timing:
    """What the turns of one contestant took.

    Parameters
    ----------
    label : str
        What it is called in a table.
    n : int
        Samples that one turn works on; 0: a turn is not about samples.
    seconds : tuple of float
        Of each turn, in their order.
    """

    label: str
    n: int
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds of the median turn."""
        return median(self.seconds)

    @property
    def rate(self) -> float:
        """Samples a second of the median turn."""
        return self.n / self.median

    @property
    def share(self) -> float:
        """Seconds of the median turn, for one sample where it is about samples."""
        return self.median / (self.n or 1)


def take_turns(
    contestants: Mapping[str, Contestant], rounds: int, say: Callable[[str], None] = lambda line: None
) -> dict[str, Timing]:
    """Let contestants take turns: A B C, A B C, …, so that a busy moment of the machine hits them alike.

    Parameters
    ----------
    contestants : mapping of str to Contestant
    rounds : int
    say : callable
        Told of each turn, for whoever waits.
    """
    seconds: dict[str, list[float]] = {key: [] for key in contestants}
    for number in range(1, rounds + 1):
        for key, contestant in contestants.items():
            with undisturbed():
                seconds[key].append(contestant.turn())
            say(f"  {number}/{rounds} {contestant.label}: {seconds[key][-1]:.2f} s")
    return {key: Timing(c.label, c.n, tuple(seconds[key])) for key, c in contestants.items()}


def stopwatch(work: Callable[[], Any]) -> Turn:
    """A turn that is timed from its beginning to its end."""

    def turn() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return turn


def best_of(sizes: Sequence[int], turn_with: Callable[[int], Turn], rounds: int) -> int:
    """The batch size whose turns are the shortest; the sizes take turns as contestants do."""
    if len(sizes) == 1:
        return sizes[0]
    timings = take_turns({str(size): Contestant(str(size), turn_with(size)) for size in sizes}, rounds)
    return min(sizes, key=lambda size: timings[str(size)].median)


def sum_of(label: str, *timings: Timing) -> Timing:
    """What a sample takes that goes through several steps which share the same cores.

    1 / (1/forward + 1/decode) is the rate of a machine that does both and nothing else.
    """
    n = timings[0].n
    rounds = zip(*(timing.seconds for timing in timings), strict=True)
    weights = [n / timing.n for timing in timings]
    return Timing(label, n, tuple(sum(map(operator.mul, turns, weights)) for turns in rounds))


@contextmanager
def undisturbed() -> Iterator[None]:
    """Undo what one turn changes in the process and the next would feel: garbage, and torch's threads."""
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else 0
    gc.collect()
    try:
        yield
    finally:
        if torch and torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
