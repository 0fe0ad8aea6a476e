"""Batches of several streams put side by side, for the members that see each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from headstart.heads.networks.layers import Streams
from headstart.training.examples import Inputs


def side_by_side(parts: Sequence[Inputs], counts: Sequence[int]) -> Inputs | Streams:
    """The inputs of each stream, for its members; of one stream they are for all."""
    return parts[0] if len(parts) == 1 else Streams(cast("list[Tensor]", parts), counts)


def repeated(targets: Sequence[Tensor], counts: Sequence[int]) -> Tensor:
    """Targets for all members, (B, ...), or with several streams of each, (B, M, ...)."""
    if len(targets) == 1:
        return targets[0]
    of_member = [part for part, count in zip(targets, counts, strict=True) for _ in range(count)]
    return torch.stack(of_member, dim=1)


def mixed(inputs: Inputs, partners: Tensor, share: float) -> Inputs:
    """Inputs mixed with those of their partners."""
    if isinstance(inputs, tuple):
        values, there = inputs
        return share * values + (1 - share) * values[partners], there | there[partners]
    return share * inputs + (1 - share) * inputs[partners]
