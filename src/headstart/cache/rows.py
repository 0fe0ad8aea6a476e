"""Rows of dense and ragged features: taking some, and whether all of them hang together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from headstart.errors import CorruptShardError
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


def together(keys: NDArray[np.uint8], parts: Sequence[tuple[NDArray[np.int64], Features]]) -> Features:
    """Rows of several shards as one.

    Parameters
    ----------
    keys : ndarray of uint8, shape (N, 16)
        In the order asked for.
    parts : sequence of (positions, Features)
        Which of the keys each part holds; together they hold all of them.

    Raises
    ------
    CorruptShardError
        They are of different widths or dtypes, or both dense and ragged.
    """
    shapes = {(part.values.shape[1], str(part.values.dtype), part.offsets is None) for _, part in parts}
    if len(shapes) != 1:
        raise CorruptShardError(f"one space holds features of different kinds: {sorted(shapes)}")
    ((width, dtype, dense),) = shapes
    if dense:
        values = np.empty((len(keys), width), dtype=dtype)
        for positions, part in parts:
            values[positions] = part.values
        return Features(keys, values)
    order = np.empty(len(keys), dtype=np.int64)
    order[np.concatenate([positions for positions, _ in parts])] = np.arange(len(keys))
    lengths = np.concatenate([np.diff(part.offsets) for _, part in parts if part.offsets is not None])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    stacked = Features(
        np.concatenate([part.keys for _, part in parts]),
        np.concatenate([part.values for _, part in parts]),
        offsets,
    )
    return take(stacked, order)


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
