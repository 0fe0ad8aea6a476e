"""What a program says of its samples beside them: labels, splits, ids and groups, one a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headstart.cache.layout import GROUP
from headstart.data.hub_source import part_of
from headstart.data.label_cells import whole
from headstart.data.pixels import as_array, is_array
from headstart.data.table import Table
from headstart.data.table_file import RowNumbers
from headstart.data.table_roles import Roles
from headstart.data.table_source import TableSource, plain_column
from headstart.errors import ConfigError, first_line

if TYPE_CHECKING:
    from headstart.data.options import SourceOptions

LABEL, SPLIT, ID, GROUPS = "label", "split", "id", "group"


@dataclass(frozen=True, slots=True)
class Given:
    """What is said beside the data, each None or one value a sample; ``labels`` may be several by name.

    ``layout`` is the order of the axes of arrays.
    """

    labels: Any = None
    splits: Any = None
    ids: Any = None
    groups: Any = None
    layout: str | None = None

    def names(self) -> list[str]:
        """What is given, as it is written."""
        said = ("labels", "splits", "ids", "groups")
        return [f"{name}=" for name in said if getattr(self, name) is not None]

    def columns(self, n: int) -> dict[str, pa.ChunkedArray]:
        """The same as columns of n rows, by the names that `options` gives them.

        Raises
        ------
        ConfigError
            There are more or fewer, or they are of no type that columns have.
        """
        several = self.labels if isinstance(self.labels, Mapping) else {LABEL: self.labels}
        found = {**several, SPLIT: self.splits, ID: self.ids, GROUPS: self.groups}
        plain = {name: name not in several for name in found}
        return {
            name: _column(values, f"{name}s" if plain[name] else "labels", n, plain[name])
            for name, values in found.items()
            if values is not None
        }

    def options(self, options: SourceOptions) -> SourceOptions:
        """How columns are read, with these in their roles."""
        changes: dict[str, Any] = {}
        if self.labels is not None:
            if options.label_columns and "label_columns" not in options.remembered:
                raise ConfigError("labels= and label_column= both say which labels are meant; leave one out")
            names = tuple(self.labels) if isinstance(self.labels, Mapping) else (LABEL,)
            changes["label_columns"] = names
        for name, role, column in (("splits", "split_column", SPLIT), ("ids", "id_column", ID),
                                   ("groups", "group_column", GROUPS)):  # fmt: skip
            if getattr(self, name) is not None:
                if getattr(options, role) and role not in options.remembered:
                    raise ConfigError(f"{name}= and {role}= both say the {name}; leave one out")
                changes[role] = column
        return replace(options, **changes)


class GivenColumns(TableSource):
    """Labels, splits, ids and groups as columns of a table without content, read as those of any table."""

    def __init__(self, columns: Mapping[str, Any], options: SourceOptions) -> None:
        table = pa.Table.from_arrays(list(columns.values()), names=list(columns))
        part = part_of(table, {}, Path("the samples"), None, None)
        part = replace(part, file=replace(part.file, numbers=RowNumbers(table.num_rows, first=0)))
        labels = options.label_columns or () if options.labels else ()
        roles = Roles("text", (), labels, options.id_column, options.split_column, options.group_column)
        self._read(Table([part]), roles, options)

    def block(self, start: int, n: int) -> tuple[Any, Any, dict[str, Any]]:
        """The ids and the splits of some rows, None where they are not given, and their other columns."""
        ids = None if self._ids is None else whole(self._ids.slice(start, n))
        splits = None if self._splits is None else plain_column(self._splits.slice(start, n))
        columns = {
            f"label:{name}": plain_column(c.values.slice(start, n)) for name, c in self._labels.items()
        }
        if self._roles.group:
            columns[GROUP] = whole(self._table.rows.column(self._roles.group).slice(start, n))
        return ids, splits, columns

    @property
    def said(self) -> str:
        """The labels with what they were taken for, and which splits were given under which names."""
        return "; ".join(filter(None, [self._labels_said() if self._labels else "", *self._left_out()]))


def _column(values: Any, said: str, n: int, as_text: bool) -> pa.ChunkedArray:
    """Values of any kind as a column of n rows."""
    plain = values_of(values, said)
    if len(plain) != n:
        raise ConfigError(f"{said}= has {len(plain):,} values for {n:,} samples; give one a sample")
    try:
        if as_text:
            plain = [None if value is None else str(value) for value in plain]
        return pa.chunked_array([pa.array(plain, from_pandas=True)])
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise ConfigError(
            f"{said}= holds values of several types, or of one that is no label ({first_line(error)}); give texts, "
            "numbers, or lists of them"
        ) from error


def values_of(values: Any, said: str = "the column") -> list[Any]:
    """The values of a list, an array, a tensor, a Series or an Arrow column, in their order; None where one is missing.

    Examples
    --------
    >>> values_of(np.array([[1, 0], [0, 1]])), values_of(["a", float("nan")])
    ([[1, 0], [0, 1]], ['a', None])
    """
    if isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
        raise ConfigError(
            f"{said}= is {values!r:.60}; give one value a sample (of a table, name a column: label_column=, "
            "split_column=, id_column=, group_column=)"
        )
    if is_array(values):
        listed = as_array(values).tolist()
    elif hasattr(values, "to_pylist"):
        listed = values.to_pylist()
    elif hasattr(values, "to_list"):
        listed = values.to_list()  # by position, whatever an index says
    else:
        listed = [_plain(value) for value in values]
    return [None if _is_missing(value) else value for value in listed]


def _plain(value: Any) -> Any:
    """A number or a list of them, out of what numpy and torch wrap them in."""
    if is_array(value):
        return as_array(value).tolist()
    if isinstance(value, np.generic) or (hasattr(value, "item") and getattr(value, "shape", None) == ()):
        return value.item()
    return (
        list(value) if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str) else value
    )


def _is_missing(value: Any) -> bool:
    return (
        value is None
        or (isinstance(value, float) and value != value)
        or type(value).__name__
        in (
            "NAType",
            "NaTType",
        )
    )
