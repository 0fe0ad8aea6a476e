"""What is exported, the samples that it is tried on, and how far what was written may be from it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headstart.errors import HeadstartError
from headstart.tasks import open_task

if TYPE_CHECKING:
    import torch

    from headstart.backbones.portable import Portable
    from headstart.heads.plain import PlainHead
    from headstart.types import LabelKind, Modality


TOLERANCE = 1e-4
"""The largest error of a logit, as a share of the largest logit."""
TEXTS = (
    "Where is my card?",
    "My transfer was declined twice on 3 May, although there is money on the account – why? #help @bank",
    "ok",
    "naïve façade, 東京, 12.50 € " * 6,
    "A text that is longer than any of the others, and longer than most models were made for. " * 120,
)
MOST_WORDS = 12
"""Of a trial sentence: each is one window of any model."""
SIZES = ((320, 240), (240, 320), (224, 224), (97, 511), (64, 48))


@dataclass(frozen=True)
class ExportModel:
    """A run as one model."""

    portable: Portable
    head: PlainHead
    task: LabelKind
    names: Sequence[str]  # of the logits, in order
    # From samples to the batch that the model takes.
    inputs: Callable[[Sequence[Any]], dict[str, torch.Tensor]]
    # From such a batch to logits (B, n_outputs), or of words (B, T, n_outputs): what every export is held against.
    logits: Callable[[dict[str, torch.Tensor]], torch.Tensor]
    samples: Sequence[Any]  # what they are compared on: texts, pairs of texts, words, or the bytes of images

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
        """The logits of the samples, each alone, or of their words."""
        import torch

        with torch.no_grad():
            return torch.cat([self.logits(self.inputs([one])).flatten(0, -2) for one in self.samples]).cpu()

    def check(self, found: torch.Tensor, what: str) -> float:
        """The largest error of logits of the samples, as a share of the largest."""
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


def trial_samples(modality: Modality) -> list[Any]:
    """Texts, pairs of texts, lists of words, or the bytes of images."""
    match modality:
        case "words":
            return [tuple(text.split()[:MOST_WORDS]) for text in TEXTS]
        case "text":
            return list(TEXTS)
        case "text-pair":
            return list(zip(TEXTS, TEXTS[::-1], strict=True))
    return [_picture(number, size) for number, size in enumerate(SIZES)]


def _picture(number: int, size: tuple[int, int]) -> bytes:
    """A picture with smooth and sharp parts, as a PNG."""
    import numpy as np
    from PIL import Image

    width, height = size
    rng = np.random.default_rng(number)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(
        size, Image.Resampling.BICUBIC
    )
    pixels = np.asarray(coarse).astype(np.int16)
    pixels[: height // 2, : width // 3] += rng.integers(-60, 60, (height // 2, width // 3, 3), dtype=np.int16)
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()
