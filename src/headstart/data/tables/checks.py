"""What is checked once over whole columns of a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from headstart.data.labels.lists import first_row
from headstart.data.labels.names import Renaming
from headstart.data.splits import split_name
from headstart.errors import DataError

if TYPE_CHECKING:
    Place = Callable[[int], str]


def split_renaming(column: pa.ChunkedArray, name: str, place: Place) -> Renaming:
    """The values of a split column as splits; blank ones are not given.

    Raises
    ------
    DataError
        A value names no split.
    """

    def rename(values: Sequence[str | None]) -> list[str | None]:
        return [_split(value) if value and value.strip() else None for value in values]

    def _split(value: str) -> str:
        if split := split_name(value):
            return split
        raise DataError(
            f"{place(first_row(column, value))}: {value!r} in the split column {name!r} is no split; "
            "use train, validation and test, or leave it empty"
        )

    return Renaming(column, rename)


def check_ids(column: pa.ChunkedArray, name: str, place: Place) -> None:
    """Refuse ids that are missing or not unique.

    Raises
    ------
    DataError
        With the value, and where it is.
    """
    blank = first_row(column, None) if column.null_count else first_row(column, "")
    if blank >= 0:
        raise DataError(f"{place(blank)}: the id in column {name!r} is empty; give every row one")
    if pc.count_distinct(column).as_py() == len(column):
        return
    counts = pc.value_counts(column)
    first = pc.index(pc.greater(counts.field("counts"), 1), pa.scalar(True)).as_py()
    twice = counts.field("values")[first].as_py()
    raise DataError(
        f"{place(first_row(column, twice))}: the id {twice!r} in column {name!r} is not unique; "
        "make the ids unique, or leave --id-column out"
    )


def check_sound(column: pa.ChunkedArray | pa.Array, path: Path, name: str, rows_before: int = 0) -> None:
    """Refuse a column that is damaged: Arrow believes the offsets and the texts of a file unseen.

    Parameters
    ----------
    column : pyarrow.ChunkedArray or pyarrow.Array
    path : Path
    name : str
    rows_before : int
        How many rows of the file come before those of the column.

    Raises
    ------
    DataError
        With the first row that is not UTF-8, or what else is wrong.
    """
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        if "UTF8" in str(error):
            raise DataError(
                f"{path}, row {_first_undecodable(column, rows_before):,}: the text in column {name!r} is not "
                "UTF-8; mend the row, or make or fetch the file again if it is damaged"
            ) from error
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: column {name!r} is damaged ({reason}); make or fetch it again") from error


def _first_undecodable(column: pa.ChunkedArray | pa.Array, rows_before: int) -> int:
    """The number of the first row that is no UTF-8, from 1; 0 if it lies within a list."""
    for number, cell in enumerate(column, rows_before + 1):
        try:
            cell.as_py()
        except UnicodeDecodeError:
            return number
    return 0
