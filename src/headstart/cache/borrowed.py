"""A space beside another one of the same recipe in a cache that is only read, such as the one that a run names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headstart.cache.formats import concatenated, take
from headstart.cache.recipe import Recipe
from headstart.cache.space import Space
from headstart.cache.token_counts import UNKNOWN
from headstart.errors import StorageError
from headstart.types import Features


class ReadOnlySpace(Space):
    """A space of a cache that nothing is written to."""

    def check_writable(self) -> None:
        """Refuse."""
        raise StorageError(f"{self.path} lies in a cache that is only read")


class BorrowingSpace(Space):
    """A space that is written to, and reads what it lacks from another one."""

    def __init__(self, path: Path, recipe: Recipe, lender: ReadOnlySpace) -> None:
        super().__init__(path, recipe)
        self._lender = lender

    def held(self, keys: NDArray[np.uint8], recent: bool = False) -> NDArray[np.bool_]:
        """Which keys, shape (N, 16), have a row in either; shape (N,)."""
        held = super().held(keys, recent)
        held[~held] = self._lender.held(keys[~held], recent)
        return held

    def n_tokens(self, keys: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Its own counts, and those of the other where it has none."""
        counts = super().n_tokens(keys)
        unknown = counts == UNKNOWN
        counts[unknown] = self._lender.n_tokens(keys[unknown])
        return counts

    def gather(self, keys: NDArray[np.uint8]) -> Features:
        """The rows of keys, in their order: its own, where it has one."""
        own = super().held(keys)
        if own.all():
            return super().gather(keys)
        if not own.any():
            return self._lender.gather(keys)
        both = concatenated([super().gather(keys[own]), self._lender.gather(keys[~own])])
        order = np.concatenate([np.flatnonzero(own), np.flatnonzero(~own)])
        return take(both, np.argsort(order))
