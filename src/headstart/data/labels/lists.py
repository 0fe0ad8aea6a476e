"""Labels of which a sample may have several: lists, cells that are split, one column a label."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import codes_by_name, names_by_code, nulls_of, numbers_of, strings
from headstart.data.labels.cells import cell_text, lists_from, whole
from headstart.data.labels.names import Renaming, clean_labels, names_of
from headstart.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Place = Callable[[int], str]

SEPARATORS = "|;,"
SHOWN_CHARACTERS = 60
BLANK = -1
YES, NO = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no")


def rename_lists(
    lists: pa.ListArray, names: Sequence[str] | None, place: Place
) -> tuple[pa.ListArray, list[str]]:
    """Lists of class names, each name once in a list, and all names that occur.

    Parameters
    ----------
    lists : pyarrow.ListArray of string
    names : sequence of str, optional
        Names for integer labels.
    place : callable
        Where a row is, for a message.

    Raises
    ------
    DataError
        There are names, and a label is none of their numbers.
    """
    flat = lists.flatten()
    rows = numbers_of(pc.list_parent_indices(lists)).astype(np.int64)

    def rename(values: Sequence[str | None]) -> list[str | None]:
        labels = clean_labels(values)
        if not names:
            return labels
        return names_of(labels, names, lambda number: place(_row_of(rows, flat, values[number])))

    renaming = Renaming(flat, rename)
    present = renaming.values()
    codes = codes_by_name(renaming(flat), present)
    # A label that is given twice counts once; `unique` names the first of equal ones.
    first = np.unique(rows * (len(present) + 1) + codes, return_index=True)[1]
    kept = np.sort(first[codes[first] >= 0])
    lengths = np.bincount(rows[kept], minlength=len(lists))
    return lists_from(lengths, names_by_code(codes[kept], present), nulls_of(lists)), present


def split_cells(
    column: Any, separator: str | None, name: str, place: Place
) -> tuple[pa.ListArray, str | None]:
    """Cells of several labels as lists, and what they were split at; a blank cell is null.

    Parameters
    ----------
    column : pyarrow.ChunkedArray of string
    separator : str, optional
        None: a cell in brackets is a JSON list, and others are split at the first of ``|``, ``;`` and
        ``,`` that any of them holds.
    name : str
        The column's name, for messages.
    place : callable

    Raises
    ------
    DataError
        A cell in brackets is no JSON list.
    """
    distinct = pc.unique(column)
    cells = distinct.to_pylist()
    bracketed = [separator is None and _in_brackets(cell) for cell in cells]
    plain = [cell for cell, is_json in zip(cells, bracketed, strict=True) if cell and not is_json]
    at = separator or next((mark for mark in SEPARATORS if any(mark in cell for cell in plain)), None)
    parsed: list[list[str] | None] = []
    for cell, is_json in zip(cells, bracketed, strict=True):
        if not cell or cell.isspace():
            parsed.append(None)
        elif is_json:
            parsed.append(_json_list(cell, name, lambda cell=cell: place(first_row(column, cell))))  # type: ignore[misc]
        else:
            parsed.append([part.strip() for part in (cell.split(at) if at else [cell])])
    return string_lists(parsed).take(whole(pc.index_in(column, value_set=distinct))), at


def flags_as_lists(columns: Mapping[str, Any], place: Place) -> tuple[pa.ListArray, int]:
    """Columns of 0/1, true/false or yes/no as one list a row of the columns that say yes.

    A row whose cells are all blank is null: it is not labelled.

    Parameters
    ----------
    columns : mapping of str to pyarrow.ChunkedArray of string
    place : callable

    Returns
    -------
    pyarrow.ListArray
    int
        Blank cells of labelled rows, which were taken for no.

    Raises
    ------
    DataError
        A cell says neither yes nor no.
    """
    says = np.stack([_flags(column, name, place) for name, column in columns.items()], axis=1)
    missing = (says == BLANK).all(axis=1)
    n_blank = int((says[~missing] == BLANK).sum())
    rows, codes = np.nonzero(says == 1)
    lengths = np.bincount(rows, minlength=len(says))
    return lists_from(lengths, names_by_code(codes, list(columns)), missing), n_blank


def string_lists(values: Sequence[Sequence[str | None] | None]) -> pa.ListArray:
    """Python lists as an array of lists of strings; None becomes null."""
    lengths = np.array([len(value) if value else 0 for value in values], dtype=np.int64)
    missing = np.array([value is None for value in values], dtype=bool)
    return lists_from(lengths, strings([part for value in values for part in value or ()]), missing)


def first_row(column: Any, value: str | None) -> int:
    """The first row with a value, or -1."""
    if value is None:
        return int(pc.index(pc.is_null(column), pa.scalar(True)).as_py())
    return int(pc.index(column, strings([value])[0]).as_py())


def _flags(column: Any, name: str, place: Place) -> NDArray[np.int8]:
    """1 for yes, 0 for no, -1 for blank."""
    cells = pc.utf8_lower(pc.utf8_trim_whitespace(column))
    codes = codes_by_name(cells, [*NO, *YES, ""])
    says = np.where(codes < len(NO), 0, 1).astype(np.int8)
    says[(codes == len(NO) + len(YES)) | nulls_of(cells)] = BLANK
    odd = np.flatnonzero((codes < 0) & (says != BLANK))
    if len(odd):
        row = int(odd[0])
        raise DataError(
            f"{place(row)}: {column[row].as_py()!r} in the label column {name!r} is neither yes nor no; "
            "several label columns with --label-kind multi hold 0/1, true/false or yes/no each"
        )
    return says


def _in_brackets(cell: str | None) -> bool:
    text = (cell or "").strip()
    return text.startswith("[") and text.endswith("]")


def _json_list(cell: str, name: str, place: Callable[[], str]) -> list[str]:
    try:
        values = json.loads(cell)
        nested = any(isinstance(value, list | dict) for value in values)
    except (ValueError, RecursionError):
        nested = True
    if nested:
        shown = cell if len(cell) <= SHOWN_CHARACTERS else f"{cell[:SHOWN_CHARACTERS]}…"
        raise DataError(
            f"{place()}: {shown} in the label column {name!r} is no JSON list of labels; "
            'write ["a", "b"], or a|b without brackets, or pass --label-separator'
        )
    return [text for value in values if (text := cell_text(value)) is not None]


def _row_of(rows: NDArray[np.int64], flat: pa.Array, value: str | None) -> int:
    """The row of the list that holds a value first."""
    return int(rows[first_row(flat, value)])
