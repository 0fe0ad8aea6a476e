"""Rows of dense and ragged features: taking some, and whether all of them hang together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headstart.keys import KEY_BYTES
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


def problem_of(features: Features) -> str | None:
    """What keeps features from being a shard, in a phrase; None if nothing does."""
    keys, values, offsets = features.keys, features.values, features.offsets
    if keys.dtype != np.uint8 or keys.ndim != 2 or keys.shape[1] != KEY_BYTES or not len(keys):
        return f"its keys are {keys.dtype} of shape {keys.shape}, expected uint8 of shape (1 or more, 16)"
    if values.dtype not in (np.float16, np.float32) or values.ndim != 2 or not values.shape[1]:
        return (
            f"its features are {values.dtype} of shape {values.shape}, expected vectors of float16 or float32"
        )
    if offsets is None:
        return None if len(values) == len(keys) else f"it has {len(keys)} keys and {len(values)} features"
    if offsets.dtype != np.int64 or offsets.shape != (len(keys) + 1,):
        return (
            f"its offsets are {offsets.dtype} of shape {offsets.shape}, expected one int64 a key and one more"
        )
    if offsets[0] != 0 or offsets[-1] != len(values) or (np.diff(offsets) < 0).any():
        return "its offsets do not run from the first of its features to the last"
    return None
