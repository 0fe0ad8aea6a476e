"""Predictions as a table: ``id``, …, ``prediction``, ``p:<class>``…"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
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
    best = probabilities.argmax(axis=1)
    indices = pa.array(best.tolist(), pa.int32())
    chosen = pa.DictionaryArray.from_arrays(indices, pa.array(names, pa.string())).cast(pa.string())
    table = table.append_column("prediction", chosen)
    for position, name in enumerate(names):
        column = np.ascontiguousarray(probabilities[:, position])
        array = pa.Array.from_buffers(pa.float32(), len(column), [None, pa.py_buffer(column)])
        table = table.append_column(PROBABILITY + name, array)
    return table
