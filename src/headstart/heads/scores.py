"""Scores of queries against many rows, in pieces that stay in the processor's cache, by several threads.

Rows are read where they lie, float16 as well as float32, and never scaled: the length of each divides its products.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.cache.rows import widen
from headstart.heads.parallel import each, side_by_side

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.heads.rows import Rows

    Floats = NDArray[np.float64]
    Numbers = NDArray[np.floating[Any]]

BLOCK_ROWS = 1 << 16
"""Rows whose scores are looked at together, at most."""
PIECE_NUMBERS = 1 << 19
"""Numbers of a piece: 2 MB of float32. Of smaller ones threads wait in turn for the interpreter."""
SMALLEST, LARGEST = 1e-25, 1e30
"""Squared lengths between which nothing that counts is lost in single precision."""


def rounding_of(width: int, dtype: np.dtype[Any]) -> float:
    """How far a score of rows (D,) of length 1 is off at most.

    A sum of D products is, in any order, with or without fused multiplication; the square of a length is, too, of which
    the root has half; 16 for what is rounded once.
    """
    return (1.5 * width + 16) * float(np.finfo(dtype).eps) / 2


class Scores:
    """Scores of queries (N, D) against rows (M, D), a block after the other.

    Parameters
    ----------
    queries : ndarray of float64, shape (N, D)
        Each of length 1, or 0.
    among : rows of shape (M, D)
    is_cosine : bool
        Divide by the lengths of the rows.
    most : int
        Scores of a block.
    dtype : float32 or float64
        What is multiplied and summed.
    """

    def __init__(
        self, queries: Floats, among: Rows, is_cosine: bool, most: int, dtype: np.dtype[Any]
    ) -> None:
        self._queries, self._among, self._is_cosine = queries, among, is_cosine
        self._dtype = dtype
        self._left = queries.astype(dtype)
        self._buffers = threading.local()
        self._n_rows = max(1, min(BLOCK_ROWS, most // max(len(queries), 1)))
        self.longest = 1.0 if is_cosine else 0.0
        """The length of the longest row so far that the scores were not divided by."""

    @property
    def rounding(self) -> float:
        """How far a score is off at most, of rows of length 1."""
        return rounding_of(int(self._left.shape[1]), self._dtype)

    def blocks(self) -> Iterator[tuple[slice, Numbers]]:
        """Consecutive rows and the scores of each query, shape (N, n); the array is used again."""
        n, n_rows = self._among.shape[0], self._n_rows
        scores = np.empty((len(self._left), min(n_rows, n)), dtype=self._dtype)
        step = max(1, PIECE_NUMBERS // max(self._left.shape[1], 1))
        with side_by_side():
            for start in range(0, n, n_rows):
                place = slice(start, min(start + n_rows, n))
                block = scores[:, : place.stop - start]
                pieces = [
                    slice(first, min(first + step, place.stop)) for first in range(start, place.stop, step)
                ]
                longest = each(partial(self._score, block, start), pieces)
                self.longest = max(self.longest, *longest)
                yield place, block

    def _score(self, block: Numbers, start: int, piece: slice) -> float:
        """Fill in the scores of a piece; the length of its longest row that they were not divided by."""
        rows = self._among[piece]
        with np.errstate(over="ignore", invalid="ignore"):  # such rows are scored again
            numbers = self._as_numbers(rows)
            squares = np.einsum("nd,nd->n", numbers, numbers)
            to = block[:, piece.start - start : piece.stop - start]
            np.matmul(self._left, numbers.T, out=to)
        is_odd = ~((squares > SMALLEST) & (squares < LARGEST))
        lengths = np.sqrt(np.where(is_odd, 1, squares))
        if self._is_cosine:
            to /= lengths
        longest = 1.0 if self._is_cosine else float(lengths.max(initial=0, where=~is_odd))
        return (
            max(longest, self._again(rows[is_odd], to, np.flatnonzero(is_odd))) if is_odd.any() else longest
        )

    def _as_numbers(self, rows: NDArray[Any]) -> Numbers:
        if rows.dtype != np.float16 or self._dtype != np.float32:
            return rows.astype(self._dtype, copy=False)
        buffer: Numbers | None = getattr(self._buffers, "numbers", None)
        if buffer is None or len(buffer) < len(
            rows
        ):  # one a thread: new memory costs more than what is done in it
            buffer = self._buffers.numbers = np.empty(rows.shape, dtype=np.float32)
        widen(rows, buffer[: len(rows)])
        return buffer[: len(rows)]

    def _again(self, rows: NDArray[Any], to: Numbers, places: NDArray[np.int64]) -> float:
        """Score rows that single precision cannot square: those of zeros, and what is very short or long."""
        doubles = rows.astype(np.float64)
        lengths = np.sqrt(np.square(doubles).sum(axis=1))
        if self._is_cosine:
            doubles /= np.where(lengths > 0, lengths, 1)[:, None]
        most = float(np.finfo(self._dtype).max)
        to[:, places] = (self._queries @ doubles.T).clip(-most, most)
        return 1.0 if self._is_cosine else float(lengths.max())
