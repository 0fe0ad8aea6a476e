"""What tests of fine-tuning share: tiny backbones, and looks at what became of their weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from headstart.progress import Silence
from headstart.registry.run import Run

from ..backbones import tiny_vision

WORDS = {
    "animal": "cat dog cow hen pig",
    "colour": "red blue tan gold grey",
    "food": "rice bread egg jam oat",
}


class Ear(Silence):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def say(self, message: str) -> None:
        """Keep it."""
        self.said.append(message)


def timm_weights(folder: Path, name: str) -> Path:
    import timm
    from safetensors.torch import save_model

    torch.manual_seed(0)
    save_model(tiny_vision.scrambled(timm.create_model(name)), folder / f"{name}.safetensors")
    return folder / f"{name}.safetensors"


def image_backbone(name: str, folder: Path) -> dict[str, Any]:
    """A tiny model of transformers, a small one of timm, or one of torchvision: its options."""
    if name.startswith("hf:"):
        kind = name.removeprefix("hf:")
        return {"backbone": f"hf:{getattr(tiny_vision, kind)(folder / kind)}"}
    if name.startswith("test_"):
        return {"backbone": f"timm:{name}", "weights": timm_weights(folder, name)}
    from safetensors.torch import save_model
    from torchvision import models

    torch.manual_seed(0)
    save_model(tiny_vision.scrambled(models.get_model(name, weights=None)), folder / f"{name}.safetensors")
    return {"backbone": f"torchvision:{name}", "weights": folder / f"{name}.safetensors", "image_size": 64}


def saved(record: Run, path: Path) -> dict[str, torch.Tensor]:
    record.save(path)
    return tensors_of(path / "model" / "backbone")


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
