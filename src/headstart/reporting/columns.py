"""What views filter, colour and slice samples by: columns of names, as codes, and columns of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import codes_by_name, numbers_or_nan, strings
from headstart.cache.layout import CONTEXT, LABEL, META
from headstart.inspection.project import as_numbers
from headstart.metrics.tables import NUMERIC_BINS
from headstart.reporting.arrays import encoded_codes, encoded_numbers
from headstart.types import SPLITS
from headstart.words import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.types import Json

MOST_NAMES = 1000
"""Different values of a column of names: of more nobody can choose."""
MOST_LETTERS = 1 << 20
"""Bytes that the names of a column may take together."""
BETWEEN = " + "
"""What stands between several labels of a sample."""


@dataclass(frozen=True)
class Column:
    """One column of N samples: ``codes`` into ``names``, -1 for none; or ``values``, NaN for none."""

    name: str
    title: str
    names: tuple[str, ...] = ()
    codes: NDArray[np.int32] | None = None
    values: NDArray[np.float64] | None = None

    @property
    def content(self) -> NDArray[Any]:
        """Codes or values, (N,)."""
        found = self.codes if self.values is None else self.values
        assert found is not None
        return found

    def take(self, rows: NDArray[np.int64]) -> Column:
        """The same of some samples."""
        if self.values is None:
            return replace(self, codes=self.content[rows])
        return replace(self, values=self.values[rows])

    def to_json(self) -> dict[str, Json]:
        """As the page has it."""
        about: dict[str, Json] = {"name": self.name, "title": self.title}
        if self.values is not None:
            return {**about, "kind": "number", "values": encoded_numbers(self.values)}
        codes = encoded_codes(self.content, len(self.names))
        return {**about, "kind": "category", "names": list(self.names), "codes": codes}


def split_column(table: pa.Table) -> Column:
    """Which split each sample is in; only those that occur."""
    codes = codes_by_name(table.column("split"), SPLITS, np.int32)
    there = [code for code in range(len(SPLITS)) if (codes == code).any()]
    place = np.full(len(SPLITS) + 1, -1, dtype=np.int32)  # the last is for none
    place[there] = np.arange(len(there))
    return Column("split", "split", tuple(SPLITS[code] for code in there), place[codes])


def label_column(name: str, title: str, values: pa.ChunkedArray, names: Sequence[str]) -> Column | None:
    """A label column: classes, numbers, or the names that a sample has together; None of others, such as texts."""
    kind = values.type
    if pa.types.is_floating(kind):
        return Column(name, title, values=numbers_or_nan(values.cast(pa.float64())))
    if pa.types.is_string(kind):
        return named_column(name, title, values, names) if names else categories(name, title, values)
    if pa.types.is_list(kind) and pa.types.is_string(kind.value_type) and names:
        return joined_column(name, title, values)
    return None


def joined_column(name: str, title: str, lists: pa.ChunkedArray) -> Column | None:
    """The names that a sample has together, as one name; none where it has none."""
    # A value out of a column, for a Python one would become a scalar by way of pandas.
    return categories(name, title, pc.binary_join(lists, strings([BETWEEN])[0]))


def named_column(name: str, title: str, values: pa.ChunkedArray | pa.Array, names: Sequence[str]) -> Column:
    """A column of strings that are among names, in their order."""
    return Column(name, title, tuple(names), codes_by_name(values, names, np.int32))


def categories(name: str, title: str, values: pa.ChunkedArray) -> Column | None:
    """A column of strings by their values, sorted; None where these are too many to choose from."""
    names = pc.unique(values).drop_null()
    if len(names) > MOST_NAMES or names.nbytes > MOST_LETTERS:
        return None
    return named_column(name, title, values, sorted(each for each in names.to_pylist() if each))


def number_column(name: str, title: str, numbers: NDArray[np.float64]) -> Column:
    """A column of numbers; where only a few are different, each of them is a name."""
    finite = np.where(np.isfinite(numbers), numbers, np.nan)
    different = np.unique(finite[np.isfinite(finite)])
    if len(different) > NUMERIC_BINS:
        return Column(name, title, values=finite)
    codes = np.where(np.isnan(finite), -1, np.searchsorted(different, np.nan_to_num(finite)))
    return Column(name, title, tuple(f"{each:.6g}" for each in different.tolist()), codes.astype(np.int32))


def meta_columns(table: pa.Table, notes: list[str]) -> list[Column]:
    """The metadata of samples; columns that nobody could choose from are left out, and said."""
    found, left_out = [], []
    for name in table.column_names:
        if name.startswith(META) and name != CONTEXT:
            column = _meta_column(name, table.column(name))
            if column is None:
                left_out.append(name.removeprefix(META))
            elif (column.codes is None) or len(column.names) > 1:
                found.append(column)  # one value says nothing of any sample
    if left_out:
        notes.append(
            f"{counted(len(left_out), 'column')} of metadata with more than {MOST_NAMES:,} different values or very "
            f"long ones left out: {', '.join(map(repr, left_out))}"
        )
    return found


def other_labels(table: pa.Table, names: dict[str, tuple[str, ...]], but: str | None) -> list[Column]:
    """The label columns of a set besides the one that the page is of."""
    others = [
        label_column(LABEL + name, name, table.column(LABEL + name), known)
        for name, known in names.items()
        if name != but and LABEL + name in table.column_names
    ]
    return [column for column in others if column is not None]


def _meta_column(name: str, values: pa.ChunkedArray) -> Column | None:
    title = name.removeprefix(META)
    numbers = as_numbers(values, is_text=True)
    if numbers is not None:
        return number_column(name, title, numbers_or_nan(numbers))
    if not (pa.types.is_string(values.type) or pa.types.is_boolean(values.type)):
        return None
    return categories(name, title, values.cast(pa.string()))


def flags(name: str, title: str, no_and_yes: tuple[str, str], said: NDArray[np.bool_]) -> Column:
    """A column of two names."""
    return Column(name, title, no_and_yes, said.astype(np.int32))


def spread(column: Column, rows: NDArray[np.int64], n: int) -> Column:
    """A column of some rows as one of all N, with none elsewhere."""
    if column.values is not None:
        values = np.full(n, np.nan)
        values[rows] = column.values
        return replace(column, values=values)
    codes = np.full(n, -1, dtype=np.int32)
    codes[rows] = column.content
    return replace(column, codes=codes)
