"""From tables of predictions to the figures of each run; classes meet by name, never by position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.arrow import numbers_of
from headstart.errors import DataError, StorageError
from headstart.metrics.figures import Judged, judge_classes, judge_labels, judge_numbers
from headstart.prediction.table import PROBABILITY

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.comparison.runs import NamedRun


def judge_runs(runs: Sequence[NamedRun], tables: Sequence[pa.Table]) -> dict[str, Judged]:
    """The figures of each run, by its name.

    Parameters
    ----------
    runs : sequence of NamedRun
        Of one task.
    tables : sequence of pyarrow.Table
        The predictions of each, in the same order of samples.

    Raises
    ------
    DataError
        A run gives no number for some samples.
    StorageError
        A run's predictions are not what its task needs.
    """
    names = list(dict.fromkeys(name for table in tables for name in _classes(table)))
    return {run.name: _judge(run, table, names) for run, table in zip(runs, tables, strict=True)}


def _classes(table: pa.Table) -> list[str]:
    return [name.removeprefix(PROBABILITY) for name in table.column_names if name.startswith(PROBABILITY)]


def _judge(run: NamedRun, table: pa.Table, names: list[str]) -> Judged:
    if run.task == "regression":
        truth, said = (_numbers(run, table.column(name)) for name in ("label", "prediction"))
        _check_finite(run, said)
        return judge_numbers(truth, said)
    if not _classes(table):
        raise StorageError(f"run {run.name} has predictions without probabilities; make the run again")
    if run.task == "multi":
        probabilities = _matrix(run, table, names)
        _check_finite(run, probabilities.max(axis=1))
        return judge_labels(_applies(table.column("label").to_pylist(), names), probabilities)
    true, predicted = (np.array(table.column(name).to_pylist(), np.str_) for name in ("label", "prediction"))
    p_true, confidence = _p_true(run, table, true)
    return judge_classes(true, predicted, p_true, confidence, names)


def _p_true(
    run: NamedRun, table: pa.Table, true: NDArray[np.str_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The probability of the true class and the largest one; a column at a time, for there may be thousands."""
    p_true, confidence = np.zeros(len(true)), np.zeros(len(true))
    for name in _classes(table):
        column = _numbers(run, table.column(PROBABILITY + name))
        mine = true == name
        p_true[mine] = column[mine]
        confidence = np.maximum(confidence, column)
    _check_finite(run, confidence)
    return p_true, confidence


def _matrix(run: NamedRun, table: pa.Table, names: Sequence[str]) -> NDArray[np.float64]:
    """Probabilities (N, L); 0 of a label that this run does not know."""
    known = set(_classes(table))
    nothing = np.zeros(table.num_rows)
    return np.stack(
        [_numbers(run, table.column(PROBABILITY + name)) if name in known else nothing for name in names],
        axis=1,
    )


def _applies(labels: Sequence[Sequence[str]], names: Sequence[str]) -> NDArray[np.bool_]:
    place = {name: column for column, name in enumerate(names)}
    truth = np.zeros((len(labels), len(names)), dtype=bool)
    for row, mine in enumerate(labels):
        truth[row, [place[name] for name in mine]] = True
    return truth


def _numbers(run: NamedRun, column: Any) -> NDArray[np.float64]:
    if column.null_count:
        raise DataError(
            f"run {run.name} gives no number for {column.null_count:,} of {len(column):,} samples"
        )
    return numbers_of(column).astype(np.float64)


def _check_finite(run: NamedRun, values: NDArray[np.float64]) -> None:
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise DataError(
            f"run {run.name} gives no number for {bad:,} of {len(values):,} test samples: its training diverged; "
            "lower the learning rate"
        )
