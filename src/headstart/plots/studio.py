"""Plots drawn in processes of their own, which start while something else is done.

Importing matplotlib and drawing the plots of a run take two seconds of one core, as long as many a head takes to be
fitted. A studio is opened first and asked last.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from headstart.plots.plot import Plot

Drawn = Mapping[str, Mapping[str, bytes]]
"""By name the bytes of its files, each by its format."""

FORMATS: Mapping[str, tuple[str, ...]] = {
    "png": ("png",), "svg": ("svg",), "both": ("png", "svg"), "none": (),
}  # fmt: skip
"""The files that ``--plots`` asks for."""

MOST_WORKERS = 2


def draw_here(plots: Mapping[str, Plot], files: str = "png") -> Drawn:
    """Draw plots in this process."""
    return {name: {form: getattr(plot, form)() for form in FORMATS[files]} for name, plot in plots.items()}


class Studio:
    """Processes that wait for plots.

    Parameters
    ----------
    n_workers : int
        0: plots are drawn here.
    """

    def __init__(self, n_workers: int) -> None:
        command = [sys.executable, "-m", "headstart.plots.studio"]
        self._workers = [
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            for _ in range(n_workers)
        ]

    def draw(self, plots: Mapping[str, Plot], files: str = "png") -> Drawn:
        """Draw plots, a part of them in each process; what one of them fails at is drawn here. Once."""
        if not FORMATS[files]:
            return draw_here(plots, files)
        names = list(plots)
        shares = [names[start :: len(self._workers)] for start in range(len(self._workers))]
        found: dict[str, Mapping[str, bytes]] = {}
        with ThreadPoolExecutor(max(len(self._workers), 1)) as pool:
            chosen = _chosen(plots, shares)
            for part in pool.map(lambda worker, plots: _ask(worker, plots, files), self._workers, chosen):
                found |= part
        rest = {name: plot for name, plot in plots.items() if name not in found}
        found |= draw_here(rest, files)
        return {name: found[name] for name in names}

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
def open_studio(files: str = "png") -> Iterator[Studio]:
    """A studio with as many processes as there are cores to spare, at most two; none where no files are asked for."""
    n_cores = os.cpu_count() or 1
    studio = Studio(min(n_cores, MOST_WORKERS) if n_cores > 1 and FORMATS[files] else 0)
    try:
        yield studio
    finally:
        studio.close()


def _chosen(plots: Mapping[str, Plot], shares: Sequence[Sequence[str]]) -> list[dict[str, Plot]]:
    return [{name: plots[name] for name in share} for share in shares]


def _ask(worker: subprocess.Popen[bytes], plots: Mapping[str, Plot], files: str) -> Any:
    """What a process makes of its share; nothing, where it fails."""
    try:
        said, _ = worker.communicate(pickle.dumps((plots, files)))
        return pickle.loads(said) if worker.returncode == 0 else {}  # noqa: S301 - our own process's
    except (OSError, pickle.PickleError, EOFError, AttributeError, ValueError):
        return {}


def _work() -> None:
    import matplotlib.backends.backend_agg
    import matplotlib.backends.backend_svg
    import matplotlib.figure  # noqa: F401

    said = sys.stdin.buffer.read()
    if said:
        plots, files = pickle.loads(said)  # noqa: S301 - the parent process's
        sys.stdout.buffer.write(pickle.dumps(draw_here(plots, files)))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        _work()
