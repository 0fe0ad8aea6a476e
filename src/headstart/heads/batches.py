"""How many samples a step of training sees."""

from __future__ import annotations

import numpy as np

SMALLEST_BATCH, LARGEST_BATCH, STEPS_AN_EPOCH = 8, 256, 16


def batch_of(n_samples: int) -> int:
    """How many samples a step sees where nobody says it.

    Examples
    --------
    >>> [batch_of(n) for n in (20, 1_600, 50_000)]
    [8, 100, 256]
    """
    return int(np.clip(n_samples // STEPS_AN_EPOCH, SMALLEST_BATCH, LARGEST_BATCH))
