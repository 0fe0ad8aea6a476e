"""The nearest of many rows by cosine, and what they say, for every number of neighbours at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
BLOCK_VALUES = 1 << 24
"""Numbers that a block of queries may need at a time: 64 MB in single precision."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Rows whose answers are known.

    Parameters
    ----------
    rows : ndarray of float32, shape (N, D)
        Of length 1.
    answers : ndarray
        Codes of classes (N,), or numbers (N, T).
    n_outputs : int
        Classes, or T.
    temperature : float
        A neighbour of similarity s counts exp(s / temperature).
    """

    rows: Floats
    answers: NDArray[Any]
    n_outputs: int
    temperature: float

    def ask(
        self, queries: Floats, ks: Sequence[int], own: NDArray[np.int64] | None = None
    ) -> Iterator[tuple[slice, list[NDArray[np.float64]]]]:
        """What the neighbours say: blocks of queries, with the answers (B, n_outputs) for each k.

        Parameters
        ----------
        queries : ndarray of float32, shape (M, D)
            Of length 1.
        ks : sequence of int
            Ascending; at most N, or N - 1 with ``own``.
        own : ndarray of int64, shape (M,), optional
            The rows that the queries are: nobody is a neighbour of their own.
        """
        answer_width = 1 if self.answers.ndim == 1 else self.n_outputs
        size = max(1, BLOCK_VALUES // max(len(self.rows), ks[-1] * answer_width, len(ks) * self.n_outputs))
        for start in range(0, len(queries), size):
            part = slice(start, min(start + size, len(queries)))
            near, weights = self._nearest(queries[part], ks[-1], None if own is None else own[part])
            yield part, self._answers(near, weights, ks)

    def _nearest(
        self, queries: Floats, k: int, own: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The k nearest rows of each query, nearest first, and what each counts; both (B, k)."""
        similar = queries @ self.rows.T
        if own is not None:
            similar[np.arange(len(own)), own] = -np.inf
        n = similar.shape[1]
        near = (
            np.argpartition(similar, n - k, axis=1)[:, n - k :]
            if k < n
            else np.tile(np.arange(n), (len(queries), 1))
        )
        near.sort(axis=1)  # so that of equals the first row comes first, whatever the partition did
        found = np.take_along_axis(similar, near, axis=1).astype(np.float64)
        order = np.argsort(-found, axis=1, kind="stable")
        near, found = np.take_along_axis(near, order, axis=1), np.take_along_axis(found, order, axis=1)
        return near, np.exp((found - found[:, :1]) / self.temperature)

    def _answers(
        self, near: NDArray[np.int64], weights: NDArray[np.float64], ks: Sequence[int]
    ) -> list[NDArray[np.float64]]:
        """Weighted means of the answers of the first k, for each k; those of a smaller k are gone on with."""
        n = len(near)
        total = np.zeros((n, self.n_outputs))
        answers, before = [], 0
        for k in ks:
            total += self._sum(near[:, before:k], weights[:, before:k])
            answers.append(total / weights[:, :k].sum(axis=1, keepdims=True))
            before = k
        return answers

    def _sum(self, near: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        found = self.answers[near]
        if found.ndim == 3:
            summed: NDArray[np.float64] = np.einsum("bk,bkt->bt", weights, found)
            return summed
        places = np.arange(len(near))[:, None] * self.n_outputs + found
        votes: Any = np.bincount(places.ravel(), weights.ravel(), minlength=len(near) * self.n_outputs)
        counted: NDArray[np.float64] = votes.reshape(len(near), self.n_outputs)
        return counted


def unit_rows(Z: NDArray[np.floating[Any]]) -> Floats:
    """Rows of length 1, float32; those of zeros stay as they are."""
    lengths = np.sqrt(np.einsum("ij,ij->i", Z, Z, dtype=np.float64))[:, None]
    rows: Floats = np.divide(Z, np.where(lengths > 0, lengths, 1)).astype(np.float32, copy=False)
    return rows


def squared_errors(said: NDArray[np.float64], answers: NDArray[Any]) -> float:
    """Sum over samples and outputs of squared errors; of codes (M,), of shares of the classes (Brier)."""
    if answers.ndim == 2:
        return float(np.square(said - answers).sum())
    # A class that training lacks is nobody's share.
    right = np.where(answers >= 0, said[np.arange(len(said)), answers.clip(min=0)], 0)
    return float((np.square(said).sum(axis=1) - 2 * right + 1).sum())
