"""The runtime of the model: torch, and faster forms of it that are tried on the work itself."""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from headstart.backbones.freezing import is_int8
from headstart.errors import first_line
from headstart.extraction.inference import eager_forward
from headstart.types import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    from headstart.contracts import FrozenModel
    from headstart.extraction.inference import Batch, Forward, Layout


TOLERANCE = 1e-4  # of the largest value: how far it may be from the eager pass in fp32
LOW_TOLERANCE = 3e-2  # the same in 16 bits a number
GAIN = 1.05  # it must be so much faster to be kept
WARM_UPS = 3
TURNS = 5
ASSUMED_GAIN = 0.2  # of the time that is left; what a trial is weighed against


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A way to run a forward pass faster."""

    name: str
    trial_seconds: float  # about what it takes to try
    # From a function of tensors to a list of tensors, and an example of each, to such a function.
    make: Callable[..., Any]
    any_shape: bool = False  # what it makes takes other shapes than that of the examples

    def pays(self, seconds_left: float) -> bool:
        """Whether a trial is worth its time, with so much work left."""
        return seconds_left * ASSUMED_GAIN > self.trial_seconds


@dataclass(frozen=True, slots=True)
class Trial:
    """What a trial showed."""

    name: str
    forward: Forward | None  # None: it is not to be used
    says: str = ""  # why not; empty where that is of no interest to a user


class TorchRuntime:
    """A frozen model run by torch: eagerly at first, and faster where a trial on the work itself shows how."""

    def __init__(self, model: FrozenModel, taps: Sequence[str], layout: Layout) -> None:
        self.name = getattr(model, "forward_as", "eager")
        self._eager = self._forward = eager_forward(model, taps)
        self._layout = layout
        self._tolerance = tolerance_of(model.module)
        # An int8 layer rounds by what it sees: a trace of it is of no use. None until batches are known.
        self._untried: list[Accelerator] | None = [] if is_int8(model.module) else None

    def run(self, batch: Batch) -> list[torch.Tensor | Tokens]:
        """What each tap reads of a batch on its device."""
        return self._forward(batch)

    def trial(self, make_batch: Callable[[], Batch], seconds_left: float) -> Callable[[], Trial] | None:
        """Something faster to try in a thread of its own; None if nothing pays with so much work left."""
        if self._untried is None:
            self._untried = list(accelerators(self._layout, make_batch()))
        if not self._untried or not self._untried[0].pays(seconds_left):
            return None
        accelerator, batch = self._untried.pop(0), make_batch()
        return partial(
            try_accelerator, accelerator, self._eager, self._forward, batch, self._layout, self._tolerance
        )

    def adopt(self, trial: Trial) -> str:
        """Run as a trial did, if it was a success; otherwise what to tell the user, or nothing."""
        if trial.forward is not None:
            self._forward, self.name = trial.forward, trial.name
        return trial.says


def accelerators(layout: Layout, batch: Batch) -> Sequence[Accelerator]:
    """What could make batches like this one faster, the cheapest trial first."""
    on_cpu = layout.device.type == "cpu"
    if len(batch) == 1 and next(iter(batch.values())).ndim == 4:
        inductor = Accelerator("inductor", 25.0, _inductor)
        return (Accelerator("torchscript", 1.5, _torchscript), inductor) if on_cpu else (inductor,)
    if layout.device.type == "cuda" and _are_texts(batch):
        return (Accelerator("inductor", 40.0, _inductor_of_any_shape, any_shape=True),)
    return ()


def _are_texts(batch: Batch) -> bool:
    """Whether these are padded texts and nothing else; packed ones have no rows."""
    parts = list(batch.values())
    return all(
        part.ndim == 2 and part.shape == parts[0].shape and not part.is_floating_point() for part in parts
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

    ``batch``: on its device. Batches of another shape will go on as they do.
    """
    names, examples = tuple(batch), tuple(batch.values())

    def function(*tensors: torch.Tensor) -> list[torch.Tensor]:
        outputs = eager(dict(zip(names, tensors, strict=True)))
        return [output for output in outputs if not isinstance(output, Tokens)]

    try:
        if any(isinstance(output, Tokens) for output in eager(batch)):
            return Trial(accelerator.name, None)
        faster = accelerator.make(function, *examples)
        if accelerator.any_shape:
            faster = over_few_sizes(faster)
        batches = (examples, _another(examples, accelerator.any_shape))
        if not all(_agree(faster(*given), function(*given), tolerance) for given in batches):
            return Trial(accelerator.name, None)
        gain = _gain(lambda: current(batch), lambda: faster(*examples), layout)
    except Exception as error:  # a compiler that is missing, a model that cannot be traced …
        reason = first_line(error)
        return Trial(accelerator.name, None, f"{accelerator.name} cannot be used here ({reason[:120]})")
    if gain < GAIN:
        return Trial(accelerator.name, None)
    shapes = [part.shape for part in examples]

    def forward(given: Batch) -> list[torch.Tensor | Tokens]:
        fits = accelerator.any_shape or [part.shape for part in given.values()] == shapes
        return list(faster(*given.values())) if fits and tuple(given) == names else current(given)

    return Trial(accelerator.name, forward)


def round_up(n: int) -> int:
    """The next number of rows that batches are filled up to: a power of two, or one and a half of one.

    Examples
    --------
    >>> [round_up(n) for n in (1, 3, 5, 7, 9, 33, 100)]
    [1, 3, 6, 8, 12, 48, 128]
    """
    power = 1 << max(n - 1, 0).bit_length()
    return power * 3 // 4 if power >= 4 and n <= power * 3 // 4 else power


def over_few_sizes(function: Any) -> Any:
    """The same function, which sees few numbers of rows only: each new one may cost a compilation.

    Rows are filled up with copies of the last one: a row of padding would give NaN.
    """

    import torch

    def run(*tensors: torch.Tensor) -> list[torch.Tensor]:
        n = len(tensors[0])
        if more := round_up(n) - n:
            tensors = tuple(torch.cat([part, part[-1:].expand(more, *part.shape[1:])]) for part in tensors)
        return [output[:n] for output in function(*tensors)]

    return run


def _another(examples: Sequence[torch.Tensor], any_shape: bool) -> tuple[torch.Tensor, ...]:
    """A batch that nothing was made with: what took its example for a constant shows."""
    return _fewer(examples) if any_shape else tuple(part.flip(0).flip(-1) * 0.5 for part in examples)


def _fewer(examples: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """The last rows of a batch, in reverse: another number of them than the examples have."""
    n = max(len(examples[0]) // 2, 1)
    return tuple(part.flip(0)[:n].contiguous() for part in examples)


def _agree(found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor], bound: float) -> bool:
    errors = (
        (a.float() - b.float()).abs().flatten(1).amax(dim=1) for a, b in zip(found, expected, strict=True)
    )
    largest = (part.float().abs().flatten(1).amax(dim=1) for part in expected)
    return all(bool((error <= bound * most).all()) for error, most in zip(errors, largest, strict=True))


def _gain(current: Callable[[], Any], faster: Callable[[], Any], layout: Layout) -> float:
    """How many times as fast as one pass the other is.

    They take turns, and the best turn of each counts: other lanes are at work on the same memory.
    """
    best = [math.inf, math.inf]
    for _ in range(TURNS):
        for number, run in enumerate((current, faster)):
            best[number] = min(best[number], _seconds(run, layout))
    return best[0] / best[1]


def _seconds(run: Callable[[], Any], layout: Layout) -> float:
    import torch

    clock = time.thread_time if layout.counts_processor_time else time.perf_counter
    start = clock()
    run()
    if layout.device.type == "cuda":
        torch.cuda.current_stream().synchronize()
    return clock() - start


def _torchscript(function: Any, example: torch.Tensor) -> Any:
    import torch

    class Traced(torch.nn.Module):
        def forward(self, tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(function(tensor))

    with warnings.catch_warnings(action="ignore"), torch.inference_mode():
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            Traced().eval(), example, check_trace=False
        )
        frozen: Any = torch.jit.optimize_for_inference(torch.jit.freeze(traced))
        for _ in range(WARM_UPS):  # the first passes profile and specialise
            frozen(example)
    return _in_inference_mode(frozen)


def _inductor(function: Any, example: torch.Tensor) -> Any:
    import torch
    from torch._inductor import config

    with (
        warnings.catch_warnings(action="ignore"),
        torch.inference_mode(),
        config.patch(freezing=example.device.type == "cpu"),
    ):
        compiled = torch.compile(function, dynamic=False)
        for _ in range(2):
            compiled(example)  # type: ignore[no-untyped-call]
    return _in_inference_mode(compiled)


def _inductor_of_any_shape(function: Any, *examples: torch.Tensor) -> Any:
    import torch

    compiled: Any = torch.compile(function, dynamic=True)

    def run(*tensors: torch.Tensor) -> Any:
        with torch.no_grad():  # not in inference mode: see `FrozenTextModel`
            return compiled(*tensors)

    with warnings.catch_warnings(action="ignore"):
        for given in (examples, _fewer(examples), examples):
            over_few_sizes(run)(*given)
    return run


def _in_inference_mode(function: Any) -> Any:
    import torch

    def run(*tensors: torch.Tensor) -> Any:
        with torch.inference_mode():
            return function(*tensors)

    return run
