"""Samples that are held out of training, to choose a parameter by."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PART = 5
"""One in so many samples is held out."""


def held_out(codes: NDArray[Any], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to train on and rows to choose by: a fifth of each class, and none of a class with one sample.

    Parameters
    ----------
    codes : ndarray
        Of classes (N,); labels 0/1 or numbers (N, L) are not stratified.
    seed : int

    Returns
    -------
    train, held : ndarray of int64
        Sorted. Where all classes have one sample, both are all rows.
    """
    n = len(codes)
    order = np.random.default_rng(seed).permutation(n)
    classes = codes if codes.ndim == 1 else np.zeros(n, dtype=np.int64)
    # Samples in their drawn order, class by class: each is held out if its place among its own says so.
    grouped = order[np.argsort(classes[order], kind="stable")]
    counts = np.bincount(classes)
    counts = counts[counts > 0]
    place = np.arange(n) - np.repeat(np.cumsum(counts) - counts, counts)
    quota = np.repeat(np.where(counts < 2, 0, np.maximum(np.round(counts / PART), 1)), counts)
    held = np.sort(grouped[place < quota])
    if not len(held):
        return np.arange(n), np.arange(n)
    return np.setdiff1d(np.arange(n), held), held
