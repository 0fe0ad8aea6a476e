"""A head as a chain of plain layers that JSON can describe.

Nothing here is headstart's own but the file: an exported folder carries it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Scale(nn.Module):
    """``(inputs - shift) / scale``, of numbers that are known and not learnt.

    Parameters
    ----------
    n_features : int
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs of the same shape (B, D)."""
        return (inputs - self.shift) / self.scale


class Unit(nn.Module):
    """Vectors of length 1; a zero vector stays zero."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs of the same shape (B, D)."""
        return nn.functional.normalize(inputs, dim=1)


class ResidualBlock(nn.Module):
    """Norm, two linear layers with GELU and dropout, and a shortcut.

    Parameters
    ----------
    n_features : int
        Of the shortcut; inside it is twice that.
    dropout : float
    """

    def __init__(self, n_features: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(n_features)
        self.wide = nn.Linear(n_features, 2 * n_features)
        self.narrow = nn.Linear(2 * n_features, n_features)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs of the same shape (B, D)."""
        inner = self.dropout(nn.functional.gelu(self.wide(self.norm(inputs))))
        outputs: Tensor = inputs + self.dropout(self.narrow(inner))
        return outputs


KINDS: Mapping[str, Callable[..., nn.Module]] = {
    "scale": Scale,
    "unit": Unit,
    "linear": nn.Linear,
    "norm": nn.LayerNorm,
    "gelu": nn.GELU,
    "dropout": nn.Dropout,
    "residual": ResidualBlock,
}


def chain(layers: Sequence[Sequence[Any]]) -> nn.Sequential:
    """The layers of a head, with weights that are not its own yet.

    Parameters
    ----------
    layers : sequence of [kind, argument, ...]
        Kinds are those of `KINDS`.

    Examples
    --------
    >>> chain([["scale", 4], ["linear", 4, 2]])(torch.zeros(3, 4)).shape
    torch.Size([3, 2])
    """
    return nn.Sequential(*(KINDS[kind](*arguments) for kind, *arguments in layers))
