"""The engine of several processes: one worker a GPU, or several on a CPU, over one plan.

The workers are commands of their own that share the plan's spaces out by claims, as separate commands do, so
one that dies loses nothing: the others take over what it had claimed. But for the task that one is started with,
no pickle is sent.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING

from headstart.devices import pick_gpu
from headstart.errors import BackboneError, ConfigError
from headstart.extraction.messages import Advanced, ExitMessage, Failed, FailedRows, Said, decode, encode
from headstart.extraction.samples import NO_LIMIT, FailureLimit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headstart.config import ComputeConfig
    from headstart.contracts import Progress
    from headstart.extraction.backbone import ModelRecipe, OpenedBackbone
    from headstart.extraction.messages import Message
    from headstart.extraction.plan import ExtractionPlan
    from headstart.extraction.timings import Timings
    from headstart.types import Failure

ENOUGH_PER_GPU = 1000  # samples, below which another worker's start takes longer than they do
STOP_SECONDS = 60.0  # a worker that is told to stop finishes its batches and commits


@dataclass(frozen=True, slots=True)
class WorkerTask:
    """All that a worker is told at first."""

    plan: ExtractionPlan
    model: ModelRecipe
    device: str
    cores: int  # that it may use
    batch_size: int | None


@dataclass
class _Worker:
    number: int
    process: subprocess.Popen[bytes]
    messages: Connection
    done: ExitMessage | None = None

    def send(self, data: bytes) -> None:
        """Write to the worker's standard input."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it died; its messages end, which says so
            self.process.stdin.write(data)
            self.process.stdin.flush()

    def close(self) -> None:
        """Let go of a worker whose process is over."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.messages.close()


@dataclass
class WorkersEngine:
    """Extracts in several processes of this machine.

    ``devices`` names one per worker; ``cores`` may be used by all workers together. ``n_computed``, ``failures``
    and ``timings`` say afterwards what became of it.
    """

    progress: Progress
    opened: OpenedBackbone
    devices: Sequence[str]
    cores: int
    batch_size: int | None = None
    limit: FailureLimit = NO_LIMIT
    n_computed: int = 0
    failures: list[Failure] = field(default_factory=list)
    timings: Timings | None = None

    def run(self, plan: ExtractionPlan) -> None:
        """Compute and commit all that is to do."""
        begun = time.monotonic()
        self.opened.prepare(plan.spaces)
        workers: list[_Worker] = []
        try:
            tasks = [self._task(device, plan) for device in self.devices]
            workers += [self._start(number) for number in range(len(tasks))]
            for worker, task in zip(workers, tasks, strict=True):
                worker.send(task)
            self._listen(workers)
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

    def finish(self) -> None:
        """Nothing is left open: the workers commit all before they end."""

    @property
    def _cores_each(self) -> int:
        return max(self.cores // len(self.devices), 1)

    def _task(self, device: str, plan: ExtractionPlan) -> bytes:
        model = self.opened.model_recipe(plan.precision)
        try:
            return pickle.dumps(WorkerTask(plan, model, device, self._cores_each, self.batch_size))
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            raise ConfigError(
                f"these samples cannot be handed to other processes ({error}); leave out --workers"
            ) from error

    def _start(self, number: int) -> _Worker:
        receiver, sender = Pipe(duplex=False)
        path = os.pathsep.join(part or os.getcwd() for part in sys.path)
        process = subprocess.Popen(
            [sys.executable, "-m", "headstart.extraction.worker", str(sender.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[sender.fileno()],
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(self._cores_each)},
            process_group=0,  # Ctrl-C is for us: we tell the workers to commit what they have
        )
        sender.close()  # so that the end of the worker is the end of its messages
        return _Worker(number, process, receiver)

    def _listen(self, workers: Sequence[_Worker]) -> None:
        alive = {worker.messages: worker for worker in workers}
        while alive:
            for worker, message in _receive(alive, None):
                match message:
                    case None:
                        self._reap(worker, bool(alive))
                    case FailedRows():
                        for other in alive.values():
                            if other is not worker:
                                other.send(encode(message))
                    case Advanced(n, work):
                        self.progress.advance(n, work)
                    case Said(text):
                        self.progress.say(text)
                    case Failed(failures):
                        self.failures += failures
                        self.limit.check(self.failures)
                    case ExitMessage():
                        worker.done = message
                if worker.done and worker.done.error_class:
                    return

    def _reap(self, worker: _Worker, has_others: bool) -> None:
        """Reap a worker: one that nobody reaped still looks alive to those that wait for its claims."""
        code = worker.process.wait()
        if worker.done is not None and (worker.done.is_whole or worker.done.error_class):
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
        self._drain({worker.messages: worker for worker in workers})
        for worker in workers:
            if worker.process.poll() is None:
                worker.process.kill()
            worker.process.wait()
            worker.close()

    def _drain(self, alive: dict[Connection, _Worker]) -> None:
        """Take the workers' exit messages: a pipe that nobody empties would keep them from ending."""
        deadline = time.monotonic() + STOP_SECONDS
        while alive and time.monotonic() < deadline:
            for worker, message in _receive(alive, deadline - time.monotonic()):
                if isinstance(message, ExitMessage):
                    worker.done = message
                elif isinstance(message, Failed):
                    self.failures += message.failures
                elif message is None:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        worker.process.wait(1.0)

    def _sum_up(self, done: Sequence[ExitMessage], seconds: float) -> None:
        self.n_computed += sum(part.n_computed for part in done)
        for timings in (part.timings for part in done if part.timings is not None):
            together = timings if self.timings is None else self.timings.beside(timings)
            self.timings = replace(together, seconds=seconds)


def _receive(
    alive: dict[Connection, _Worker], timeout: float | None
) -> Iterator[tuple[_Worker, Message | None]]:
    """What workers send next; None where one sends no more, and is taken out of those alive."""
    for messages in wait(list(alive), timeout):
        worker = alive[messages]  # type: ignore[index]
        try:
            message: Message | None = decode(worker.messages.recv_bytes())
        except (EOFError, OSError, ValueError):  # it may have died within a message
            del alive[worker.messages]
            message = None
        yield worker, message


def worker_devices(config: ComputeConfig, n_todo: int) -> list[str]:
    """The device of each worker: those that were asked for, or every GPU where there are several."""
    gpu = pick_gpu(config.device)
    device, n_gpus = "cpu" if gpu is None else str(gpu), 1
    if device == "cuda":
        import torch

        n_gpus = torch.cuda.device_count()
    n_workers = config.workers
    if n_workers is None:
        n_workers = min(n_gpus, -(-n_todo // ENOUGH_PER_GPU))
    if device == "cuda" and n_workers > n_gpus:
        raise ConfigError(f"--workers {n_workers}, and there are {n_gpus} GPUs: one worker each is the most")
    return [f"cuda:{n}" for n in range(n_workers)] if device == "cuda" else [device] * n_workers
