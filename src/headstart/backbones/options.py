"""What a user can say about a backbone besides its spec."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class BackboneOptions:
    """Options of a backbone.

    Parameters
    ----------
    weights : Path, optional
        A local file of timm weights (safetensors, or a state dict of tensors).
    max_length : int, optional
        Tokens a text is cut to; in [1, what the model takes]. None: the model's own.
    image_size : int, optional
        Side in pixels of what an image model sees. None: the model's own.
    crop_pct : float, optional
        Share of the resized image that the centre crop keeps; in (0, 1]. None: the model's own.
    pair : bool
        The samples are pairs of texts.
    offline : bool
        Open no socket.
    """

    weights: Path | None = None
    max_length: int | None = None
    image_size: int | None = None
    crop_pct: float | None = None
    pair: bool = False
    offline: bool = False

    def given(self) -> dict[str, object]:
        """The options that decide numbers, where they are not at their default."""
        options = {
            "weights": str(self.weights.resolve()) if self.weights else None,
            "max_length": self.max_length,
            "image_size": self.image_size,
            "crop_pct": self.crop_pct,
        }
        return {name: value for name, value in options.items() if value is not None}
