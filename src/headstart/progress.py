"""Telling a person how far the work is: a bar on a terminal, else a line every few seconds."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from headstart.contracts import Progress
from headstart.notebook import NotebookBar, hush_libraries, in_notebook
from headstart.pace import Pace, rate_of

LINE_EVERY = 5.0  # seconds between lines where there is no terminal


class Silence(Progress):
    """Says nothing: what the contract's own methods do."""


class Lines(Silence):
    """Lines on stderr, for logs."""

    def say(self, message: str) -> None:
        """Write the message."""
        print(message, file=sys.stderr, flush=True)

    def begin(self, description: str, total: int | None) -> None:
        """Remember what is being done, and since when."""
        self._description, self._noted, self._pace = description, "", Pace(total)
        self._last = time.monotonic()

    def advance(self, n: int, work: float | None = None) -> None:
        """Write a line with rate and time left, if the last one is a while ago."""
        now = time.monotonic()
        self._pace.advance(n, now, work)
        if now - self._last >= LINE_EVERY and self._pace.done:
            self._last = now
            self.say(f"{self._description}: {self._pace}{self._noted and f', {self._noted}'}")

    def note(self, figures: str) -> None:
        """Remember figures for the next line."""
        self._noted = figures


class Bar(Silence):
    """A bar on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)
        self._bar: Any = None

    def say(self, message: str) -> None:
        """Write the message above the bar."""
        self._console.print(message, highlight=False, markup=False, soft_wrap=True)

    def begin(self, description: str, total: int | None) -> None:
        """Show a bar."""
        from rich import progress as rich_progress

        self._bar = rich_progress.Progress(
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TextColumn("{task.fields[rate]}"),
            rich_progress.TextColumn("{task.fields[noted]}"),
            rich_progress.TextColumn("{task.fields[left]}"),
            console=self._console,
            transient=True,
        )
        self._pace = Pace(total)
        self._task = self._bar.add_task(description, total=total, rate="", noted="", left="")
        self._bar.start()

    def advance(self, n: int, work: float | None = None) -> None:
        """Move the bar."""
        self._pace.advance(n, time.monotonic(), work)
        rate, left = self._pace.rate, self._pace.left
        self._bar.update(
            self._task,
            advance=n,
            rate="" if rate is None else rate_of(rate),
            left="" if left is None else f"{timedelta(seconds=math.ceil(left))} left",
        )

    def note(self, figures: str) -> None:
        """Show figures beside the bar."""
        self._bar.update(self._task, noted=figures)

    def end(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


@contextlib.contextmanager
def shown(progress: Progress, description: str, total: int | None) -> Iterator[None]:
    """Begin, and end whatever happens in between."""
    progress.begin(description, total)
    try:
        yield
    finally:
        progress.end()


class CellBar(NotebookBar, Lines):
    """A bar in a notebook, and lines below it."""


def open_progress(quiet: bool = False) -> Progress:
    """What fits: silence if quiet, a bar on a terminal and in a notebook, lines elsewhere."""
    is_notebook = in_notebook()
    if is_notebook:
        hush_libraries()
    if quiet:
        return Silence()
    if is_notebook:
        return CellBar()
    return Bar() if sys.stderr.isatty() else Lines()
