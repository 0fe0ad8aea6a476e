"""The best sequence of tags for what a head says of each word: Viterbi, within what may follow what.

In numpy, for heads with a CRF and without: without one the scores of words are all there is, and the constraints of a
tagging scheme still keep illegal sequences out.

References
----------
Viterbi (1967), Error Bounds for Convolutional Codes and an Asymptotically Optimum Decoding Algorithm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError
from headstart.tasks.schemes import Moves

FORBIDDEN = -1e9
"""What an illegal move scores: where no legal sequence exists, the one with the fewest illegal moves is the best."""
AT_ONCE = 1 << 22
"""Numbers of a block of sequences, with their padding."""


@dataclass(frozen=True, slots=True)
class Transitions:
    """What it scores that a sequence starts with one of C tags (C,), goes on from one to another (C, C), ends (C,)."""

    first: NDArray[np.float64]
    next: NDArray[np.float64]
    last: NDArray[np.float64]

    @classmethod
    def allowing(cls, moves: Moves) -> Transitions:
        """Nothing for what is legal."""
        return cls.free(len(moves.first)).within(moves)

    @classmethod
    def free(cls, n_tags: int) -> Transitions:
        """Nothing for anything."""
        return cls(np.zeros(n_tags), np.zeros((n_tags, n_tags)), np.zeros(n_tags))

    def within(self, moves: Moves) -> Transitions:
        """The same, with what is illegal forbidden."""
        return Transitions(
            np.where(moves.first, self.first, FORBIDDEN),
            np.where(moves.next, self.next, FORBIDDEN),
            np.where(moves.last, self.last, FORBIDDEN),
        )


def best_sequences(
    scores: Sequence[NDArray[np.floating[Any]]], transitions: Transitions
) -> list[NDArray[np.int64]]:
    """The sequence of tags with the greatest sum of scores for each of N sequences of words.

    Parameters
    ----------
    scores : sequence of N arrays, each of shape (T_i, C)
        Of each tag of each word, such as log-probabilities; T_i may be 0.
    transitions : Transitions

    Returns
    -------
    list of N ndarrays of int, each of shape (T_i,)

    Raises
    ------
    DataError
        A score is not finite.
    """
    lengths = np.array([len(each) for each in scores], dtype=np.int64)
    found: list[NDArray[np.int64]] = [np.empty(0, dtype=np.int64)] * len(scores)
    for rows in _blocks(lengths, len(transitions.first)):
        padded = np.zeros((lengths[rows[0]], len(rows), len(transitions.first)))
        for place, row in enumerate(rows):
            padded[: lengths[row], place] = scores[row]
        if not np.isfinite(padded).all():
            raise DataError(
                "the head gives no number for some words: its training diverged; lower the learning rate"
            )
        tags = _best(padded, lengths[rows], transitions)
        for place, row in enumerate(rows):
            found[row] = tags[: lengths[row], place].copy()
    return found


def marginals(
    scores: Sequence[NDArray[np.floating[Any]]], transitions: Transitions
) -> Iterator[NDArray[np.float64]]:
    """The probability of each tag of each word over all sequences of tags, (T_i, C), by the forward-backward algorithm.

    For the parameters see `best_sequences`.
    """
    from scipy.special import logsumexp

    for each in scores:
        n_words = len(each)
        ahead, back = np.zeros((2, n_words, len(transitions.first)))
        for step in range(n_words):
            came = (
                logsumexp(ahead[step - 1][:, None] + transitions.next, axis=0) if step else transitions.first
            )
            ahead[step] = came + each[step]
        for step in reversed(range(n_words)):
            is_last = step == n_words - 1
            back[step] = (
                transitions.last
                if is_last
                else logsumexp(transitions.next + (each[step + 1] + back[step + 1])[None], axis=1)
            )
        both = ahead + back
        yield np.exp(both - logsumexp(both, axis=1, keepdims=True))


def _blocks(lengths: NDArray[np.int64], n_tags: int) -> Iterator[NDArray[np.int64]]:
    """Rows of similar length, the longest first, without those of length 0."""
    order = np.argsort(-lengths, kind="stable")
    order = order[lengths[order] > 0]
    while len(order):
        size = max(int(AT_ONCE // (lengths[order[0]] * n_tags * n_tags)), 1)
        yield order[:size]
        order = order[size:]


def _best(
    scores: NDArray[np.float64], lengths: NDArray[np.int64], transitions: Transitions
) -> NDArray[np.int64]:
    """Tags (T, B) of scores (T, B, C) of sequences that are ordered by length, the longest first."""
    n_steps, n, n_tags = scores.shape
    came_from = np.zeros((n_steps, n, n_tags), dtype=np.int64)
    reached = transitions.first + scores[0]  # the best sum of a sequence so far that ends in each tag, (B, C)
    for step in range(1, n_steps):
        going = int(np.searchsorted(-lengths, -step))  # so many are longer than this
        ways = reached[:going, :, None] + transitions.next
        came_from[step, :going] = ways.argmax(axis=1)
        reached[:going] = ways.max(axis=1) + scores[step, :going]
    tags = np.zeros((n_steps, n), dtype=np.int64)
    last = (reached + transitions.last).argmax(axis=1)
    for step in range(n_steps - 1, -1, -1):
        going = int(np.searchsorted(-lengths, -step))
        tags[step, :going] = last[:going]
        last[:going] = came_from[step, np.arange(going), last[:going]]
    return tags
