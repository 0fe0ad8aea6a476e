"""The image processors of transformers: one picture at a time, and what decides their numbers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from headstart.errors import BackboneError, ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from PIL import Image

    from headstart.backbones.hf.models import HubModel
    from headstart.backbones.options import BackboneOptions
    from headstart.types import Json

TRIAL_SIZES = ((48, 32), (32, 48))  # a processor that keeps the shape of a picture shows itself on these

# What a processor writes of itself that changes no pixel.
_INERT = {
    "image_processor_type", "feature_extractor_type", "processor_class", "_processor_class", "_name_or_path",
    "return_tensors", "data_format", "input_data_format", "device", "disable_grouping", "use_fast",
}  # fmt: skip


class ImageProcessor:
    """The image processor that transformers itself would use for a model.

    Parameters
    ----------
    source : HubModel

    Raises
    ------
    BackboneError
        The model has none, or its pictures come out in different sizes.
    """

    def __init__(self, source: HubModel) -> None:
        import transformers

        self._processor = source.part(transformers.AutoImageProcessor)
        with source.failures():
            shapes = {tuple(part.shape) for part in (self(trial)["pixel_values"] for trial in trial_images())}
        if len(shapes) > 1:
            raise BackboneError(
                f"the image processor of {source.spec} ({self._name}) keeps the shape of a picture, and a "
                "batch needs one size; set do_center_crop or a height and a width in its "
                "preprocessor_config.json"
            )

    def __call__(self, image: Image.Image) -> dict[str, torch.Tensor]:
        """What the model takes of one RGB picture, without a batch dimension."""
        made = self._processor(images=image, return_tensors="pt")
        return {name: tensor[0] for name, tensor in made.items()}

    def pixels(self, image: Image.Image) -> torch.Tensor:
        """One RGB picture as a float tensor (3, H, W)."""
        return self(image)["pixel_values"]

    def save(self, folder: Path) -> None:
        """Write it into a folder, as transformers keeps it."""
        self._processor.save_pretrained(folder)

    @property
    def description(self) -> dict[str, Json]:
        """Its class, what it computes with, and every setting that can change a number."""
        settings = json.loads(self._processor.to_json_string())
        kept = {name: value for name, value in settings.items() if value is not None and name not in _INERT}
        return {"class": self._name, "backend": self._backend, **kept}

    @property
    def _name(self) -> str:
        # transformers 4 calls `…Fast` what 5 calls by the plain name, and 5 calls `…Pil` what 4 did.
        return type(self._processor).__name__.removesuffix("Fast").removesuffix("Pil")

    @property
    def _backend(self) -> str:
        """Torchvision and Pillow resize differently: the same settings give other pixels."""
        own = getattr(self._processor, "backend", None)
        fast = type(self._processor).__name__.endswith("Fast")
        return own if isinstance(own, str) else "torchvision" if fast else "pil"


def refuse_text_options(options: BackboneOptions, what: str) -> None:
    """Refuse options of texts where images are read: they would be ignored.

    Raises
    ------
    ConfigError
    """
    for name in ("max_length", "prompt"):
        if name in options.given():
            raise ConfigError(f"--{name.replace('_', '-')} means nothing to {what}; leave it out")


def trial_images() -> list[Any]:
    """Two small pictures, wide and tall, to learn what a model makes of any."""
    import numpy as np
    from PIL import Image

    made = []
    for width, height in TRIAL_SIZES:
        ramp = np.arange(width * height * 3, dtype=np.uint32).reshape(height, width, 3)
        made.append(Image.fromarray((ramp * 7 % 251).astype(np.uint8)))
    return made
