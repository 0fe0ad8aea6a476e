"""What a label column holds: one class a sample, several, or a number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import mask_of, nulls_of, numbers_of, strings
from headstart.data.labels.cells import as_string_lists, as_strings, is_plain_list, whole
from headstart.data.labels.lists import first_row, flags_as_lists, rename_lists, split_cells
from headstart.data.labels.names import Renaming, clean_labels, in_order, names_of
from headstart.errors import ConfigError, DataError

if TYPE_CHECKING:
    from headstart.types import LabelKind

    Place = Callable[[int], str]

WantedKind: TypeAlias = Literal["auto", "single", "multi", "regression"]
FLAGS = "labels"
"""What the columns of 0 and 1 are called together."""

_NUMBER = r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$"


@dataclass(frozen=True, slots=True)
class LabelColumn:
    """The labels of all rows.

    Parameters
    ----------
    kind : {"single", "multi", "regression"}
    values : pyarrow.Array
        Strings, lists of strings, or doubles, by the kind. Null: not labelled; an empty list: no label
        applies.
    names : tuple of str
        All names in order; empty: they are to be sorted, or there are none.
    said : str
        What it was taken for, for the user.
    """

    kind: LabelKind
    values: pa.Array
    names: tuple[str, ...]
    said: str


@dataclass(frozen=True, slots=True)
class LabelReading:
    """How to read label columns.

    Parameters
    ----------
    kind : {"auto", "single", "multi", "regression"}
    separator : str, optional
        Between the labels of a cell.
    names : tuple of str, optional
        Names for integer labels 0 to n - 1.
    blank : str, optional
        A value that stands for no label.
    """

    kind: WantedKind = "auto"
    separator: str | None = None
    names: tuple[str, ...] | None = None
    blank: str | None = None


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
    >>> column = pa.chunked_array([strings(["cat|dog", "cat", ""])])
    >>> labels = read_labels(column, "pets", LabelReading("multi"), str)
    >>> labels.values.to_pylist(), labels.said
    ([['cat', 'dog'], ['cat'], None], "multi-label, 2 classes, split at '|'")
    """
    if is_plain_list(column.type):
        return _from_lists(column, name, reading, place)
    cells = as_strings(column)
    match reading.kind:
        case "regression":
            return _regression(cells, name, reading, place, "regression")
        case "multi":
            lists, at = split_cells(cells, reading.separator, name, place)
            return _multi(lists, reading, place, f", split at {at!r}" if at else "")
        case "auto" if not reading.names and _are_measured(pc.unique(cells)):
            said = "numbers, so regression; --label-kind single would make them classes"
            return _regression(cells, name, reading, place, said)
        case _:
            return _single(cells, reading, place)


def read_flags(columns: Mapping[str, Any], reading: LabelReading, place: Place) -> LabelColumn:
    """Read several columns of 0/1, true/false or yes/no as one multi-label column of their names.

    Raises
    ------
    DataError
        A cell says neither yes nor no.
    """
    if reading.names:
        raise ConfigError(
            "with one column a label, the labels are called like the columns; leave --label-names out"
        )
    for name, column in columns.items():
        if is_plain_list(column.type):
            raise ConfigError(f"--label-column {name} holds lists; with --label-kind multi give it alone")
    lists, n_blank = flags_as_lists({name: as_strings(column) for name, column in columns.items()}, place)
    blank = f", blank cells taken for no: {n_blank:,}" if n_blank else ""
    return LabelColumn(
        "multi", lists, tuple(columns), f"multi-label, {_classes(len(columns))}, one column each{blank}"
    )


def _from_lists(column: Any, name: str, reading: LabelReading, place: Place) -> LabelColumn:
    if reading.kind not in ("auto", "multi"):
        raise ConfigError(
            f"the label column {name!r} holds lists, which --label-kind {reading.kind} cannot be; "
            "leave it out, or choose another --label-column"
        )
    return _multi(as_string_lists(column), reading, place)


def _single(cells: Any, reading: LabelReading, place: Place) -> LabelColumn:
    def rename(values: Sequence[str | None]) -> list[str | None]:
        labels = [None if label == reading.blank else label for label in clean_labels(values)]
        if not reading.names:
            return labels
        return names_of(labels, reading.names, lambda number: place(first_row(cells, values[number])))

    renaming = Renaming(cells, rename)
    present = renaming.values()
    return LabelColumn(
        "single", whole(renaming(cells)), reading.names or in_order(present), _classes(len(present))
    )


def _multi(lists: pa.ListArray, reading: LabelReading, place: Place, how: str = "") -> LabelColumn:
    renamed, present = rename_lists(lists, reading.names, place)
    said = f"multi-label, {_classes(len(present))}{how}"
    return LabelColumn("multi", renamed, reading.names or in_order(present), said)


def _regression(cells: Any, name: str, reading: LabelReading, place: Place, said: str) -> LabelColumn:
    if reading.names:
        raise ConfigError("label names are for classes, and --label-kind regression has none; leave one out")
    texts = whole(pc.utf8_trim_whitespace(cells))
    blank = pc.is_in(pc.utf8_lower(texts), value_set=strings(["", "nan"]))
    texts = pc.if_else(blank, pa.nulls(1, pa.string())[0], texts)
    usable = pc.match_substring_regex(texts, pattern=_NUMBER)
    numbers = pc.cast(pc.if_else(usable, texts, pa.nulls(1, pa.string())[0]), pa.float64())
    bad = (nulls_of(numbers) & ~nulls_of(texts)) | _infinite(numbers)
    if bad.any():
        row = int(bad.argmax())
        raise DataError(
            f"{place(row)}: {cells[row].as_py()!r} in the label column {name!r} is not a finite number; "
            "mend it or leave it empty, or pass --label-kind single"
        )
    return LabelColumn("regression", numbers, (), said)


def _are_measured(values: pa.Array) -> bool:
    """Whether all values are finite decimal numbers, and not all of them integers."""
    texts = pc.utf8_trim_whitespace(values.drop_null())
    texts = texts.filter(pc.invert(pc.is_in(texts, value_set=strings([""]))))
    if not len(texts) or not pc.all(pc.match_substring_regex(texts, pattern=_NUMBER)).as_py():
        return False
    numbers = numbers_of(pc.cast(texts, pa.float64()))
    return bool(np.isfinite(numbers).all() and (numbers != np.floor(numbers)).any())


def _infinite(numbers: pa.DoubleArray) -> np.ndarray[Any, np.dtype[np.bool_]]:
    infinite = pc.fill_null(pc.is_inf(numbers), mask_of(np.zeros(1, dtype=bool))[0])
    return numbers_of(pc.cast(infinite, pa.int8())).astype(bool)


def _classes(n: int) -> str:
    return f"{n:,} class{'' if n == 1 else 'es'}"
