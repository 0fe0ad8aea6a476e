"""Bootstrap intervals of figures that follow from the order of scores, for many classes at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from headstart.metrics.counts import Floats
from headstart.metrics.ranking import weighted_ranking_figures
from headstart.metrics.resampling import (
    FEWEST_RESAMPLES,
    RESAMPLES,
    Interval,
    draws_of,
    interval_of,
    weights_of,
)

MOST_PRODUCTS = 2_000_000_000
"""Multiplications that intervals may take where that many are done in a tenth of a second."""
SORTED_COST = 1500
"""What it takes to go through a sorted sample once, in multiplications of a matrix product."""

Weights: TypeAlias = NDArray[np.float32]


def ranking_intervals(
    is_positive: NDArray[np.bool_],
    scores: NDArray[np.floating],
    resamples: int = RESAMPLES,
    seed: int = 0,
    micro: bool = False,
) -> dict[str, Interval]:
    """The 95 % percentile intervals of mean ROC-AUC and mean average precision over the columns.

    The resamples are the first of those that the other figures see; there are fewer of them where samples or
    columns are many.

    Parameters
    ----------
    is_positive : ndarray of bool, shape (N, K)
    scores : ndarray of float, shape (N, K)
    resamples : int
        At most so many.
    seed : int
    micro : bool
        Also of all columns taken as one: ``micro_roc_auc`` and ``micro_average_precision``.

    Returns
    -------
    dict
        ``roc_auc`` and ``average_precision`` as [low, high], each the mean over the columns that can be scored in
        a resample; None where no resample can be. Empty where so few resamples were affordable that an interval
        would say nothing.
    """
    n, k = scores.shape
    cost = min(n * n, SORTED_COST * n * k) + (SORTED_COST * n * k if micro else 0)
    affordable = min(resamples, max(MOST_PRODUCTS // cost, FEWEST_RESAMPLES))
    if affordable * cost > 10 * MOST_PRODUCTS:
        return {}
    weights = np.concatenate([weights_of(draws) for draws in draws_of(n, affordable, seed)])
    figures = _means(is_positive, scores, weights.astype(np.float32), n < SORTED_COST * k)
    found = {name: interval_of(values) for name, values in figures.items()}
    if micro:
        pair = weighted_ranking_figures(is_positive.ravel(), scores.ravel(), np.repeat(weights, k, axis=1))
        names = ("micro_roc_auc", "micro_average_precision")
        found |= {name: interval_of(values) for name, values in zip(names, pair, strict=True)}
    return found


def _means(
    is_positive: NDArray[np.bool_], scores: NDArray[np.floating], weights: Weights, by_products: bool
) -> dict[str, Floats]:
    """Both figures in each of B resamples, (B,) each: means over the columns that can be scored there."""
    sums, counts = np.zeros((2, len(weights))), np.zeros((2, len(weights)))
    for positive, column in zip(is_positive.T, np.ascontiguousarray(scores.T), strict=True):
        if not positive.any():
            continue
        pair = (
            _Column.of(positive, column).figures(weights)
            if by_products
            else weighted_ranking_figures(positive, column, weights)
        )
        for number, values in enumerate(pair):
            is_scored = np.isfinite(values)
            sums[number] += np.where(is_scored, values, 0)
            counts[number] += is_scored
    with np.errstate(invalid="ignore"):
        roc_auc, average_precision = sums / counts
    return {"roc_auc": roc_auc, "average_precision": average_precision}


@dataclass(frozen=True, slots=True)
class _Column:
    """The order of one column, as matrices that a product with weights turns into counts.

    Parameters
    ----------
    positives : ndarray of int, shape (P,)
        The rows that should score high.
    at_least, equal : ndarray of float32, shape (N, P)
        Whether a row scores at least as much as a positive one, and just as much.
    has_ties : bool
        Whether any other row scores just as much as a positive one.
    """

    positives: NDArray[np.intp]
    at_least: Weights
    equal: NDArray[np.bool_]
    has_ties: bool

    @classmethod
    def of(cls, is_positive: NDArray[np.bool_], scores: NDArray[np.floating]) -> _Column:
        """Compare all rows with the positive ones."""
        positives = np.flatnonzero(is_positive)
        wanted = scores[positives]
        equal = scores[:, None] == wanted
        at_least = (scores[:, None] >= wanted).astype(np.float32)
        return cls(positives, at_least, equal, int(equal.sum()) > len(positives))

    def figures(self, weights: Weights) -> tuple[Floats, Floats]:
        """As `weighted_ranking_figures`, one product of matrices for all positives."""
        own = weights[:, self.positives]
        called, hits = weights @ self.at_least, own @ self.at_least[self.positives]
        n_hits = own.sum(axis=1, dtype=np.float64)
        n_alarms = weights.sum(axis=1, dtype=np.float64) - n_hits
        beaten = n_alarms[:, None] - (called - hits)
        if self.has_ties:
            equal = self.equal.astype(np.float32)
            beaten += 0.5 * (weights @ equal - own @ equal[self.positives])
        precision = hits / np.maximum(called, 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            roc_auc = np.einsum("bp,bp->b", own, beaten, dtype=np.float64) / (n_hits * n_alarms)
            return roc_auc, np.einsum("bp,bp->b", own, precision, dtype=np.float64) / n_hits
