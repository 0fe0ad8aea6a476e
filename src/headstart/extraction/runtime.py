"""Torch as the runtime of a model, and faster forms of it that are tried on the work itself."""

from __future__ import annotations

import contextlib
import math
import time
import warnings
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from headstart.backbones.freezing import is_int8
from headstart.backbones.pooling import read_tap, reads_of
from headstart.errors import first_line
from headstart.runtimes.compiled import NAME
from headstart.runtimes.converted import GAIN, ConvertedModel
from headstart.runtimes.kept import Speed
from headstart.runtimes.outputs import TOLERANCE as ROW_TOLERANCE
from headstart.runtimes.outputs import largest_error
from headstart.types import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import torch

    from headstart.contracts import Batch, FrozenModel, ModelInputs, Runtime
    from headstart.extraction.inference import Layout
    from headstart.runtimes.background import Conversion
    from headstart.runtimes.compiled import CompiledRuntime
    from headstart.types import Read, TrialWork


Forward: TypeAlias = "Callable[[Batch], list[torch.Tensor | Tokens]]"
"""A batch on its device to what each tap reads of it."""

TOLERANCE = 1e-4  # of the largest value: how far it may be from the eager pass in fp32
LOW_TOLERANCE = 3e-2  # the same in 16 bits a number
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
    forward: Forward | None = None  # None: it is not to be used
    says: str = ""  # empty where it is of no interest to a user
    compiled: CompiledRuntime | None = None  # what runs in the place of torch


class TorchRuntime:
    """A frozen model run by torch: eagerly at first, and faster where a trial on the work itself shows how.

    ``conversion``: how it can be converted beside the work, to be run by OpenVINO from then on; None: it is not to be.
    """

    def __init__(
        self,
        model: FrozenModel,
        taps: Sequence[str],
        layout: Layout,
        conversion: Conversion | None = None,
    ) -> None:
        self.name = getattr(model, "forward_as", "eager")
        self.works_in_lanes = True
        self._model = model
        self._eager = self._forward = eager_forward(model, taps)
        self._layout = layout
        self._tolerance = tolerance_of(model.module)
        # An int8 layer rounds by what it sees: a trace of it is of no use. None until batches are known.
        self._untried: list[Accelerator] | None = [] if is_int8(model.module) else None
        self._conversion = conversion
        self._compiled = None if conversion is None else conversion.ready(layout)
        if self._compiled is not None:
            self._conversion, self._untried = None, []
            self.name, self.works_in_lanes = self._compiled.name, False

    @property
    def needs_a_core(self) -> bool:
        """Whether a conversion is under way."""
        return self._conversion is not None and self._conversion.is_under_way

    @contextlib.contextmanager
    def lane(self) -> Iterator[None]:
        """A thread with its share of the cores, or with a stream of its own."""
        import torch

        with contextlib.ExitStack() as stack:
            if self._layout.kind == "cpu":
                torch.set_num_threads(self._layout.threads)
            elif self._layout.kind == "cuda":
                device = torch.device(self._layout.device)
                stack.enter_context(torch.cuda.device(device))
                stack.enter_context(torch.cuda.stream(torch.cuda.Stream(device)))  # type: ignore[no-untyped-call]
            yield

    def place(self, batch: Batch) -> Batch:
        """A batch on the device; from pinned memory a copy does not stop the other lane."""
        if self._layout.kind == "cpu":
            return batch
        device, pins = self._layout.device, self._layout.kind == "cuda"
        return {
            name: (part.pin_memory() if pins else part).to(device, non_blocking=pins)
            for name, part in batch.items()
        }

    def run(self, batch: Batch) -> list[Read]:
        """What each tap reads of a batch on its device."""
        if self._compiled is not None:
            return self._compiled.run({name: part.numpy() for name, part in batch.items()})
        return [_to_numpy(output) for output in self._forward(batch)]

    def trial(self, work: TrialWork) -> Callable[[], Trial] | None:
        """Something faster to try in a thread of its own; None if nothing pays with so much work left."""
        if self._conversion is not None:
            return self._try_conversion(self._conversion, work)
        if self._untried is None:
            self._untried = list(accelerators(self._layout, work.make_batch()))
        if not self._untried or not self._untried[0].pays(work.seconds_left):
            return None
        accelerator, batch = self._untried.pop(0), work.make_batch()
        return partial(
            try_accelerator, accelerator, self._eager, self._forward, batch, self._layout, self._tolerance
        )

    def adopt(self, trial: Trial) -> str:
        """Run as a trial did, if it was a success; what to tell the user, or nothing."""
        if trial.compiled is not None:
            self._compiled, self.name, self.works_in_lanes = trial.compiled, trial.name, False
        elif trial.forward is not None:
            self._forward, self.name = trial.forward, trial.name
        return trial.says

    def close(self) -> None:
        """Stop a conversion that is under way, and give torch its threads back."""
        if self._conversion is not None:
            self._conversion.stop()
        if self._layout.kind == "cpu":
            import torch

            torch.set_num_threads(self._layout.cores)  # the lanes have set it for their own

    def _try_conversion(self, conversion: Conversion, work: TrialWork) -> Callable[[], Trial] | None:
        """Begin to convert where that pays; once it is done, what tries it."""
        if not conversion.has_begun:
            if conversion.pays(work.seconds_left):
                conversion.begin(work.examples())
            return None
        if conversion.is_under_way:
            return None
        conversion.stop()
        self._conversion = None
        return partial(self._compare, conversion, work.make_batch())

    def _compare(self, conversion: Conversion, batch: Batch) -> Trial:
        """Whether a converted model gives what this one does, and faster."""
        try:
            compiled = conversion.open(self._layout)
        except Exception as error:  # an operator that this processor lacks, memory, a full disk …
            return Trial(
                NAME, says=f"openvino cannot be used here ({first_line(error)[:120]}); going on with torch"
            )
        if compiled is None:
            return Trial(NAME, says=conversion.refusal and f"{conversion.refusal}; going on with torch")
        arrays = {part: tensor.numpy() for part, tensor in batch.items()}
        both = zip(compiled.run(arrays), map(_to_numpy, self._eager(batch)), strict=True)
        if any(largest_error(found, expected) > ROW_TOLERANCE for (found, _), (expected, _) in both):
            conversion.refuse("its features are not those of torch")
            return Trial(NAME, says="openvino gives other features; going on with torch")
        torch_seconds, seconds = _best_turns(
            lambda: self._forward(batch), lambda: compiled.run(arrays), time.perf_counter
        )
        gain, n = torch_seconds / seconds, len(next(iter(arrays.values())))
        conversion.remember(Speed(gain, seconds * self._layout.threads / n))
        if gain < GAIN:
            return Trial(NAME)
        return Trial(NAME, says=f"going on with openvino, {gain:.1f} × as fast here", compiled=compiled)


def open_runtime(
    model: ModelInputs, taps: Sequence[str], layout: Layout, conversion: Conversion | None = None
) -> Runtime:
    """What runs a model over batches, and reads some taps."""
    if isinstance(model, ConvertedModel):
        return model.runtime
    return TorchRuntime(cast("FrozenModel", model), taps, layout, conversion)


def device_of(model: ModelInputs) -> str:
    """Where a model runs, as torch names it."""
    return "cpu" if isinstance(model, ConvertedModel) else str(cast("FrozenModel", model).device)


def eager_forward(model: FrozenModel, taps: Sequence[str]) -> Forward:
    """The model's own forward pass, and each tap of it."""
    reads = reads_of(taps)

    def forward(batch: Batch) -> list[torch.Tensor | Tokens]:
        activations = model.forward(batch, reads)
        return [read_tap(activations, tap) for tap in taps]

    return forward


def _to_numpy(output: torch.Tensor | Tokens) -> Read:
    tensor, lengths = (output.values, output.lengths) if isinstance(output, Tokens) else (output, None)
    # A copy: it waits to be written while the model goes on. One that computes into the same memory each time would
    # rewrite it, and the class token of a long text would keep all of its tokens in memory.
    values = np.array(tensor.float().cpu().numpy(), order="C")
    return values, None if lengths is None else lengths.cpu().numpy().astype(np.int64)


def accelerators(layout: Layout, batch: Batch) -> Sequence[Accelerator]:
    """What could make batches like this one faster, the cheapest trial first: on GPUs a compiler.

    On CPUs the faster form is a converted model; see `headstart.runtimes`.
    """
    if layout.kind != "cuda":
        return ()
    if len(batch) == 1 and next(iter(batch.values())).ndim == 4:
        return (Accelerator("inductor", 25.0, _inductor),)
    return (
        (Accelerator("inductor", 40.0, _inductor_of_any_shape, any_shape=True),) if _are_texts(batch) else ()
    )


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
        clock = time.thread_time if layout.counts_processor_time else time.perf_counter
        before, after = _best_turns(
            lambda: current(batch), lambda: faster(*examples), clock, layout.kind == "cuda"
        )
    except Exception as error:  # a compiler that is missing, a model that cannot be traced …
        reason = first_line(error)
        says = f"{accelerator.name} cannot be used here ({reason[:120]}); going on without"
        return Trial(accelerator.name, None, says)
    if before / after < GAIN:
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
    if any_shape:
        return _fewer(examples)
    turned = (part.flip(0).flip(-1) for part in examples)
    return tuple(part * 0.5 if part.is_floating_point() else part // 2 for part in turned)


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


def _best_turns(
    current: Callable[[], Any], faster: Callable[[], Any], clock: Callable[[], float], is_cuda: bool = False
) -> tuple[float, float]:
    """Seconds that each of two passes takes.

    They take turns, and the best turn of each counts: other lanes are at work on the same memory.
    """
    best = [math.inf, math.inf]
    for _ in range(TURNS):
        for number, run in enumerate((current, faster)):
            start = clock()
            run()
            if is_cuda:
                import torch

                torch.cuda.current_stream().synchronize()
            best[number] = min(best[number], clock() - start)
    return best[0], best[1]


def _inductor(function: Any, example: torch.Tensor) -> Any:
    import torch

    with warnings.catch_warnings(action="ignore"), torch.inference_mode():
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
