"""A backbone in a folder, opened in one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from headstart.backbones import BackboneOptions, open_backbone
from headstart.contracts import FrozenModel
from headstart.pooling import pool
from headstart.recipe import make_recipe
from headstart.types import BackboneInfo


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


def both_ways(model: FrozenModel, payloads: Sequence[Any], tap: str) -> list[NDArray[np.float32]]:
    """A tap of one batch, and of the same samples one at a time."""
    prepared = model.prepare(payloads)
    alone = [pool(model.forward([part]), tap) for part in prepared]
    return [pool(model.forward(prepared), tap).numpy(), torch.cat(alone).numpy()]
