"""Figures that follow from how often classes were predicted: precision, recall, F1, MCC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SMALLEST = float(np.finfo(np.float64).eps)
"""What a true class costs at most: the negative logarithm of this."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How often each of K classes was predicted rightly, was predicted, and was true.

    Leading axes are free: a bootstrap has one of resamples, and every figure then has it too.
    """

    hits: NDArray[Any]
    predicted: NDArray[Any]
    support: NDArray[Any]

    @classmethod
    def of(cls, true: NDArray[np.intp], predicted: NDArray[np.intp], n_classes: int) -> Counts:
        """Count class codes (N,)."""
        hits = np.bincount(true[true == predicted], minlength=n_classes)
        return cls(hits, np.bincount(predicted, minlength=n_classes), np.bincount(true, minlength=n_classes))

    @property
    def occurring(self) -> NDArray[np.bool_]:
        """Which classes are true or predicted at least once, (..., K)."""
        occurring: NDArray[np.bool_] = (self.predicted + self.support) > 0
        return occurring


def precision_recall_f1(counts: Counts) -> dict[str, Floats]:
    """The three figures of each class, (..., K); 0 where nothing was predicted, or nothing true."""
    return {
        "precision": ratio(counts.hits, counts.predicted),
        "recall": ratio(counts.hits, counts.support),
        "f1": ratio(2 * counts.hits, counts.predicted + counts.support),
    }


def averages(counts: Counts, among: NDArray[np.bool_]) -> dict[str, Floats]:
    """Precision, recall and F1 as micro, macro and weighted averages, as scikit-learn has them, each (...).

    ``among`` (..., K) are the classes that a macro average is over.
    """
    totals = Counts(
        *(part.sum(-1, keepdims=True) for part in (counts.hits, counts.predicted, counts.support))
    )
    micro = {name: values[..., 0] for name, values in precision_recall_f1(totals).items()}
    by_class = precision_recall_f1(counts)
    return {
        f"{average}_{name}": values
        for name, figure in by_class.items()
        for average, values in (
            ("micro", micro[name]),
            ("macro", ratio((figure * among).sum(-1), among.sum(-1))),
            ("weighted", ratio((figure * counts.support).sum(-1), counts.support.sum(-1))),
        )
    }


def balanced_accuracy(counts: Counts) -> Floats:
    """The mean recall over the classes that have samples, (...)."""
    recall = ratio(counts.hits, counts.support)
    return ratio(recall.sum(-1), (counts.support > 0).sum(-1))


def matthews(counts: Counts) -> Floats:
    """Matthews' correlation of true and predicted class, (...); 0 where either is constant.

    For K classes as by Gorodkin, Computational Biology and Chemistry 28 (2004).
    """
    hits, predicted, support = (
        part.astype(np.float64) for part in (counts.hits, counts.predicted, counts.support)
    )
    n = support.sum(-1)
    together = hits.sum(-1) * n - (predicted * support).sum(-1)
    spreads = (n**2 - (predicted**2).sum(-1)) * (n**2 - (support**2).sum(-1))
    return ratio(together, np.sqrt(spreads))


def single_figures(counts: Counts) -> dict[str, Floats]:
    """What follows from the counts where each sample has one class, each (...)."""
    return {
        "accuracy": ratio(counts.hits.sum(-1), counts.support.sum(-1)),
        "balanced_accuracy": balanced_accuracy(counts),
        **averages(counts, counts.occurring),
        "mcc": matthews(counts),
    }


def ratio(above: NDArray[Any], below: NDArray[Any]) -> Floats:
    """A quotient that is 0 where it would divide by 0."""
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    out = np.zeros(np.broadcast_shapes(above.shape, below.shape))
    np.divide(above, below, out=out, where=below != 0)
    return out


def number(value: Any) -> float | None:
    """A figure for JSON: None where it could not be computed."""
    plain = float(value)
    return plain if np.isfinite(plain) else None


def numbers(figures: Mapping[str, Any]) -> dict[str, float | None]:
    """All figures for JSON."""
    return {name: number(value) for name, value in figures.items()}


def mean_of_scored(by_class: Floats) -> float | None:
    """The mean over the classes that can be scored, for JSON."""
    scored = by_class[np.isfinite(by_class)]
    return number(scored.mean()) if len(scored) else None
