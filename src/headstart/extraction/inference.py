"""Running the model: threads that compute a batch each, and turn it into features to store."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.backbones.pooling import display_tap, stored_as
from headstart.devices import usable_cores
from headstart.errors import StorageError
from headstart.extraction.batches import stop_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from headstart.contracts import Batch, Runtime
    from headstart.extraction.batches import Item
    from headstart.extraction.plan import ExtractionPlan
    from headstart.extraction.timings import Stopwatch
    from headstart.extraction.windows import Joiner
    from headstart.types import Read, StoredDtype


NOT_FINITE = "the backbone gave NaN or infinity"
FLOAT16_MAX = float(np.finfo(np.float16).max)
MOST_LANES = 8  # more would wait for the interpreter's lock; further cores work inside the lanes
GPU_LANES = 2
STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class SpaceFeatures:
    """Features for one space, by its number in the plan."""

    space: int
    positions: NDArray[np.int64]  # in the plan's ``todo``
    values: NDArray[Any]
    lengths: NDArray[np.int64] | None = None  # where they are ragged: how many rows each sample has
    n_tokens: NDArray[np.int64] | None = None  # of texts: of each before it was cut; see `TokenRow`


@dataclass(frozen=True, slots=True)
class SampleFailure:
    """A sample that gave no feature."""

    position: int  # in the plan's ``todo``
    reason: str
    is_permanent: bool
    spaces: Sequence[int]  # the numbers of the spaces that lack it


@dataclass(frozen=True, slots=True)
class Computed:
    """What became of a batch, or of samples that could not be read."""

    items: Sequence[Item]  # the batch
    features: Sequence[SpaceFeatures] = ()
    failures: Sequence[SampleFailure] = ()
    budget: int = 0  # the one that the batch was cut by
    cost: int = 0  # what its samples cost together
    seconds: float = 0.0  # what the forward pass took
    error: BaseException | None = None  # what was raised instead
    joined: Sequence[Item] | None = (
        None  # where a text may be in several batches: of each that is whole now, one
    )

    @property
    def done(self) -> Sequence[Item]:
        """One for each view of a sample that is done with this: computed, or failed."""
        return self.items if self.joined is None else self.joined


@dataclass(frozen=True, slots=True)
class Layout:
    """How a machine is used."""

    device: str  # as torch names it
    lanes: int  # batches at once
    threads: int  # of each lane, on a CPU
    cores: int  # that this process may use

    @property
    def kind(self) -> str:
        """The kind of the device: ``cpu``, ``cuda`` …"""
        return self.device.partition(":")[0]

    @property
    def counts_processor_time(self) -> bool:
        """Whether a lane's own processor time is what its batches cost: true with one thread a lane."""
        return self.kind == "cpu" and self.threads == 1


def lay_out(device: Any, is_reentrant: bool = True, cores: int | None = None) -> Layout:
    """How to use a device, by a model that several threads may run at once only if it is reentrant."""
    cores = cores or usable_cores()
    kind = str(device).partition(":")[0]
    if kind != "cpu":
        return Layout(str(device), GPU_LANES if is_reentrant else 1, 1, cores)
    lanes = min(cores, MOST_LANES) if is_reentrant else 1
    return Layout(str(device), lanes, max(cores // lanes, 1), cores)


class InferencePool:
    """Threads that run tasks, and put what they give on a queue."""

    def __init__(
        self, layout: Layout, done: queue.SimpleQueue[Any], lane: Callable[[], AbstractContextManager[Any]]
    ) -> None:
        self._lane = lane
        self._done = done
        self._tasks: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        # Daemons: a pass that never ends must not keep the process from ending.
        self._threads = [
            threading.Thread(target=self._work, name="headstart-lane", daemon=True)
            for _ in range(layout.lanes)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Callable[[], Any]) -> None:
        """Run a task in the next lane that is free; it must not raise."""
        self._tasks.put(task)

    def close(self) -> None:
        """Stop the lanes after what they have under way."""
        stop_threads(self._threads, self._tasks, STOP_SECONDS)

    def _work(self) -> None:
        with self._lane():
            while (task := self._tasks.get()) is not None:
                self._done.put(task())


@dataclass(frozen=True)
class BatchRunner:
    """Computes one batch in a lane, and turns it into features to store."""

    plan: ExtractionPlan
    stored: StoredDtype
    collate: Callable[[Sequence[Any]], Batch]  # from prepared samples to a batch on the CPU
    runtime: Runtime
    layout: Layout
    stopwatch: Stopwatch
    joiner: Joiner | None = None  # where samples may be in several batches, or are read word by word

    def run(self, items: Sequence[Item], budget: int, cost: int) -> Computed:
        """Compute a batch; whatever is raised is in the result."""
        seconds = 0.0
        try:
            start, wall = time.thread_time(), time.perf_counter()
            read: Sequence[Read] = self.runtime.run(self.batch(items))
            seconds = self._took(time.thread_time() - start, time.perf_counter() - wall)
            with self.stopwatch.processor("write"):
                whole = items
                if self.joiner is not None:
                    whole, read = self.joiner.join(items, read)
                features, failures = self._cast(whole, read) if whole else ([], [])
        except BaseException as error:
            return Computed(items, budget=budget, cost=cost, seconds=seconds, error=error)
        joined = None if self.joiner is None else whole
        return Computed(items, features, failures, budget, cost, seconds, joined=joined)

    def batch(self, items: Sequence[Item]) -> Batch:
        """Items as one batch, where the runtime takes it."""
        return self.runtime.place(self.collate([item.prepared for item in items]))

    def _took(self, processor: float, wall: float) -> float:
        if self.layout.counts_processor_time and self.runtime.works_in_lanes:
            self.stopwatch.add("forward", processor)
            return processor
        self.stopwatch.add("forward", wall * self.layout.threads)
        return wall

    def _cast(
        self, items: Sequence[Item], read: Sequence[Read]
    ) -> tuple[list[SpaceFeatures], list[SampleFailure]]:
        """Features by space from what each tap read, and the samples whose features are not finite."""
        positions = np.array([item.position for item in items], dtype=np.int64)
        counts = np.array([item.n_tokens for item in items], dtype=np.int64)
        views = np.array([item.view for item in items])
        features: list[SpaceFeatures] = []
        failures: list[SampleFailure] = []
        for tap, (values, lengths) in enumerate(read):
            good = _finite_rows(values, lengths)
            for i in np.flatnonzero(~good).tolist():
                space = self.plan.spaces_of(int(views[i]))[tap]
                failures.append(SampleFailure(int(positions[i]), NOT_FINITE, True, [space]))
            for view in np.unique(views).tolist():
                chosen = good & (views == view)
                kept, kept_lengths = _select(values, lengths, chosen)
                stored = self._narrowed(kept, self.plan.taps[tap])
                space = self.plan.spaces_of(view)[tap]
                n_tokens = counts[chosen] if counts.any() else None
                features.append(SpaceFeatures(space, positions[chosen], stored, kept_lengths, n_tokens))
        return features, failures

    def _narrowed(self, values: NDArray[np.float32], tap: str) -> NDArray[Any]:
        """As the dtype that is stored; a `StorageError` if a value is more than float16 can hold."""
        stored = stored_as(tap, self.stored)
        if stored == "float16" and values.size and float(np.abs(values).max()) > FLOAT16_MAX:
            raise StorageError(
                f"a feature of {display_tap(tap)} is {float(np.abs(values).max()):.3g}, more "
                f"than float16 can hold ({FLOAT16_MAX:g}); run again with --dtype float32"
            )
        return values.astype(stored, copy=False)


def _finite_rows(values: NDArray[np.float32], lengths: NDArray[np.int64] | None) -> NDArray[np.bool_]:
    finite: NDArray[np.bool_] = np.all(np.isfinite(values), axis=1)
    if lengths is None or finite.all():
        return finite if lengths is None else np.ones(len(lengths), dtype=bool)
    owners = np.repeat(np.arange(len(lengths)), lengths)
    good: NDArray[np.bool_] = np.bincount(owners[~finite], minlength=len(lengths)) == 0
    return good


def _select(
    values: NDArray[np.float32], lengths: NDArray[np.int64] | None, chosen: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
    if chosen.all():
        return values, lengths
    if lengths is None:
        return values[chosen], None
    return values[np.repeat(chosen, lengths)], lengths[chosen]
