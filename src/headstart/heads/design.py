"""Features as a regression sees them: centred and scaled, in double precision, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headstart.heads.arrays import moved
from headstart.heads.moments import moments_of
from headstart.heads.rows import in_blocks

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from headstart.heads.arrays import Array
    from headstart.heads.rows import Rows

    Floats = NDArray[np.float64]

BLOCK_BYTES = 16 << 20
"""Of a block of features in double precision: small, and still long enough for BLAS."""


@dataclass(frozen=True, slots=True)
class Design:
    """A matrix of which nothing of its size is ever held besides it.

    Parameters
    ----------
    X : Rows, shape (N, D)
        Rows that stay on disk are read into memory at once where N <= D, and only there.
    mean, scale : ndarray, shape (D,)
        The mean is that of the rows that are fitted.
    gpu : torch.device, optional
        Where blocks are handed out; None: as numpy's arrays.
    """

    X: Rows
    mean: Floats
    scale: Floats
    gpu: torch.device | None = None

    @classmethod
    def standardised(cls, X: Rows) -> Design:
        """Rows by their own mean and scale."""
        mean, scale = moments_of(block for _, block in in_blocks(X))
        return cls(X, mean, scale)

    def rows(self, at_least: int = 1) -> Iterator[tuple[slice, Array]]:
        """Blocks of rows (B, D); each is overwritten by the next."""
        n, width = self.X.shape
        size = max(1, min(n, max(at_least, BLOCK_BYTES // (8 * width))))
        room = np.empty((size, width))
        for part, found in in_blocks(self.X, size):
            block = room[: len(found)]
            np.subtract(found, self.mean, out=block)
            block /= self.scale
            yield part, moved(block, self.gpu)

    def columns(self, at_least: int = 1) -> Iterator[tuple[slice, Array]]:
        """Blocks of columns (N, B)."""
        n, width = self.X.shape
        size = max(1, at_least, BLOCK_BYTES // (8 * n))
        held = self.X[:]  # a view, where it is an array
        for start in range(0, width, size):
            part = slice(start, start + size)
            yield part, moved((held[:, part] - self.mean[part]) / self.scale[part], self.gpu)
