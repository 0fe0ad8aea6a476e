"""From a frozen model of torch to a model of OpenVINO: exported, converted, and proved on samples before it is kept."""

from __future__ import annotations

import contextlib
import io
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from headstart.backbones.freezing import enable_gradients
from headstart.backbones.plain_inputs import HasPlainInputs
from headstart.backbones.pooling import TOKENS, reads_of
from headstart.devices import processor
from headstart.errors import BackboneError, SampleError, StorageError, first_line
from headstart.portable.poolings import BY_NAME
from headstart.runtimes.compiled import XML, CompiledRuntime, Solo, configuration, outputs_of
from headstart.runtimes.kept import Speed
from headstart.runtimes.library import converter, openvino
from headstart.runtimes.outputs import MASK, TOLERANCE, largest_error, offered

if TYPE_CHECKING:
    from pathlib import Path

    from headstart.contracts import Batch, FrozenModel
    from headstart.runtimes.kept import KeptModel, KeptModels
    from headstart.types import Activations, BackboneInfo, Json, Payload

LONGEST = 4096  # tokens of the longest text of a proof: its attention would fill the memory
TURNS = 5  # of which the fastest pass of each batch counts; the first takes its memory
WORDS = ("a", "money transfer declined", "what a lovely film this was, and how long ago", "π ≈ 3.14159 🙂")


class NotConvertibleError(BackboneError):
    """A model has no form that OpenVINO runs and that gives what torch does."""


def convert(model: FrozenModel, info: BackboneInfo, examples: Sequence[Batch], kept: KeptModels) -> KeptModel:
    """Convert a model, prove it on examples and on made-up samples, and keep it.

    Parameters
    ----------
    model : FrozenModel
        In float32 on the CPU; it must not be in use meanwhile.
    info : BackboneInfo
    examples : sequence of mappings
        Batches of arrays, of the user's own samples.
    kept : KeptModels

    Raises
    ------
    NotConvertibleError
        It cannot be converted, or gives other features.
    StorageError
        There is no room for it.
    """
    own = [{name: torch.from_numpy(part) for name, part in batch.items()} for batch in examples]
    batches = [*made_up(model, info), *own]
    plain = model.plain() if isinstance(model, HasPlainInputs) else None
    enable_gradients(model.module, False)  # an export cannot trace through inference mode
    with torch.no_grad():
        names = _available(model, info, batches[0])
        converted = _converted(model, names, batches)
        errors = _prove(model, converted, names, batches)
        if not set(outputs_of([info.default_tap], errors)) <= set(errors):
            raise NotConvertibleError(f"{info.spec} gives other features when OpenVINO runs it")
        speed = _speed(model, info, converted, errors, batches)

    def write(folder: Path) -> Mapping[str, Json]:
        try:
            openvino().save_model(converted, str(folder / XML), compress_to_fp16=False)
        except RuntimeError as error:  # what it says of a full disk: "iostream error"
            raise StorageError(
                f"the converted {info.spec} cannot be written below {folder.parent} ({first_line(error)}); free some "
                "space there"
            ) from error
        said = None
        if plain is not None:
            for name, content in plain.files.items():
                (folder / name).write_bytes(content)
            said = {"kind": plain.kind, "settings": plain.settings, "files": list(plain.files)}
        return {"inputs": list(batches[0]), "errors": errors, "plain": said}

    model_on_disk = kept.keep(info, write)
    model_on_disk.remember_speed(processor().id, speed)
    return model_on_disk


def made_up(model: FrozenModel, info: BackboneInfo) -> list[dict[str, torch.Tensor]]:
    """Batches of made-up samples: padded ones of several sizes, one alone, one of the maximal length."""
    long = " ".join(["money transfer declined exchange rate card"] * (info.max_length or 0))
    payloads: list[Payload] = []
    match info.modality:
        case "image":
            payloads = [_picture(48, 40), _picture(301, 200), _picture(64, 500)]
        case "image-text":
            payloads = [(_picture(64 * (n + 1), 80), text) for n, text in enumerate(WORDS)]
        case _:
            payloads = list(WORDS)
    prepared = [part for part in model.prepare(payloads) if not isinstance(part, SampleError)]
    batches = [prepared, prepared[:1], prepared[:2]]
    if info.modality not in ("image", "image-text") and info.max_length and info.max_length <= LONGEST:
        rows = [row for row in model.prepare([long]) if isinstance(row, dict)]  # in windows: none is longer
        batches.append(rows)
    return [model.collate(batch) for batch in batches if batch]


def _picture(width: int, height: int) -> bytes:
    from PIL import Image

    noise = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


class _Outputs(torch.nn.Module):
    """A frozen model from tensors in order to its outputs in order."""

    def __init__(self, model: FrozenModel, inputs: Sequence[str], names: Sequence[str]) -> None:
        super().__init__()
        self.module = model.module
        self._model, self._inputs, self._names = model, inputs, names
        self._reads = reads_of(names)

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        activations = self._model.forward(dict(zip(self._inputs, tensors, strict=True)), self._reads)
        # Not the very tensor that a norm gives: the converter has no name for one of several outputs of an operator.
        return tuple(_output(activations, name) * 1.0 for name in self._names)


def _output(activations: Activations, name: str) -> torch.Tensor:
    layer, _, pooling = name.partition(".")
    if not pooling:
        return activations.whole[name].float()
    positions = activations.layers[layer]
    if pooling == MASK:
        if positions.mask is None:
            raise KeyError(MASK)
        return positions.mask.float()
    return positions.hidden.float() if pooling == TOKENS else BY_NAME[pooling](positions)


def _available(model: FrozenModel, info: BackboneInfo, batch: Batch) -> list[str]:
    """The outputs that the model really has."""
    names = offered(info)
    activations = model.forward(batch, reads_of(names))
    found = []
    for name in names:
        try:
            _output(activations, name)
        except (KeyError, ValueError):  # no mask, no class token
            continue
        found.append(name)
    return found


def _converted(model: FrozenModel, names: Sequence[str], batches: Sequence[Batch]) -> Any:
    inputs = list(batches[0])
    example = max(batches, key=lambda batch: min(len(part) for part in batch.values()))
    shapes = tuple(_dynamic(name, batches) for name in inputs)
    wrapped = _Outputs(model, inputs, names).eval()
    try:
        with warnings.catch_warnings(action="ignore"), _written_out_attention(model.module):
            program = torch.export.export(
                wrapped, tuple(example[name] for name in inputs), dynamic_shapes=(shapes,), strict=False
            )
            converted = converter()(program)
    except (
        Exception
    ) as error:  # whatever an operator, a branch on values or a hook leads torch and OpenVINO to
        raise NotConvertibleError(f"it cannot be converted ({first_line(error)[:160]})") from error
    for port, name in zip(converted.inputs, inputs, strict=True):
        port.get_tensor().set_names({name})
    for port, name in zip(converted.outputs, names, strict=True):
        port.get_tensor().set_names({name})
    return converted


@contextlib.contextmanager
def _written_out_attention(module: torch.nn.Module) -> Iterator[None]:
    """Let models of transformers compute attention by plain products.

    The fused one masks with minus infinity: where all is masked, as in a window over padding, OpenVINO gives NaN.
    """
    parts: list[Any] = [part for part in module.modules() if hasattr(part, "set_attn_implementation")]
    before = [part.config._attn_implementation for part in parts]
    try:
        for part in parts:
            part.set_attn_implementation("eager")
        yield
    finally:
        for part, name in zip(parts, before, strict=True):
            part.set_attn_implementation(name)


def _dynamic(name: str, batches: Sequence[Batch]) -> dict[int, Any]:
    """The axes of an input that differ from batch to batch."""
    shapes = [batch[name].shape for batch in batches]
    return {
        axis: torch.export.Dim.AUTO for axis in range(len(shapes[0])) if len({s[axis] for s in shapes}) > 1
    }


def _prove(
    model: FrozenModel, converted: Any, names: Sequence[str], batches: Sequence[Batch]
) -> dict[str, float]:
    """The largest error of each output that is within the bound on all batches; see `largest_error`."""
    compiled = openvino().Core().compile_model(converted, "CPU", configuration(Solo()))
    runtime = CompiledRuntime(compiled, list(batches[0]), names, ())
    worst = dict.fromkeys(names, 0.0)
    for batch in batches:
        activations = model.forward(batch, reads_of(names))
        found = runtime.outputs({name: part.numpy() for name, part in batch.items()})
        for name in names:
            mask = found.get(f"{name.partition('.')[0]}.{MASK}") if name.endswith(f".{TOKENS}") else None
            worst[name] = max(
                worst[name], largest_error(found[name], _output(activations, name).numpy(), mask)
            )
    return {name: error for name, error in worst.items() if error <= TOLERANCE}


def _speed(
    model: FrozenModel,
    info: BackboneInfo,
    converted: Any,
    errors: Mapping[str, float],
    batches: Sequence[Batch],
) -> Speed:
    """How fast the converted model is at the default tap over batches of all sizes, a thread each."""
    outputs = outputs_of([info.default_tap], errors)
    by_name = {name: port for port in converted.outputs for name in port.get_names()}
    pruned = openvino().Model([by_name[name] for name in outputs], converted.get_parameters())
    compiled = openvino().Core().compile_model(pruned, "CPU", configuration(Solo()))
    runtime = CompiledRuntime(compiled, list(batches[0]), outputs, ())
    passes: list[tuple[Callable[[], Any], Callable[[], Any]]] = []
    for batch in batches:
        arrays = {name: part.numpy() for name, part in batch.items()}
        passes.append((partial(model.forward, batch, reads_of(outputs)), partial(runtime.outputs, arrays)))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        turns = [[[_seconds(run) for run in both] for both in passes] for _ in range(TURNS)]
    finally:
        torch.set_num_threads(before)
    by_torch, by_openvino = np.min(turns, axis=0).sum(axis=0).tolist()
    n = sum(len(next(iter(batch.values()))) for batch in batches)
    return Speed(by_torch / by_openvino, by_openvino / n)


def _seconds(run: Any) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
