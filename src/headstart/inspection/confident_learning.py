"""Confident learning: which labels are wrong, by what a model says of samples that it was not trained on.

Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels" (JAIR 70), pruned by
noise rate. The calibration and the rounding of counts are those of cleanlab 2, so that both find the same labels;
importing cleanlab itself takes three seconds, more than an audit of ten thousand samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ALIKE = 1e-6
"""Probabilities that are closer are taken to be equal."""


def wrong_labels(y: Ints, probabilities: Floats, rank: Ints | None = None) -> NDArray[np.bool_]:
    """Which labels are likely wrong.

    Parameters
    ----------
    y : ndarray of int64, shape (N,)
        Labels in [0, C); each class has one at least.
    probabilities : ndarray of float64, shape (N, C)
        Of each class by a model that was not trained on the sample.
    rank : ndarray of int64, shape (N,), optional
        Of samples that are equally likely wrong those of the lowest rank come first; None: of the lowest row.

    Returns
    -------
    ndarray of bool, shape (N,)

    Examples
    --------
    >>> y = np.array([0, 0, 0, 1, 1, 1])
    >>> of_one = np.array([0.1, 0.2, 0.9, 0.8, 0.9, 0.7])
    >>> wrong_labels(y, np.column_stack([1 - of_one, of_one]))
    array([False, False,  True, False, False, False])
    """
    found = np.zeros(len(y), dtype=np.bool_)
    rank = np.arange(len(y)) if rank is None else rank
    for given, n_of_each in enumerate(_n_wrong(_confident_joint(y, probabilities))):
        rows = np.flatnonzero(y == given)
        if len(rows) < 2:
            continue  # the only sample of a class is not taken from it
        for true in np.flatnonzero(n_of_each):
            margin = probabilities[rows, true] - probabilities[rows, given]
            found[rows[np.lexsort((rank[rows], -margin))[: n_of_each[true]]]] = True
    return found & ~_is_likeliest(y, probabilities)


def wrong_indicators(
    Y: NDArray[np.bool_], probabilities: Floats, rank: Ints | None = None
) -> NDArray[np.bool_]:
    """Which of N samples have a label too much or too few, (N,): each of L labels is judged alone.

    ``Y`` and ``probabilities`` are (N, L); a label that all samples have, or none, cannot be judged. ``rank``
    as of `wrong_labels`.
    """
    found = np.zeros(len(Y), dtype=np.bool_)
    for has, of_one in zip(Y.T, probabilities.T, strict=True):
        if has.any() and not has.all():
            found |= wrong_labels(has.astype(np.int64), np.column_stack([1 - of_one, of_one]), rank)
    return found


def _confident_joint(y: Ints, probabilities: Floats) -> Ints:
    """How many samples of each given class are of each true one, (C, C), by those whose class is confident.

    A class is confident where it is at least as probable as for the samples that have it, in the mean; of a sample
    with several the likeliest counts. The counts are scaled so that those of a given class sum to its samples.
    """
    n_of_class = np.bincount(y, minlength=probabilities.shape[1])
    thresholds = [probabilities[y == given, given].mean() for given in range(len(n_of_class))]
    is_confident = probabilities >= np.maximum(thresholds, 2 * ALIKE) - ALIKE
    is_sure = is_confident.sum(axis=1) == 1
    likeliest = np.where(is_sure, is_confident.argmax(axis=1), probabilities.argmax(axis=1))
    rows = np.flatnonzero(is_confident.any(axis=1))
    joint = np.zeros((len(n_of_class), len(n_of_class)))
    np.add.at(joint, (y[rows], likeliest[rows]), 1)
    np.fill_diagonal(joint, joint.diagonal().clip(min=1))
    return _rounded(joint * n_of_class[:, None] / joint.sum(axis=1, keepdims=True))


def _n_wrong(joint: Ints) -> Ints:
    """How many labels of each given class belong to each true one, (C, C), rounded down; each class keeps a sample."""
    missing = np.maximum(1 - joint.diagonal(), 0)
    shared_by = np.maximum(np.count_nonzero(joint, axis=1) - 1, 1)
    counts: Ints = np.maximum(joint - (missing / shared_by)[:, None], 0).astype(np.int64)
    np.fill_diagonal(counts, 0)
    return counts


def _rounded(counts: Floats) -> Ints:
    """Whole numbers, of which each row sums to what it summed to, rounded."""
    whole = counts.round()
    for row, (exact, near) in enumerate(zip(counts, whole, strict=True)):
        while lacking := int(exact.sum().round() - near.sum()):
            order = np.argsort(exact - near, kind="stable")
            chosen = order[::-1][:lacking] if lacking > 0 else order[:-lacking]
            whole[row, chosen] += np.sign(lacking)
    return whole.astype(np.int64)


def _is_likeliest(y: Ints, probabilities: Floats) -> NDArray[np.bool_]:
    raised = probabilities.copy()
    raised[np.arange(len(y)), y] += ALIKE
    likeliest: NDArray[np.bool_] = raised.argmax(axis=1) == y
    return likeliest
