"""One ONNX file from tokens or pixels to logits, held against torch in onnxruntime."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from headstart.backbones.hf.towers import MASK
from headstart.errors import HeadstartError, MissingDependencyError
from headstart.exporting.to_hf import carried_model
from headstart.files import write_json

if TYPE_CHECKING:
    from torch import Tensor

    from headstart.exporting.model import ExportModel

MODEL = "model.onnx"
LIBRARIES = ("onnx", "onnxscript", "onnxruntime")


class _Logits(torch.nn.Module):
    """Tensors in, one tensor out: what ONNX knows."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, **inputs: Tensor) -> Tensor:
        """Logits, shape (B, n_outputs)."""
        logits: Tensor = self.model.logits(inputs)
        return logits


def check_onnx() -> None:
    """Say which library is missing, before any work."""
    import importlib.util

    for name in LIBRARIES:
        if importlib.util.find_spec(name) is None:
            raise MissingDependencyError(name, "export to ONNX", "onnx")


def write_onnx(subject: ExportModel, folder: Path) -> dict[str, Any]:
    """Write ``model.onnx``, ``labels.json``, and the tokenizer or the image processor.

    Gives ``inputs`` by name, and ``largest_error``, of the logits as a share of the largest. Raises
    `HeadstartError` if torch cannot export this backbone, or onnxruntime gives other logits.
    """
    check_onnx()
    portable = subject.portable
    example = _inputs(subject, subject.samples[:2])
    _export(subject, example, folder / MODEL)
    portable.save_inputs(folder)
    if portable.is_timm:
        write_json(folder / "config.json", {
            "image_processor_type": "TimmWrapperImageProcessor",
            "architecture": portable.config["architecture"],
            "pretrained_cfg": portable.data_config,
        })  # fmt: skip
    described = {"task": subject.task, "names": list(subject.names), "inputs": list(example)}
    write_json(folder / "labels.json", described)
    error = subject.check(_logits(subject, folder / MODEL), MODEL)
    return {"inputs": list(example), "largest_error": error}


def _inputs(subject: ExportModel, samples: Sequence[Any]) -> dict[str, Tensor]:
    """A batch as the exported model takes it."""
    return {name: tensor for name, tensor in subject.inputs(samples).items() if name != MASK}


def _export(subject: ExportModel, example: Mapping[str, Tensor], path: Path) -> None:
    axes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    if subject.portable.modality == "image":
        axes.pop(1)
    model = _Logits(carried_model(subject)).eval()
    try:
        with _quietly(), torch.no_grad():
            torch.onnx.export(
                model, (), str(path), kwargs=dict(example), input_names=list(example),
                output_names=["logits"], dynamic_shapes={"inputs": dict.fromkeys(example, axes)},
                external_data=False, dynamo=True, verbose=False,
            )  # fmt: skip
    except Exception as error:  # torch's exporter raises whatever its passes lead to
        cause = error.__cause__ or error  # the error itself is a page of advice for those who develop torch
        reason = (str(cause).strip().splitlines() or [""])[0][:200]
        raise HeadstartError(
            f"torch cannot export this backbone to ONNX ({type(cause).__name__}: {reason}); export with --to hf"
        ) from error


def _logits(subject: ExportModel, path: Path) -> Tensor:
    """The logits of the file on each sample alone, and on two at once: both axes must be free."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(batch: Mapping[str, Tensor]) -> Tensor:
        fed = {name: tensor.numpy() for name, tensor in batch.items()}
        return torch.from_numpy(session.run(["logits"], fed)[0])

    alone = torch.cat([run(_inputs(subject, [sample])) for sample in subject.samples])
    together = run(_inputs(subject, subject.samples))
    is_worse = (together - subject.expected()).abs() > (alone - subject.expected()).abs()
    return torch.where(is_worse, together, alone)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """The exporter tells its progress on both streams and by logging, and warns of its own innards."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
