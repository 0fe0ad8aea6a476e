"""The columns of a table: finding them by name, and telling what they hold."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from headstart.data.image_files import is_image
from headstart.data.splits import split_name
from headstart.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

PEEK = 1000
"""Rows that are looked at to tell what a column holds."""


class Columns:
    """The columns of a table, in its order.

    Parameters
    ----------
    rows : pyarrow.Table of string
    lists : sequence of str
        Columns of lists of plain values.
    images : mapping of str to str
        Columns of encoded files, with what they hold.
    unusable : mapping of str to str
        Further columns, with what they hold.
    """

    def __init__(
        self,
        rows: pa.Table,
        lists: Sequence[str] = (),
        images: Mapping[str, str] | None = None,
        unusable: Mapping[str, str] | None = None,
    ) -> None:
        self._rows = rows
        self.lists = lists
        self.images = images or {}
        self.unusable = unusable or {}
        self.names: list[str] = list(
            dict.fromkeys([*rows.column_names, *lists, *self.images, *self.unusable])
        )

    def kind(self, name: str) -> str:
        """What a column holds: ``strings``, ``lists``, or something else in words."""
        if name in self.unusable:
            return self.unusable[name]
        if name in self.lists:
            return "lists"
        return self.images.get(name, "strings")

    def named(self, names: Sequence[str], taken: Collection[str] = ()) -> list[str]:
        """Columns of these names, in whatever case, that are not taken."""
        return [name for name in self.names if name not in taken and plain(name) in names]

    def holds_splits(self, name: str) -> bool:
        """Whether every value names a split.

        Raises
        ------
        ConfigError
            Some do and some do not: to leave the column aside would mix a test split into the others.
        """
        if self.kind(name) != "strings":
            return False
        values = [
            value for value in pc.unique(self._rows.column(name)).to_pylist() if value and value.strip()
        ]
        splits = [value for value in values if split_name(value)]
        if not splits or len(splits) == len(values):
            return bool(splits)
        other = next(value for value in values if not split_name(value))
        raise ConfigError(
            f"column {name!r} holds {splits[0]!r}, which is a split, and {other!r}, which is none; use train, "
            "validation and test, or leave it empty; if they are no splits, rename the column"
        )

    def holds_images(self, name: str) -> bool:
        """Whether it holds encoded files, or most values end like image files."""
        if name in self.images:
            return True
        values = self._peek(name)
        return 2 * sum(map(is_image, values)) > len(values)

    def holds_texts(self, name: str) -> bool:
        """Whether most values are of several words."""
        values = self._peek(name)
        return 2 * sum(map(_has_words, values)) > len(values)

    def require(self, option: str, name: str) -> None:
        """Refuse an option that names no column.

        Raises
        ------
        ConfigError
            With the columns there are, and the nearest.
        """
        if name not in self.names:
            near = get_close_matches(name, self.names, 1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"{option} {name}: there is no such column, only {self}{meant}")

    def __str__(self) -> str:
        return ", ".join(map(repr, self.names))

    def _peek(self, name: str) -> list[str]:
        if self.kind(name) != "strings":
            return []
        return [value for value in self._rows.column(name).slice(0, PEEK).to_pylist() if value]


def plain(name: str) -> str:
    """A column's name without what people vary."""
    return name.strip().lower()


def _has_words(value: str) -> bool:
    # With letters: a column of dates and times is no column of texts.
    return sum(any(map(str.isalpha, word)) for word in value.split()) > 1
