"""Labels that are likely wrong: those that all other samples speak against."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.heads.ridge_path import Design, leave_one_out
from headstart.heads.rows import in_blocks
from headstart.inspection.confident_learning import wrong_indicators, wrong_labels
from headstart.inspection.distances import robust_z
from headstart.metrics.calibration import likeliest_factor, probabilities_at
from headstart.tasks import open_task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.heads.rows import Rows
    from headstart.types import LabelKind

FAR_OFF = 6.0
"""Deviations that a number may be off what the others predict; of a normal error 2 in 10^9 are."""

LOG_SHARPNESS = -2.0, 6.0
"""Between which the factor lies that makes probabilities of what a regression on indicators predicts."""
CERTAIN = 0.95
"""A probability of another class from which a label is named whatever confident learning says: that compares it
with the mean of the class, and misses the only wrong label where all others are all but certain."""


@dataclass(frozen=True, slots=True)
class LabelErrors:
    """M labels that are likely wrong, the likeliest first."""

    row: NDArray[np.int64]
    suggested: NDArray[Any]
    """The class of each (M,), of several labels a sample an indicator (M, L), or a number."""
    score: NDArray[np.float64]
    """In [0, 1], the smaller the worse: how probable the label is, or that of several which fits least; of numbers
    1 / (1 + deviations that the number is off)."""

    def __len__(self) -> int:
        return len(self.row)


def find_label_errors(
    X: Rows, y: NDArray[Any], kind: LabelKind, rank: NDArray[np.int64] | None = None
) -> LabelErrors:
    """Confident learning (Northcutt, Jiang and Chuang 2021) on what ridge regression predicts without the sample.

    Labels are classes (N,) in [0, C), indicators (N, L) or numbers (N,). Samples whose labels are equally likely are
    ordered by rank, or without it by their rows.
    """
    rank = np.arange(len(y)) if rank is None else rank
    task = open_task(kind)
    if task.form == "numbers":
        return _far_off(y.astype(np.float64), _left_out(X, task.indicators(y, 0))[:, 0], rank)
    if task.form == "labels":
        return _of_several(y, out_of_sample_several(X, y), rank)
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        return LabelErrors(np.empty(0, np.int64), np.empty(0, y.dtype), np.empty(0))
    return _of_classes(codes, out_of_sample(X, codes), classes, rank)


def out_of_sample(X: Rows, y: NDArray[Any]) -> NDArray[np.float64]:
    """The probability of each class for each sample by a fit on all others, shape (N, C).

    Leave-one-out ridge regression on the indicators of the classes, and a softmax whose one temperature
    makes the given labels most likely.
    """
    scores = _left_out(X, np.eye(int(y.max()) + 1)[y])
    return probabilities_at(scores, 1 / likeliest_factor(scores, y, LOG_SHARPNESS))


def out_of_sample_several(X: Rows, Y: NDArray[Any]) -> NDArray[np.float64]:
    """The probability of each label for each sample by a fit on all others, shape (N, L).

    As `out_of_sample`, with a sigmoid of two parameters that all labels share.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    scores = _left_out(X, Y.astype(np.float64))
    signs = np.where(Y > 0, 1.0, -1.0)

    def surprise(line: NDArray[np.float64]) -> float:
        return float(np.logaddexp(0, -signs * (line[0] * scores + line[1])).mean())

    steepness, offset = minimize(surprise, np.array([8.0, -4.0]), method="Nelder-Mead").x
    probabilities: NDArray[np.float64] = expit(steepness * scores + offset)
    return probabilities


def _left_out(X: Rows, targets: NDArray[np.float64]) -> NDArray[np.float64]:
    predicted = leave_one_out(Design.standardised(X), targets)[1]
    # Copies with one label would differ in the last digits, as their places in a block are rounded.
    first: dict[bytes, int] = {}
    contents = (blake2b(row.tobytes(), digest_size=16).digest() for _, block in in_blocks(X) for row in block)
    same = np.array([first.setdefault(content, row) for row, content in enumerate(contents)])
    copies = np.flatnonzero(np.bincount(same)[same] > 1)
    told = np.column_stack([same[copies], targets[copies]])
    _, places, alike = np.unique(told, axis=0, return_index=True, return_inverse=True)
    predicted[copies] = predicted[copies[places[alike]]]
    return predicted


def _of_classes(
    codes: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    classes: NDArray[Any],
    rank: NDArray[np.int64],
) -> LabelErrors:
    found = wrong_labels(codes, probabilities, rank)
    likeliest = probabilities.argmax(axis=1)
    found |= (likeliest != codes) & (probabilities.max(axis=1) >= CERTAIN)
    rows = np.flatnonzero(found)
    given = probabilities[rows, codes[rows]]
    order = np.lexsort((rank[rows], given))
    return LabelErrors(rows[order], classes[likeliest[rows]][order], given[order])


def _of_several(Y: NDArray[Any], probabilities: NDArray[np.float64], rank: NDArray[np.int64]) -> LabelErrors:
    rows = np.flatnonzero(wrong_indicators(Y > 0, probabilities, rank))
    fits = np.where(Y[rows] > 0, probabilities[rows], 1 - probabilities[rows]).min(axis=1)
    order = np.lexsort((rank[rows], fits))
    return LabelErrors(rows[order], (probabilities[rows] > 0.5).astype(np.int8)[order], fits[order])


def _far_off(y: NDArray[np.float64], predicted: NDArray[np.float64], rank: NDArray[np.int64]) -> LabelErrors:
    deviations = np.abs(robust_z(y - predicted))
    rows = np.flatnonzero(deviations > FAR_OFF)
    order = np.lexsort((rank[rows], -deviations[rows]))
    return LabelErrors(rows[order], predicted[rows][order], 1 / (1 + deviations[rows][order]))
