"""Computing batches side by side: a lane is a thread that runs the model.

On a CPU one thread a core, each with a batch of its own, is faster than all cores on one batch: nothing waits
for the slowest core of every layer (1.2 times for MiniLM, 1.6 times for EfficientNet-Lite0, on two cores). On a
GPU two lanes with a stream each copy one batch while they compute another.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from headstart.errors import BackboneError

if TYPE_CHECKING:
    import torch

    from headstart.extraction.forward import Batch, FeatureCaster, Forward, SampleFailure, SpaceFeatures
    from headstart.extraction.reading import Item
    from headstart.extraction.timing import Stopwatch

MOST_LANES = 8  # more would wait for the interpreter's lock; further cores work inside the lanes
GPU_LANES = 2
STOP_SECONDS = 30.0

Task: TypeAlias = "Callable[[], Any]"


@dataclass(frozen=True, slots=True)
class Layout:
    """How a machine is used.

    Parameters
    ----------
    device : torch.device
    lanes : int
        Batches at once.
    threads : int
        Of each lane, on a CPU.
    cores : int
        That this process may use.
    """

    device: torch.device
    lanes: int
    threads: int
    cores: int

    @property
    def counts_processor_time(self) -> bool:
        """Whether a lane's own processor time is what its batches cost: true with one thread a lane."""
        return self.device.type == "cpu" and self.threads == 1


def lay_out(device: torch.device, is_reentrant: bool = True, cores: int | None = None) -> Layout:
    """How to use a device.

    Parameters
    ----------
    device : torch.device
    is_reentrant : bool
        Whether several threads may run the model at once.
    cores : int, optional
        None: all that the process may use, by its affinity, its container's limit and OMP_NUM_THREADS.
    """
    cores = cores or usable_cores()
    if device.type != "cpu":
        return Layout(device, GPU_LANES if is_reentrant else 1, 1, cores)
    lanes = min(cores, MOST_LANES) if is_reentrant else 1
    return Layout(device, lanes, max(cores // lanes, 1), cores)


def usable_cores() -> int:
    """The cores that this process may use."""
    import joblib  # type: ignore[import-untyped]
    import torch

    return max(min(int(joblib.cpu_count()), torch.get_num_threads()), 1)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a batch.

    Parameters
    ----------
    items : sequence of Item
    budget : int
        The one that it was cut by.
    cost : int
        What its samples cost together.
    seconds : float
        What the forward pass took.
    features, failures
        See `FeatureCaster.cast`.
    error : Exception, optional
        What was raised instead.
    """

    items: Sequence[Item]
    budget: int
    cost: int
    seconds: float
    features: Sequence[SpaceFeatures] = ()
    failures: Sequence[SampleFailure] = ()
    error: BaseException | None = None


class LanePool:
    """Threads that run tasks, and put what they give on a queue.

    Parameters
    ----------
    layout : Layout
    done : queue
        Where results go.
    """

    def __init__(self, layout: Layout, done: queue.SimpleQueue[Any]) -> None:
        self.layout = layout
        self._done = done
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        # Daemons: a pass that never ends must not keep the process from ending.
        self._threads = [
            threading.Thread(target=self._work, name="headstart-lane", daemon=True)
            for _ in range(layout.lanes)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Task) -> None:
        """Run a task in the next lane that is free; it must not raise."""
        self._tasks.put(task)

    def close(self) -> None:
        """Stop the lanes after what they have under way."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._tasks.get_nowait()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join(STOP_SECONDS)

    def _work(self) -> None:
        with _lane(self.layout):
            while (task := self._tasks.get()) is not None:
                self._done.put(task())


@contextlib.contextmanager
def _lane(layout: Layout) -> Iterator[None]:
    import torch

    if layout.device.type == "cpu":
        torch.set_num_threads(layout.threads)
        yield
    elif layout.device.type == "cuda":
        with torch.cuda.device(layout.device), torch.cuda.stream(torch.cuda.Stream(layout.device)):  # type: ignore[no-untyped-call]
            yield
    else:
        yield


class BatchRunner:
    """Runs one batch in a lane.

    Parameters
    ----------
    layout : Layout
    collate : callable
        From prepared samples to a batch on the CPU.
    forward : Forward
        May be replaced by a faster one while lanes are at work.
    caster : FeatureCaster
    stopwatch : Stopwatch
    """

    def __init__(
        self,
        layout: Layout,
        collate: Callable[[Sequence[Any]], Batch],
        forward: Forward,
        caster: FeatureCaster,
        stopwatch: Stopwatch,
    ) -> None:
        self._layout = layout
        self._collate = collate
        self.forward = forward
        self._caster = caster
        self._stopwatch = stopwatch

    def run(self, items: Sequence[Item], budget: int, cost: int) -> Result:
        """Compute a batch; whatever is raised is in the result."""
        seconds = 0.0
        try:
            start, wall = time.thread_time(), time.perf_counter()
            outputs = self.forward(self.batch(items))
            seconds = self._took(time.thread_time() - start, time.perf_counter() - wall)
            with self._stopwatch.processor("write"):
                features, failures = self._caster.cast(items, outputs)
        except BaseException as error:
            return Result(items, budget, cost, seconds, error=error)
        return Result(items, budget, cost, seconds, features, failures)

    def batch(self, items: Sequence[Item]) -> Batch:
        """Items as one batch on the device."""
        batch = self._collate([item.prepared for item in items])
        device = self._layout.device
        if device.type == "cuda":  # from pinned memory a copy does not stop the other lane
            return {n: part.pin_memory().to(device, non_blocking=True) for n, part in batch.items()}
        return batch if device.type == "cpu" else {n: part.to(device) for n, part in batch.items()}

    def _took(self, processor: float, wall: float) -> float:
        import torch

        if self._layout.counts_processor_time:
            self._stopwatch.add("forward", processor)
            return processor
        if self._layout.device.type == "cuda":
            before = time.perf_counter()
            torch.cuda.current_stream().synchronize()  # so that the cast's waiting counts as the model's
            wall += time.perf_counter() - before
        self._stopwatch.add("forward", wall * self._layout.threads)
        return wall


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error says that memory ran out, of the device or of the host."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, BackboneError):  # the user's own code is named in an error around its own
        return is_out_of_memory(error.__cause__)
    says = str(error) if isinstance(error, RuntimeError) else ""
    return "can't allocate memory" in says or "not enough memory" in says or "out of memory" in says
