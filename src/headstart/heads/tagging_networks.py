"""The networks of the heads that tag words: from the vectors of a sentence to logits, with a CRF or without.

Importing this imports torch. Weights are drawn when a network is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from headstart.heads.crf import CRF
from headstart.heads.networks import ALL, EPSILON, Network
from headstart.types import PADDING, UNSEEN

if TYPE_CHECKING:
    from headstart.training.trainee import Objective


class TaggingNetwork(Network):
    """One member, from vectors (B, T, D) and what is there (B, T) to logits (B, 1, T, C), and maybe a CRF."""

    is_stacked: ClassVar[bool] = False

    def __init__(self, n_outputs: int, has_crf: bool) -> None:
        super().__init__(1)
        self.crf = CRF(n_outputs) if has_crf else None

    def draw(self, generator: torch.Generator, members: slice = ALL) -> None:
        """It has its weights."""

    def forward(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        """Logits, shape (B, 1, T, C)."""
        return self.word_logits(*inputs).unsqueeze(1)

    def word_logits(self, values: Tensor, there: Tensor) -> Tensor:
        """Logits of each word, shape (B, T, C)."""
        raise NotImplementedError

    def losses(self, objective: Objective, logits: Tensor, targets: Tensor) -> Tensor:
        """Of each sentence, (B, 1): the sum over its words, or with a CRF minus the log-likelihood of its tags.

        A CRF has no loss of a sentence with a tag that training lacks: no sequence of its tags is right.
        """
        if self.crf is None:
            return super().losses(objective, logits, targets)
        tags = targets[:, : logits.shape[2]].long()
        likelihood: Tensor = self.crf(logits[:, 0], tags.clamp(min=0), tags != PADDING)
        return -likelihood.masked_fill((tags == UNSEEN).any(dim=1), 0.0).unsqueeze(1)


class WordLayers(TaggingNetwork):
    """``depth`` hidden layers of ``width`` units with norm, GELU and dropout over each word, then a linear one."""

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        depth: int,
        width: int,
        norm: str,
        dropout: float,
        has_crf: bool,
    ) -> None:
        super().__init__(n_outputs, has_crf)
        sizes = [n_features, *[width] * depth]
        self.hidden = nn.ModuleList(nn.Linear(size, width) for size in sizes[:-1])
        self.norms = nn.ModuleList(
            nn.LayerNorm(width, eps=EPSILON) if norm == "layer" else nn.Identity() for _ in range(depth)
        )
        self.dropout = nn.Dropout(dropout)
        self.output = _zeroed(nn.Linear(sizes[-1], n_outputs))  # type: ignore[assignment]

    def word_logits(self, values: Tensor, there: Tensor) -> Tensor:
        """See `TaggingNetwork`."""
        if not len(self.hidden):
            values = self.dropout(values)
        for layer, norm in zip(self.hidden, self.norms, strict=True):
            values = self.dropout(nn.functional.gelu(norm(layer(values))))
        return self.output(values)


class BiLSTM(TaggingNetwork):
    """An LSTM in both directions over the words that are there, then a linear layer."""

    def __init__(
        self, n_features: int, n_outputs: int, depth: int, width: int, dropout: float, has_crf: bool
    ) -> None:
        super().__init__(n_outputs, has_crf)
        self.dropout = nn.Dropout(dropout)
        between = dropout if depth > 1 else 0.0
        self.lstm = nn.LSTM(n_features, width, depth, batch_first=True, bidirectional=True, dropout=between)
        self.output = _zeroed(nn.Linear(2 * width, n_outputs))  # type: ignore[assignment]

    def word_logits(self, values: Tensor, there: Tensor) -> Tensor:
        """See `TaggingNetwork`."""
        lengths = there.sum(dim=1).clamp(min=1).cpu()  # an empty sentence is one zero
        packed = pack_padded_sequence(self.dropout(values), lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=values.shape[1])
        return self.output(self.dropout(states))


def _zeroed(layer: nn.Linear) -> nn.Linear:
    """All tags are equally likely at first, and which is which makes no difference to what is learnt."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
