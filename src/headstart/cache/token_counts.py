"""How many tokens texts had before they were cut to what a model takes: a derived file beside the shards of a space."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headstart.cache.memos import FingerprintMemo
from headstart.keys import KEY_BYTES

UNKNOWN = 0
COUNT_BYTES = 8


class TokenCounts:
    """Counts by key, in one folder: n tokens; -n, more than n, where nobody counted to the end; 0, not known.

    A count follows from the text and the recipe alone, so it is right wherever it is found, and two writers agree. Of
    files that are deleted or damaged nothing is known any more.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._memo = FingerprintMemo(folder)

    def lookup(self, keys: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The counts of keys, shape (N, 16); shape (N,)."""
        values, known = self._memo.lookup(keys)
        counts: NDArray[np.int64] = values[:, :COUNT_BYTES].copy().view("<i8")[:, 0].astype(np.int64)
        counts[~known] = UNKNOWN
        return counts

    def remember(self, keys: NDArray[np.uint8], counts: NDArray[np.int64]) -> None:
        """Keep counts, shape (N,), of keys, shape (N, 16)."""
        values = np.zeros((len(keys), KEY_BYTES), dtype=np.uint8)
        values[:, :COUNT_BYTES] = np.ascontiguousarray(counts, dtype="<i8")[:, None].view(np.uint8)
        known = counts != UNKNOWN
        self._memo.remember(keys[known], values[known])
