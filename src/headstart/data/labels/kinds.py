"""What a label column holds: what the user says, or what its values look like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headstart.data.labels.cells import as_strings, is_plain_list
from headstart.tasks import AUTO, KINDS, open_task

if TYPE_CHECKING:
    from headstart.contracts import Task
    from headstart.types import LabelColumn, LabelReading, Place

FLAGS = "labels"
"""What the columns of 0 and 1 are called together."""


def read_labels(column: Any, name: str, reading: LabelReading, place: Place) -> LabelColumn:
    """Read a label column of whatever type.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        Strings, numbers, booleans or categories, or lists of them.
    name : str
        For messages.
    reading : LabelReading
    place : callable
        Where a row is, for messages.

    Raises
    ------
    DataError
        A value is not of the kind that was asked for, or has no name.
    ConfigError
        The column cannot be of the kind that was asked for.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from headstart.types import LabelReading
    >>> column = pa.chunked_array([["cat|dog", "cat", ""]])
    >>> labels = read_labels(column, "pets", LabelReading("multi"), str)
    >>> labels.values.to_pylist(), labels.said
    ([['cat', 'dog'], ['cat'], None], "multi-label, 2 classes, split at '|'")
    """
    cells = column if is_plain_list(column.type) else as_strings(column)
    return _task(cells, reading).read(cells, name, reading, place)


def read_flags(columns: Mapping[str, Any], reading: LabelReading, place: Place) -> LabelColumn:
    """Read several columns of 0/1, true/false or yes/no as one multi-label column of their names.

    Raises
    ------
    DataError
        A cell says neither yes nor no.
    """
    return open_task(reading.kind).read_flags(columns, reading, place)


def takes_flags(kind: str) -> bool:
    """Whether several columns of yes and no are one column of this kind."""
    return kind != AUTO and open_task(kind).takes_flags


def _task(column: Any, reading: LabelReading) -> Task:
    if reading.kind != AUTO:
        return open_task(reading.kind)
    return next(task for task in map(open_task, KINDS) if task.recognises(column, reading))
