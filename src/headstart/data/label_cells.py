"""Cells of label columns: as the strings they are known by, under their names, and as lists where a sample has several.

A class 1, 1.0 or "1" is one class.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import codes_by_name, names_by_code, nulls_of, numbers_of, strings
from headstart.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.types import Place

EXACT_INTEGERS = 1e15
SEPARATORS = "|;,"
SHOWN_CHARACTERS = 60
BLANK = -1
FEWEST_NUMBERS = 10
"""For each odd cell: fewer numbers do not make a column of numbers."""
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
BOOLEANS = ("false", "true")
_UNSEEN = "\u200b\u2060\ufeff"
YES, NO = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no")
_ONES = ("1", "1.0", "true")
_FLAGS = frozenset((*_ONES, "0", "0.0", "false"))
_INTEGER = re.compile(r"-?\d+")
_FRACTION = re.compile(r"-?\d*\.\d+")
_INTEGRAL = re.compile(r"-?\d+(\.0+)?")


def cell_text(value: Any) -> str | None:
    """A JSON value as a string; None for null, NaN, and what no string stands for.

    Examples
    --------
    >>> cell_text(True), cell_text(2.0), cell_text(0.5), cell_text([1])
    ('true', '2', '0.5', None)
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if value.is_integer() and abs(value) < EXACT_INTEGERS:
            return str(int(value))
        return repr(value) if value == value else None
    return str(value) if isinstance(value, int) else None


def as_strings(column: pa.ChunkedArray | pa.Array) -> Any:
    """A column of plain values (numbers, booleans, dates, categories …) as strings; NaN is null.

    Raises
    ------
    pyarrow.ArrowNotImplementedError, pyarrow.ArrowInvalid
        No string stands for its values.
    """
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.nulls(1, column.type)[0], column)
    return column if pa.types.is_string(column.type) else pc.cast(column, pa.string())


def as_string_lists(column: pa.ChunkedArray | pa.Array) -> pa.ListArray:
    """A column of lists of plain values as one array of lists of strings; null stays null.

    Raises
    ------
    pyarrow.ArrowNotImplementedError, pyarrow.ArrowInvalid
        No string stands for the values.
    """
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    if not chunks:
        return lists_from(np.zeros(0, dtype=np.int64), strings([]))
    return pa.concat_arrays([_string_lists(chunk) for chunk in chunks])


def is_plain_list(kind: pa.DataType) -> bool:
    """Whether a column holds lists of values that strings stand for."""
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        return False
    value = kind.value_type.value_type if pa.types.is_dictionary(kind.value_type) else kind.value_type
    plain = (
        *(pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_boolean),
        *(pa.types.is_integer, pa.types.is_floating, pa.types.is_null),
    )
    return any(holds(value) for holds in plain)


def lists_from(lengths: Any, values: pa.StringArray, missing: Any = None) -> pa.ListArray:
    """Lists of strings from their lengths (N,), the values one after the other, and which rows are null (N,).

    Examples
    --------
    >>> lists_from(np.array([2, 0]), strings(["a", "b"])).to_pylist()
    [['a', 'b'], []]
    """
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    valid = None
    if missing is not None and missing.any():
        valid = pa.py_buffer(np.packbits(~missing, bitorder="little"))
    buffers = [valid, pa.py_buffer(offsets)]
    return pa.Array.from_buffers(pa.list_(pa.string()), len(lengths), buffers, children=[values])


def whole(column: pa.ChunkedArray | pa.Array) -> Any:
    """A column as one array."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    return pa.concat_arrays(column.chunks or [pa.nulls(0, column.type)])


def _string_lists(lists: pa.Array) -> pa.ListArray:
    lengths = np.bincount(numbers_of(pc.list_parent_indices(lists)), minlength=len(lists))
    return lists_from(lengths, as_strings(lists.flatten()), nulls_of(lists))


class Renaming:
    """Gives the values of a column other names, block by block: ``rename`` takes all distinct ones."""

    def __init__(self, column: Any, rename: Callable[[list[str | None]], Sequence[str | None]]) -> None:
        self._before = pc.unique(column)
        self.before: list[str | None] = self._before.to_pylist()
        self._after = strings(rename(self.before))

    def __call__(self, column: Any) -> pa.Array:
        """A column, or a part of it, under the new names."""
        return self._after.take(pc.index_in(column, value_set=self._before))

    def values(self) -> list[str]:
        """The new values, each once, without null."""
        return list(dict.fromkeys(value for value in self.after() if value is not None))

    def after(self) -> list[str | None]:
        """The new value of each of those ``before``."""
        return self._after.to_pylist()  # type: ignore[no-any-return]


def clean_labels(values: Sequence[str | None]) -> list[str | None]:
    """Distinct values of a label column as class names.

    Blanks around a name and the form of Unicode it is written in make no class, blank values are null, and true and
    false in whatever case are ``true`` and ``false``. Integers become floats in files whenever pandas met an empty
    cell, so ``1.0`` is ``1`` if all values look like that.

    Examples
    --------
    >>> clean_labels(["2.0", "1", " ", None]), clean_labels(["2.0", "n/a "]), clean_labels(["TRUE", "False"])
    (['2', '1', None, None], ['2.0', 'n/a'], ['true', 'false'])
    """
    labels = [None if value is None else clean_label(value) for value in values]
    present = [label for label in labels if label is not None]
    if all(_INTEGRAL.fullmatch(label) for label in present):
        return [label and label.partition(".")[0] for label in labels]
    if present and all(label.lower() in BOOLEANS for label in present):
        return [label and label.lower() for label in labels]
    return labels


def clean_label(value: str) -> str | None:
    """A class name without what nobody sees: surrounding blanks, and how its letters are composed; None if it is blank.

    Examples
    --------
    >>> clean_label("cafe\u0301 ") == "caf\u00e9"
    True
    """
    if value.isascii():
        return value.strip() or None
    return normalize("NFC", value.strip(_UNSEEN).strip().strip(_UNSEEN)) or None


def merged_said(before: Sequence[str | None], after: Sequence[str | None]) -> str:
    """How many spellings of classes were taken for others, of distinct values and their names, for the user."""
    spelt: dict[str, set[str]] = {}
    for value, name in zip(before, after, strict=True):
        if value is not None and name is not None:
            spelt.setdefault(name, set()).add(value)
    n = sum(len(values) - 1 for values in spelt.values() if not any(map(_INTEGRAL.fullmatch, values)))
    spellings = "spelling" if n == 1 else "spellings"
    return f", {n:,} other {spellings} (blanks, Unicode) taken for the same" if n else ""


def odd_among_numbers(cells: Any) -> tuple[int, list[str]]:
    """How many cells are decimal numbers, and the distinct ones that are none, where these are few enough to be odd.

    Examples
    --------
    >>> odd_among_numbers(strings([f"{n}.5" for n in range(39)] + ["N/A", ""]))
    (39, ['N/A'])
    >>> odd_among_numbers(strings(["1.5", "N/A"]))
    (0, [])
    """
    counts = pc.value_counts(cells)
    n_of = {
        value.strip(): n
        for value, n in zip(
            counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True
        )
        if value is not None and value.strip() and value.strip().lower() != "nan"
    }
    odd = [value for value in n_of if not NUMBER.fullmatch(value) or math.isinf(float(value))]
    n_odd = sum(n_of[value] for value in odd)
    n = sum(n_of.values()) - n_odd
    return (n, odd) if n and n_odd * FEWEST_NUMBERS <= n else (0, [])


def odd_said(cells: Any, n: int, odd: Sequence[str], place: Place) -> str:
    """The first odd cell among numbers, with its row."""
    trimmed = pc.utf8_trim_whitespace(cells)
    rows = {value: first_row(trimmed, value) for value in odd}
    first = min(odd, key=lambda value: rows[value])
    others = f", and {len(odd) - 1:,} more such" if len(odd) > 1 else ""
    n_all = len(cells) - cells.null_count
    return f"{n:,} of {n_all:,} are numbers; {place(rows[first])} is {first!r}{others}"


def numbers_said(cells: Any, place: Place) -> str:
    """What makes classes of cells that look like numbers, for the user."""
    values = [value.strip() for value in pc.unique(cells).to_pylist() if value and value.strip()]
    if len(values) > 1 and all(map(_DECIMAL_COMMA.fullmatch, values)):
        return ", as they have decimal commas; with points they would be numbers"
    n, odd = odd_among_numbers(cells)
    return f", {odd_said(cells, n, odd, place)}" if odd and len(values) > len(odd) + 1 else ""


def names_of(
    values: Sequence[str | None], names: Sequence[str], place: Callable[[int], str]
) -> list[str | None]:
    """Names for integer labels 0 to n - 1, as `clean_labels` gives them.

    ``place`` says where the value of that number is first found.

    Raises
    ------
    DataError
        A value is no integer in [0, n).
    """
    renamed = []
    for number, value in enumerate(values):
        if value is not None and not (_INTEGER.fullmatch(value) and 0 <= int(value) < len(names)):
            raise DataError(
                f"{place(number)}: the label is {value!r}, but the {len(names)} label names are for "
                f"the integers 0 to {len(names) - 1}; give a name for every label, or none"
            )
        renamed.append(value and names[int(value)])
    return renamed


def n_classes(n: int) -> str:
    """A number of classes, for people."""
    return f"{n:,} {'class' if n == 1 else 'classes'}"


def in_order(labels: Sequence[str]) -> tuple[str, ...]:
    """Integers in numerical order; nothing if they are not all integers: sorting will do.

    Examples
    --------
    >>> in_order(["10", "9"]), in_order(["cat", "9"])
    (('9', '10'), ())
    """
    if all(_INTEGER.fullmatch(label) for label in labels):
        return tuple(sorted(labels, key=lambda label: (int(label), label)))
    return ()


def rename_lists(
    lists: pa.ListArray, names: Sequence[str] | None, place: Place
) -> tuple[pa.ListArray, list[str]]:
    """Lists of class names, each name once in a list, and all names that occur; ``names`` are for integer labels.

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
        return names_of(labels, names, lambda number: place(int(rows[first_row(flat, values[number])])))

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

    Without a separator a cell in brackets is a JSON list, and others are split at the first of ``|``, ``;`` and
    ``,`` that any of them holds.

    Raises
    ------
    DataError
        A cell in brackets is no JSON list.
    """
    distinct = pc.unique(column)
    cells = distinct.to_pylist()

    def is_json(cell: str) -> bool:
        return separator is None and cell.strip()[:1] == "[" and cell.strip()[-1:] == "]"

    plain = [cell for cell in cells if cell and not is_json(cell)]
    at = separator or next((mark for mark in SEPARATORS if any(mark in cell for cell in plain)), None)

    def parsed(cell: str | None) -> list[str] | None:
        if not cell or cell.isspace():
            return None
        if is_json(cell):
            return _json_list(cell, name, lambda: place(first_row(column, cell)))
        return [part.strip() for part in (cell.split(at) if at else [cell])]

    lists = string_lists([parsed(cell) for cell in cells])
    return lists.take(whole(pc.index_in(column, value_set=distinct))), at


def flags_as_lists(columns: Mapping[str, Any], place: Place) -> tuple[pa.ListArray, int]:
    """Columns of 0/1, true/false or yes/no as one list per row of the columns that say yes.

    A row whose cells are all blank is null: it is not labelled. The number is that of the blank cells of labelled
    rows, which were taken for no.

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


def flags_in_lists(lists: pa.ListArray) -> int:
    """The length of the lists if all are 0/1 vectors of one length, of two or more; else 0.

    Examples
    --------
    >>> flags_in_lists(string_lists([["1", "0", "0"], None, ["0", "1", "1"]]))
    3
    >>> flags_in_lists(string_lists([["0", "1"], ["1"]]))
    0
    """
    lengths = pc.unique(pc.list_value_length(lists.filter(pc.is_valid(lists)))).to_pylist()
    if len(lengths) != 1 or lengths[0] < 2:
        return 0
    values = pc.unique(lists.flatten()).to_pylist()
    are_flags = all(value is not None and value.strip().lower() in _FLAGS for value in values)
    return int(lengths[0]) if are_flags and len(values) > 1 else 0


def check_no_shares(lists: pa.ListArray, name: str, place: Place) -> None:
    """Refuse lists of numbers with fractions: they are shares or scores, and no names of classes.

    Raises
    ------
    DataError
        With the first row that holds one.
    """
    flat = lists.flatten()
    share = next((value for value in pc.unique(flat).to_pylist() if value and _is_share(value)), None)
    if share is not None:
        row = int(numbers_of(pc.list_parent_indices(lists))[first_row(flat, share)])
        raise DataError(
            f"{place(row)}: the list in the label column {name!r} holds {share}, which is no name of a class; write 0 "
            "and 1 for each label, or lists of names (scores: keep those above a threshold)"
        )


def _is_share(value: str) -> bool:
    return bool(_FRACTION.fullmatch(value)) and not float(value).is_integer()


def lists_of_flags(lists: pa.ListArray, names: Sequence[str]) -> pa.ListArray:
    """0/1 vectors as lists of the names whose place has a 1."""
    says = pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(lists.flatten())), value_set=strings(_ONES))
    ones = numbers_of(pc.cast(says, pa.int8())).astype(bool)
    places = np.arange(len(ones)) % len(names)
    rows = numbers_of(pc.list_parent_indices(lists)).astype(np.int64)
    lengths = np.bincount(rows[ones], minlength=len(lists))
    return lists_from(lengths, names_by_code(places[ones], list(names)), nulls_of(lists))


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
