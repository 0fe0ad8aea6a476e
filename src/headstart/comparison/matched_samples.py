"""The same samples with the same labels: rows of several runs meet by key, never by position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.arrow import column_of, keys_from_arrow
from headstart.errors import MismatchError, StorageError
from headstart.keys import words
from headstart.tasks import open_task

if TYPE_CHECKING:
    import pyarrow as pa

    from headstart.comparison.runs import NamedRun

Codes = NDArray[np.intp]


def match_rows(runs: Sequence[NamedRun]) -> list[pa.Table]:
    """The predictions of every run, all in the order of the first run's samples.

    Samples that are in a set several times, byte for byte, are told apart by their labels alone.

    Raises
    ------
    MismatchError
        A run has other test samples, other labels, or labels of another kind; the message counts them.
    """
    first, *others = runs
    for other in others:
        _check_kind(first, other)
    tables = [run.predictions for run in runs]
    keys = _coded_keys(tables)
    labels = _coded_labels(runs)
    orders = [np.lexsort((label, key)) for label, key in zip(labels, keys, strict=True)]
    for place, other in enumerate(others, 1):
        _check_samples(first, other, keys[0], keys[place])
        _check_labels(first, other, labels[0], labels[place], orders[0], orders[place])
    return [tables[0], *(_ordered_like(orders[0], order, table)
                         for order, table in zip(orders[1:], tables[1:], strict=True))]  # fmt: skip


def _check_kind(first: NamedRun, other: NamedRun) -> None:
    if first.task != other.task:
        raise MismatchError(
            f"run {first.name} predicts {open_task(first.task).meaning}, and run {other.name} "
            f"{open_task(other.task).meaning}; "
            "compare runs of one task"
        )


def _coded_keys(tables: Sequence[pa.Table]) -> list[Codes]:
    """A number for each key, the same in every table."""
    keys = np.concatenate([keys_from_arrow(table.column("key")) for table in tables])
    hi, lo = words(keys)
    order = np.lexsort((lo, hi))
    is_new = np.ones(len(order), dtype=bool)
    is_new[1:] = (np.diff(hi[order]) != 0) | (np.diff(lo[order]) != 0)
    codes = np.empty(len(order), dtype=np.intp)
    codes[order] = np.cumsum(is_new) - 1
    return _split(codes, tables)


def _coded_labels(runs: Sequence[NamedRun]) -> list[Codes]:
    """A number for each label, or for each set of labels, the same in every run."""
    values = np.concatenate([_labels(run) for run in runs])
    _, codes = np.unique(values, return_inverse=True)
    return _split(codes, [run.predictions for run in runs])


def _labels(run: NamedRun) -> NDArray[Any]:
    labels = run.predictions.column("label")
    if labels.null_count:
        raise StorageError(f"run {run.name} has test samples without a label; make the run again")
    return open_task(run.task).identities(labels)


def _split(codes: Codes, tables: Sequence[pa.Table]) -> list[Codes]:
    return np.split(codes, np.cumsum([table.num_rows for table in tables])[:-1])


def _check_samples(first: NamedRun, other: NamedRun, mine: Codes, others: Codes) -> None:
    n = max(mine.max(), others.max()) + 1
    surplus = np.bincount(mine, minlength=n) - np.bincount(others, minlength=n)
    lacking, added = int(surplus[surplus > 0].sum()), int(-surplus[surplus < 0].sum())
    if lacking:
        example = _id(first, int(np.flatnonzero(surplus[mine] > 0)[0]))
        raise MismatchError(
            f"run {other.name} lacks {lacking:,} of {first.name}'s {len(mine):,} test samples, e.g. {example}"
            + (f", and has {added:,} others" if added else "")
            + "; compare runs on the same test samples"
        )
    if added:
        example = _id(other, int(np.flatnonzero(surplus[others] < 0)[0]))
        raise MismatchError(
            f"run {other.name} has {added:,} test samples that {first.name} lacks, e.g. {example}; "
            "compare runs on the same test samples"
        )


def _check_labels(
    first: NamedRun, other: NamedRun, mine: Codes, others: Codes, order: Codes, other_order: Codes
) -> None:
    differing = np.flatnonzero(mine[order] != others[other_order])
    if len(differing):
        row, other_row = int(order[differing[0]]), int(other_order[differing[0]])
        raise MismatchError(
            f"labels of {len(differing):,} of {len(mine):,} test samples differ, e.g. of {_id(first, row)}: "
            f"{_label(first, row)} in {first.name}, {_label(other, other_row)} in {other.name}; "
            "compare runs on the same labels"
        )


def _id(run: NamedRun, row: int) -> str:
    return _short(run.predictions.column("id")[row].as_py())


def _label(run: NamedRun, row: int) -> str:
    return _short(run.predictions.column("label")[row].as_py())


def _short(value: Any) -> str:
    """In one line, and not the whole of a text."""
    said = repr(value) if not isinstance(value, str) or not value.isprintable() else value
    return said if len(said) <= 80 else said[:79] + "…"


def _ordered_like(order: Codes, other_order: Codes, table: pa.Table) -> pa.Table:
    """The rows of a table in the order of another, where both orders sort their own."""
    rows = np.empty(len(order), dtype=np.int64)
    rows[order] = other_order
    return table.take(column_of(rows))
