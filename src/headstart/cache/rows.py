"""Taking rows out of dense and ragged features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headstart.types import Features

if TYPE_CHECKING:
    from numpy.typing import NDArray


def take(features: Features, rows: NDArray[np.int64]) -> Features:
    """Some rows of dense or ragged features, in the order asked for."""
    keys = features.keys[rows]
    if features.offsets is None:
        return Features(keys, features.values[rows])
    starts, stops = features.offsets[rows], features.offsets[rows + 1]
    offsets = np.concatenate([[0], np.cumsum(stops - starts)]).astype(np.int64)
    # Positions of all tokens at once: each row's start, minus where it lands, plus a running count.
    positions = np.repeat(starts - offsets[:-1], stops - starts) + np.arange(offsets[-1])
    return Features(keys, features.values[positions], offsets)
