"""Cutting length-sorted samples into batches: a budget for each, and a bound on what padding wastes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

WASTE = 1.5
"""A batch of n is cut where n × longest² is more than this many times the sum of the squares: attention costs
the square of the padded length."""


def longest_first(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The order in which batches are cut: so that too little memory shows at once.

    Parameters
    ----------
    lengths : ndarray of int64, shape (N,)

    Returns
    -------
    ndarray of int64, shape (N,)
        Samples of one length stay in their order.
    """
    order: NDArray[np.int64] = np.argsort(-lengths, kind="stable")
    return order


def batch_end(lengths: NDArray[np.int64], start: int, budget: int, most: int | None = None) -> int:
    """Where the batch that begins at ``start`` ends; it holds at least one sample.

    Parameters
    ----------
    lengths : ndarray of int64, shape (N,)
        What each sample costs, falling.
    start : int
        In [0, N).
    budget : int
        The padded cost of a batch is at most this: its number of samples × the longest of them.
    most : int, optional
        And it holds at most so many samples.

    Examples
    --------
    >>> lengths = np.array([9, 8, 8, 2, 2, 2, 2, 2])
    >>> batch_end(lengths, 0, budget=100)  # eight texts of 9 tokens would be mostly padding
    3
    >>> batch_end(lengths, 3, budget=6)
    6
    """
    longest = max(int(lengths[start]), 1)
    n = max(budget // longest, 1)
    if most is not None:
        n = min(n, most)
    window = lengths[start : start + n].astype(np.float64)
    squares = np.cumsum(np.maximum(window, 1) ** 2)
    wasteful = np.arange(1, len(window) + 1) * float(longest) ** 2 > WASTE * squares
    return start + (int(wasteful.argmax()) if wasteful.any() else len(window))
