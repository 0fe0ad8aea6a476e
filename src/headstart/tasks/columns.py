"""Columns of predictions: how probabilities and lists of names are written, and read back to be compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headstart.arrow import column_of, names_by_code, numbers_of, numbers_or_nan
from headstart.errors import DataError, StorageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

PROBABILITY = "p:"


def probability_columns(probabilities: NDArray[np.float32], names: Sequence[str]) -> dict[str, pa.Array]:
    """A column ``p:<name>`` for each column of probabilities (N, C)."""
    return {PROBABILITY + name: column_of(probabilities[:, place]) for place, name in enumerate(names)}


def classes_in(table: pa.Table) -> list[str]:
    """The classes or labels that predictions have probabilities of."""
    return [name.removeprefix(PROBABILITY) for name in table.column_names if name.startswith(PROBABILITY)]


def probabilities_in(table: pa.Table, names: Sequence[str]) -> NDArray[np.float32]:
    """What `probability_columns` wrote, (N, C), in the order of the names.

    Raises
    ------
    StorageError
        There are none of some name.
    """
    found = np.zeros((table.num_rows, len(names)), dtype=np.float32)
    for place, name in enumerate(names):
        if PROBABILITY + name not in table.column_names:
            raise StorageError(f"predictions have no probabilities of {name!r}; make the run again")
        found[:, place] = numbers_or_nan(table.column(PROBABILITY + name).cast(pa.float64()))
    return found


def lists_of(applies: NDArray[np.bool_], names: Sequence[str]) -> pa.Array:
    """The names that apply in each row (N, L)."""
    rows, columns = np.nonzero(applies)
    offsets = np.searchsorted(rows, np.arange(len(applies) + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(column_of(offsets), names_by_code(columns, names))


def numbers_in(run: str, column: pa.ChunkedArray) -> NDArray[np.float64]:
    """A column of numbers that a run gives for every sample.

    Raises
    ------
    DataError
        Some are missing.
    """
    if column.null_count:
        raise DataError(f"run {run} gives no number for {column.null_count:,} of {len(column):,} samples")
    return numbers_of(column).astype(np.float64)


def check_finite(run: str, values: NDArray[np.float64]) -> None:
    """Refuse the predictions of a run that diverged."""
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise DataError(
            f"run {run} gives no number for {bad:,} of {len(values):,} test samples: its training diverged; "
            "lower the learning rate"
        )


def is_number(field: Any) -> bool:
    """Whether a column holds floating-point numbers."""
    return bool(pa.types.is_floating(field.type))
