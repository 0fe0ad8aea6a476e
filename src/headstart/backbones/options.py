"""What a user can say about a backbone besides its spec."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from headstart.types import Modality


@dataclass(frozen=True, slots=True)
class BackboneOptions:
    """Options of a backbone."""

    weights: Path | None = None  # a local file of timm weights (safetensors, or a state dict of tensors)
    # Tokens a text is cut to; in [1, what the model takes]. None: the model's own.
    max_length: int | None = None
    image_size: int | None = None  # side in pixels of what an image model sees. None: the model's own
    # Share of the resized image that the centre crop keeps; in (0, 1]. None: the model's own.
    crop_pct: float | None = None
    # What is put before every text: the name of one of the model's own prompts, or the words themselves.
    # None: the model's default prompt, if it has one; empty: none at all.
    prompt: str | None = None
    # ``windows``: a longer text is read in overlapping parts; ``passages``: the second of a pair is, and its tokens are
    # kept. None: it is cut.
    on_long: Literal["windows", "passages"] | None = None
    modality: Modality | None = None  # what the samples are: it chooses the side of a model that has several
    offline: bool = False  # open no socket

    def given(self) -> dict[str, object]:
        """The options that decide numbers and are typed, where they are not at their default."""
        options = {
            "weights": str(self.weights.resolve()) if self.weights else None,
            "max_length": self.max_length,
            "image_size": self.image_size,
            "crop_pct": self.crop_pct,
            "prompt": self.prompt,
            "on_long": self.on_long,
        }
        return {name: value for name, value in options.items() if value is not None}


def side_of(spec: str, options: BackboneOptions) -> dict[str, str]:
    """The side of the model that is meant, where a spec may name a model with several.

    Left out for texts, which most ``hf:`` models take, and for the kinds that have but one side.
    """
    asked = options.modality
    if asked == "words":  # read at other taps than texts
        return {"modality": asked}
    return {"modality": asked} if asked in ("image", "image-text") and spec.startswith("hf:") else {}
