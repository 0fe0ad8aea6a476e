"""What a page has room for: how much of everything, and which samples come first where not all fit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]

MOST_QUEUED = 5000
"""Samples of a queue: nobody looks at more."""
MOST_PROBABILITIES = 4_000_000
"""Probabilities of all classes, one byte each; of more only those of the predictions."""
TEXT_BYTES = 12_000_000
"""Of all texts together."""
MOST_SLICES = 1000
MOST_PAIRS = 200_000_000
"""Of a sample and one of train that are compared to find the nearest: some seconds."""
MOST_AUDITED = 20_000
"""Samples of a set that is audited without being asked for: all are compared with all, and these take half a minute."""


def first_seen(parts: Iterable[Rows]) -> Rows:
    """The rows of several lists one after the other, each once; those below 0 are none.

    Examples
    --------
    >>> first_seen([np.array([5, 2]), np.array([2, -1, 7])]).tolist()
    [5, 2, 7]
    """
    rows = np.concatenate([np.empty(0, dtype=np.int64), *parts]).astype(np.int64)
    rows = rows[rows >= 0]
    _, first = np.unique(rows, return_index=True)
    return rows[np.sort(first)]


def evenly_drawn(strata: Rows, seed: int) -> Rows:
    """All rows in an order whose beginning is a draw with as many of each stratum as there are, shape (N,).

    Examples
    --------
    >>> sorted(evenly_drawn(np.array([0] * 98 + [1, 1]), 0)[:4].tolist())[2:]
    [98, 99]
    """
    shuffled = np.random.default_rng(seed).permutation(len(strata))
    order = shuffled[np.argsort(strata[shuffled], kind="stable")]
    starts = np.flatnonzero(np.diff(strata[order], prepend=strata[order[:1]] - 1))
    place = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = place  # which of its stratum a row is
    found: Rows = shuffled[np.argsort(rank[shuffled], kind="stable")]
    return found


def strata_of(*codes: NDArray[np.integer]) -> Rows:
    """One number for every combination of several codes of N samples."""
    strata = np.zeros(len(codes[0]), dtype=np.int64)
    for each in codes:
        strata = strata * (int(each.max(initial=0)) + 2) + each + 1
    return strata


def choose(n_most: int, first: Rows, drawn: Rows) -> Rows:
    """At most so many rows: the first ones, then those of a draw of all; sorted."""
    return np.sort(first_seen([first, drawn])[:n_most])
