"""The networks of the torch heads, M members each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from headstart.heads.networks.layers import StackedDropout, StackedLinear, StackedNorm, Streams
from headstart.training.examples import Inputs

Norm: TypeAlias = Literal["layer", "none"]
ALL = slice(None)


class Network(nn.Module):
    """M members, from inputs to logits (B, M, n_outputs)."""

    is_stacked: ClassVar[bool] = True
    """Whether the first dimension of each parameter is that of the members."""

    output: nn.Module

    def __init__(self, n_members: int) -> None:
        super().__init__()
        self.n_members = n_members

    def logits(self, inputs: Inputs | Streams) -> Tensor:
        """Logits, shape (B, M, n_outputs)."""
        outputs: Tensor = self(inputs)
        return outputs

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
    """One linear layer."""

    def __init__(self, n_features: int, n_outputs: int, dropouts: Sequence[float]) -> None:
        super().__init__(len(dropouts))
        self.dropout = InputDropout(dropouts)
        self.output = StackedLinear(len(dropouts), n_features, n_outputs, is_shared=not self.dropout.is_on)

    def forward(self, inputs: Tensor | Streams) -> Tensor:
        """Logits, shape (B, M, n_outputs)."""
        outputs: Tensor = self.output(self.dropout(inputs))
        return outputs


class InputDropout(StackedDropout):
    """Dropout of shared inputs (B, D): where any member has some, each sees inputs of its own, (B, M, D)."""

    def __init__(self, dropouts: Sequence[float]) -> None:
        super().__init__(torch.tensor(dropouts))
        self.is_on = any(dropouts)

    def forward(self, inputs: Any) -> Any:
        """Inputs as they are, or one for each member."""
        if not self.is_on:
            return inputs
        if isinstance(inputs, Streams):
            return super().forward(inputs.for_each_member())
        return super().forward(inputs.unsqueeze(-2).expand(*inputs.shape[:-1], len(self.shares), -1))


class MLP(Network):
    """Hidden layers with norm, GELU and dropout, then a linear one.

    Parameters
    ----------
    n_features, n_outputs, depth, width : int
        ``depth`` hidden layers of ``width`` units.
    norm : {"layer", "none"}
    dropouts : sequence of float, length M
    """

    def __init__(
        self, n_features: int, n_outputs: int, depth: int, width: int, norm: Norm, dropouts: Sequence[float]
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
        """Logits, shape (B, M, n_outputs)."""
        values: Any = inputs
        for layer, norm in zip(self.hidden, self.norms, strict=True):
            values = self.dropout(gelu(norm(layer(values))))
        outputs: Tensor = self.output(values)
        return outputs


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
        """Logits, shape (B, M, n_outputs)."""
        values = self.inputs(inputs)
        for norm, wide, narrow in zip(self.norms, self.wide, self.narrow, strict=True):
            values = values + self.dropout(narrow(self.dropout(gelu(wide(norm(values))))))
        outputs: Tensor = self.output(self.norm(values))
        return outputs


class AttentionNetwork(Network):
    """Attention over sequences, pooled to one vector, and a linear layer.

    Parameters
    ----------
    n_features, n_outputs, width, n_heads, depth : int
        ``width`` is a multiple of ``n_heads``.
    pooling : {"mean", "query"}
        ``mean``: blocks of multi-head self-attention with a shortcut, then the mean over what is there.
        ``query``: a learned query attends once (attention pooling, as Lee et al., 2019).
    dropouts : sequence of float, length M
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
        outputs: Tensor = self.output(self.dropout(self.norm(pooled)))
        return outputs

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
