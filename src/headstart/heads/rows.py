"""Matrices that are read in stretches of rows: an array, or features that stay on disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_ROWS = 4096
"""Rows that are worked on together: 12 MB of a float32 matrix of 768 columns."""


class Rows(Protocol):
    """A matrix of shape (N, D): an array, or `headstart.FeatureSet.mapped`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, D)."""

    def __getitem__(self, rows: Any, /) -> NDArray[Any]:
        """Some of its rows."""


@dataclass(frozen=True)
class Chosen:
    """Some rows of a matrix, in an order of one's own, without a copy of it.

    Parameters
    ----------
    matrix : Rows
        Shape (N, D).

    Examples
    --------
    >>> Chosen(np.arange(8).reshape(4, 2), np.array([3, 0]))[0:1].tolist()
    [[6, 7]]
    """

    matrix: Rows
    numbers: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, D)."""
        return len(self.numbers), self.matrix.shape[1]

    def __getitem__(self, rows: Any, /) -> NDArray[Any]:
        """Some of the chosen rows."""
        return self.matrix[self.numbers[rows]]


def in_blocks(X: Rows, size: int = BLOCK_ROWS) -> Iterator[tuple[slice, NDArray[Any]]]:
    """The rows of a matrix a block at a time, each with its place."""
    for start in range(0, X.shape[0], size):
        place = slice(start, min(start + size, X.shape[0]))
        yield place, X[place]


def first_copies(X: Rows) -> NDArray[np.int64]:
    """For each row the first that is the same to the bit, shape (N,).

    Examples
    --------
    >>> first_copies(np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]])).tolist()
    [0, 1, 0]
    """
    first: dict[bytes, int] = {}
    contents = (blake2b(row.tobytes(), digest_size=16).digest() for _, block in in_blocks(X) for row in block)
    return np.array([first.setdefault(content, row) for row, content in enumerate(contents)], dtype=np.int64)


def mean_of(X: Rows) -> NDArray[np.float64]:
    """The mean of each column, shape (D,), in double precision."""
    total = np.zeros(X.shape[1])
    for _, block in in_blocks(X):
        total += block.sum(axis=0, dtype=np.float64)
    return total / max(X.shape[0], 1)
