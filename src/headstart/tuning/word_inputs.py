"""Sentences as a network that is trained takes them: which tokens of which window are read for which word.

Importing this imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.backbones.pooling import UNIT
from headstart.token_rows import Windows, WordRow

PIECES, OWNERS, MASK = "word_pieces", "word_owners", "word_mask"
WORD_INPUTS = (PIECES, OWNERS, MASK)
"""Entries of a batch: tokens that are read (P,), among all of the batch, the word that each is of (P,), among all
places for words, and which places (B, T) have a word."""


def windows_of(prepared: Any) -> Sequence[Any]:
    """The rows of a prepared sample: one, or one for each window."""
    return prepared.rows if isinstance(prepared, Windows) else [prepared]


def word_inputs(prepared: Sequence[Any], tap: str, width: int) -> dict[str, Tensor]:
    """`WORD_INPUTS` of B sentences, whose windows are padded to so many tokens."""
    sentences: list[Sequence[WordRow]] = [windows_of(sample) for sample in prepared]
    counts = np.array([rows[0].n_words for rows in sentences])
    n_places = max(int(counts.max(initial=0)), 1)
    pooling = tap.removesuffix(UNIT).partition(".")[2]
    pieces, owners, n_rows = [np.empty(0, np.int64)], [np.empty(0, np.int64)], 0
    for number, rows in enumerate(sentences):
        at = np.concatenate([(n_rows + place) * width + row.places for place, row in enumerate(rows)])
        words = np.concatenate([row.words for row in rows])
        chosen = _chosen(words, pooling)
        pieces.append(at[chosen])
        owners.append(words[chosen] + number * n_places)
        n_rows += len(rows)
    there = torch.arange(n_places) < torch.from_numpy(counts)[:, None]
    read, of = (torch.from_numpy(np.concatenate(part)) for part in (pieces, owners))
    return {PIECES: read, OWNERS: of, MASK: there}


def gather_words(hidden: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    """Vectors of words (B, T, D), zeros where there is none, from those of tokens (windows, tokens, D)."""
    n_sentences, n_places = batch[MASK].shape
    owners = batch[OWNERS]
    tokens = hidden.flatten(0, 1)[batch[PIECES]].float()
    sums = tokens.new_zeros(n_sentences * n_places, hidden.shape[-1]).index_add(0, owners, tokens)
    counts = torch.bincount(owners, minlength=len(sums)).clamp(min=1)
    return (sums / counts[:, None]).view(n_sentences, n_places, -1)


def _chosen(words: np.ndarray[Any, Any], pooling: str) -> np.ndarray[Any, Any]:
    """The tokens that a pooling reads, by number, of the tokens of ``words``, which rises."""
    if pooling == "words-mean" or not len(words):
        return np.arange(len(words))
    is_new = words[1:] != words[:-1]
    return np.flatnonzero(np.r_[True, is_new] if pooling == "words" else np.r_[is_new, True])
