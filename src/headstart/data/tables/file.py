"""One file of a table, whatever its format: every column as strings, every bad row by number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from headstart.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.data.growing import GrowingTable
    from headstart.data.hub.images import ArrowImages
    from headstart.data.tables.parquet_chunks import ColumnOfBytes


class RowNumbers:
    """The numbers of the rows of a file: all from 1 but those that were left out.

    Parameters
    ----------
    n : int
        How many rows there are.
    left_out : sequence of int
        Rising numbers, from 1.

    Examples
    --------
    >>> numbers = RowNumbers(4, [2, 3])
    >>> numbers[0], numbers[-1], numbers[:].tolist()
    (1, 6, [1, 4, 5, 6])
    """

    def __init__(self, n: int, left_out: Sequence[int] = ()) -> None:
        self._n = n
        gaps = np.array(left_out, dtype=np.int64)
        self._behind = gaps - np.arange(1, len(gaps) + 1)  # the row behind each gap, counted from 0

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, place: int) -> int: ...

    @overload
    def __getitem__(self, place: slice) -> NDArray[np.int64]: ...

    def __getitem__(self, place: int | slice) -> int | NDArray[np.int64]:
        if isinstance(place, slice):
            rows = np.arange(*place.indices(self._n))
            return rows + 1 + np.searchsorted(self._behind, rows, side="right")
        row = range(self._n)[place]
        return row + 1 + int(np.searchsorted(self._behind, row, side="right"))


@dataclass(frozen=True, slots=True)
class TableFile:
    """What was read from a file.

    Parameters
    ----------
    kind : str
        The format, for the user.
    rows : pyarrow.Table
        All columns that strings can hold.
    numbers : RowNumbers or ndarray of int64, shape (N,)
        The number of each row in the file, from 1: rows after the header in CSV and Parquet,
        lines in JSONL.
    bad_rows : list of (int, str)
        Rows that could not be read: their numbers, and why.
    unusable : mapping of str to str
        Columns that are not in ``rows``, and what they hold instead of values: structs …
    lists : mapping of str to callable
        Columns of lists of plain values that are not in ``rows``; calling gives the column.
    images : mapping of str to ColumnOfBytes or ArrowImages
        Columns of encoded files that are not in ``rows``.
    class_names : mapping of str to tuple of str
        For columns of integer classes their names, where the file itself has them.
    stored : GrowingTable, optional
        What holds the rows, where they may be too many for the memory.
    """

    kind: str
    rows: pa.Table
    numbers: RowNumbers | NDArray[np.int64]
    bad_rows: Sequence[tuple[int, str]] = ()
    unusable: Mapping[str, str] = field(default_factory=dict)
    lists: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    images: Mapping[str, ColumnOfBytes | ArrowImages] = field(default_factory=dict)
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    stored: GrowingTable | None = None

    def __reduce__(self) -> tuple[Callable[..., TableFile], tuple[Any, ...]]:
        # What holds the rows gives them to another process; lists are for labels, which it does not need.
        rows = self.rows if self.stored is None else (self.stored, self.rows.column_names)
        about = self.bad_rows, self.unusable, self.images, self.class_names
        return _received, (self.kind, rows, self.numbers, *about)

    @property
    def column_names(self) -> list[str]:
        """All columns."""
        return [*self.rows.column_names, *self.lists, *self.images, *self.unusable]

    @property
    def last_number(self) -> int:
        """The largest row number in the file."""
        last_bad = self.bad_rows[-1][0] if self.bad_rows else 0
        return max(last_bad, int(self.numbers[-1]) if len(self.numbers) else 0)


def _received(
    kind: str,
    rows: pa.Table | tuple[GrowingTable, list[str]],
    numbers: RowNumbers | NDArray[np.int64],
    bad_rows: Sequence[tuple[int, str]],
    unusable: Mapping[str, str],
    images: Mapping[str, ColumnOfBytes | ArrowImages],
    class_names: Mapping[str, tuple[str, ...]],
) -> TableFile:
    """A file that another process has read."""
    if not isinstance(rows, tuple):
        return TableFile(kind, rows, numbers, bad_rows, unusable, {}, images, class_names)
    stored, names = rows
    whole = stored.whole().select(names)
    return TableFile(kind, whole, numbers, bad_rows, unusable, {}, images, class_names, stored)


def check_names(path: Path, names: Sequence[str]) -> None:
    """Refuse a header that names two columns alike."""
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        raise DataError(f"{path} has more than one column named {twice[0]!r}; rename all but one")


def string_table(columns: Mapping[str, Any]) -> pa.Table:
    """Columns of strings as a table."""
    import pyarrow as pa

    return pa.Table.from_arrays(list(columns.values()), names=list(columns))
