"""Reading ahead of the model: payloads are read, checked and prepared in threads of their own."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headstart.errors import SampleError
from headstart.keys import key_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headstart.contracts import FrozenModel
    from headstart.extraction.plan import ExtractionPlan
    from headstart.extraction.timings import Stopwatch


READ_TIMEOUT = 120.0  # seconds for one sample; a mount that hangs never answers
STOP_SECONDS = 5.0  # how long the end of a run waits for threads that still read


class TransientError(SampleError):
    """A sample that could not be read now, and may be readable later."""


@dataclass(frozen=True, slots=True)
class Item:
    """One view of one sample, ready for the model.

    Parameters
    ----------
    position : int
        In the plan's ``todo``.
    view : int
        In the plan's ``views``.
    prepared : object
        What `FrozenModel.prepare` gave: model input, or a `SampleError`.
    """

    position: int
    view: int
    prepared: Any


@dataclass(slots=True)
class Job:
    """Samples that are read and prepared together.

    Parameters
    ----------
    items : list of Item
        Filled by the reader.
    began : float, optional
        When the sample at ``at`` was begun; None: not yet.
    at : int
        How many payloads were read.
    error : BaseException, optional
        What stopped it, other than a bad sample.
    abandoned : bool
        Nobody waits for it any more.
    """

    positions: Sequence[int]
    items: list[Item] = field(default_factory=list)
    began: float | None = None
    at: int = 0
    error: BaseException | None = None
    abandoned: bool = False


class ReaderPool:
    """Threads that read jobs, and put them on a queue when they are done.

    Threads rather than processes: Pillow, the tokenizers and torch work without the interpreter's lock, so
    two threads decode 1.75 times what one does, and nothing has to be copied between processes.

    Parameters
    ----------
    plan : ExtractionPlan
    model : FrozenModel
    done : queue of Job
        Where finished jobs go.
    stopwatch : Stopwatch
    n_threads : int
    """

    def __init__(
        self,
        plan: ExtractionPlan,
        model: FrozenModel,
        done: queue.SimpleQueue[Any],
        stopwatch: Stopwatch,
        n_threads: int,
    ) -> None:
        self._plan = plan
        self._model = model
        self._done = done
        self._stopwatch = stopwatch
        self.n_jobs = 0
        """Jobs that were submitted and not taken yet."""
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._under_way: dict[int, Job] = {}
        self._threads: list[threading.Thread] = []
        for _ in range(n_threads):
            self._start_thread()

    def submit(self, positions: Sequence[int]) -> None:
        """Read these samples as one job."""
        self.n_jobs += 1
        self._jobs.put(Job(positions))

    def took(self, job: Job) -> None:
        """A job that is done has been taken from the queue."""
        self.n_jobs -= 1

    def close(self) -> None:
        """Stop the threads after the jobs that they have under way; one that hangs is left behind."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._jobs.get_nowait()
        for _ in self._threads:
            self._jobs.put(None)
        deadline = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0.0))

    def time_out_stalled(self) -> list[Job]:
        """Abandon the jobs whose sample takes too long, and read the rest of them in another thread.

        Returns
        -------
        list of Job
            For each of them what was read of it, and an item that says why the sample has none.
        """
        now = time.monotonic()
        with self._lock:
            hanging = [
                (ident, job)
                for ident, job in self._under_way.items()
                if job.began is not None and now - job.began > READ_TIMEOUT
            ]
            for ident, job in hanging:
                job.abandoned = True
                del self._under_way[ident]
        return [self._without_stalled(job) for _, job in hanging]

    def _without_stalled(self, job: Job) -> Job:
        self._start_thread()
        position = job.positions[job.at]
        rest = [*job.positions[: job.at], *job.positions[job.at + 1 :]]
        if rest:
            self.submit(rest)
        error = TransientError(f"reading it took more than {READ_TIMEOUT:.0f} s")
        views = self._plan.views_wanted(position)
        return Job([position], [Item(position, view, error) for view in views])

    def _start_thread(self) -> None:
        # Daemons: a thread that hangs in the kernel must not keep the process from ending.
        thread = threading.Thread(target=self._work, name="headstart-read", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        import torch

        # One core a reader: what little torch does of one picture is not worth waking the others.
        torch.set_num_threads(1)
        ident = threading.get_ident()
        while (job := self._jobs.get()) is not None:
            with self._lock:
                self._under_way[ident] = job
            try:
                self._read(job)
            except BaseException as error:
                job.error = error
            with self._lock:  # a job is abandoned or done, never both: its samples would count twice
                if job.abandoned:
                    return  # another thread has taken this one's place
                del self._under_way[ident]
            self._done.put(job)

    def _read(self, job: Job) -> None:
        payloads: list[Any] = []
        with self._stopwatch.processor("read"):
            for number, position in enumerate(job.positions):
                job.at, job.began = number, time.monotonic()
                payloads.append(self._payload(position))
            job.began = None
        with self._stopwatch.processor("prepare"):
            job.items = self._prepared(job.positions, payloads)

    def _payload(self, position: int) -> Any:
        row = int(self._plan.todo[position])
        try:
            payload = self._plan.source.payload(row)
            if key_of(self._plan.source.modality, payload) != self._plan.samples.keys[row].tobytes():
                raise SampleError("it changed while it was being read")
        except SampleError as error:
            # It could be read when it was scanned: a disk or a mount may come back.
            return TransientError(str(error))
        return payload

    def _prepared(self, positions: Sequence[int], payloads: Sequence[Any]) -> list[Item]:
        """Every view that is wanted of each; of one sample one after the other, so that it is decoded once."""
        wanted = [
            (position, view, payload)
            for position, payload in zip(positions, payloads, strict=True)
            for view in self._plan.views_wanted(position)
        ]
        good = [(p, v, payload) for p, v, payload in wanted if not isinstance(payload, SampleError)]
        bad = [Item(p, v, payload) for p, v, payload in wanted if isinstance(payload, SampleError)]
        if not good:
            return bad
        changes = None
        if self._plan.has_views:
            changes = [self._plan.change(position, view) for position, view, _ in good]
        prepared = self._model.prepare([payload for *_, payload in good], changes)
        return [*bad, *(Item(p, v, part) for (p, v, _), part in zip(good, prepared, strict=True))]
