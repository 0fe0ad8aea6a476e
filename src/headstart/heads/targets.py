"""Labels as the targets of a regression, and how good its predictions are in one figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.types import LabelKind

SCORE: dict[LabelKind, str] = {"single": "accuracy", "multi": "micro_f1", "regression": "r2"}
"""The figure that `score` gives."""


def targets_of(y: NDArray[Any], kind: LabelKind, n_names: int) -> NDArray[np.float64]:
    """Labels as float targets (N, T): an indicator of each name, or the numbers themselves.

    Examples
    --------
    >>> targets_of(np.array([1, 0]), "single", 2).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    match kind:
        case "single":
            indicator: NDArray[np.float64] = np.eye(n_names)[y]
            return indicator
        case "multi":
            return y.astype(np.float64)
        case "regression":
            return y.astype(np.float64).reshape(len(y), -1)


def labelled(y: NDArray[Any], kind: LabelKind) -> NDArray[np.bool_]:
    """Which samples have a label, shape (N,); labels are coded as `headstart.FeatureSet.rows` says."""
    known = np.isfinite(y) if kind == "regression" else y >= 0
    return known if known.ndim == 1 else np.asarray(known.all(axis=1))


def score(targets: NDArray[np.float64], predictions: NDArray[np.float64], kind: LabelKind) -> float:
    """Accuracy of the largest, micro-F1 of what is above one half, or R²; NaN: there is no row."""
    if not len(targets):
        return float("nan")
    match kind:
        case "single":
            return float((targets.argmax(axis=1) == predictions.argmax(axis=1)).mean())
        case "multi":
            said, true = predictions > 0.5, targets > 0.5
            return float(2 * (said & true).sum() / max(said.sum() + true.sum(), 1))
        case "regression":
            around = np.square(targets - targets.mean(axis=0)).sum()
            return float(1 - np.square(targets - predictions).sum() / around) if around > 0 else float("nan")
