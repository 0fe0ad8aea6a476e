"""Vision models of transformers, by name or by local folder: ViT, DINOv2, Swin, ConvNeXt, ResNet …"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.backbones.blocks import read_blocks
from headstart.backbones.freezing import freeze, n_parameters, weights_digest
from headstart.backbones.hf.models import (
    Depth,
    HubModel,
    HubPart,
    Layout,
    candidate_blocks,
    departures,
    depth_of,
    layout_of,
)
from headstart.backbones.image_models import FrozenImageModel
from headstart.backbones.portable import Portable, reading_of, without_pooler
from headstart.errors import BackboneError, ConfigError
from headstart.types import AT_END, Activations, BackboneInfo

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from headstart.backbones.options import BackboneOptions
    from headstart.backbones.portable import BackboneSaver
    from headstart.types import Json, Precision


POOLER = "pooler."
UNREAD = "mask_token"  # takes part in pretraining only
TRIAL_SIZES = ((48, 32), (32, 48))  # a processor that keeps the shape of a picture shows itself on these
# What a processor writes of itself that changes no pixel.
_INERT = {
    "image_processor_type", "feature_extractor_type", "processor_class", "_processor_class", "_name_or_path",
    "return_tensors", "data_format", "input_data_format", "device", "disable_grouping", "use_fast",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Anatomy:
    """What a trial found in a vision model."""

    layout: Layout
    depth: Depth
    # Whether it pools by itself with weights that it has (or needs none), and whether it has weights.
    has_pooler: bool
    trained_pooler: bool

    @property
    def taps(self) -> tuple[str, ...]:
        """Where its authors read it, then the others.

        A pooler that was trained, or that is all a model without a class token has; else the class token,
        as DINOv2 and ViTs without their pooler are read.
        """
        own = ["pooler"] if self.has_pooler else []
        finals = [f"final.{name}" for name in self.layout.poolings]
        pooler_first = self.trained_pooler or not self.layout.n_prefix
        return tuple(own + finals if pooler_first else finals + own)


class ImageBackbone(HubPart):
    """A vision model of transformers."""

    def __init__(self, source: HubModel) -> None:
        super().__init__(source)
        refuse_text_options(source.options, f"{self.spec}, which takes images")

    def resolve(self) -> BackboneInfo:
        """Load the model and describe it."""
        model, missing = self._loaded
        depth = self._anatomy.depth
        return BackboneInfo(
            spec=self.spec,
            modality="image",
            weights=weights_digest(model, missing),
            architecture={"library": "transformers", "config": departures(model.config)},
            preprocessing=self._processor.description,
            taps=self._anatomy.taps,
            n_layers=depth.n_layers,
            first_layer=depth.first_layer,
            closing_norm=depth.closing_norm,
            provenance=self._source.provenance(n_parameters(model)),
        )

    def load(self, device: str, precision: Precision) -> FrozenImageModel:
        """The model, frozen, on a device."""
        anatomy = self._anatomy  # found in the dtype of the checkpoint, before any cast
        module = freeze(self._loaded[0], device, precision)
        return FrozenImageModel(
            module,
            self._processor.pixels,
            lambda batch, reads: _read(module, anatomy, batch, reads),
            lambda batch, layers: read_blocks(anatomy.depth.blocks, partial(module, batch), layers),
            processor=self._processor.own,
        )

    def tunable(self, tap: str) -> BackboneSaver:
        """A folder as transformers keeps it, with its image processor."""
        return self.saver(self._loaded[0], self._processor.save, self._options)

    def portable(self, tap: str) -> Portable:
        """The model as transformers makes it, with its image processor."""
        model, n_prefix = self._loaded[0], self._anatomy.layout.n_prefix
        arguments = without_pooler(model, tap)
        reading = reading_of(tap, n_prefix=n_prefix, has_cls=bool(n_prefix), arguments=arguments)
        return Portable(model, "image", model.config.to_dict(), reading, self._processor.save)

    @cached_property
    def _loaded(self) -> tuple[Any, tuple[str, ...]]:
        import transformers

        model, missing = self._source.load(transformers.AutoModel)
        needed = [name for name in missing if not name.startswith(POOLER) and UNREAD not in name]
        if needed:
            raise BackboneError(f"{self.spec} lacks weights that its features need: {needed[0]}")
        return model, missing

    @cached_property
    def _processor(self) -> ImageProcessor:
        return ImageProcessor(self._source)

    @cached_property
    def _anatomy(self) -> Anatomy:
        import torch

        model, missing = self._loaded
        blocks = candidate_blocks(model, model.config)
        pixels = self._processor.pixels(trial_images()[0]).unsqueeze(0).to(next(model.parameters()).dtype)
        with self._source.failures(), torch.inference_mode():
            with blocks.kept(blocks.layers) as kept:
                output = model(pixels)
            again = model(pixels).last_hidden_state
        final = output.last_hidden_state
        if not torch.equal(final.nan_to_num(), again.nan_to_num()):
            # ViT-MAE masks three patches of four at random, also in eval mode.
            raise BackboneError(
                f"{self.spec} gives other numbers each time it sees an image, so its features cannot be kept; "
                "load its encoder as a model without random masking"
            )
        weighted = any(name.startswith(POOLER) for name, _ in model.named_parameters())
        random = any(name.startswith(POOLER) for name in missing)
        return Anatomy(
            layout_of(model, model.config, pixels, final),
            depth_of(blocks, model.config, kept, final),
            has_pooler=getattr(output, "pooler_output", None) is not None and not random,
            trained_pooler=weighted and not random,
        )


def _read(module: Any, anatomy: Anatomy, batch: torch.Tensor, reads: Collection[str]) -> Activations:
    """The last positions, the model's own pooling, and the layers that were asked for."""
    to_the_end = any(name in AT_END for name in reads)
    output: Any = None
    with anatomy.depth.blocks.kept(reads, stop=not to_the_end) as kept:
        output = module(batch)
    hidden = {**kept, "final": output.last_hidden_state} if to_the_end else kept
    whole = {"pooler": output.pooler_output.flatten(1)} if to_the_end and anatomy.has_pooler else {}
    return Activations({layer: anatomy.layout.positions(states) for layer, states in hidden.items()}, whole)


class ImageProcessor:
    """The image processor that transformers itself would use for a model, which is its ``own``."""

    def __init__(self, source: HubModel) -> None:
        import transformers

        self.own = source.part(transformers.AutoImageProcessor)
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
        made = self.own(images=image, return_tensors="pt")
        return {name: tensor[0] for name, tensor in made.items()}

    def pixels(self, image: Image.Image) -> torch.Tensor:
        """One RGB picture as a float tensor (3, H, W)."""
        return self(image)["pixel_values"]

    def save(self, folder: Path) -> None:
        """Write it into a folder, as transformers keeps it."""
        self.own.save_pretrained(folder)

    @property
    def description(self) -> dict[str, Json]:
        """Its class, what it computes with, and every setting that can change a number."""
        settings = json.loads(self.own.to_json_string())
        kept = {name: value for name, value in settings.items() if value is not None and name not in _INERT}
        return {"library": "transformers", "class": self._name, "backend": self._backend, **kept}

    @property
    def _name(self) -> str:
        # transformers 4 calls `…Fast` what 5 calls by the plain name, and 5 calls `…Pil` what 4 did.
        return type(self.own).__name__.removesuffix("Fast").removesuffix("Pil")

    @property
    def _backend(self) -> str:
        """Torchvision and Pillow resize differently: the same settings give other pixels."""
        own = getattr(self.own, "backend", None)
        fast = type(self.own).__name__.endswith("Fast")
        return own if isinstance(own, str) else "torchvision" if fast else "pil"


def refuse_text_options(options: BackboneOptions, what: str) -> None:
    """Refuse options of texts where images are read: they would be ignored."""
    for name in ("max_length", "prompt", "on_long"):
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
