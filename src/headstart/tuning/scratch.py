"""Random first weights, to show what pretraining is worth."""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch import nn

from headstart.errors import ConfigError


def draw_anew(backbone: Any, seed: int, spec: str) -> None:
    """Give a backbone of transformers or timm the random weights that its authors' code begins with, in place.

    Raises
    ------
    ConfigError
        It is of neither.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = _fresh(backbone, spec)
    state = fresh.state_dict()
    own = backbone.state_dict()
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(state[name])


def _fresh(backbone: Any, spec: str) -> nn.Module:
    if hasattr(backbone, "pretrained_cfg"):
        import timm

        name = backbone.pretrained_cfg["architecture"]
        return cast("nn.Module", timm.create_model(name, pretrained=False))
    import transformers

    if isinstance(backbone, transformers.PreTrainedModel):
        return cast("nn.Module", type(backbone)(copy.deepcopy(backbone.config)))
    raise ConfigError(
        f"the weights of {spec} cannot be drawn anew; scratch is for models of transformers and timm"
    )
