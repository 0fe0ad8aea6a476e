"""The files of a table joined into one, and what is checked once over whole columns."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from headstart.data.blocks import BLOCK_ROWS, printable
from headstart.data.labels.cells import as_string_lists
from headstart.data.splits import split_name
from headstart.data.tables.file import TableFile, string_table
from headstart.data.tables.formats import read_table_file
from headstart.errors import ConfigError, DataError
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
    file_name : str
        What origins begin with.
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
    file_name: str
    file: TableFile
    prefix: str
    split: str | None
    start: int
    numbered_from: int

    def lists(self, name: str) -> pa.ListArray:
        """A column of lists as lists of strings; null where the file lacks it.

        Raises
        ------
        DataError
            It holds plain values here, and lists in other files; or its lists cannot be read.
        """
        if name in self.file.lists:
            return as_string_lists(self.file.lists[name]())
        cells = self.file.rows.column(name) if name in self.file.rows.column_names else None
        if cells is not None and cells.null_count < len(cells):
            raise DataError(
                f"{self.path}: {name!r} holds plain values, but lists in other files; write one kind"
            )
        return pa.nulls(len(self.file.numbers), pa.list_(pa.string()))

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
            if name not in self.file.column_names:
                there = ", ".join(map(repr, self.file.column_names))
                raise ConfigError(f"{self.path} has no column {name!r}, only {there}")


@dataclass(frozen=True, slots=True)
class Joined:
    """The files of a table as one.

    Parameters
    ----------
    rows : pyarrow.Table of string
        All rows of all parts; null where a file lacks a column.
    n_rows : int
        How many there are; ``rows`` cannot say where no column holds strings.
    """

    parts: Sequence[Part]
    rows: pa.Table
    n_rows: int

    def __reduce__(self) -> tuple[Callable[..., Joined], tuple[Any, ...]]:
        return join_parts, (self.parts,)  # each row once

    @property
    def lists(self) -> list[str]:
        """Columns of lists of plain values."""
        return list(dict.fromkeys(name for part in self.parts for name in part.file.lists))

    @property
    def images(self) -> dict[str, str]:
        """Columns of encoded files, with what they hold."""
        return {name: column.kind for part in self.parts for name, column in part.file.images.items()}

    @property
    def unusable(self) -> dict[str, str]:
        """Columns that nothing can be made of, with what they hold."""
        return {name: kind for part in self.parts for name, kind in part.file.unusable.items()}

    def class_names(self, name: str) -> tuple[str, ...] | None:
        """The names that the files give to the integer classes of a column, if they agree."""
        given = {part.file.class_names.get(name) for part in self.parts}
        return given.pop() if len(given) == 1 else None

    def column(self, name: str) -> pa.ChunkedArray:
        """A whole column: strings, or lists of plain values.

        Raises
        ------
        DataError
            It holds lists in one file and plain values in another, or its lists cannot be read.
        """
        if name not in self.lists:
            return self.rows.column(name)
        arrays = [part.lists(name) for part in self.parts]
        return pa.chunked_array(arrays, arrays[0].type)

    def part(self, row: int) -> Part:
        """The file that a row of the joined table comes from."""
        return self.parts[bisect_right(self.parts, row, key=lambda part: part.start) - 1]

    def release(self) -> None:
        """Give the memory of what was read of the rows back to the system, where it can be read again."""
        for part in self.parts:
            if part.file.stored is not None:
                part.file.stored.release()

    def place(self, row: int) -> str:
        """File and number of a row of the joined table, for a message."""
        part = self.part(row)
        return f"{part.path}, row {part.file.numbers[row - part.start]:,}"


def join_files(paths: Sequence[Path], encoding: str, by_split: bool, root: Path | None = None) -> Joined:
    """Read files one after the other into one table.

    Parameters
    ----------
    paths : sequence of Path
    encoding : str
    by_split : bool
        The files' names say their splits.
    root : Path, optional
        The files are called by their paths below it, where several share a name.
    """
    parts: list[Part] = []
    counted: dict[str, int] = {}
    start = 0
    for path in paths:
        file = read_table_file(path, encoding)
        split = split_of(path.name) if by_split else None
        shown = printable(path.relative_to(root).as_posix() if root else path.name)
        prefix = split or shown.removesuffix(path.suffix)
        parts.append(Part(path, shown, file, prefix, split, start, counted.get(prefix, 0)))
        counted[prefix] = counted.get(prefix, 0) + file.last_number
        start += len(file.numbers)
    return join_parts(parts)


def join_parts(parts: Sequence[Part]) -> Joined:
    """Files that were read, one after the other, as one table."""
    return Joined(parts, _joined_rows(parts), sum(len(part.file.numbers) for part in parts))


def _joined_rows(parts: Sequence[Part]) -> pa.Table:
    """The columns of strings; each as long as all files together, whichever of them have it."""
    elsewhere = {name for part in parts for name in (*part.file.unusable, *part.file.lists)}
    names = dict.fromkeys(name for part in parts for name in part.file.rows.column_names)
    columns = {name: _joined_column(parts, name) for name in names if name not in elsewhere}
    return string_table(columns)


def _joined_column(parts: Sequence[Part], name: str) -> pa.ChunkedArray:
    chunks = []
    for part in parts:
        if name in part.file.rows.column_names:
            chunks += part.file.rows.column(name).chunks
        else:
            chunks.append(pa.nulls(len(part.file.numbers), pa.string()))
    return pa.chunked_array(chunks, pa.string())


def split_of(name: str) -> str | None:
    """The split that a file's name says, be it the whole or a shard of it.

    Examples
    --------
    >>> split_of("dev.csv"), split_of("train-00000-of-00002.parquet"), split_of("trainers.csv")
    ('validation', 'train', None)
    """
    stem = name.rpartition(".")[0]
    return split_name(_SHARD.sub("", stem))
