"""From samples to batches: payloads are read ahead and prepared in threads, and cut into batches, longest first."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
import time
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.backbones.heif import learn_heif
from headstart.errors import SampleError, TransientSampleError
from headstart.keys import key_of
from headstart.token_rows import Windows, n_tokens_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from headstart.contracts import ModelInputs
    from headstart.extraction.plan import ExtractionPlan
    from headstart.extraction.timings import Stopwatch


READ_TIMEOUT = 120.0  # seconds for one sample; a mount that hangs never answers
STOP_SECONDS = 5.0  # how long the end of a run waits for threads that still read
WASTE = 1.5
"""A batch of n is cut where n × longest² is more than this many times the sum of the squares: attention costs
the square of the padded length."""
SAMPLES = 7  # batches of each of two sizes before one of them is preferred
BETTER = 1.05  # a size must be so much faster than the one in use to take its place
FULL = 0.75  # a batch that is less full than this says nothing about its size


@dataclass(frozen=True, slots=True)
class Item:
    """One view of one sample, ready for the model."""

    position: int  # in the plan's ``todo``
    view: int  # in the plan's ``views``
    prepared: Any  # what `FrozenModel.prepare` gave: model input, or a `SampleError`
    window: tuple[int, Windows] | None = None  # which part of a long text it is; None: all of its sample

    @property
    def n_tokens(self) -> int:
        """How many tokens its sample has; see `TokenRow`."""
        return n_tokens_of(self.prepared)


def items_of(position: int, view: int, prepared: Any) -> list[Item]:
    """A prepared sample, or each part of it."""
    if not isinstance(prepared, Windows):
        return [Item(position, view, prepared)]
    return [Item(position, view, row, (number, prepared)) for number, row in enumerate(prepared.rows)]


@dataclass(slots=True)
class Job:
    """Samples that are read and prepared together."""

    positions: Sequence[int]
    items: list[Item] = field(default_factory=list)  # filled by the reader
    began: float | None = None  # when the sample at ``at`` was begun; None: not yet
    at: int = 0  # how many payloads were read
    error: BaseException | None = None  # what stopped it, other than a bad sample
    abandoned: bool = False  # nobody waits for it any more


class ReaderPool:
    """Threads that read jobs, and put them on a queue when they are done.

    Threads rather than processes: Pillow, the tokenizers and torch work without the interpreter's lock, so
    two threads decode 1.75 times what one does, and nothing has to be copied between processes.

    ``done``: where finished jobs go.
    """

    def __init__(
        self,
        plan: ExtractionPlan,
        model: ModelInputs,
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
        self._has_failed = False
        self._threads: list[threading.Thread] = []
        for _ in range(n_threads):
            self._start_thread()

    def submit(self, positions: Sequence[int]) -> None:
        """Read these samples as one job."""
        self.n_jobs += 1
        for position in positions:
            self._plan.source.read_ahead(int(self._plan.todo[position]))
        self._jobs.put(Job(positions))

    def took(self, job: Job) -> None:
        """A job that is done has been taken from the queue."""
        self.n_jobs -= 1

    def close(self) -> None:
        """Stop the threads after the jobs that they have under way; one that hangs is left behind."""
        stop_threads(self._threads, self._jobs, STOP_SECONDS)

    def time_out_stalled(self) -> list[Job]:
        """Abandon the jobs whose sample takes too long, and read the rest of them in another thread.

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
        error = TransientSampleError(f"reading it took more than {READ_TIMEOUT:.0f} s")
        views = self._plan.views_wanted(position)
        return Job([position], [Item(position, view, error) for view in views])

    def _start_thread(self) -> None:
        # Daemons: a thread that hangs in the kernel must not keep the process from ending.
        thread = threading.Thread(target=self._work, name="headstart-read", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        if torch := sys.modules.get("torch"):
            # One core a reader: what little torch does of one picture is not worth waking the others.
            torch.set_num_threads(1)
        ident = threading.get_ident()
        while (job := self._jobs.get()) is not None:
            if self._has_failed:  # the run ends at the job that failed: nobody waits for this one
                continue
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
                self._has_failed = self._has_failed or job.error is not None
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
            learn_heif(
                payload[0] if isinstance(payload, tuple) and payload else payload
            )  # a py: backbone decodes by itself
        except SampleError as error:
            # It could be read when it was scanned: a disk or a mount may come back.
            return TransientSampleError(str(error))
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
        made = zip(good, prepared, strict=True)
        return [*bad, *(item for (p, v, _), part in made for item in items_of(p, v, part))]


def stop_threads(threads: Sequence[threading.Thread], tasks: queue.SimpleQueue[Any], seconds: float) -> None:
    """Let threads that take tasks from a queue, until one is None, end after the one that each has under way."""
    with contextlib.suppress(queue.Empty):
        while True:
            tasks.get_nowait()
    for _ in threads:
        tasks.put(None)
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0.0))


def longest_first(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The order in which batches are cut: so that too little memory shows at once.

    ``lengths`` (N,). Samples of one length stay in their order.
    """
    order: NDArray[np.int64] = np.argsort(-lengths, kind="stable")
    return order


def batch_end(lengths: NDArray[np.int64], start: int, budget: int, most: int | None = None) -> int:
    """Where the batch that begins at ``start`` ends; it holds at least one sample.

    ``lengths`` (N,): what each sample costs, falling; ``start``: in [0, N); ``budget``: the padded cost of a
    batch is at most this: its number of samples × the longest of them; ``most``: and it holds at most so many
    samples.

    Examples
    --------
    >>> lengths = np.array([9, 8, 8, 2, 2, 2, 2, 2])
    >>> batch_end(lengths, 0, budget=100)  # eight texts of 9 tokens would be mostly padding
    3
    >>> batch_end(lengths, 3, budget=6)
    6
    """
    longest = max(int(lengths[start]), 1)
    n = max(budget // longest, 1)
    if most is not None:
        n = min(n, most)
    window = lengths[start : start + n].astype(np.float64)
    squares = np.cumsum(np.maximum(window, 1) ** 2)
    wasteful = np.arange(1, len(window) + 1) * float(longest) ** 2 > WASTE * squares
    return start + (int(wasteful.argmax()) if wasteful.any() else len(window))


class ReadyItems:
    """Prepared samples, longest first, and the batches that are cut from them.

    ``length``: what a prepared sample costs.
    """

    def __init__(self, length: Callable[[Any], int]) -> None:
        self._length = length
        self._new: list[Item] = []
        self._items: list[Item] = []
        self._lengths = np.empty(0, dtype=np.int64)
        self._start = 0
        self._n_samples = self._total = 0

    def __len__(self) -> int:
        return len(self._new) + len(self._items) - self._start

    def add(self, items: Sequence[Item]) -> None:
        """Items that `sort` has not seen yet."""
        self._new += items

    def sort(self) -> None:
        """Let what was added take part in the next batches."""
        if not self._new:
            return
        items = self._items[self._start :] + self._new
        lengths = np.array([self._length(item.prepared) for item in items], dtype=np.int64)
        self._n_samples += len({item.position for item in self._new})
        self._total += int(lengths[-len(self._new) :].sum())
        order = longest_first(lengths)
        self._items, self._lengths = [items[i] for i in order.tolist()], lengths[order]
        self._new, self._start = [], 0

    def last(self, otherwise: Item) -> Item:
        """The sorted item that costs the least; another one if there is none."""
        return self._items[-1] if self._start < len(self._items) else otherwise

    @property
    def mean_cost(self) -> float:
        """What a sample costs that was sorted so far, with all of its views and parts."""
        return self._total / self._n_samples if self._n_samples else 1.0

    @property
    def cost(self) -> int:
        """What the sorted items cost together."""
        return int(self._lengths[self._start :].sum())

    def cut(self, budget: int, most: int | None, or_less: bool) -> tuple[list[Item], int] | None:
        """The next batch and its cost; None where there is none.

        ``or_less``: whether a batch may be smaller because there is no more.
        """
        if self._start == len(self._items):
            return None
        end = batch_end(self._lengths, self._start, budget, most)
        took_all = end == len(self._items)
        if took_all and not or_less and (end - self._start + 1) * self._lengths[self._start] <= budget:
            return None
        batch, cost = self._items[self._start : end], int(self._lengths[self._start : end].sum())
        self._start = end
        if took_all:  # let go of what was computed
            self._items, self._lengths, self._start = [], self._lengths[:0], 0
        return batch, cost


class BatchTuner:
    """Climbs from a first budget in steps of two, up and then down, as long as batches get faster.

    Nothing is computed for its sake: it judges the batches of the work itself. The budget in use and one
    that challenges it take turns, since texts get shorter, and so faster, from one batch to the next. None
    of it changes a feature beyond rounding, so none of it is in the recipe.

    ``start``: the first budget: what a batch may cost together, at least 1; ``is_fixed``: stay there, and
    only give way when memory runs out; ``n_warm``: so many batches are not judged: the first ones of each
    thread are slow.
    """

    def __init__(self, start: int, is_fixed: bool = False, n_warm: int = 1) -> None:
        self.budget = max(start, 1)
        self._n_warm = n_warm
        self._tried = {self.budget}
        self._challenger: int | None = None if is_fixed else 2 * self.budget
        self._rates: dict[int, list[float]] = {}
        self._is_turn = self._has_learned = False

    def resume(self, budget: int, is_sure: bool) -> None:
        """Start where an earlier run ended; ``is_sure``: and try no other."""
        self.budget, self._tried = budget, {budget}
        self._challenger = None if is_sure else 2 * budget

    @property
    def is_settled(self) -> bool:
        """Whether the budget will stay as it is, unless memory runs out."""
        return self._challenger is None

    @property
    def found(self) -> int | None:
        """The budget that this work has shown to be the best one, or the one that memory allows; None: neither."""
        return self.budget if self.is_settled and self._has_learned else None

    def next_budget(self, may_try: bool = True) -> int:
        """The budget of the next batch; ``may_try``: whether there is work enough for another size to pay."""
        if self._challenger is None or not may_try:
            return self.budget
        self._is_turn = not self._is_turn
        return self._challenger if self._is_turn else self.budget

    def took(self, budget: int, cost: int, seconds: float) -> None:
        """Take a batch into account.

        ``budget``: the one that it was cut by; ``cost``: what its samples cost together, without padding.
        """
        if self._n_warm:
            self._n_warm -= 1
            return
        if budget not in (self.budget, self._challenger) or cost < FULL * budget:
            return
        self._rates.setdefault(budget, []).append(cost / max(seconds, 1e-9))
        if self._challenger is not None:
            self._judge(self._challenger)

    def out_of_memory(self, budget: int) -> None:
        """Never use a budget of this size again."""
        self._challenger, self._has_learned = None, True
        # Of the budget that failed: several lanes may report one and the same.
        self.budget = min(self.budget, max(budget // 2, 1))

    def _judge(self, challenger: int) -> None:
        own, other = self._rates.get(self.budget, []), self._rates.get(challenger, [])
        if min(len(own), len(other)) < SAMPLES:
            return
        if median(other) > BETTER * median(own):
            self.budget = challenger
        self._tried.add(challenger)
        self._rates, self._has_learned = {}, True
        near = (2 * self.budget, self.budget // 2)
        self._challenger = next((size for size in near if size and size not in self._tried), None)
