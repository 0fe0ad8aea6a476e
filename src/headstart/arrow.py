"""Between Arrow columns and numpy arrays: without Python objects, and without importing pandas.

`pa.array`, `to_numpy` and `np.asarray` import pandas where it is installed, which takes longer than
a whole warm run; buffers do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headstart.errors import CorruptShardError
from headstart.keys import KEY_BYTES

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

_TYPES = {
    "float16": pa.float16(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "int8": pa.int8(),
    "int32": pa.int32(),
    "int64": pa.int64(),
}


# Not `to_pandas_dtype`: some versions of pyarrow import pandas for it.
_DTYPES = {str(kind): name for name, kind in _TYPES.items()} | {"uint64": "uint64"}


def column_of(values: NDArray[Any]) -> pa.Array:
    """A one-dimensional array of numbers as a column, without a copy where it is contiguous."""
    flat = np.ascontiguousarray(values)
    return pa.Array.from_buffers(_TYPES[flat.dtype.name], len(flat), [None, pa.py_buffer(flat)])


_MINUS_ONE = column_of(np.array([-1], dtype=np.int32))[0]
_NAN = column_of(np.array([np.nan]))[0]


def numbers_of(column: pa.ChunkedArray | pa.Array) -> NDArray[Any]:
    """A column of numbers without nulls as an array, without a copy where it is one chunk."""
    array = _whole(column)
    dtype = np.dtype(_DTYPES[str(array.type)])
    if not len(array):
        return np.empty(0, dtype)
    raw = np.frombuffer(array.buffers()[1], dtype=np.uint8)
    start = array.offset * dtype.itemsize
    return raw[start : start + len(array) * dtype.itemsize].view(dtype)


def object_array(values: Iterable[Any]) -> NDArray[Any]:
    """An array of N objects, shape (N,), also where all are lists of one length, which numpy would make a table of."""
    held = values if isinstance(values, list) else list(values)
    found = np.empty(len(held), dtype=object)
    for place, value in enumerate(held):  # found[:] = held would spread lists of one length
        found[place] = value
    return found


def vectors_of(values: NDArray[Any]) -> pa.FixedSizeListArray:
    """An array of shape (N, D) as a fixed_size_list(D) column."""
    return pa.FixedSizeListArray.from_arrays(column_of(values.reshape(-1)), values.shape[1])


def mask_of(mask: NDArray[np.bool_]) -> pa.BooleanArray:
    """A mask as a column, to filter a table by."""
    bits = np.packbits(mask, bitorder="little")
    return pa.Array.from_buffers(pa.bool_(), len(mask), [None, pa.py_buffer(bits)])


def names_by_code(codes: NDArray[np.integer[Any]], names: Sequence[str]) -> pa.StringArray:
    """The name that each code stands for, as a column of strings; a code below 0 is null."""
    numbers = np.ascontiguousarray(codes, dtype=np.int32)
    valid = mask_of(numbers >= 0).buffers()[1] if (numbers < 0).any() else None
    indices = pa.Array.from_buffers(pa.int32(), len(numbers), [valid, pa.py_buffer(numbers)])
    return pa.DictionaryArray.from_arrays(indices, strings(names)).cast(pa.string())


def codes_by_name(
    column: pa.ChunkedArray | pa.Array, names: Sequence[str], dtype: DTypeLike = np.int64
) -> NDArray[Any]:
    """Positions of a column's strings in names; -1 for null and for what is not among them."""
    return positions_in(column, strings(names), dtype)


def positions_in(
    column: pa.ChunkedArray | pa.Array, values: pa.ChunkedArray | pa.Array, dtype: DTypeLike = np.int64
) -> NDArray[Any]:
    """The first position of each of a column's values in another; -1 where it is not there, or null."""
    import pyarrow.compute as pc

    found = pc.index_in(column, value_set=_whole(values))
    positions = np.empty(len(column), dtype=dtype)
    for start, chunk in _chunks(found):
        # Not fill_null(chunk, -1): a Python number would become a scalar by way of pandas.
        positions[start : start + len(chunk)] = numbers_of(pc.fill_null(chunk, _MINUS_ONE))
    return positions


def codes_of_lists(column: pa.ChunkedArray | pa.Array, names: Sequence[str]) -> NDArray[np.int8]:
    """Which names each list of a column holds, shape (N, len(names)); a row of -1 for null.

    Names that are not among ``names`` are left out.
    """
    import pyarrow.compute as pc

    coded = np.zeros((len(column), len(names)), dtype=np.int8)
    for start, lists in _chunks(column):
        rows = numbers_of(pc.list_parent_indices(lists)).astype(np.int64) + start
        codes = codes_by_name(pc.list_flatten(lists), names)
        coded[rows[codes >= 0], codes[codes >= 0]] = 1
    coded[nulls_of(column)] = -1
    return coded


def numbers_or_nan(column: pa.ChunkedArray | pa.Array) -> NDArray[np.float64]:
    """A column of floats, with NaN for null."""
    import pyarrow.compute as pc

    numbers = np.empty(len(column), dtype=np.float64)
    for start, chunk in _chunks(column):
        numbers[start : start + len(chunk)] = numbers_of(pc.fill_null(chunk, _NAN))
    return numbers


def nulls_of(column: pa.ChunkedArray | pa.Array) -> NDArray[np.bool_]:
    """Which values of a column are null, shape (N,)."""
    import pyarrow.compute as pc

    nulls = np.zeros(len(column), dtype=np.bool_)
    for start, chunk in _chunks(column):
        if chunk.null_count:
            nulls[start : start + len(chunk)] = numbers_of(pc.cast(pc.is_null(chunk), pa.int8()))
    return nulls


def strings(values: Sequence[str | None]) -> pa.StringArray:
    """A string column; None becomes null.

    Raises
    ------
    UnicodeEncodeError
        A value holds half of a surrogate pair.

    Examples
    --------
    >>> strings(["a", None, ""]).to_pylist()
    ['a', None, '']
    """
    encoded = [b"" if value is None else value.encode("utf-8") for value in values]
    offsets = np.zeros(len(values) + 1, dtype=np.int32)
    np.cumsum([len(value) for value in encoded], out=offsets[1:])
    valid = None
    if None in values:
        valid = pa.py_buffer(np.packbits([value is not None for value in values], bitorder="little"))
    return pa.StringArray.from_buffers(
        len(values), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded)), valid
    )


def keys_to_arrow(keys: NDArray[np.uint8]) -> pa.FixedSizeBinaryArray:
    """Keys, shape (N, 16), as fixed_size_binary(16)."""
    buffer = pa.py_buffer(np.ascontiguousarray(keys))
    return pa.Array.from_buffers(pa.binary(KEY_BYTES), len(keys), [None, buffer])


def keys_from_arrow(column: pa.ChunkedArray | pa.Array) -> NDArray[np.uint8]:
    """A fixed_size_binary(16) column as an array of shape (N, 16).

    Raises
    ------
    CorruptShardError
        It is of another type, or has nulls.
    """
    array = _whole(column)
    if array.type != pa.binary(KEY_BYTES) or array.null_count:
        raise CorruptShardError(f"keys are {array.type}, expected {KEY_BYTES} bytes each and no nulls")
    flat = np.frombuffer(array.buffers()[1], dtype=np.uint8) if len(array) else np.empty(0, np.uint8)
    start = array.offset * KEY_BYTES
    return flat[start : start + len(array) * KEY_BYTES].reshape(-1, KEY_BYTES)


def _chunks(column: pa.ChunkedArray | pa.Array) -> Iterator[tuple[int, pa.Array]]:
    """The chunks of a column, each with the number of its first row."""
    start = 0
    for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        yield start, chunk
        start += len(chunk)


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    if not isinstance(column, pa.ChunkedArray):
        return column
    return (
        column.chunk(0)
        if column.num_chunks == 1
        else pa.concat_arrays(column.chunks or [pa.nulls(0, column.type)])
    )


def with_columns(table: pa.Table, columns: Mapping[str, pa.Array]) -> pa.Table:
    """A table with further columns."""
    for name, column in columns.items():
        table = table.append_column(name, column)
    return table
