"""Metrics of a classification, by class name, ready for ``report.json``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError

if TYPE_CHECKING:
    from headstart.types import Json


def evaluate(y_true: NDArray[Any], y_pred: NDArray[Any], classes: Sequence[str]) -> dict[str, Json]:
    """Accuracy, macro-F1, figures for each class and the confusion matrix.

    Parameters
    ----------
    y_true, y_pred : ndarray of str, shape (N,)
        Names. A true name that the head was never trained on simply counts as wrong.
    classes : sequence of str
        The order of the classes; names that occur and are not among them follow, sorted.

    Returns
    -------
    dict
        ``accuracy``, ``macro_f1`` (over the classes that occur among either names, as scikit-learn
        has it), ``n``, ``per_class`` {name: {precision, recall, f1, support}}, and ``confusion``
        {labels: [...], matrix: [[...]]} with a row for each true name.

    Raises
    ------
    DataError
        There is no sample.

    Examples
    --------
    >>> y = np.array(["cat", "dog", "dog"]), np.array(["cat", "dog", "cat"])
    >>> report = evaluate(*y, classes=["cat", "dog"])
    >>> report["accuracy"], report["confusion"]["matrix"]
    (0.6666666666666666, [[1, 0], [1, 1]])
    """
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    if len(y_true) == 0:
        raise DataError("there are no samples to evaluate; is the split empty?")
    y_true, y_pred = np.asarray(y_true, dtype=np.str_), np.asarray(y_pred, dtype=np.str_)
    occurring = set(y_true.tolist()) | set(y_pred.tolist())
    labels = list(dict.fromkeys([*map(str, classes), *sorted(occurring)]))
    figures = precision_recall_fscore_support(y_true, y_pred, labels=labels, zero_division=0)
    per_class = {
        label: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(support)}
        for label, p, r, f, support in zip(labels, *figures, strict=True)
    }
    return {
        "accuracy": float(accuracy_score(y_true, y_pred)),
        "macro_f1": float(np.mean([per_class[label]["f1"] for label in labels if label in occurring])),
        "n": len(y_true),
        "per_class": per_class,
        "confusion": {"labels": labels, "matrix": _confusion(y_true, y_pred, labels)},
    }


def _confusion(y_true: NDArray[np.str_], y_pred: NDArray[np.str_], labels: list[str]) -> list[list[int]]:
    """How often each true name (row) was predicted as each name (column)."""
    from sklearn.metrics import confusion_matrix

    if len(labels) == 1:  # scikit-learn warns of a matrix with one entry
        return [[len(y_true)]]
    matrix: list[list[int]] = confusion_matrix(y_true, y_pred, labels=labels).tolist()
    return matrix
