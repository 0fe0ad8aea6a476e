"""The files of a table joined into one, and what is checked once over whole columns."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from headstart.errors import ConfigError, DataError
from headstart.sources.blocks import BLOCK_ROWS, printable, scalar
from headstart.sources.labels import Renaming, clean_labels, names_of
from headstart.sources.table_file import TableFile, read_table_file
from headstart.splits import split_name
from headstart.types import Failure

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Place = Callable[[int], str]

_SHARD = re.compile(r"[-_.]\d+([-_.]of[-_.]\d+)?$")


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a table.

    Parameters
    ----------
    path : Path
    file : TableFile
    prefix : str
        What its ids begin with: the split that its name says, else the stem of its name.
    split : str, optional
        The split that its name says.
    start : int
        Where its rows begin in the joined table.
    numbered_from : int
        Added to its row numbers in ids: the shards of a split are counted on.
    """

    path: Path
    file: TableFile
    prefix: str
    split: str | None
    start: int
    numbered_from: int

    @property
    def file_name(self) -> str:
        """The name that origins begin with."""
        return printable(self.path.name)

    def pieces(self) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Where each block of rows begins in the joined table, and the rows' numbers in the file."""
        numbers = self.file.numbers
        for start in range(0, len(numbers), BLOCK_ROWS):
            yield self.start + start, numbers[start : start + BLOCK_ROWS]

    def failures(self) -> list[Failure]:
        """The rows of the file that could not be read."""
        return [
            Failure(f"{self.prefix}:{self.numbered_from + number}", f"{self.file_name}:{number}", reason)
            for number, reason in self.file.bad_rows
        ]

    def require(self, columns: Sequence[str]) -> None:
        """Refuse a file without a column that others have."""
        for name in columns:
            if name not in self.file.rows.column_names:
                there = ", ".join(map(repr, self.file.rows.column_names))
                raise ConfigError(f"{self.path} has no column {name!r}, only {there}")


@dataclass(frozen=True, slots=True)
class Joined:
    """The files of a table as one.

    Parameters
    ----------
    parts : list of Part
    rows : pyarrow.Table of string
        All rows of all parts; null where a file lacks a column.
    unusable : mapping of str to str
        Columns that no string stands for, with what they hold.
    """

    parts: Sequence[Part]
    rows: pa.Table
    unusable: Mapping[str, str]

    def part(self, row: int) -> Part:
        """The file that a row of the joined table comes from."""
        return self.parts[bisect_right(self.parts, row, key=lambda part: part.start) - 1]

    def place(self, row: int) -> str:
        """File and number of a row of the joined table, for a message."""
        part = self.part(row)
        return f"{part.path}, row {part.file.numbers[row - part.start]:,}"


def join_files(paths: Sequence[Path], encoding: str, by_split: bool) -> Joined:
    """Read files one after the other into one table.

    Parameters
    ----------
    paths : sequence of Path
    encoding : str
    by_split : bool
        The files' names say their splits.
    """
    parts: list[Part] = []
    counted: dict[str, int] = {}
    start = 0
    for path in paths:
        file = read_table_file(path, encoding)
        split = split_of(path.name) if by_split else None
        prefix = split or printable(path.stem)
        parts.append(Part(path, file, prefix, split, start, counted.get(prefix, 0)))
        counted[prefix] = counted.get(prefix, 0) + file.last_number
        start += len(file.numbers)
    unusable = {name: kind for part in parts for name, kind in part.file.unusable.items()}
    rows = pa.concat_tables([part.file.rows for part in parts], promote_options="default")
    usable = [name for name in rows.column_names if name not in unusable]
    return Joined(parts, rows.select(usable), unusable)


def split_of(name: str) -> str | None:
    """The split that a file's name says, be it the whole or a shard of it.

    Examples
    --------
    >>> split_of("dev.csv"), split_of("train-00000-of-00002.parquet"), split_of("trainers.csv")
    ('validation', 'train', None)
    """
    stem = name.rpartition(".")[0]
    return split_name(_SHARD.sub("", stem))


def label_renaming(column: pa.ChunkedArray, names: Sequence[str] | None, place: Place) -> Renaming:
    """The values of a label column as class names.

    Raises
    ------
    DataError
        The user named the integer labels, and a value is not one of them.
    """

    def rename(values: Sequence[str | None]) -> list[str | None]:
        labels = clean_labels(values)
        if not names:
            return labels
        return names_of(labels, names, lambda number: place(_first_row(column, values[number])))

    return Renaming(column, rename)


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
            f"{place(_first_row(column, value))}: {value!r} in the split column {name!r} is no split; "
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
    blank = _first_row(column, None) if column.null_count else _first_row(column, "")
    if blank >= 0:
        raise DataError(f"{place(blank)}: the id in column {name!r} is empty; give every row one")
    if pc.count_distinct(column).as_py() == len(column):
        return
    counts = pc.value_counts(column)
    first = pc.index(pc.greater(counts.field("counts"), 1), pa.scalar(True)).as_py()
    twice = counts.field("values")[first].as_py()
    raise DataError(
        f"{place(_first_row(column, twice))}: the id {twice!r} in column {name!r} is not unique; "
        "make the ids unique, or leave --id-column out"
    )


def _first_row(column: pa.ChunkedArray, value: str | None) -> int:
    """The first row with a value, or -1."""
    if value is None:
        return int(pc.index(pc.is_null(column), pa.scalar(True)).as_py())
    return int(pc.index(column, scalar(value)).as_py())
