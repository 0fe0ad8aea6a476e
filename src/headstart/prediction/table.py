"""Predictions as a table: ``id``, …, ``prediction``, ``p:<class>``…"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headstart.arrow import column_of, names_by_code

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.heads.predictor import Predictor

PROBABILITY = "p:"
LIKELY = 0.5
"""A label of several is predicted where its probability is above."""


def prediction_table(
    table: pa.Table, predictor: Predictor, outputs: NDArray[np.float64], names: Sequence[str]
) -> pa.Table:
    """A table with the prediction for each of its rows, by name, and the probability of each class.

    Parameters
    ----------
    table : pyarrow.Table
        N rows.
    predictor : Predictor
    outputs : ndarray
        Of N samples, see `Predictor.outputs`.
    names : sequence of str
        The label names, of which the numbers of a multi-label head are places.

    Returns
    -------
    pyarrow.Table
        ``prediction`` is a name, a list of names where samples have several labels, or a number, which has
        no probabilities beside it.
    """
    if predictor.task == "regression":
        return table.append_column("prediction", column_of(outputs))
    probabilities = outputs.astype(np.float32)
    if predictor.task == "multi":
        shown = list(names)
        table = table.append_column("prediction", lists_of(probabilities > LIKELY, shown))
    else:
        shown = predictor.classes
        table = table.append_column("prediction", names_by_code(probabilities.argmax(axis=1), shown))
    for position, name in enumerate(shown):
        table = table.append_column(PROBABILITY + name, column_of(probabilities[:, position]))
    return table


def label_column(y: NDArray[Any], names: Sequence[str], kind: str) -> pa.Array:
    """Labels as a column: names, lists of names, or numbers."""
    if kind == "single":
        return names_by_code(y, names)
    return column_of(np.asarray(y, dtype=np.float64)) if kind == "regression" else lists_of(y > 0, names)


def lists_of(applies: NDArray[np.bool_], names: Sequence[str]) -> pa.Array:
    """The names that apply in each row (N, L)."""
    rows, columns = np.nonzero(applies)
    offsets = np.searchsorted(rows, np.arange(len(applies) + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(column_of(offsets), names_by_code(columns, names))
