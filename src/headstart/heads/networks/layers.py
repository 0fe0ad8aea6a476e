"""Layers of many networks at once: M members of one shape, each with weights of its own.

A member never sees another: products are batched over members, norms and dropout work inside of each. So
M heads cost little more than the arithmetic of M heads, and give what each gives alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear

EPSILON = 1e-5


@dataclass(frozen=True, slots=True)
class Streams:
    """Inputs of members that are trained side by side on other inputs, or in another order.

    Parameters
    ----------
    counts : sequence of int, length S
        How many members in a row see each.
    """

    inputs: Sequence[Tensor]
    counts: Sequence[int]

    def for_each_member(self) -> Tensor:
        """Inputs (B, M, D)."""
        pairs = zip(self.inputs, self.counts, strict=True)
        return torch.cat([part.unsqueeze(1).expand(-1, count, -1) for part, count in pairs], dim=1)


class StackedLinear(nn.Module):
    """M linear layers.

    Parameters
    ----------
    n_members, n_inputs, n_outputs : int
    is_shared : bool
        True: all members see the same inputs (..., n_inputs), which is one large matrix product, or those of
        one of several streams, which is one for each. False: each sees its own, (..., M, n_inputs).
    """

    def __init__(self, n_members: int, n_inputs: int, n_outputs: int, is_shared: bool = False) -> None:
        super().__init__()
        self.is_shared = is_shared
        self.weight = nn.Parameter(torch.zeros(n_members, n_outputs, n_inputs))
        self.bias = nn.Parameter(torch.zeros(n_members, n_outputs))

    def draw(self, generator: torch.Generator, members: slice) -> None:
        """First weights as `torch.nn.Linear` has them, the same for these members."""
        bound = 1 / math.sqrt(self.weight.shape[2])
        with torch.no_grad():
            for parameter in (self.weight, self.bias):
                drawn = torch.rand(parameter.shape[1:], generator=generator) * 2 * bound - bound
                part = parameter[members]
                part.copy_(drawn.expand_as(part))

    def forward(self, inputs: Tensor | Streams) -> Tensor:
        """Outputs, shape (..., M, n_outputs)."""
        if isinstance(inputs, Streams):
            parts = (torch.split(tensor, list(inputs.counts)) for tensor in (self.weight, self.bias))
            return torch.cat(list(map(_shared, inputs.inputs, *parts)), dim=1)
        if self.is_shared:
            return _shared(inputs, self.weight, self.bias)
        n_members, n_outputs, n_inputs = self.weight.shape
        by_member = inputs.reshape(-1, n_members, n_inputs).transpose(0, 1)
        outputs = torch.baddbmm(self.bias.unsqueeze(1), by_member, self.weight.transpose(1, 2))
        return outputs.transpose(0, 1).reshape(*inputs.shape[:-1], n_outputs)


def _shared(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """What M members (M, C, D) make of the same inputs (..., D), shape (..., M, C)."""
    n_members, n_outputs, n_inputs = weight.shape
    outputs = linear(inputs, weight.reshape(-1, n_inputs), bias.reshape(-1))
    return outputs.view(*inputs.shape[:-1], n_members, n_outputs)


class StackedNorm(nn.Module):
    """M layer norms over inputs (..., M, n_features)."""

    def __init__(self, n_members: int, n_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n_members, n_features))
        self.bias = nn.Parameter(torch.zeros(n_members, n_features))

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs of the same shape."""
        return layer_norm(inputs, inputs.shape[-1:], eps=EPSILON) * self.weight + self.bias


class StackedDropout(nn.Module):
    """Dropout whose share is each member's own, over inputs (..., M, n_features).

    All members of a stream compare the same random numbers with their shares, so that none depends on how many
    there are.

    Parameters
    ----------
    shares : Tensor, shape (M,)
        In [0, 1).
    """

    shares: Tensor

    def __init__(self, shares: Tensor) -> None:
        super().__init__()
        self.register_buffer("shares", shares, persistent=False)
        self.generators: Sequence[tuple[torch.Generator | None, int]] = [(None, len(shares))]
        """What each stream draws from, and how many members it has."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs of the same shape."""
        if not self.training or not bool(self.shares.any()):
            return inputs
        one = (*inputs.shape[:-2], 1, inputs.shape[-1])
        parts = [
            torch.rand(one, generator=generator).expand(*one[:-2], count, -1)
            for generator, count in self.generators
        ]
        drawn = torch.cat(parts, dim=-2).to(inputs.device)
        shares = self.shares.unsqueeze(1)
        return inputs * (drawn >= shares) / (1 - shares)
