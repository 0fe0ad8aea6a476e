"""Faster ways to run a model: tried on batches of the work itself, kept where they are right and pay.

A forward pass over images of one shape can be frozen into a graph, with its batch norms folded into the
convolutions. `torch.jit` does that within seconds, `torch.compile` within tens of seconds and with a compiler.
Texts gain nothing by either (measured on two cores), and their shapes change from batch to batch.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from headstart.types import Tokens

if TYPE_CHECKING:
    import torch

    from headstart.extraction.forward import Batch, Forward
    from headstart.extraction.lanes import Layout

TOLERANCE = 1e-4  # of the largest value: how far it may be from the eager pass in fp32
LOW_TOLERANCE = 3e-2  # the same in 16 bits a number
GAIN = 1.05  # it must be so much faster to be kept
REPEATS = 3
ASSUMED_GAIN = 0.15  # of the time that is left; what a trial is weighed against


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A way to run a forward pass faster.

    Parameters
    ----------
    name : str
    trial_seconds : float
        About what it takes to try.
    make : callable
        From a function of one tensor to a list of tensors, and an example of that tensor, to such a function.
    """

    name: str
    trial_seconds: float
    make: Callable[[Any, torch.Tensor], Any]

    def pays(self, seconds_left: float) -> bool:
        """Whether a trial is worth its time, with so much work left."""
        return seconds_left * ASSUMED_GAIN > self.trial_seconds


@dataclass(frozen=True, slots=True)
class Trial:
    """What a trial showed.

    Parameters
    ----------
    name : str
    forward : Forward, optional
        None: it is not to be used.
    says : str
        Why not; empty where that is of no interest to a user.
    """

    name: str
    forward: Forward | None
    says: str = ""


def accelerators(layout: Layout, batch: Batch) -> Sequence[Accelerator]:
    """What could make batches like this one faster, the cheapest trial first."""
    [first, *rest] = batch.values()
    if rest or first.ndim != 4:  # not pictures alone
        return ()
    inductor = Accelerator("inductor", 25.0, _inductor)
    return (
        (Accelerator("torchscript", 1.5, _torchscript), inductor)
        if layout.device.type == "cpu"
        else (inductor,)
    )


def tolerance_of(module: torch.nn.Module) -> float:
    """How far a faster pass may be from the eager one, in parts of a vector's largest value."""
    import torch

    dtypes = {parameter.dtype for parameter in module.parameters() if parameter.is_floating_point()}
    return TOLERANCE if dtypes <= {torch.float32} else LOW_TOLERANCE


def try_accelerator(
    accelerator: Accelerator, eager: Forward, current: Forward, batch: Batch, layout: Layout, tolerance: float
) -> Trial:
    """Make it, compare it with the eager pass, and time it against what is in use.

    Parameters
    ----------
    eager, current : Forward
    batch : Batch
        On its device. Batches of another shape will go on as they do.
    tolerance : float
        See `tolerance_of`.
    """
    [(name, example)] = batch.items()

    def function(tensor: torch.Tensor) -> list[torch.Tensor]:
        return [output for output in eager({name: tensor}) if not isinstance(output, Tokens)]

    try:
        if any(isinstance(output, Tokens) for output in eager(batch)):
            return Trial(accelerator.name, None)
        faster = accelerator.make(function, example)
        if not _agrees(faster, function, example, tolerance):
            return Trial(accelerator.name, None)
        gain = _seconds(lambda: current(batch), layout) / _seconds(lambda: faster(example), layout)
    except Exception as error:  # a compiler that is missing, a model that cannot be traced …
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return Trial(accelerator.name, None, f"{accelerator.name} cannot be used here ({reason[:120]})")
    if gain < GAIN:
        return Trial(accelerator.name, None)
    shape = tuple(example.shape)

    def forward(given: Batch) -> list[torch.Tensor | Tokens]:
        tensor = given[name]
        return list(faster(tensor)) if tuple(tensor.shape) == shape else current(given)

    return Trial(accelerator.name, forward)


def _agrees(faster: Any, function: Any, example: torch.Tensor, bound: float) -> bool:
    """Whether both give the same on the batch, and on another one that it was not made with."""
    batches = (example, example.flip(0).flip(-1) * 0.5)
    return all(_close(a, b, bound) for x in batches for a, b in zip(faster(x), function(x), strict=True))


def _close(found: torch.Tensor, expected: torch.Tensor, bound: float) -> bool:
    error = (found.float() - expected.float()).abs().flatten(1).amax(dim=1)
    return bool((error <= bound * expected.float().abs().flatten(1).amax(dim=1)).all())


def _seconds(run: Callable[[], Any], layout: Layout) -> float:
    import torch

    clock = time.thread_time if layout.counts_processor_time else time.perf_counter
    taken = []
    for _ in range(REPEATS):
        start = clock()
        run()
        if layout.device.type == "cuda":
            torch.cuda.current_stream().synchronize()
        taken.append(clock() - start)
    return median(taken)


def _torchscript(function: Any, example: torch.Tensor) -> Any:
    import torch

    class Traced(torch.nn.Module):
        def forward(self, tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(function(tensor))

    with _quietly(), torch.inference_mode():
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            Traced().eval(), example, check_trace=False
        )
        frozen: Any = torch.jit.optimize_for_inference(torch.jit.freeze(traced))
        for _ in range(REPEATS):  # the first passes profile and specialise
            frozen(example)
    return _in_inference_mode(frozen)


def _inductor(function: Any, example: torch.Tensor) -> Any:
    import torch
    from torch._inductor import config

    with _quietly(), torch.inference_mode(), config.patch(freezing=example.device.type == "cpu"):
        compiled = torch.compile(function, dynamic=False)
        for _ in range(2):
            compiled(example)  # type: ignore[no-untyped-call]
    return _in_inference_mode(compiled)


def _in_inference_mode(function: Any) -> Any:
    import torch

    def run(tensor: torch.Tensor) -> Any:
        with torch.inference_mode():
            return function(tensor)

    return run


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without the warnings of a trial: whether it worked is checked."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
