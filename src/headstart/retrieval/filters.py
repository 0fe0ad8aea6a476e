"""``--where COLUMN=VALUE``: which samples of a set are searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.arrow import codes_by_name, codes_of_lists
from headstart.cache.layout import LABEL, META
from headstart.errors import ConfigError, DataError
from headstart.options import did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.cache.set_state import SetState

FIRST = "label"
MOST_COMPARED = 10_000
"""Values among which the nearest to a mistyped one is looked for."""


def read_where(given: Any, said: str = "--where") -> dict[str, list[str]]:
    """The values of each column, of ``COLUMN=VALUE``, of several of them, or of a mapping.

    Raises
    ------
    ConfigError
        There is no sign of equality, or nothing before it.

    Examples
    --------
    >>> read_where(["label=shoes", "label=hats", "meta:year=2024"])
    {'label': ['shoes', 'hats'], 'meta:year': ['2024']}
    >>> read_where({"label": "shoes"})
    {'label': ['shoes']}
    """
    found: dict[str, list[str]] = {}
    if isinstance(given, Mapping):
        for column, value in given.items():
            values = value if isinstance(value, list | tuple | set | frozenset) else [value]
            found[str(column)] = [_text(each) for each in values]
        return found
    conditions = [given] if not isinstance(given, list | tuple) else given
    for condition in conditions if given is not None else ():
        column, sign, value = condition.partition("=") if isinstance(condition, str) else ("", "", "")
        if not sign or not column.strip():
            raise ConfigError(f"{said} takes COLUMN=VALUE, such as label=shoes (got {condition!r})")
        found.setdefault(column.strip(), []).append(value)
    return found


def rows_where(features: SetState, where: Mapping[str, Sequence[str]]) -> NDArray[np.bool_]:
    """Which of the N samples of a set have, in each of the columns, one of its values; shape (N,).

    Raises
    ------
    ConfigError
        There is no such column.
    DataError
        No sample has such a value.
    """
    mask = np.ones(len(features), dtype=np.bool_)
    for asked, values in where.items():
        name = _column(features, asked)
        column = features.columns([name]).column(name)
        of_column = np.zeros(len(mask), dtype=np.bool_)
        for value in values:
            has_it = _has(column, value)
            if not has_it.any():
                hint = did_you_mean(value, _values(column), "it has")
                raise DataError(f"no sample of set {features.name!r} has {asked}={value}{hint}")
            of_column |= has_it
        mask &= of_column
    return mask


def _column(features: SetState, asked: str) -> str:
    """The column that is meant: ``label`` is the first label, and a bare name that of a label or of metadata."""
    if asked == FIRST and features.label_names:
        return LABEL + features.label_column()
    names = [name for name in features.column_names if name.startswith((LABEL, META))]
    for name in (asked, LABEL + asked, META + asked):
        if name in (*names, "split"):
            return name
    hint = did_you_mean(asked, ["split", *names], "it has")
    raise ConfigError(f"set {features.name!r} has no column {asked!r}{hint}")


def _has(column: pa.ChunkedArray, value: str) -> NDArray[np.bool_]:
    """Which cells are a value, or hold it where they are lists."""
    import pyarrow as pa

    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return np.asarray(codes_by_name(column, [value]) == 0)
    if pa.types.is_list(column.type) and pa.types.is_string(column.type.value_type):
        return np.asarray(codes_of_lists(column, [value])[:, 0] == 1)
    return np.array(
        [cell is not None and _text(cell) == value for cell in column.to_pylist()], dtype=np.bool_
    )


def _values(column: pa.ChunkedArray) -> list[str]:
    """Each value that a column has, the most frequent first, for a message."""
    import pyarrow as pa
    import pyarrow.compute as pc

    flat = pc.list_flatten(column) if pa.types.is_list(column.type) else column
    if pa.types.is_nested(flat.type):
        return []
    counts = pc.value_counts(flat).to_pylist()
    named = sorted(counts, key=lambda each: -each["counts"])
    return [_text(each["values"]) for each in named[:MOST_COMPARED] if each["values"] is not None]


def _text(value: Any) -> str:
    """A value as one writes it: 3.0 as 3, True as true."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
