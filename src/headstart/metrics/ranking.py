"""Figures that follow from the order of scores: ROC-AUC, average precision, their curves and their intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from headstart.heads.parallel import each, side_by_side
from headstart.metrics.counts import Floats, ratio
from headstart.metrics.resampling import (
    FEWEST_RESAMPLES,
    RESAMPLES,
    draws_of,
    weights_of,
)

if TYPE_CHECKING:
    from headstart.groups import Groups

MOST_PRODUCTS = 2_000_000_000
"""Multiplications that intervals may take where that many are done in a tenth of a second."""
SORTED_COST = 1500
"""What it takes to go through a sorted sample once, in multiplications of a matrix product."""
Weights: TypeAlias = NDArray[np.float32]


def ranking_figures(is_positive: NDArray[np.bool_], scores: NDArray[Any]) -> tuple[Floats, Floats]:
    """ROC-AUC and average precision of each column (N, K) against the rest, each (K,).

    NaN where a column has no positive, or (ROC-AUC) nothing but positives. Sorting one column and looking up its
    positives is all it takes: tens of times less work than a curve for each class.
    """
    columns = np.ascontiguousarray(scores.T)
    pairs = [_figures(mine, positive) for mine, positive in zip(columns, is_positive.T, strict=True)]
    roc_auc, average_precision = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    return roc_auc, average_precision


def _figures(scores: NDArray[Any], is_positive: NDArray[np.bool_]) -> tuple[float, float]:
    positives = np.sort(scores[is_positive])
    n_positive, n_negative = len(positives), len(scores) - len(positives)
    if not n_positive:
        return np.nan, np.nan
    ordered = np.sort(scores)
    below, upto = (np.searchsorted(ordered, positives, side) for side in ("left", "right"))
    own_below, own_upto = (np.searchsorted(positives, positives, side) for side in ("left", "right"))
    # At the threshold of each positive: ties share one, so each of them sees the same precision.
    precision = (n_positive - own_below) / (len(ordered) - below)
    if not n_negative:
        return np.nan, float(precision.mean())
    beaten = (below - own_below) + 0.5 * ((upto - below) - (own_upto - own_below))
    return float(beaten.mean() / n_negative), float(precision.mean())


@dataclass(frozen=True, slots=True)
class RankingCurve:
    """How many positives, and how many negatives, score at least each threshold, from the strictest to the loosest.

    The first are (0, 0).
    """

    hits: Floats
    alarms: Floats

    @property
    def false_positive_rate(self) -> Floats:
        return ratio(self.alarms, self.alarms[-1])

    @property
    def true_positive_rate(self) -> Floats:
        """Also called recall."""
        return ratio(self.hits, self.hits[-1])

    @property
    def precision(self) -> Floats:
        """By convention 1 before the first alarm."""
        called = self.hits + self.alarms
        return np.divide(self.hits, called, out=np.ones_like(called), where=called > 0)


def ranking_curve(is_positive: NDArray[np.bool_], scores: NDArray[Any]) -> RankingCurve:
    """The curve of scores (N,) that should be high where ``is_positive`` (N,)."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(is_positive[order], dtype=np.float64)
    last_of_ties = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = hits[last_of_ties]
    return RankingCurve(np.append(0.0, hits), np.append(0.0, last_of_ties + 1 - hits))


def weighted_ranking_figures(
    is_positive: NDArray[np.bool_], scores: NDArray[Any], weights: NDArray[Any]
) -> tuple[Floats, Floats]:
    """ROC-AUC and average precision of one score (N,) under many weightings (B, N), each (B,).

    NaN where a weighting leaves no positive, or (ROC-AUC) no negative.
    """
    order = np.argsort(-scores, kind="stable")
    starts = np.append(0, np.flatnonzero(np.diff(scores[order])) + 1)
    ordered = weights[:, order].astype(np.float64)
    hits = np.add.reduceat(ordered * is_positive[order], starts, axis=1)
    called = np.add.reduceat(ordered, starts, axis=1)
    sum_hits, sum_called = hits.cumsum(axis=1), called.cumsum(axis=1)
    n_hits, n_alarms = sum_hits[:, -1], sum_called[:, -1] - sum_hits[:, -1]
    alarms = called - hits
    beaten = n_alarms[:, None] - (sum_called - sum_hits) + 0.5 * alarms
    precision = sum_hits / np.maximum(sum_called, 1)
    with np.errstate(invalid="ignore"):
        roc_auc = (hits * beaten).sum(axis=1) / (n_hits * n_alarms)
        return roc_auc, (hits * precision).sum(axis=1) / n_hits


def resampled_ranking(
    is_positive: NDArray[np.bool_],
    scores: NDArray[np.floating],
    resamples: int = RESAMPLES,
    seed: int = 0,
    micro: bool = False,
    groups: Groups | None = None,
) -> dict[str, Floats]:
    """Mean ROC-AUC and mean average precision over the columns (N, K) on resamples, (B,) each.

    The resamples are the first of those that the other figures see; there are fewer of them where samples or
    columns are many. Means are over the columns that can be scored in a resample, NaN where none can be, and there is
    nothing where so few resamples were affordable that they would say nothing. ``micro`` adds those of all columns
    taken as one.
    """
    n, k = scores.shape
    cost = min(n * n, SORTED_COST * n * k) + (SORTED_COST * n * k if micro else 0)
    affordable = min(resamples, max(MOST_PRODUCTS // cost, FEWEST_RESAMPLES))
    if affordable * cost > 10 * MOST_PRODUCTS:
        return {}
    weights = np.concatenate([weights_of(draws) for draws in draws_of(n, affordable, seed, groups)])
    figures = _means(is_positive, scores, weights.astype(np.float32), n < SORTED_COST * k)
    if micro:
        pair = weighted_ranking_figures(is_positive.ravel(), scores.ravel(), np.repeat(weights, k, axis=1))
        figures |= dict(zip(("micro_roc_auc", "micro_average_precision"), pair, strict=True))
    return figures


def _means(
    is_positive: NDArray[np.bool_], scores: NDArray[np.floating], weights: Weights, by_products: bool
) -> dict[str, Floats]:
    """Both figures in each of B resamples, (B,) each: means over the columns that can be scored there."""
    sums, counts = np.zeros((2, len(weights))), np.zeros((2, len(weights)))
    figures = _by_products if by_products else weighted_ranking_figures
    columns = zip(is_positive.T, np.ascontiguousarray(scores.T), strict=True)
    with side_by_side():
        pairs = each(
            lambda one: figures(*one, weights), [(mine, column) for mine, column in columns if mine.any()]
        )
    for pair in pairs:
        for number, values in enumerate(pair):
            is_scored = np.isfinite(values)
            sums[number] += np.where(is_scored, values, 0)
            counts[number] += is_scored
    with np.errstate(invalid="ignore"):
        roc_auc, average_precision = sums / counts
    return {"roc_auc": roc_auc, "average_precision": average_precision}


def _by_products(
    is_positive: NDArray[np.bool_], scores: NDArray[np.floating], weights: Weights
) -> tuple[Floats, Floats]:
    """As `weighted_ranking_figures`, one product of matrices for all positives."""
    positives = np.flatnonzero(is_positive)
    wanted, own = scores[positives], weights[:, positives]
    at_least, is_equal = (scores[:, None] >= wanted).astype(np.float32), scores[:, None] == wanted
    called, hits = weights @ at_least, own @ at_least[positives]
    n_hits = own.sum(axis=1, dtype=np.float64)
    n_alarms = weights.sum(axis=1, dtype=np.float64) - n_hits
    beaten = n_alarms[:, None] - (called - hits)
    if int(is_equal.sum()) > len(positives):
        equal = is_equal.astype(np.float32)
        beaten += 0.5 * (weights @ equal - own @ equal[positives])
    precision = hits / np.maximum(called, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        roc_auc = np.einsum("bp,bp->b", own, beaten, dtype=np.float64) / (n_hits * n_alarms)
        return roc_auc, np.einsum("bp,bp->b", own, precision, dtype=np.float64) / n_hits
