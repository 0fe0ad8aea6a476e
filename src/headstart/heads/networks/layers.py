"""Layers of many networks at once: M members of one shape, each with weights of its own.

A member never sees another: products are batched over members, norms and dropout work inside of each. So
M heads cost little more than the arithmetic of M heads, and give what each gives alone.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear

EPSILON = 1e-5


class StackedLinear(nn.Module):
    """M linear layers.

    Parameters
    ----------
    n_members, n_inputs, n_outputs : int
    is_shared : bool
        True: all members see the same inputs (..., n_inputs), which is one large matrix product. False:
        each sees its own, (..., M, n_inputs).
    """

    def __init__(self, n_members: int, n_inputs: int, n_outputs: int, is_shared: bool = False) -> None:
        super().__init__()
        self.is_shared = is_shared
        self.weight = nn.Parameter(torch.zeros(n_members, n_outputs, n_inputs))
        self.bias = nn.Parameter(torch.zeros(n_members, n_outputs))

    def draw(self, generator: torch.Generator) -> None:
        """First weights as `torch.nn.Linear` has them, the same for all members."""
        bound = 1 / math.sqrt(self.weight.shape[2])
        with torch.no_grad():
            for parameter in (self.weight, self.bias):
                drawn = torch.rand(parameter.shape[1:], generator=generator) * 2 * bound - bound
                parameter.copy_(drawn.expand_as(parameter))

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs, shape (..., M, n_outputs)."""
        n_members, n_outputs, n_inputs = self.weight.shape
        if self.is_shared:
            outputs = linear(inputs, self.weight.view(-1, n_inputs), self.bias.view(-1))
            return outputs.view(*inputs.shape[:-1], n_members, n_outputs)
        by_member = inputs.reshape(-1, n_members, n_inputs).transpose(0, 1)
        outputs = torch.baddbmm(self.bias.unsqueeze(1), by_member, self.weight.transpose(1, 2))
        return outputs.transpose(0, 1).reshape(*inputs.shape[:-1], n_outputs)


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

    All members compare the same random numbers with their shares, so that none depends on how many there are.

    Parameters
    ----------
    shares : Tensor, shape (M,)
        In [0, 1).
    """

    shares: Tensor

    def __init__(self, shares: Tensor) -> None:
        super().__init__()
        self.register_buffer("shares", shares, persistent=False)
        self.generator: torch.Generator | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs of the same shape."""
        if not self.training or not bool(self.shares.any()):
            return inputs
        one = (*inputs.shape[:-2], 1, inputs.shape[-1])
        drawn = torch.rand(one, generator=self.generator).to(inputs.device)
        shares = self.shares.unsqueeze(1)
        return inputs * (drawn >= shares) / (1 - shares)
