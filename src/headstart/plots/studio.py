"""Plots drawn in processes of their own, which start while something else is done.

Importing matplotlib and drawing the plots of a run take a second of one core, as long as many a head takes to be
fitted. A studio is opened first and asked last.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from headstart.plots.plot import SUFFIXES, Plot
from headstart.types import PlotFormat

Drawn = Mapping[str, bytes]
"""Files by name."""
Draw = Callable[[Mapping[str, Plot], PlotFormat], Drawn]
"""Makes files of plots: here, or in a studio."""

MOST_WORKERS = 2


def draw_here(plots: Mapping[str, Plot], asked: PlotFormat) -> Drawn:
    """Draw plots in this process."""
    return {name: content for plot in plots for name, content in plots[plot].files(plot, asked).items()}


class Studio:
    """Processes that wait for plots; without any, plots are drawn here."""

    def __init__(self, n_workers: int) -> None:
        command = [sys.executable, "-m", "headstart.plots.studio"]
        self._workers = [
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            for _ in range(n_workers)
        ]

    def draw(self, plots: Mapping[str, Plot], asked: PlotFormat) -> Drawn:
        """Draw plots, a part of them in each process; what one of them fails at is drawn here. Once."""
        names = list(plots) if SUFFIXES[asked] else []
        shares = [names[start :: len(self._workers)] for start in range(len(self._workers))]
        found: dict[str, bytes] = {}
        with ThreadPoolExecutor(max(len(self._workers), 1)) as pool:
            chosen = [{name: plots[name] for name in share} for share in shares]
            for part in pool.map(_ask, self._workers, chosen, [asked] * len(shares)):
                found |= part
        rest = {name: plots[name] for name in names if f"{name}.{SUFFIXES[asked][0]}" not in found}
        return {**found, **draw_here(rest, asked)}

    def close(self) -> None:
        """Let the processes go."""
        for worker in self._workers:
            for pipe in (worker.stdin, worker.stdout):
                with contextlib.suppress(OSError):
                    if pipe is not None:
                        pipe.close()
            worker.kill()
            worker.wait()


@contextlib.contextmanager
def open_studio(asked: PlotFormat) -> Iterator[Studio]:
    """A studio with as many processes as there are cores to spare, at most two; none if nothing is to be drawn.

    One core is for what is done meanwhile: on two cores a second process would hold it up for longer than it helps.
    """
    n_spare = (os.cpu_count() or 1) - 1
    studio = Studio(min(n_spare, MOST_WORKERS) if SUFFIXES[asked] else 0)
    try:
        yield studio
    finally:
        studio.close()


def _ask(worker: subprocess.Popen[bytes], plots: Mapping[str, Plot], asked: PlotFormat) -> Any:
    """What a process makes of its share; nothing, where it fails."""
    try:
        said, _ = worker.communicate(pickle.dumps((plots, asked)))
        return pickle.loads(said) if worker.returncode == 0 else {}  # noqa: S301 - our own process's
    except (OSError, pickle.PickleError, EOFError, AttributeError, ValueError):
        return {}


def _work() -> None:
    import matplotlib.backends.backend_agg
    import matplotlib.backends.backend_svg
    import matplotlib.figure  # noqa: F401

    said = sys.stdin.buffer.read()
    if said:
        plots, asked = pickle.loads(said)  # noqa: S301 - the parent process's
        sys.stdout.buffer.write(pickle.dumps(draw_here(plots, asked)))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        _work()
