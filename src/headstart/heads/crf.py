"""A linear-chain conditional random field over the tags of a sequence of words, trained through torch.

References
----------
Lafferty, McCallum and Pereira (2001), Conditional Random Fields; Huang, Xu and Yu (2015), Bidirectional LSTM-CRF
Models for Sequence Tagging.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from headstart.heads.decoding import Transitions

SPREAD = 0.1
"""Transitions start uniformly within plus and minus this."""


class CRF(nn.Module):
    """What it scores that a sequence starts with a tag, goes on from one tag to another, and ends.

    Parameters
    ----------
    n_tags : int
        C.
    """

    def __init__(self, n_tags: int) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.empty(n_tags).uniform_(-SPREAD, SPREAD))
        self.next = nn.Parameter(torch.empty(n_tags, n_tags).uniform_(-SPREAD, SPREAD))
        self.last = nn.Parameter(torch.empty(n_tags).uniform_(-SPREAD, SPREAD))

    def forward(self, scores: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """The log-likelihood of each sequence of tags, shape (B,); 0 of an empty one.

        Parameters
        ----------
        scores : Tensor, shape (B, T, C)
            Of each tag of each word.
        tags : Tensor of int64, shape (B, T)
            What stands behind a sequence's end does not matter.
        mask : Tensor of bool, shape (B, T)
            True for words, which come before all padding.
        """
        if not scores.shape[1]:
            return scores.new_zeros(len(scores))
        tags = tags.where(mask, 0)
        return (self.score(scores, tags, mask) - self.log_partition(scores, mask)) * mask[:, 0]

    def score(self, scores: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """What each sequence of tags scores, before it is normalised, shape (B,)."""
        weight = mask.to(scores.dtype)
        words = (scores.gather(2, tags[:, :, None])[:, :, 0] * weight).sum(1)
        moves = (self.next[tags[:, :-1], tags[:, 1:]] * weight[:, 1:]).sum(1)
        ends = (mask.sum(1) - 1).clamp(min=0)
        return words + moves + self.first[tags[:, 0]] + self.last[tags.gather(1, ends[:, None])[:, 0]]

    def log_partition(self, scores: Tensor, mask: Tensor) -> Tensor:
        """The logarithm of the sum over all sequences of tags of the exponential of what each scores, shape (B,)."""
        reached = self.first + scores[:, 0]
        for step in range(1, scores.shape[1]):
            onwards = (reached[:, :, None] + self.next).logsumexp(1) + scores[:, step]
            reached = onwards.where(mask[:, step, None], reached)
        return (reached + self.last).logsumexp(1)

    def transitions(self) -> Transitions:
        """What it has learnt, for `headstart.heads.decoding.best_sequences`."""
        parts = (
            part.detach().cpu().numpy().astype(np.float64) for part in (self.first, self.next, self.last)
        )
        return Transitions(*parts)
