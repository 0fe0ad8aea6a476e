"""The networks of heads that answer questions: M members at once, from tokens to scores (B, M, L, 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from headstart.heads.networks import (
    AttentionNetwork,
    InputDropout,
    Network,
    StackedLinear,
    StackedNorm,
)
from headstart.tasks.spans import MASKED
from headstart.training.examples import MAY_ANSWER

N_SCORES = 2


class LinearSpanNetwork(Network):
    """One linear layer over each token."""

    def __init__(self, n_features: int, dropouts: Sequence[float]) -> None:
        super().__init__(len(dropouts))
        self.dropout = InputDropout(dropouts)
        self.output = StackedLinear(len(dropouts), n_features, N_SCORES, is_shared=not self.dropout.is_on)

    def forward(self, inputs: Any) -> Tensor:
        """Scores (B, M, L, 2) of values (B, L, D) and what each is (B, L), see `AnsweredPassages`."""
        values, kinds = inputs
        return masked(self.output(self.dropout(values)), kinds)


class SpanTransformer(AttentionNetwork):
    """Blocks of self-attention and two linear layers over all tokens, then a linear layer over each."""

    def __init__(
        self, n_features: int, width: int, n_heads: int, depth: int, dropouts: Sequence[float]
    ) -> None:
        super().__init__(n_features, N_SCORES, width, n_heads, depth, "mean", dropouts)
        n_members = len(dropouts)
        self.wide_norms = nn.ModuleList(StackedNorm(n_members, width) for _ in range(depth))
        self.wide = nn.ModuleList(StackedLinear(n_members, width, 2 * width) for _ in range(depth))
        self.narrow = nn.ModuleList(StackedLinear(n_members, 2 * width, width) for _ in range(depth))

    def forward(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        """Scores (B, M, L, 2), as `LinearSpanNetwork` gives them."""
        values, kinds = inputs
        there = (kinds > 0) | (torch.arange(kinds.shape[1], device=kinds.device) == 0)
        values = self.inputs(values)
        layers = (self.norms, self.projections, self.mixers, self.wide_norms, self.wide, self.narrow)
        for norm, projection, mixer, wide_norm, wide, narrow in zip(*layers, strict=True):
            query, key, value = projection(norm(values)).chunk(3, dim=-1)
            values = values + self.dropout(mixer(self._attend(query, key, value, there)))
            values = values + self.dropout(narrow(gelu(wide(wide_norm(values)))))
        return masked(self.output(self.dropout(self.norm(values))), kinds)


def masked(scores: Tensor, kinds: Tensor) -> Tensor:
    """Scores (B, L, M, 2) as (B, M, L, 2), lowest where no answer can be."""
    may_answer = (kinds == MAY_ANSWER)[:, None, :, None]
    return torch.where(may_answer, scores.transpose(1, 2), torch.full_like(scores[:1, :1, :1, :1], MASKED))
