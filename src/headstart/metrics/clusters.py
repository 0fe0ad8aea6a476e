"""What samples that belong together are worth: a hundred pictures of three patients are no hundred samples.

The variance of a share is that between groups (Taylor linearisation), and its exact interval that of as many
independent samples as have this variance, with Student's t of the groups (Korn and Graubard, Survey Methodology 24,
1998). Where few groups have a mistake, nothing says how alike their samples are: as far as that goes all samples of a
group count as one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headstart.groups import Groups, evenness
from headstart.metrics.resampling import LEVEL

TAIL = (1 - LEVEL) / 2
ALIKE = 2.0
"""As many groups with a mistake as count as much as the guess that all samples of a group are alike."""


def share_of(hits: NDArray[np.bool_], groups: Groups | None = None) -> tuple[float, float]:
    """How many hits there are and of how many samples (N,): of groups, as many as are independent.

    Examples
    --------
    >>> hits = np.array([True, True, True, True, False, False])
    >>> share_of(hits)
    (4, 6)
    >>> [round(part, 2) for part in share_of(hits, Groups(np.array([0, 0, 1, 1, 2, 2])))]
    [0.61, 0.92]
    """
    n, n_hits = len(hits), int(hits.sum())
    if groups is None or not n:
        return n_hits, n
    n_rare = min(groups.n_with(hits), groups.n_with(~hits))
    worth = independent(hits.astype(np.float64), n_rare, groups)
    return n_hits / n * worth, worth


def independent(values: NDArray[np.float64], n_rare: int, groups: Groups) -> float:
    """How many independent samples say as much of the mean as values (N,) in groups; 0 of one group alone.

    ``n_rare`` groups have a value that is not usual, and so tell how alike the values of a group are.
    """
    from scipy.special import stdtrit

    n, n_groups = len(values), len(groups)
    if n_groups < 2:
        return 0.0
    centred = values - values.mean()
    within = float(centred @ centred)
    sums = np.bincount(groups.codes, centred)
    alike = n / groups.n_even
    measured = float(sums @ sums) * n_groups / (n_groups - 1) / within if within else alike
    effect = max((n_rare * measured + ALIKE * alike) / (n_rare + ALIKE), 1.0)
    few = float(stdtrit(n - 1, TAIL) / stdtrit(n_groups - 1, TAIL))
    return n / effect * few**2


def class_counts(codes: NDArray[np.integer], n_codes: int, groups: Groups | None) -> NDArray[np.float64]:
    """How many samples each class has, of classes (N,); of groups, as many as count alike."""
    if groups is None:
        return np.bincount(codes, minlength=n_codes).astype(np.float64)
    n_groups = len(groups)
    pairs, counts = np.unique(codes.astype(np.int64) * n_groups + groups.codes, return_counts=True)
    sums, squares = (np.bincount(pairs // n_groups, counts**power, n_codes) for power in (1.0, 2.0))
    counted: NDArray[np.float64] = np.divide(sums**2, squares, out=np.zeros(n_codes), where=squares > 0)
    return counted


def column_counts(is_there: NDArray[np.bool_], groups: Groups | None) -> NDArray[np.float64]:
    """The same of columns (N, K) that say where something is."""
    if groups is None:
        counts: NDArray[np.float64] = np.sum(is_there, axis=0, dtype=np.float64)
        return counts
    return np.array([evenness(np.bincount(groups.codes[column])) for column in is_there.T], dtype=np.float64)
