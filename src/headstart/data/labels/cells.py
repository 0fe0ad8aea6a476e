"""Cells of any type as the strings they are known by: a class 1, 1.0 or "1" is one class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import numbers_of, strings

EXACT_INTEGERS = 1e15


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
    """Lists of strings.

    Parameters
    ----------
    lengths : ndarray of int, shape (N,)
    values : pyarrow.StringArray
        The lists, one after the other.
    missing : ndarray of bool, shape (N,), optional
        Rows that are null.

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
    lengths = pc.list_value_length(lists)
    missing = numbers_of(pc.cast(pc.is_null(lists), pa.int8())).astype(bool)
    counts = numbers_of(pc.cast(pc.fill_null(lengths, _ZERO[str(lengths.type)]), pa.int64()))
    return lists_from(counts, as_strings(lists.flatten()), missing)


_ZERO = {
    name: pa.Array.from_buffers(kind, 1, [None, pa.py_buffer(bytes(8))])[0]
    for name, kind in (("int32", pa.int32()), ("int64", pa.int64()))
}
