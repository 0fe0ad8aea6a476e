"""Running the model: threads that compute a batch each, and turn it into features to store."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from headstart.backbones.pooling import display_tap, read_tap, reads_of
from headstart.errors import StorageError
from headstart.extraction.batches import stop_threads
from headstart.types import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import torch
    from numpy.typing import NDArray

    from headstart.contracts import FrozenModel, Runtime
    from headstart.extraction.batches import Item
    from headstart.extraction.plan import ExtractionPlan
    from headstart.extraction.timings import Stopwatch
    from headstart.extraction.windows import WindowMeans
    from headstart.types import StoredDtype


Batch: TypeAlias = "Mapping[str, torch.Tensor]"
Forward: TypeAlias = "Callable[[Batch], list[torch.Tensor | Tokens]]"
"""A batch on its device to what each tap reads of it."""

Read: TypeAlias = "tuple[NDArray[np.float32], NDArray[np.int64] | None]"
"""What a tap reads of a batch, and of ragged taps how many rows each sample has."""

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


def eager_forward(model: FrozenModel, taps: Sequence[str]) -> Forward:
    """The model's own forward pass, and each tap of it."""
    reads = reads_of(taps)

    def forward(batch: Batch) -> list[torch.Tensor | Tokens]:
        activations = model.forward(batch, reads)
        return [read_tap(activations, tap) for tap in taps]

    return forward


@dataclass(frozen=True, slots=True)
class Layout:
    """How a machine is used."""

    device: torch.device
    lanes: int  # batches at once
    threads: int  # of each lane, on a CPU
    cores: int  # that this process may use

    @property
    def counts_processor_time(self) -> bool:
        """Whether a lane's own processor time is what its batches cost: true with one thread a lane."""
        return self.device.type == "cpu" and self.threads == 1


def lay_out(device: torch.device, is_reentrant: bool = True, cores: int | None = None) -> Layout:
    """How to use a device, by a model that several threads may run at once only if it is reentrant."""
    cores = cores or usable_cores()
    if device.type != "cpu":
        return Layout(device, GPU_LANES if is_reentrant else 1, 1, cores)
    lanes = min(cores, MOST_LANES) if is_reentrant else 1
    return Layout(device, lanes, max(cores // lanes, 1), cores)


def usable_cores() -> int:
    """The cores that this process may use, by its affinity, its container's limit and OMP_NUM_THREADS."""
    import joblib  # type: ignore[import-untyped]
    import torch

    return max(min(int(joblib.cpu_count()), torch.get_num_threads()), 1)


class InferencePool:
    """Threads that run tasks, and put what they give on a queue."""

    def __init__(self, layout: Layout, done: queue.SimpleQueue[Any]) -> None:
        self._layout = layout
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
        with _lane(self._layout):
            while (task := self._tasks.get()) is not None:
                self._done.put(task())


@contextlib.contextmanager
def _lane(layout: Layout) -> Iterator[None]:
    import torch

    with contextlib.ExitStack() as stack:
        if layout.device.type == "cpu":
            torch.set_num_threads(layout.threads)
        elif layout.device.type == "cuda":
            stack.enter_context(torch.cuda.device(layout.device))
            stack.enter_context(torch.cuda.stream(torch.cuda.Stream(layout.device)))  # type: ignore[no-untyped-call]
        yield


@dataclass(frozen=True)
class BatchRunner:
    """Computes one batch in a lane, and turns it into features to store."""

    plan: ExtractionPlan
    stored: StoredDtype
    collate: Callable[[Sequence[Any]], Batch]  # from prepared samples to a batch on the CPU
    runtime: Runtime
    layout: Layout
    stopwatch: Stopwatch
    windows: WindowMeans | None = None  # where long texts are read in parts

    def run(self, items: Sequence[Item], budget: int, cost: int) -> Computed:
        """Compute a batch; whatever is raised is in the result."""
        seconds = 0.0
        try:
            start, wall = time.thread_time(), time.perf_counter()
            outputs = self.runtime.run(self.batch(items))
            seconds = self._took(time.thread_time() - start, time.perf_counter() - wall)
            with self.stopwatch.processor("write"):
                read: Sequence[Read] = [_to_numpy(output) for output in outputs]
                whole = items
                if self.windows is not None:
                    whole, read = self.windows.join(items, [values for values, _ in read])
                features, failures = self._cast(whole, read) if whole else ([], [])
        except BaseException as error:
            return Computed(items, budget=budget, cost=cost, seconds=seconds, error=error)
        joined = None if self.windows is None else whole
        return Computed(items, features, failures, budget, cost, seconds, joined=joined)

    def batch(self, items: Sequence[Item]) -> Batch:
        """Items as one batch on the device."""
        batch = self.collate([item.prepared for item in items])
        device = self.layout.device
        if device.type == "cuda":  # from pinned memory a copy does not stop the other lane
            return {n: part.pin_memory().to(device, non_blocking=True) for n, part in batch.items()}
        return batch if device.type == "cpu" else {n: part.to(device) for n, part in batch.items()}

    def _took(self, processor: float, wall: float) -> float:
        import torch

        if self.layout.counts_processor_time:
            self.stopwatch.add("forward", processor)
            return processor
        if self.layout.device.type == "cuda":
            before = time.perf_counter()
            torch.cuda.current_stream().synchronize()  # so that the cast's waiting counts as the model's
            wall += time.perf_counter() - before
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
        if self.stored == "float16" and values.size and float(np.abs(values).max()) > FLOAT16_MAX:
            raise StorageError(
                f"a feature of {display_tap(tap)} is {float(np.abs(values).max()):.3g}, more "
                f"than float16 can hold ({FLOAT16_MAX:g}); run again with --dtype float32"
            )
        return values.astype(self.stored, copy=False)


def _to_numpy(output: torch.Tensor | Tokens) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
    tensor, lengths = (output.values, output.lengths) if isinstance(output, Tokens) else (output, None)
    # A copy: it waits to be written while the model goes on. One that computes into the same memory each time would
    # rewrite it, and the class token of a long text would keep all of its tokens in memory.
    values = np.array(tensor.float().cpu().numpy(), order="C")
    return values, None if lengths is None else lengths.cpu().numpy().astype(np.int64)


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
