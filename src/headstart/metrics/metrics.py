"""The figures of ``report.json``: one function for each kind of label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from headstart.metrics.counts import numbers, precision_recall_f1, single_figures
from headstart.metrics.multi import evaluate_multi
from headstart.metrics.regression import evaluate_regression
from headstart.metrics.single import Outcome, evaluate_single

if TYPE_CHECKING:
    from headstart.types import Json

__all__ = ["evaluate", "evaluate_multi", "evaluate_regression", "evaluate_single"]


def evaluate(y_true: NDArray[Any], y_pred: NDArray[Any], classes: Sequence[str]) -> dict[str, Json]:
    """The figures of names alone, where there are no probabilities.

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
        has it) and the others that `evaluate_single` gives without probabilities; ``n``,
        ``per_class`` {name: {precision, recall, f1, support}}, and ``confusion`` {labels: [...],
        matrix: [[...]]} with a row for each true name.

    Raises
    ------
    DataError
        There is no sample.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.array(["cat", "dog", "dog"]), np.array(["cat", "dog", "cat"])
    >>> report = evaluate(*y, classes=["cat", "dog"])
    >>> report["accuracy"], report["confusion"]["matrix"]
    (0.6666666666666666, [[1, 0], [1, 1]])
    """
    outcome = Outcome.of(y_true, y_pred, classes)
    counts = outcome.counts
    figures = precision_recall_f1(counts)
    return {
        "n": len(outcome.true),
        **numbers(single_figures(counts)),
        "per_class": {
            label: {
                **{name: float(values[code]) for name, values in figures.items()},
                "support": int(counts.support[code]),
            }
            for code, label in enumerate(outcome.labels)
        },
        "confusion": outcome.confusion,
    }
