"""Samples of several vectors each: tokens, patches, or the layers of a backbone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError
from headstart.samples import are_sequences

SAMPLES_A_BLOCK = 256


@dataclass(frozen=True)
class Sequences:
    """N sequences of vectors of width D, end to end.

    Parameters
    ----------
    values : array-like of float, shape (T, D)
        Sliced by rows; may be mapped from disk.
    offsets : ndarray of int64, shape (N + 1,)
        Sequence n is ``values[offsets[n] : offsets[n + 1]]``.

    Examples
    --------
    >>> two = Sequences(np.arange(6.0).reshape(3, 2), np.array([0, 1, 3]))
    >>> two.padded(np.array([0, 1]))[1].tolist()
    [[True, False], [True, True]]
    """

    values: Any
    offsets: NDArray[np.int64]

    @property
    def width(self) -> int:
        """D."""
        return int(self.values.shape[1])

    @property
    def longest(self) -> int:
        """The most vectors that a sequence has."""
        return int(np.diff(self.offsets).max(initial=1))

    @property
    def nbytes(self) -> int:
        """Of all vectors."""
        return int(self.values.nbytes)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """How many vectors each has, (N,)."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def joined(self, other: Sequences) -> Sequences:
        """These sequences and then others."""
        both = np.concatenate([self.values, other.values])
        return Sequences(both, np.concatenate([self.offsets, other.offsets[1:] + self.offsets[-1]]))

    def padded(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Some sequences (B, L, D), zeros after the end of each, and what is there, (B, L)."""
        lengths = self.offsets[rows + 1] - self.offsets[rows]
        longest = max(int(lengths.max(initial=0)), 1)
        padded = np.zeros((len(rows), longest, self.width), dtype=np.float32)
        for place, row in enumerate(rows):
            padded[place, : lengths[place]] = self.values[self.offsets[row] : self.offsets[row + 1]]
        return padded, np.arange(longest) < lengths[:, None]


class VectorSequences(Protocol):
    """N sequences of vectors: `Sequences`, or those of a set that stay on disk (`FeatureSet.tokens`)."""

    @property
    def width(self) -> int:
        """D."""

    @property
    def longest(self) -> int:
        """The most vectors that a sequence has."""

    def __len__(self) -> int:
        """N."""

    def padded(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """See `Sequences.padded`."""


def sequences_of(X: Any) -> VectorSequences | None:
    """What may be attended to: sequences as they are, or an array (N, L, D), or N arrays (L_i, D).

    None: one vector a sample.
    """
    if are_sequences(X):
        sequences: VectorSequences = X
        return sequences
    if not hasattr(X, "ndim") and len(X) and all(np.ndim(each) == 2 for each in X):
        return Sequences(np.concatenate(X), np.cumsum([0, *map(len, X)]))
    array = X if isinstance(X, np.ndarray) else np.asarray(X)
    if array.ndim != 3:
        return None
    n_samples, n_vectors, width = array.shape
    return Sequences(array.reshape(-1, width), np.arange(n_samples + 1) * n_vectors)


def held_sequences(sequences: VectorSequences) -> Sequences:
    """The same in memory, in single precision."""
    if isinstance(sequences, Sequences) and isinstance(sequences.values, np.ndarray):
        return sequences
    parts, lengths = [np.zeros((0, sequences.width), dtype=np.float32)], [np.zeros(1, dtype=np.int64)]
    for start in range(0, len(sequences), SAMPLES_A_BLOCK):
        padded, mask = sequences.padded(np.arange(start, min(start + SAMPLES_A_BLOCK, len(sequences))))
        parts.append(padded[mask])
        lengths.append(mask.sum(axis=1))
    return Sequences(np.concatenate(parts), np.cumsum(np.concatenate(lengths)))


def side_by_side(parts: Sequence[Sequences]) -> Sequences:
    """Sequences whose vectors are those of several, of as many vectors each, one behind the other: (T, D + D')."""
    if any(not np.array_equal(part.offsets, parts[0].offsets) for part in parts[1:]):
        raise DataError(
            "samples have other numbers of vectors at other taps: these cannot be put side by side"
        )
    return Sequences(np.concatenate([part.values for part in parts], axis=1), parts[0].offsets)


def vectors_of(sequences: VectorSequences) -> Iterator[NDArray[np.float32]]:
    """All vectors, those of a few samples at a time."""
    for start in range(0, len(sequences), SAMPLES_A_BLOCK):
        padded, mask = sequences.padded(np.arange(start, min(start + SAMPLES_A_BLOCK, len(sequences))))
        yield padded[mask]
