"""Figures that follow from the order of scores: ROC-AUC, average precision, and their curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.metrics.counts import Floats, ratio


def ranking_figures(is_positive: NDArray[np.bool_], scores: NDArray[Any]) -> tuple[Floats, Floats]:
    """ROC-AUC and average precision of each column against the rest.

    Sorting one column and looking up its positives is all it takes: tens of times less work than a
    curve for each class.

    Parameters
    ----------
    is_positive : ndarray of bool, shape (N, K)
    scores : ndarray of float, shape (N, K)

    Returns
    -------
    roc_auc, average_precision : ndarray, shape (K,)
        NaN where a column has no positive, or (ROC-AUC) nothing but positives.
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
    """What each threshold gives, from the strictest to the loosest.

    Parameters
    ----------
    hits, alarms : ndarray, shape (M,)
        How many positives, and how many negatives, score at least the threshold; the first is (0, 0).
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
