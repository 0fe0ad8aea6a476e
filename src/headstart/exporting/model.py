"""What is exported, and how far what was written may be from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headstart.errors import HeadstartError
from headstart.tasks import open_task

if TYPE_CHECKING:
    import torch

    from headstart.backbones.portable import Portable
    from headstart.heads.plain import PlainHead
    from headstart.types import LabelKind

TOLERANCE = 1e-4
"""The largest error of a logit, as a share of the largest logit."""


@dataclass(frozen=True)
class ExportModel:
    """A run as one model."""

    portable: Portable
    head: PlainHead
    task: LabelKind
    names: Sequence[str]  # of the logits, in order
    # from samples to the batch that the model takes
    inputs: Callable[[Sequence[Any]], dict[str, torch.Tensor]]
    # from such a batch to logits (B, n_outputs): what every export is held against
    logits: Callable[[dict[str, torch.Tensor]], torch.Tensor]
    samples: Sequence[Any]  # what they are compared on: texts, pairs of texts, or the bytes of images

    @property
    def labels(self) -> dict[str, Any]:
        """Names and task as transformers' configurations keep them."""
        return {
            "num_labels": len(self.names),
            "id2label": dict(enumerate(self.names)),
            "label2id": {name: place for place, name in enumerate(self.names)},
            "problem_type": open_task(self.task).problem_type,
        }

    def expected(self) -> torch.Tensor:
        """The logits of the samples, each alone."""
        import torch

        with torch.no_grad():
            return torch.cat([self.logits(self.inputs([sample])) for sample in self.samples]).cpu()

    def check(self, found: torch.Tensor, what: str) -> float:
        """The largest error of logits of the samples, as a share of the largest.

        Raises `HeadstartError` if it is more than rounding.
        """
        error = largest_error(found, self.expected())
        if not error <= TOLERANCE:
            raise HeadstartError(
                f"{what} gives other logits than the run: off by {error:.2g} of the largest, and {TOLERANCE:g} is "
                "allowed; nothing was written. Fit the head on another tap, or use run.module()"
            )
        return error


def largest_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference as a share of the largest expected number.

    Examples
    --------
    >>> import torch
    >>> largest_error(torch.tensor([[1.0, 4.0]]), torch.tensor([[1.5, 5.0]]))
    0.2
    """
    if found.shape != expected.shape:
        return float("inf")
    scale = expected.double().abs().max().clamp(min=1e-12)
    return float((found.double() - expected.double()).abs().max() / scale)
