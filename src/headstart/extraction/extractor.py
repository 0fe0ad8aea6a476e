"""The extraction loop: samples are read ahead, batches are cut as lanes get free, results come back."""

from __future__ import annotations

import contextlib
import queue
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from headstart.errors import BackboneError, SampleError, TransientSampleError
from headstart.extraction.batch_sizes import batch_sizes_of
from headstart.extraction.batches import FULL, BatchTuner, Item, Job, ReaderPool, ReadyItems
from headstart.extraction.inference import BatchRunner, Computed, InferencePool, SampleFailure, lay_out
from headstart.extraction.runtime import device_of, open_runtime
from headstart.extraction.timings import PHASES, Stopwatch, Timings
from headstart.extraction.windows import open_joiner
from headstart.memory import is_out_of_memory
from headstart.types import TrialWork

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from headstart.contracts import Batch, ModelInputs, Progress, Runtime
    from headstart.extraction.plan import ExtractionPlan
    from headstart.runtimes.background import Conversion
    from headstart.types import StoredDtype

WINDOW = 16_384  # samples that are sorted by length together, and so held in memory together
TEXTS_A_JOB = 256  # a fast tokenizer works on many texts at once
IMAGES_AHEAD = 2  # batches a lane; more would only cost memory
LOOK_AROUND = 1.0  # seconds between two looks for readers that hang
MEASURE_AFTER = 3.0  # seconds of work before a rate means something
WORTH_TRYING = 10.0  # seconds of work that must be left: the first batches of a new size are slow

Feed: TypeAlias = "Iterator[NDArray[np.int64] | None]"
"""Positions in a plan's ``todo`` to compute. None: there is nothing at the moment; finish what is under way
and ask again."""
FeedState: TypeAlias = Literal["flows", "dry", "over"]
Vectors: TypeAlias = "dict[int, NDArray[np.float32]]"
"""By position in a plan's ``todo``, shape (1, D), or (T, D) where every position is kept."""


class Extractor:
    """Runs a frozen model over samples of a plan.

    One thread, that of the caller, decides; readers and lanes work, and tell it by one queue.

    ``batch_size``: samples a batch; None: what this machine computes fastest; ``cores``: to use; None: all
    that the process may; ``conversion``: how to convert the model beside the work; None: it stays as it is.
    """

    def __init__(
        self,
        plan: ExtractionPlan,
        model: ModelInputs,
        stored: StoredDtype,
        progress: Progress,
        batch_size: int | None = None,
        cores: int | None = None,
        conversion: Conversion | None = None,
    ) -> None:
        self.stopwatch = Stopwatch()
        self.layout = lay_out(device_of(model), model.is_reentrant, cores)
        self._plan = plan
        self._progress = progress
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._readers = ReaderPool(plan, model, self._events, self.stopwatch, self.layout.cores)
        self._joiner = open_joiner(plan)
        self._model = model
        taps = self._joiner.taps if self._joiner else plan.taps
        self._runtime: Runtime = open_runtime(model, taps, self.layout, conversion)
        self._lanes = InferencePool(self.layout, self._events, self._runtime.lane)
        self._runner = BatchRunner(
            plan, stored, model.collate, self._runtime, self.layout, self.stopwatch, self._joiner
        )
        self._ready = ReadyItems(model.length)
        self._sorts = "image" not in plan.source.modality
        # Of texts that are not cut any one may be as long as many.
        self._n_ahead = WINDOW // 16 if plan.in_windows else WINDOW
        self._most = batch_size
        self.tuner = BatchTuner(
            model.budget if batch_size is None else batch_size * (WINDOW if self._sorts else 1),
            is_fixed=batch_size is not None,
            n_warm=self.layout.lanes,
        )
        self._sizes = batch_sizes_of(plan, self._runtime.name, self.layout) if batch_size is None else None
        self._has_started = False
        self._positions: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._n_batches = 0
        self._is_trying = self._has_tried = False
        self._held: list[Computed] = []
        self._run_again: set[tuple[int, int | None]] = set()
        self._began = self._looked = time.monotonic()
        self._n_wanted, self._n_done = int(plan.wants.sum()), 0

    def timings(self, seconds: float, writing: float) -> Timings:
        """What the run took.

        ``seconds``: wall time since the extractor was made; ``writing``: processor seconds of the thread that
        writes.
        """
        on_cpu = self.layout.kind == "cpu"
        spent = {phase: self.stopwatch.seconds(phase) for phase in PHASES}
        spent["write"] += writing
        return Timings(
            n=self._n_done,
            seconds=seconds,
            capacity=seconds * (self.layout.cores if on_cpu else self.layout.lanes),
            **spent,
            device=self.layout.kind,
            forward_as=self._runtime.name,
            lanes=self.layout.lanes,
            threads=self.layout.threads,
            batch=self._most or self.tuner.budget,
        )

    def work_of(self, computed: Computed) -> float | None:
        """How many samples of average cost a batch came to: long texts, which come first, are several."""
        return computed.cost / self._ready.mean_cost if computed.cost else None

    def close(self) -> None:
        """Stop all threads; whatever is under way is lost."""
        self._readers.close()
        self._lanes.close()
        self._runtime.close()
        if self._sizes is not None and self.tuner.found is not None:
            self._sizes.remember(self._ready.mean_cost, self.tuner.found)

    def run(self, feed: Feed) -> Iterator[Computed]:
        """Compute positions of the plan's ``todo``, in whatever order is fastest."""
        state: FeedState = "flows"
        while state != "over" or self._is_busy:
            # One that had nothing is asked again only when nothing is under way: it may commit then.
            if state == "flows" or (state == "dry" and not self._is_busy):
                state = self._read_ahead(feed)
            self._hand_out(state == "over")
            if not self._is_busy:
                continue
            for event in self._next_events():
                if isinstance(event, Job):
                    yield from self._take_job(event)
                elif isinstance(event, Computed):
                    yield from self._take_result(event)
                else:
                    self._take_trial(event)
        if self._joiner and self._joiner.said:
            self._progress.say(self._joiner.said)

    @property
    def _is_busy(self) -> bool:
        return bool(self._readers.n_jobs or self._n_batches or len(self._ready) or len(self._positions))

    def _read_ahead(self, feed: Feed) -> FeedState:
        """Start reading what the lanes will need next."""
        while self._wants_more():
            if not len(self._positions):
                try:
                    chunk = next(feed)
                except StopIteration:
                    return "over"
                if chunk is None:
                    return "dry"
                self._positions = chunk
            self._start_reading()
        return "flows"

    def _wants_more(self) -> bool:
        if self._sorts:  # whole windows, the next one when this one runs low
            n_next = 2 * self.layout.lanes
            is_low = self._ready.cost < n_next * self.tuner.budget
            if self._most is not None:  # the budget is then no bound: all samples would be read
                is_low = is_low and len(self._ready) < n_next * self._most
            return not self._readers.n_jobs and is_low
        ahead = self._readers.n_jobs * len(self._plan.views) + len(self._ready)
        return ahead < IMAGES_AHEAD * self.layout.lanes * self.tuner.budget + self.layout.cores

    def _start_reading(self) -> None:
        n = self._n_ahead if self._sorts else 1
        window, self._positions = self._positions[:n].tolist(), self._positions[n:]
        for start in range(0, len(window), TEXTS_A_JOB):
            self._readers.submit(window[start : start + TEXTS_A_JOB])

    def _hand_out(self, is_over: bool) -> None:
        """Cut batches while lanes want some."""
        nothing_comes = not (self._readers.n_jobs or len(self._positions))
        while self._n_batches + len(self._held) < self._n_at_once:
            budget = self.tuner.next_budget(self._may_try_sizes)
            limit = budget
            if is_over and nothing_comes:  # the last batches: as many as there are lanes
                limit = min(budget, max(-(-self._ready.cost // self.layout.lanes), 1))
            found = self._ready.cut(limit, self._most, or_less=self._sorts or nothing_comes)
            if found is None:
                return
            items, cost = found
            self._submit(items, budget, cost)

    @property
    def _may_try_sizes(self) -> bool:
        """Whether work enough is left for another batch size to pay: more of it, the less was seen of the rate."""
        seen = min((time.monotonic() - self._began) / MEASURE_AFTER, 1.0)
        return self._seconds_left * seen > WORTH_TRYING

    @property
    def _n_at_once(self) -> int:
        """Batches under way: one for each lane and one that waits for it; a lane less while its core is needed."""
        if self._runtime.needs_a_core:
            return max(self.layout.lanes - 1, 1)
        return 2 * self.layout.lanes

    def _next_events(self) -> Iterator[Any]:
        """What happened next, and now and then a look for readers that hang."""
        with contextlib.suppress(queue.Empty):
            yield self._events.get(timeout=LOOK_AROUND)
        if time.monotonic() - self._looked >= LOOK_AROUND:
            self._looked = time.monotonic()
            yield from self._readers.time_out_stalled()

    def _take_job(self, job: Job) -> Iterator[Computed]:
        self._readers.took(job)
        if job.error is not None:
            raise job.error
        self._ready.add([item for item in job.items if not isinstance(item.prepared, SampleError)])
        if not (self._sorts and self._readers.n_jobs):  # texts: once the whole window is there
            self._ready.sort()
            self._start_where_others_ended()
        bad = [item for item in job.items if isinstance(item.prepared, SampleError)]
        if bad:
            yield Computed(bad, [], [self._failure(item) for item in bad])

    def _start_where_others_ended(self) -> None:
        """Begin with the batch size of earlier runs, once it is known how long the samples are."""
        if self._sizes is None or self._has_started:
            return
        self._has_started = True
        if known := self._sizes.find(self._ready.mean_cost):
            self.tuner.resume(known.budget, known.is_sure)

    def _failure(self, item: Item) -> SampleFailure:
        is_permanent = not isinstance(item.prepared, TransientSampleError)
        return SampleFailure(item.position, str(item.prepared), is_permanent, self._plan.spaces_of(item.view))

    def _take_result(self, result: Computed) -> Iterator[Computed]:
        self._n_batches -= 1
        if is_out_of_memory(result.error):
            self._retry_smaller(result)
            return
        if result.error is not None:
            self._run_again_or_raise(result)
            return
        self._n_done += len(result.done)
        self.tuner.took(result.budget, result.cost, result.seconds)
        self._try_to_accelerate(result)
        yield result

    def _run_again_or_raise(self, result: Computed) -> None:
        """Compute a batch again that failed beside a trial, when that is over.

        While torch traces a graph it changes ``nn.Module.__call__`` for all threads, and a pass in another lane may
        fail with "module is not installed as a submodule". What fails without a trial fails for good.
        """
        assert result.error is not None
        first = result.items[0].position, result.items[0].window and result.items[0].window[0]
        if not isinstance(result.error, Exception) or not self._has_tried or first in self._run_again:
            raise result.error
        if self._is_trying:
            self._held.append(result)
            return
        self._run_again.add(first)
        self._submit(result.items, result.budget, result.cost)

    def _submit(self, items: Sequence[Item], budget: int, cost: int) -> None:
        self._n_batches += 1
        self._lanes.submit(partial(self._runner.run, items, budget, cost))

    def _retry_smaller(self, result: Computed) -> None:
        """Halve the batch, and all that come after it."""
        if len(result.items) == 1:
            raise BackboneError(
                "out of memory with a batch of one sample; what was committed is kept: free memory, choose a "
                "smaller backbone or --max-length, or --device cpu, and run the same command again"
            ) from result.error
        if self.layout.kind == "cuda":
            import torch

            torch.cuda.empty_cache()
        before = self.tuner.budget
        middle = len(result.items) // 2
        self.tuner.out_of_memory(min(result.cost, result.budget))  # a last batch is less than its budget
        if self._most is not None:
            self._most = min(self._most, middle)
        if self.tuner.budget != before:
            self._progress.say(f"out of memory with a batch of {len(result.items)}; going on with half of it")
        for half in (result.items[:middle], result.items[middle:]):
            cost = max(result.cost * len(half) // len(result.items), 1)
            self._submit(half, result.budget, cost)

    def _try_to_accelerate(self, result: Computed) -> None:
        """Start a trial in a thread of the model, where enough work is left for it to pay."""
        elapsed = time.monotonic() - self._began
        if self._is_trying or not self.tuner.is_settled or elapsed < MEASURE_AFTER:
            return
        if not self._is_full(result):
            return  # a part of a batch would have another shape than the rest
        batch, examples = partial(self._runner.batch, result.items), partial(self._examples, result.items)
        work = TrialWork(batch, examples, self._seconds_left)
        trial = self._runtime.trial(work)
        if trial is not None:
            self._is_trying, self._has_tried, self._n_batches = True, True, self._n_batches + 1
            self._lanes.submit(trial)

    @property
    def _seconds_left(self) -> float:
        """At the rate so far; nothing before the first samples are done."""
        n_left = self._n_wanted - self._n_done
        return n_left * (time.monotonic() - self._began) / self._n_done if self._n_done else 0.0

    def _examples(self, items: Sequence[Item]) -> list[Batch]:
        """Batches of the work on the CPU: of the longest sample, of the shortest, of both."""
        longest, shortest = items[0].prepared, self._ready.last(items[-1]).prepared
        return [self._model.collate(part) for part in ([longest], [shortest], [longest, shortest])]

    def _is_full(self, result: Computed) -> bool:
        if self._most is not None:
            return len(result.items) >= self._most
        return result.cost >= self.tuner.budget * (FULL if self._sorts else 1)

    def _take_trial(self, trial: Any) -> None:
        self._is_trying, self._n_batches = False, self._n_batches - 1
        held, self._held = self._held, []
        for result in held:
            self._submit(result.items, result.budget, result.cost)
        if says := self._runtime.adopt(trial):
            self._progress.say(says)


def compute_rows(
    plan: ExtractionPlan, model: ModelInputs, progress: Progress, batch_size: int | None = None
) -> tuple[list[Vectors], list[SampleFailure]]:
    """What each space would get in float32, with nothing written; and the samples that give nothing."""
    extractor = Extractor(plan, model, "float32", progress, batch_size)
    vectors: list[Vectors] = [{} for _ in plan.spaces]
    failures: list[SampleFailure] = []
    try:
        for computed in extractor.run(iter([np.arange(len(plan.todo))])):
            failures += computed.failures
            for part in (part for part in computed.features if len(part.positions)):
                lengths = np.ones_like(part.positions) if part.lengths is None else part.lengths
                owned = np.split(part.values, np.cumsum(lengths)[:-1])
                vectors[part.space].update(zip(part.positions.tolist(), owned, strict=True))
            progress.advance(len(computed.done))
    finally:
        extractor.close()
    return vectors, failures
