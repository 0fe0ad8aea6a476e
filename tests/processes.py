"""Processes of their own, forked from one that has read the libraries already.

Reading torch and transformers takes four to ten seconds of a core, a fork takes none. A test that asks what a fresh
interpreter imports, or how much memory it takes, starts one itself.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from multiprocessing import forkserver
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

LIBRARIES = (
    "h5py", "pyarrow.parquet", "sklearn.linear_model", "torch", "torchvision", "timm",
    "transformers.modeling_utils", "transformers.pipelines", "transformers.models.auto.modeling_auto",
    "matplotlib.figure",
)  # fmt: skip
COMMAND = "from headstart.cli import run\nrun()"

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([*LIBRARIES, "matplotlib.backends.backend_agg"])


def serve() -> None:
    """Start the process that has read the libraries, for this process and for its forks."""
    forkserver.ensure_running()
    # A fork must not wait for a process that is no child of its own.
    forkserver._forkserver.ensure_running = lambda: None  # type: ignore[method-assign]


class Process:
    """Code that runs with ``sys.argv`` and an environment of its own in the current folder; as subprocess.Popen."""

    def __init__(self, code: str, *arguments: object, **environment: str) -> None:
        folder = Path(mkdtemp(dir=os.environ["XDG_CACHE_HOME"]))  # the test's own
        self._written = [folder / name for name in ("stdout", "stderr")]
        work = (code, [str(word) for word in arguments], os.getcwd(), os.environ | environment, self._written)
        self._process = CONTEXT.Process(target=_work, args=work)
        self._process.start()
        self.pid = int(self._process.pid or 0)

    def poll(self) -> int | None:
        return self._process.exitcode

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def wait(self, timeout: float = 600) -> int:
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            self._process.kill()
            raise TimeoutError(f"it still runs after {timeout} seconds: {self._said()[1]}")
        return code

    def communicate(self, timeout: float = 600) -> tuple[str, str]:
        """What it wrote to stdout and stderr, when it has ended."""
        self.wait(timeout)
        return self._said()

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def _said(self) -> tuple[str, str]:
        out, err = (path.read_text("utf-8") if path.exists() else "" for path in self._written)
        return out, err


def start(*arguments: object, **environment: str) -> Process:
    """A ``headstart`` command."""
    return Process(COMMAND, *arguments, **environment)


def _work(code: str, arguments: list[str], folder: str, environment: Any, written: list[Path]) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [folder, *environment.get("PYTHONPATH", "").split(os.pathsep)]
    sys.argv = ["headstart", *arguments]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, path in enumerate(written, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    exec(compile(code, "-c", "exec"), {"__name__": "__main__"})
