"""What all sources do alike: blocks of samples as Arrow columns, and finding again what a scan yielded.

Columns are built from buffers, because ``pa.array`` and ``pa.scalar`` import pandas wherever it is
installed: a third of a second that no command here needs.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import column_of, keys_to_arrow, strings
from headstart.types import Failure, SampleBlock

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_ROWS = 8192
"""Rows of a block: what a scan holds in Python objects at a time, whatever the size of the data."""

T = TypeVar("T")


class Problem(NamedTuple):
    """Why a row cannot be a sample."""

    reason: str
    kind: Literal["permanent", "transient"] = "permanent"


@dataclass(frozen=True, slots=True)
class Rows:
    """Consecutive rows of a source: samples, but for those with a problem, which are named by row.

    ``columns`` are ``label:<name>`` and ``meta:<name>``.
    """

    ids: pa.Array
    origins: pa.Array
    splits: pa.Array
    keys: NDArray[np.uint8]
    columns: Mapping[str, pa.Array]
    problems: Mapping[int, Problem]
    left_out: NDArray[np.bool_] | None = None
    """Rows that the user does not want, and that are no failures."""

    def kept(self) -> NDArray[np.int64]:
        """The rows that are samples."""
        keep = np.ones(len(self.keys), dtype=bool)
        keep[list(self.problems)] = False
        if self.left_out is not None:
            keep &= ~self.left_out
        return np.flatnonzero(keep)

    @property
    def _has_gaps(self) -> bool:
        return bool(self.problems) or (self.left_out is not None and bool(self.left_out.any()))

    def places(self, first: int) -> Sequence[int] | NDArray[np.int64]:
        """The numbers of the rows that are samples, where the first row has the number ``first``."""
        # A range takes no memory, however many blocks there are.
        return self.kept() + first if self._has_gaps else range(first, first + len(self.keys))

    def block(self, others: Sequence[Failure] = ()) -> SampleBlock:
        """The samples as a block; rows with a problem become failures, beside the ``others``."""
        columns = {
            "id": self.ids,
            "key": keys_to_arrow(self.keys),
            "split": self.splits,
            "origin": self.origins,
            **self.columns,
        }
        table = string_table(columns)
        if self._has_gaps:
            table = table.take(column_of(self.kept()))
        failures = [
            Failure(self.ids[row].as_py(), self.origins[row].as_py(), *self.problems[row])
            for row in sorted(self.problems)
            if self.left_out is None or not self.left_out[row]
        ]
        return SampleBlock(table, [*others, *failures])


class Yielded(Generic[T]):
    """Finds the chunk, and the place in it, of the n-th sample that a scan yielded."""

    def __init__(self) -> None:
        self._chunks: list[T] = []
        self._starts: list[int] = []
        self._n = 0

    def append(self, chunk: T, n_samples: int) -> None:
        """Note that the next samples are those of a chunk."""
        if n_samples:
            self._chunks.append(chunk)
            self._starts.append(self._n)
            self._n += n_samples

    def find(self, row: int) -> tuple[T, int]:
        """The chunk of a sample, and its number within that chunk."""
        if not 0 <= row < self._n:
            raise IndexError(f"row {row} of {self._n} samples")
        chunk = bisect_right(self._starts, row) - 1
        return self._chunks[chunk], row - self._starts[chunk]


def string_table(columns: Mapping[str, pa.Array | pa.ChunkedArray]) -> pa.Table:
    """Columns as a table."""
    return pa.Table.from_arrays(list(columns.values()), names=list(columns))


def scalar(value: str) -> pa.StringScalar:
    """A string for Arrow's functions."""
    return strings([value])[0]


def repeated(value: str | None, n: int) -> pa.StringArray:
    """The same string, or null, n times."""
    return pa.nulls(n, pa.string()) if value is None else pa.repeat(scalar(value), n)


def prefixed(prefix: str, column: pa.Array) -> pa.StringArray:
    """A column, written as strings, with the same beginning for all values."""
    return pc.binary_join_element_wise(scalar(prefix), column.cast(pa.string()), scalar(""))


def printable(name: str) -> str:
    """A file name that may hold bytes that are not UTF-8, as a string that can be stored.

    Examples
    --------
    >>> printable("caf\\udce9.jpg")
    'caf\\\\xe9.jpg'
    """
    try:
        raw = os.fsencode(name)
    except UnicodeEncodeError:
        raw = name.encode("utf-8", "surrogatepass")
    return raw.decode("utf-8", "backslashreplace")
