"""Label columns: what their values are called, and in which order."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import strings
from headstart.errors import DataError

_INTEGER = re.compile(r"-?\d+")
_INTEGRAL = re.compile(r"-?\d+(\.0+)?")


class Renaming:
    """Gives the values of a column other names, block by block.

    Parameters
    ----------
    column : pyarrow.ChunkedArray of string
    rename : callable
        All distinct values to as many new ones, None for null.
    """

    def __init__(self, column: Any, rename: Callable[[list[str | None]], Sequence[str | None]]) -> None:
        self._before = pc.unique(column)
        self._after = strings(rename(self._before.to_pylist()))

    def __call__(self, column: Any) -> pa.Array:
        """A column, or a part of it, under the new names."""
        return self._after.take(pc.index_in(column, value_set=self._before))

    def values(self) -> list[str]:
        """The new values, each once, without null."""
        return list(dict.fromkeys(value for value in self._after.to_pylist() if value is not None))


def clean_labels(values: Sequence[str | None]) -> list[str | None]:
    """Distinct values of a label column as class names: blank ones are null, ``1.0`` is ``1``.

    Integers become floats in files whenever pandas met an empty cell, so ``1.0`` is taken for an
    integer if all values look like that.

    Examples
    --------
    >>> clean_labels(["2.0", "1", "", None]), clean_labels(["2.0", "n/a"])
    (['2', '1', None, None], ['2.0', 'n/a'])
    """
    labels = [None if value is None or not value.strip() else value for value in values]
    if all(_INTEGRAL.fullmatch(label) for label in labels if label is not None):
        return [label and label.partition(".")[0] for label in labels]
    return labels


def names_of(
    values: Sequence[str | None], names: Sequence[str], place: Callable[[int], str]
) -> list[str | None]:
    """Names for integer labels 0 to n - 1.

    Parameters
    ----------
    values : sequence of str
        As `clean_labels` gives them.
    names : sequence of str
        The names, in order.
    place : callable
        Where the value of that number is first found, for the message.

    Raises
    ------
    DataError
        A value is no integer in [0, n).
    """
    renamed = []
    for number, value in enumerate(values):
        if value is not None and not (_INTEGER.fullmatch(value) and 0 <= int(value) < len(names)):
            raise DataError(
                f"{place(number)}: the label is {value!r}, but the {len(names)} label names are for "
                f"the integers 0 to {len(names) - 1}; give a name for every label, or none"
            )
        renamed.append(value and names[int(value)])
    return renamed


def n_classes(n: int) -> str:
    """A number of classes, for people."""
    return f"{n:,} class{'' if n == 1 else 'es'}"


def in_order(labels: Sequence[str]) -> tuple[str, ...]:
    """Integers in numerical order; nothing if they are not all integers: sorting will do.

    Examples
    --------
    >>> in_order(["10", "9"]), in_order(["cat", "9"])
    (('9', '10'), ())
    """
    if all(_INTEGER.fullmatch(label) for label in labels):
        return tuple(sorted(labels, key=lambda label: (int(label), label)))
    return ()
