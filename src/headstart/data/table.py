"""The files of a table as one: its rows, its columns, and what these hold."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from headstart.data.column_names import plain
from headstart.data.contents import is_image
from headstart.data.label_cells import as_string_lists, first_row
from headstart.data.read_table import read_table_file, stem_of
from headstart.data.source import BLOCK_ROWS, printable, string_table
from headstart.data.table_file import TableFile
from headstart.errors import ConfigError, DataError
from headstart.types import Failure

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headstart.data.contents import Images
    from headstart.data.options import SourceOptions
    from headstart.data.splits import SplitNames

PEEK = 1000
"""Rows that are looked at to tell what a column holds."""

_SHARD = re.compile(r"[-_.]\d+([-_.]of[-_.]\d+)?$")


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a table, whose rows begin at ``start`` in the table.

    Origins begin with ``file_name``, ids with ``prefix``: the split that its name says, else the stem of its name.
    ``numbered_from`` is added to row numbers in ids: the shards of a split are counted on.
    """

    path: Path
    file_name: str
    file: TableFile
    prefix: str
    split: str | None
    start: int
    numbered_from: int

    def lists(self, name: str) -> pa.ListArray:
        """A column of lists as lists of strings; null where the file lacks it."""
        if name in self.file.lists:
            return as_string_lists(self.file.lists[name]())
        cells = self.file.rows.column(name) if name in self.file.rows.column_names else None
        if cells is not None and cells.null_count < len(cells):
            raise DataError(
                f"{self.path}: {name!r} holds plain values, but lists in other files; write one kind"
            )
        return pa.nulls(len(self.file.numbers), pa.list_(pa.string()))

    def pieces(self) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Where each block of rows begins in the table, and the rows' numbers in the file."""
        numbers = self.file.numbers
        for start in range(0, len(numbers), BLOCK_ROWS):
            yield self.start + start, numbers[start : start + BLOCK_ROWS]

    def failures(self) -> list[Failure]:
        """The rows of the file that could not be read."""
        return [
            Failure(f"{self.prefix}:{self.numbered_from + number}", f"{self.file_name}:{number}", reason)
            for number, reason in self.file.bad_rows
        ]


class Table:
    """The files of a table as one.

    ``rows`` are all rows of all parts, columns of strings, null where a file lacks one; ``n_rows`` is their number,
    which they cannot say where no column holds strings. ``lists`` are columns of lists of plain values, ``images``
    those of encoded files and ``unusable`` those that nothing can be made of, with what they hold.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = parts
        files = [part.file for part in parts]
        self.n_rows = sum(len(file.numbers) for file in files)
        self.lists = list(dict.fromkeys(name for file in files for name in file.lists))
        self.unusable = {name: kind for file in files for name, kind in file.unusable.items()}
        self.images = {name: images.kind for file in files for name, images in file.images.items()}
        strings = dict.fromkeys(name for file in files for name in file.rows.column_names)
        elsewhere = {*self.unusable, *self.lists}
        self.rows = string_table({name: self._strings(name) for name in strings if name not in elsewhere})
        self.names = list(dict.fromkeys([*self.rows.column_names, *self.lists, *self.images, *self.unusable]))

    def __reduce__(self) -> tuple[Callable[..., Table], tuple[Any, ...]]:
        return Table, (self.parts,)  # each row once

    def __str__(self) -> str:
        return ", ".join(map(repr, self.names))

    def _strings(self, name: str) -> pa.ChunkedArray:
        """A column as long as all files together, whichever of them have it."""
        chunks: list[pa.Array] = []
        for file in (part.file for part in self.parts):
            has_it = name in file.rows.column_names
            chunks += file.rows.column(name).chunks if has_it else [pa.nulls(len(file.numbers), pa.string())]
        return pa.chunked_array(chunks, pa.string())

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
        """The file that a row comes from."""
        return self.parts[bisect_right(self.parts, row, key=lambda part: part.start) - 1]

    def place(self, row: int) -> str:
        """File and number of a row, for a message."""
        part = self.part(row)
        return f"{part.path}, row {part.file.numbers[row - part.start]:,}"

    def release(self) -> None:
        """Give the memory of what was read of the rows back to the system, where it can be read again."""
        for part in self.parts:
            if part.file.stored is not None:
                part.file.stored.release()

    def kind(self, name: str) -> str:
        """What a column holds: ``strings``, ``lists``, or something else in words."""
        if name in self.unusable:
            return self.unusable[name]
        return "lists" if name in self.lists else self.images.get(name, "strings")

    def named(self, names: Sequence[str], taken: Collection[str] = ()) -> list[str]:
        """Columns of these names, in whatever case, that are not taken."""
        return [name for name in self.names if name not in taken and plain(name) in names]

    def holds_splits(self, name: str, names: SplitNames) -> bool:
        """Whether every value names a split.

        Raises
        ------
        ConfigError
            Some do and some do not: to leave the column aside would mix a test split into the others.
        """
        if self.kind(name) != "strings":
            return False
        values = self.values(name)
        splits = [value for value in values if names.of(value)]
        if not splits or len(splits) == len(values):
            return bool(splits)
        other = next(value for value in values if not names.of(value))
        raise ConfigError(
            f"column {name!r} holds {splits[0]!r}, which is a split, and {other!r}, which is none; say what it is with "
            f"--split-map {other}=test (or train, validation, none to leave it out); if they are no splits, rename the "
            "column"
        )

    def values(self, name: str) -> list[str]:
        """The values of a column of strings, each once, without blank ones."""
        return [value for value in pc.unique(self.rows.column(name)).to_pylist() if value and value.strip()]

    def holds_images(self, name: str) -> bool:
        """Whether it holds encoded files, or most values end like image files."""
        return name in self.images or self._mostly(name, is_image)

    def holds_texts(self, name: str) -> bool:
        """Whether most values are of several words."""
        return self._mostly(name, _has_words)

    def n_letters(self, name: str) -> int:
        """How many letters the first values of a column of strings have together."""
        if self.kind(name) != "strings":
            return 0
        return sum(len(value) for value in self.rows.column(name).slice(0, PEEK).to_pylist() if value)

    def repeats(self, name: str) -> bool:
        """Whether a column holds lists, or values of which most come again: labels do."""
        if self.kind(name) != "strings":
            return self.kind(name) == "lists"
        values = [value for value in self.rows.column(name).slice(0, PEEK).to_pylist() if value]
        return len(set(values)) > 1 and 2 * len(set(values)) <= len(values)

    def require(self, option: str, name: str) -> None:
        """Refuse an option that names no column; say which is near."""
        if name not in self.names:
            near = get_close_matches(name, self.names, 1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"{option} {name}: there is no such column, only {self}{meant}")

    def require_everywhere(self, columns: Sequence[str]) -> None:
        """Refuse a file without a column that others have."""
        for part in self.parts:
            for name in columns:
                if name not in part.file.column_names:
                    there = ", ".join(map(repr, part.file.column_names))
                    raise ConfigError(
                        f"{part.path} has no column {name!r}, only {there}; give all files the same columns"
                        + (
                            f", or leave it out: --split-map {word_of(part.path.name)}=none"
                            if part.split
                            else ""
                        )
                    )

    def share_images(self, name: str) -> int | None:
        """Let the files keep chunks of their images together; how many consecutive rows are read together."""
        found: list[Images] = [part.file.images[name] for part in self.parts if name in part.file.images]
        for images in found[1:]:
            images.share(found[0])
        return max((images.rows_per_block for images in found if images.rows_per_block), default=None)

    def check_ids(self, name: str) -> None:
        """Refuse ids that are missing or not unique; say where."""
        column = self.rows.column(name)
        blank = first_row(column, None) if column.null_count else first_row(column, "")
        if blank >= 0:
            raise DataError(f"{self.place(blank)}: the id in column {name!r} is empty; give every row one")
        if pc.count_distinct(column).as_py() == len(column):
            return
        counts = pc.value_counts(column)
        first = pc.index(pc.greater(counts.field("counts"), 1), pa.scalar(True)).as_py()
        twice = counts.field("values")[first].as_py()
        raise DataError(
            f"{self.place(first_row(column, twice))}: the id {twice!r} in column {name!r} is not unique; "
            "make the ids unique, or leave --id-column out"
        )

    def _mostly(self, name: str, holds: Callable[[str], bool]) -> bool:
        """Whether more than half of the first values of a column are such."""
        if self.kind(name) != "strings":
            return False
        values = [value for value in self.rows.column(name).slice(0, PEEK).to_pylist() if value]
        return 2 * sum(map(holds, values)) > len(values)


def join_files(
    paths: Sequence[Path],
    options: SourceOptions,
    splits: Mapping[Path, str] | None = None,
    root: Path | None = None,
) -> Table:
    """Read files one after the other into one table.

    ``splits`` are those of files whose names say them; with a ``root`` files are called by their paths below it,
    where several share a name.
    """
    parts: list[Part] = []
    counted: dict[str, int] = {}
    start = 0
    for path in paths:
        file = read_table_file(path, options)
        split = (splits or {}).get(path)
        shown = printable(path.relative_to(root).as_posix() if root else path.name)
        prefix = split or stem_of(shown)
        parts.append(Part(path, shown, file, prefix, split, start, counted.get(prefix, 0)))
        counted[prefix] = counted.get(prefix, 0) + file.last_number
        start += len(file.numbers)
    return Table(parts)


def word_of(name: str) -> str:
    """What a file's name says, be it a shard.

    Examples
    --------
    >>> word_of("dev.csv.gz"), word_of("train-00000-of-00002.parquet")
    ('dev', 'train')
    """
    return _SHARD.sub("", stem_of(name))


def _has_words(value: str) -> bool:
    # With letters: a column of dates and times is no column of texts.
    return sum(any(map(str.isalpha, word)) for word in value.split()) > 1
