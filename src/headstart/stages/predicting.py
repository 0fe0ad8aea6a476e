"""Predictions as a table: ``id``, …, ``prediction``, ``p:<class>``…"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headstart.arrow import column_of, names_by_code

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.contracts import Head

PROBABILITY = "p:"


def prediction_table(table: pa.Table, head: Head, X: NDArray[np.float32]) -> pa.Table:
    """A table with the prediction for each of its rows, by name, and the probability of each class.

    Parameters
    ----------
    table : pyarrow.Table
        N rows.
    head : Head
        Fitted on label names.
    X : ndarray of float32, shape (N, D)
    """
    probabilities = np.asarray(head.predict_proba(X), dtype=np.float32)
    names = [str(name) for name in head.classes_]
    table = table.append_column("prediction", names_by_code(probabilities.argmax(axis=1), names))
    for position, name in enumerate(names):
        table = table.append_column(PROBABILITY + name, column_of(probabilities[:, position]))
    return table
