"""A backbone in a folder, opened in one call."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from headstart.backbones import BackboneOptions, open_backbone
from headstart.backbones.pooling import pool
from headstart.cache.recipe import make_recipe
from headstart.contracts import FrozenModel
from headstart.types import AT_END, Activations, BackboneInfo


def resolve(folder: Path, modality: Any, **options: Any) -> BackboneInfo:
    """What is known of the model before it is used."""
    return open_backbone(f"hf:{folder}", BackboneOptions(modality=modality, **options)).resolve()


def space(folder: Path, modality: Any, **options: Any) -> str:
    """The space of its default tap."""
    info = resolve(folder, modality, **options)
    return make_recipe(info, info.default_tap, "fp32", "float32").id


def opened(folder: Path, modality: Any, **options: Any) -> FrozenModel:
    """The model in memory."""
    return open_backbone(f"hf:{folder}", BackboneOptions(modality=modality, **options)).load("cpu", "fp32")


def run_model(model: FrozenModel, prepared: Sequence[Any], layers: Collection[str] = ()) -> Activations:
    """One pass over prepared samples on the model's device: all that is at its end, and some layers."""
    device = next(iter(model.module.parameters()), torch.empty(0)).device
    batch = {name: part.to(device) for name, part in model.collate(prepared).items()}
    return model.forward(batch, (*layers, *AT_END))


def both_ways(model: FrozenModel, payloads: Sequence[Any], tap: str) -> list[NDArray[np.float32]]:
    """A tap of one batch, and of the same samples one at a time."""
    prepared = model.prepare(payloads)
    alone = [pool(run_model(model, [part]), tap) for part in prepared]
    return [pool(run_model(model, prepared), tap).numpy(), torch.cat(alone).numpy()]
