"""Small models of every kind, opened by name, each with samples that it takes."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.backbones import BackboneOptions, open_backbone
from headstart.contracts import FrozenModel
from headstart.types import BackboneInfo

from ..backbones import tiny_texts, tiny_vision
from ..backbones.conftest import TEXTS, picture
from .computing import one_thread

SIZES = [(60, 80), (80, 60), (130, 40), (64, 64), (9, 9), (40, 41), (33, 90), (50, 50)]
PICTURES = [picture(number, size) for number, size in enumerate(SIZES)]
WORDS = [
    "a photo of a cat",
    "dog",
    "the red shirt",
    "a",
    "blue trousers, a dog and a cat",
    "photo of the cat",
]
LONG = [*TEXTS, *WORDS, "why was it declined? " * 9, "card", "the exchange rate of my account"]


@dataclass(frozen=True)
class Opened:
    """A model in memory.

    Parameters
    ----------
    spec : str
    options : BackboneOptions
    info : BackboneInfo
    model : FrozenModel
    samples : list
    """

    spec: str
    options: BackboneOptions
    info: BackboneInfo
    model: FrozenModel
    samples: list[Any]

    @property
    def layers(self) -> list[str]:
        """All layers by number."""
        info = self.info
        last = info.n_layers - (not info.closing_norm)
        return [str(n) for n in range(info.first_layer, last + 1)] if info.n_layers else []

    @property
    def taps(self) -> list[str]:
        """Every tap at the end, and one pooling of every layer."""
        pooling = next((tap.partition(".")[2] for tap in self.info.taps if "." in tap), "")
        return [*self.info.taps, *(f"{layer}.{pooling}" for layer in self.layers)]


def open_named(name: str, root: Path) -> Opened:
    """Such as ``text:bert``, ``image:vit``, ``clip:text``, ``timm:resnet18``, ``torchvision:resnet18``."""
    kind, _, which = name.partition(":")
    with one_thread():
        match kind:
            case "text":
                return _open(f"hf:{tiny_texts.save_model(root / which, which)}", LONG)
            case "image":
                return _open(f"hf:{getattr(tiny_vision, which)(root / which)}", PICTURES)
            case "timm" | "torchvision":
                small = None if which.startswith("test_") else 64  # timm's own test models are small
                return _open(name, PICTURES, weights=_weights(kind, which, root, small), image_size=small)
        folder = getattr(tiny_vision, kind)(root / kind)
        pairs = [(image, text) for image, text in zip(PICTURES, WORDS, strict=False)]
        samples = {"image": PICTURES, "text": WORDS, "image-text": pairs}[which]
        return _open(f"hf:{folder}", samples, modality=which)


def _open(spec: str, samples: list[Any], **options: Any) -> Opened:
    chosen = BackboneOptions(**options)
    backbone = open_backbone(spec, chosen)
    return Opened(spec, chosen, backbone.resolve(), backbone.load("cpu", "fp32"), samples)


@functools.cache
def _weights(kind: str, name: str, root: Path, size: int | None) -> Path:
    """Random weights in a file."""
    import timm
    import torch
    from safetensors.torch import save_model
    from torchvision import models

    torch.manual_seed(0)
    if kind == "timm":
        model = timm.create_model(name, **({"img_size": size} if "vit" in name and size else {}))
    else:
        model = models.get_model(name, weights=None)
    root.mkdir(parents=True, exist_ok=True)
    save_model(model, root / f"{name}.safetensors")
    return root / f"{name}.safetensors"
