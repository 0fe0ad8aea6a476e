"""The engine of several processes: one worker a GPU, or several on a CPU, over one plan.

The workers are commands of their own that share the plan's spaces out by claims, as separate commands do, so
one that dies loses nothing: the others take over what it had claimed.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from headstart.errors import BackboneError, ConfigError
from headstart.extraction.samples import NO_LIMIT, FailureLimit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headstart.backbones import BackboneOptions
    from headstart.cache.space import CommittedShard
    from headstart.contracts import Progress
    from headstart.extraction.plan import ExtractionPlan
    from headstart.extraction.timings import Timings
    from headstart.types import Failure, Precision, StoredDtype

STOP_SECONDS = 60.0  # a worker that is told to stop finishes its batches and commits


@dataclass(frozen=True, slots=True)
class ModelRecipe:
    """What a worker loads.

    Parameters
    ----------
    spec : str
    options : BackboneOptions
    precision : {"fp32", "bf16", "fp16", "int8"}
    weights : str
        The digest that they must have.
    """

    spec: str
    options: BackboneOptions
    precision: Precision
    weights: str


@dataclass(frozen=True, slots=True)
class WorkerTask:
    """All that a worker is told.

    Parameters
    ----------
    plan : ExtractionPlan
    model : ModelRecipe
    device : str
    cores : int
        That it may use.
    stored : {"float16", "float32"}
    batch_size : int, optional
    """

    plan: ExtractionPlan
    model: ModelRecipe
    device: str
    cores: int
    stored: StoredDtype
    batch_size: int | None


@dataclass(frozen=True, slots=True)
class Done:
    """A worker's last word.

    Parameters
    ----------
    n_computed : int
    timings : Timings, optional
    error : Exception, optional
        What stopped it.
    is_whole : bool
        Whether it worked until nothing was left to do.
    """

    n_computed: int
    timings: Timings | None
    error: Exception | None = None
    is_whole: bool = True


@dataclass
class _Worker:
    number: int
    process: subprocess.Popen[bytes]
    messages: Connection
    done: Done | None = None

    def hear(self, said: bytes) -> None:
        """Tell the worker something."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it died; its messages end, which says so
            self.process.stdin.write(said)
            self.process.stdin.flush()

    def end(self) -> None:
        """Let go of a worker whose process is over."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.messages.close()


@dataclass
class WorkersEngine:
    """Extracts in several processes of this machine.

    Parameters
    ----------
    progress : Progress
    model : ModelRecipe
    devices : sequence of str
        One a worker.
    cores : int
        That all workers together may use.
    stored : {"float16", "float32"}
    batch_size : int, optional
    limit : FailureLimit

    Attributes
    ----------
    n_computed : int
    failures : list of Failure
    timings : Timings, optional
        See `LocalEngine`.
    """

    progress: Progress
    model: ModelRecipe
    devices: Sequence[str]
    cores: int
    stored: StoredDtype
    batch_size: int | None = None
    limit: FailureLimit = NO_LIMIT
    n_computed: int = 0
    failures: list[Failure] = field(default_factory=list)
    timings: Timings | None = None

    def run(self, plan: ExtractionPlan) -> Iterator[CommittedShard]:
        """Compute all that is to do; yield each shard once it is committed.

        Raises
        ------
        BackboneError
            All workers died.
        HeadstartError
            Whatever stopped one of them.
        """
        begun = time.monotonic()
        workers: list[_Worker] = []
        try:
            tasks = [self._task(number, plan) for number in range(len(self.devices))]
            workers += [self._start(number) for number in range(len(tasks))]
            for worker, task in zip(workers, tasks, strict=True):
                worker.hear(task)
            yield from self._listen(workers)
        finally:
            self._stop(workers)
            self._sum_up([worker.done for worker in workers if worker.done], time.monotonic() - begun)
        error = next((worker.done.error for worker in workers if worker.done and worker.done.error), None)
        if error is not None:
            raise error
        # One that somebody stopped has said so, and left its work to the others: all of them may have been.
        if not any(worker.done and worker.done.is_whole for worker in workers):
            raise BackboneError(
                "all workers died; what was committed is kept: run the same command again, with fewer "
                "--workers or a smaller --batch-size if memory ran out"
            )

    def _task(self, number: int, plan: ExtractionPlan) -> bytes:
        cores = max(self.cores // len(self.devices), 1)
        task = WorkerTask(plan, self.model, self.devices[number], cores, self.stored, self.batch_size)
        try:
            return pickle.dumps(task)
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            raise ConfigError(
                f"these samples cannot be handed to other processes ({error}); leave out --workers"
            ) from error

    def _start(self, number: int) -> _Worker:
        cores = max(self.cores // len(self.devices), 1)
        receiver, sender = Pipe(duplex=False)
        path = os.pathsep.join(part or os.getcwd() for part in sys.path)
        process = subprocess.Popen(
            [sys.executable, "-m", "headstart.extraction.worker", str(sender.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[sender.fileno()],
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(cores)},
            process_group=0,  # Ctrl-C is for us: we tell the workers to commit what they have
        )
        sender.close()  # so that the end of the worker is the end of its messages
        return _Worker(number, process, receiver)

    def _listen(self, workers: Sequence[_Worker]) -> Iterator[CommittedShard]:
        speaking = {worker.messages: worker for worker in workers}
        while speaking:
            for worker, kind, value in _messages(speaking, None):
                if kind == "end":
                    self._bury(worker, bool(speaking))
                elif kind == "shard":
                    yield value
                elif kind == "given up":
                    for other in speaking.values():
                        if other is not worker:
                            other.hear(pickle.dumps(value))
                else:
                    self._hear(worker, kind, value)
                if worker.done and worker.done.error:
                    return

    def _hear(self, worker: _Worker, kind: str, value: Any) -> None:
        match kind:
            case "advance":
                self.progress.advance(value)
            case "say":
                self.progress.say(value)
            case "failures":
                self.failures += value
                self.limit.check(self.failures)
            case "done":
                worker.done = value

    def _bury(self, worker: _Worker, has_others: bool) -> None:
        """Reap a worker: one that nobody reaped still looks alive to those that wait for its claims."""
        code = worker.process.wait()
        if worker.done is not None and (worker.done.is_whole or worker.done.error):
            return
        died = f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"
        how = "was stopped" if worker.done else f"died ({died})"
        go_on = "; the others go on with its work" if has_others else ""
        self.progress.say(f"worker {worker.number + 1} of {len(self.devices)} {how}{go_on}")

    def _stop(self, workers: Sequence[_Worker]) -> None:
        """Let the workers that still run commit what they have, and end."""
        for worker in workers:
            if worker.process.poll() is None:
                worker.process.send_signal(signal.SIGTERM)
        self._hear_last_words({worker.messages: worker for worker in workers})
        for worker in workers:
            if worker.process.poll() is None:
                worker.process.kill()
            worker.process.wait()
            worker.end()

    def _hear_last_words(self, speaking: dict[Connection, _Worker]) -> None:
        """What the workers say until they end: a pipe that nobody empties would keep them from it."""
        deadline = time.monotonic() + STOP_SECONDS
        while speaking and time.monotonic() < deadline:
            for worker, kind, value in _messages(speaking, deadline - time.monotonic()):
                if kind == "done":
                    worker.done = value
                elif kind == "failures":
                    self.failures += value
                elif kind == "end":
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        worker.process.wait(1.0)

    def _sum_up(self, done: Sequence[Done], seconds: float) -> None:
        self.n_computed += sum(part.n_computed for part in done)
        for part in done:
            if part.timings is not None:
                self.timings = part.timings if self.timings is None else self.timings.beside(part.timings)
        if self.timings is not None:
            self.timings = self.timings.lasting(seconds)


def _messages(
    speaking: dict[Connection, _Worker], timeout: float | None
) -> Iterator[tuple[_Worker, str, Any]]:
    """What workers say next; ``end`` where one says no more, and is taken out of those that speak."""
    for messages in wait(list(speaking), timeout):
        worker = speaking[messages]  # type: ignore[index]
        try:
            kind, value = worker.messages.recv()
        except (EOFError, OSError, pickle.UnpicklingError):  # it may have died within a word
            del speaking[worker.messages]
            kind, value = "end", None
        yield worker, kind, value
