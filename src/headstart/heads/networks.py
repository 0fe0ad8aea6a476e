"""The networks of the torch heads: M members of one shape at once, each with weights of its own.

A member never sees another: products are batched over members, norms and dropout work inside of each. So
M heads cost little more than the arithmetic of M heads, and give what each gives alone. Inputs are rows (B, D), logits
are (B, M, n_outputs), and ``dropouts`` has one share for each member.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm, linear, scaled_dot_product_attention

from headstart.training.examples import Inputs

if TYPE_CHECKING:
    from headstart.training.trainee import Objective

EPSILON = 1e-5
ALL = slice(None)


@dataclass(frozen=True, slots=True)
class Streams:
    """Inputs of members that are trained side by side on other inputs, or in another order."""

    inputs: Sequence[Tensor]
    counts: Sequence[int]
    """How many members in a row see each."""

    def for_each_member(self) -> Tensor:
        """Inputs (B, M, D)."""
        pairs = zip(self.inputs, self.counts, strict=True)
        return torch.cat([part.unsqueeze(1).expand(-1, count, -1) for part, count in pairs], dim=1)


class StackedLinear(nn.Module):
    """M linear layers, from inputs (..., M, n_inputs) of each member's own to outputs (..., M, n_outputs).

    If they are shared, all members see the same inputs (..., n_inputs), which is one large matrix product, or those
    of one of several streams, which is one for each.
    """

    __call__: Callable[..., Tensor]

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
        return layer_norm(inputs, inputs.shape[-1:], eps=EPSILON) * self.weight + self.bias


class StackedDropout(nn.Module):
    """Dropout whose share (M,), in [0, 1), is each member's own, over inputs (..., M, n_features).

    All members of a stream compare the same random numbers with their shares, so that none depends on how many
    there are.
    """

    shares: Tensor

    def __init__(self, shares: Tensor) -> None:
        super().__init__()
        self.register_buffer("shares", shares, persistent=False)
        self.generators: Sequence[tuple[torch.Generator | None, int]] = [(None, len(shares))]
        """What each stream draws from, and how many members it has."""

    def forward(self, inputs: Tensor) -> Tensor:
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


class Network(nn.Module):
    """M members, from inputs to logits (B, M, n_outputs)."""

    is_stacked: ClassVar[bool] = True
    """Whether the first dimension of each parameter is that of the members."""

    output: StackedLinear
    __call__: Callable[..., Tensor]

    def __init__(self, n_members: int) -> None:
        super().__init__()
        self.n_members = n_members

    def logits(self, inputs: Inputs | Streams) -> Tensor:
        """Logits, shape (B, M, n_outputs)."""
        return self(inputs)

    def losses(self, objective: Objective, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of each row and member, (B, M)."""
        return objective.losses(logits, targets)

    def draw(self, generator: torch.Generator, members: slice = ALL) -> None:
        """First weights, the same for all of these members.

        The last layer starts at zero: all classes are equally likely then, and which is which makes no
        difference to what is learnt.
        """
        for layer in self.modules():
            if isinstance(layer, StackedLinear) and layer is not self.output:
                layer.draw(generator, members)

    def seed_dropout(self, generators: Sequence[tuple[torch.Generator | None, int]]) -> None:
        """What dropout draws from: a generator for each stream, with the number of its members."""
        for layer in self.modules():
            if isinstance(layer, StackedDropout):
                layer.generators = generators

    def keep(self, members: Tensor) -> None:
        """Go on with some of the members, by their numbers."""
        self.n_members = len(members)
        for layer in self.modules():
            if isinstance(layer, StackedDropout):
                layer.shares = layer.shares[members]
        for parameter in self.parameters():
            parameter.data = parameter.data[members].clone()

    def member_weights(self, tensors: Mapping[str, Tensor], member: int) -> dict[str, Tensor]:
        """What of a state dict is one member's."""
        return {name: (t[member] if self.is_stacked else t).clone() for name, t in tensors.items()}

    def load_member(self, weights: Mapping[str, Tensor]) -> None:
        """Take over the weights of one member; there is only one here."""
        self.load_state_dict({n: (t.unsqueeze(0) if self.is_stacked else t) for n, t in weights.items()})


class LinearNetwork(Network):
    """One linear layer; what it learns may be the way from other weights, which stay as they are: its ``start``.

    So weight decay pulls towards these, and not towards zero.
    """

    def __init__(
        self, n_features: int, n_outputs: int, dropouts: Sequence[float], starts: bool = False
    ) -> None:
        super().__init__(len(dropouts))
        self.dropout = InputDropout(dropouts)
        layers = [
            StackedLinear(len(dropouts), n_features, n_outputs, is_shared=not self.dropout.is_on)
            for _ in range(1 + starts)
        ]
        self.output = layers[0]
        self.start = layers[1].requires_grad_(False) if starts else None

    def start_at(self, weight: Tensor, bias: Tensor, members: slice) -> None:
        """Where some members start: a matrix (n_outputs, n_features) and intercepts (n_outputs,)."""
        assert self.start is not None
        with torch.no_grad():
            self.start.weight[members] = weight
            self.start.bias[members] = bias

    def draw(self, generator: torch.Generator, members: slice = ALL) -> None:
        """Nothing is drawn: all starts at zero."""

    def forward(self, inputs: Tensor | Streams) -> Tensor:
        seen = self.dropout(inputs)
        return self.output(seen) if self.start is None else self.output(seen) + self.start(seen)


class InputDropout(StackedDropout):
    """Dropout of shared inputs (B, D): where any member has some, each sees inputs of its own, (B, M, D)."""

    def __init__(self, dropouts: Sequence[float]) -> None:
        super().__init__(torch.tensor(dropouts))
        self.is_on = any(dropouts)

    def forward(self, inputs: Any) -> Any:
        if not self.is_on:
            return inputs
        if isinstance(inputs, Streams):
            return super().forward(inputs.for_each_member())
        return super().forward(inputs.unsqueeze(-2).expand(*inputs.shape[:-1], len(self.shares), -1))


class MLP(Network):
    """``depth`` hidden layers of ``width`` units with norm, GELU and dropout, then a linear one."""

    def __init__(
        self, n_features: int, n_outputs: int, depth: int, width: int, norm: str, dropouts: Sequence[float]
    ) -> None:
        super().__init__(n_members := len(dropouts))
        sizes = [n_features, *[width] * depth]
        self.hidden = nn.ModuleList(
            StackedLinear(n_members, size, width, is_shared=place == 0)
            for place, size in enumerate(sizes[:-1])
        )
        self.norms = nn.ModuleList(
            StackedNorm(n_members, width) if norm == "layer" else nn.Identity() for _ in range(depth)
        )
        self.dropout = StackedDropout(torch.tensor(dropouts))
        self.output = StackedLinear(n_members, width, n_outputs)

    def forward(self, inputs: Tensor | Streams) -> Tensor:
        values: Any = inputs
        for layer, norm in zip(self.hidden, self.norms, strict=True):
            values = self.dropout(gelu(norm(layer(values))))
        return self.output(values)


class ResidualNetwork(Network):
    """A projection, blocks of norm, two linear layers and a shortcut, and a linear layer.

    As the residual networks for tables of Gorishniy et al. (2021), with layer norm.
    """

    def __init__(
        self, n_features: int, n_outputs: int, depth: int, width: int, dropouts: Sequence[float]
    ) -> None:
        super().__init__(n_members := len(dropouts))
        self.inputs = StackedLinear(n_members, n_features, width, is_shared=True)
        self.norms = nn.ModuleList(StackedNorm(n_members, width) for _ in range(depth))
        self.wide = nn.ModuleList(StackedLinear(n_members, width, 2 * width) for _ in range(depth))
        self.narrow = nn.ModuleList(StackedLinear(n_members, 2 * width, width) for _ in range(depth))
        self.dropout = StackedDropout(torch.tensor(dropouts))
        self.norm = StackedNorm(n_members, width)
        self.output = StackedLinear(n_members, width, n_outputs)

    def forward(self, inputs: Tensor | Streams) -> Tensor:
        values = self.inputs(inputs)
        for norm, wide, narrow in zip(self.norms, self.wide, self.narrow, strict=True):
            values = values + self.dropout(narrow(self.dropout(gelu(wide(norm(values))))))
        return self.output(self.norm(values))


class AttentionNetwork(Network):
    """Attention over sequences, pooled to one vector, and a linear layer; ``width`` is a multiple of ``n_heads``.

    By ``mean`` these are blocks of multi-head self-attention with a shortcut, then the mean over what is there; by
    ``query`` a learned query attends once (attention pooling, as Lee et al., 2019).
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        width: int,
        n_heads: int,
        depth: int,
        pooling: str,
        dropouts: Sequence[float],
    ) -> None:
        super().__init__(n_members := len(dropouts))
        self.n_heads = n_heads
        self.inputs = StackedLinear(n_members, n_features, width, is_shared=True)
        has_query = pooling == "query"
        depth = 1 if has_query else depth
        self.query = nn.Parameter(torch.zeros(n_members, width)) if has_query else None
        self.norms = nn.ModuleList(StackedNorm(n_members, width) for _ in range(depth))
        self.projections = nn.ModuleList(
            StackedLinear(n_members, width, (2 if has_query else 3) * width) for _ in range(depth)
        )
        self.mixers = nn.ModuleList(StackedLinear(n_members, width, width) for _ in range(depth))
        self.dropout = StackedDropout(torch.tensor(dropouts))
        self.norm = StackedNorm(n_members, width)
        self.output = StackedLinear(n_members, width, n_outputs)

    def draw(self, generator: torch.Generator, members: slice = ALL) -> None:
        """First weights, and a query that asks something."""
        super().draw(generator, members)
        if self.query is not None:
            drawn = torch.randn(self.query.shape[1:], generator=generator) / self.query.shape[1] ** 0.5
            self.query.data[members] = drawn

    def forward(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        """Logits, shape (B, M, n_outputs), of values (B, L, D) and a mask (B, L)."""
        values, there = inputs
        there = there | (torch.arange(there.shape[1], device=there.device) == 0)  # an empty one is one zero
        values = self.inputs(values)
        is_asked = self.query is not None
        pooled = self._ask(values, there) if is_asked else self._mean(self._mix(values, there), there)
        return self.output(self.dropout(self.norm(pooled)))

    def _mix(self, values: Tensor, there: Tensor) -> Tensor:
        for norm, projection, mixer in zip(self.norms, self.projections, self.mixers, strict=True):
            query, key, value = projection(norm(values)).chunk(3, dim=-1)
            values = values + self.dropout(mixer(self._attend(query, key, value, there)))
        return values

    def _ask(self, values: Tensor, there: Tensor) -> Tensor:
        key, value = self.projections[0](self.norms[0](values)).chunk(2, dim=-1)
        assert self.query is not None
        query = self.query.expand(len(values), 1, *self.query.shape)
        outputs: Tensor = self.mixers[0](self._attend(query, key, value, there))
        return outputs.squeeze(1)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, there: Tensor) -> Tensor:
        """Attention of (B, L, M, width), each member and head by itself."""
        n_rows, n_queries, n_members, width = query.shape

        def heads(part: Tensor) -> Tensor:
            split = part.reshape(n_rows, -1, n_members * self.n_heads, width // self.n_heads)
            return split.transpose(1, 2)

        mask = there[:, None, None, :]
        mixed = scaled_dot_product_attention(heads(query), heads(key), heads(value), attn_mask=mask)
        return mixed.transpose(1, 2).reshape(n_rows, n_queries, n_members, width)

    @staticmethod
    def _mean(values: Tensor, there: Tensor) -> Tensor:
        weights = there[:, :, None, None].to(values.dtype)
        return (values * weights).sum(dim=1) / weights.sum(dim=1)


class OwnNetwork(Network):
    """The user's own module, from inputs (B, D) to logits (B, n_outputs): one member."""

    is_stacked: ClassVar[bool] = False

    def __init__(self, module: nn.Module) -> None:
        super().__init__(1)
        self.module = module

    def draw(self, generator: torch.Generator, members: slice = ALL) -> None:
        """It has its weights."""

    def forward(self, inputs: Inputs) -> Tensor:
        """Logits, shape (B, 1, n_outputs)."""
        outputs: Tensor = self.module(*inputs) if isinstance(inputs, tuple) else self.module(inputs)
        return outputs.unsqueeze(1)
