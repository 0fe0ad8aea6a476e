"""Labels as texts, as ``corrections.csv`` has them, and back: "" is no label, and lists are JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import strings
from headstart.data.answers import NoAnswersError, parsed
from headstart.data.label_cells import NUMBER, cell_text, string_lists
from headstart.errors import DataError
from headstart.tasks import open_task

if TYPE_CHECKING:
    from headstart.types import LabelKind

SHOWN = 60
STRINGS = pa.list_(pa.string())


class NoLabelError(DataError):
    """A text that is no label of a column, and why."""


def label_texts(column: pa.ChunkedArray | pa.Array, kind: LabelKind = "single") -> list[str]:
    """The labels of a column of a set as texts.

    Examples
    --------
    >>> import pyarrow as pa
    >>> label_texts(pa.array(["cat", None])), label_texts(pa.array([3.0, 0.5, None]), "regression")
    (['cat', ''], ['3', '0.5', ''])
    >>> label_texts(pa.array([["b", "a"], [], None]), "multi")
    ['["a", "b"]', '[]', '']
    """
    cells = Cells.of(column.type, kind)
    return [cells.written(value) for value in column.to_pylist()]


@dataclass(frozen=True)
class Cells:
    """How the labels of a column are written and read."""

    type: pa.DataType
    kind: LabelKind
    written: Callable[[Any], str]
    read: Callable[[str], Any]

    @classmethod
    def of(cls, type: pa.DataType, kind: LabelKind) -> Cells:
        """Of a column of a type, whose labels are of a kind."""
        if pa.types.is_string(type):
            return cls(type, kind, _plain, _name)
        if pa.types.is_floating(type):
            return cls(type, kind, _plain, _number)
        form = open_task(kind).form
        if form == "spans":
            return cls(type, kind, _json, _answers)
        if form == "labels":
            return cls(type, kind, lambda value: _json(_as_set(value)), lambda text: _as_set(_names(text)))
        if _is_of_strings(type):
            return cls(type, kind, _json, _names)
        return cls(type, kind, _json, _loaded)

    def canonical(self, text: str) -> str:
        """The one way to write what a text means.

        Raises
        ------
        NoLabelError
            It means no label of this column.
        """
        if not text:
            return ""
        value = self.read(text)
        if pa.types.is_nested(self.type):
            self._built([value])
        return self.written(value)

    def column(self, texts: Sequence[str]) -> pa.Array:
        """Texts in their canonical form as a column of the set."""
        return self._built([self.read(text) if text else None for text in texts])

    def _built(self, values: Sequence[Any]) -> pa.Array:
        if pa.types.is_string(self.type):
            return strings(values)
        if pa.types.is_floating(self.type):  # by way of texts, for pa.array would import pandas
            return pc.cast(strings([None if value is None else repr(value) for value in values]), self.type)
        try:
            if _is_of_strings(self.type):
                return string_lists(values).cast(self.type)
            return pa.array(values, self.type)
        except (
            pa.ArrowException,
            TypeError,
            ValueError,
            OverflowError,
        ) as error:  # half of a surrogate pair too
            raise NoLabelError(f"it does not fit labels of {self.type} ({error})") from error


def _plain(value: Any) -> str:
    return cell_text(value) or ""


def _json(value: Any) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _name(text: str) -> str:
    if text.isspace():
        raise NoLabelError(f"{text!r} is no name of a class")
    return text


def _number(text: str) -> float:
    if not NUMBER.fullmatch(text.strip()) or not math.isfinite(float(text)):
        raise NoLabelError(f"{text[:SHOWN]!r} is no finite number")
    return float(text)


def _loaded(text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise NoLabelError(f'{text[:SHOWN]!r} is no JSON; write lists as ["a", "b"]') from None
    if value is None:
        raise NoLabelError("it is null; leave the cell empty where there is no label")
    return value


def _names(text: str) -> list[str]:
    """A list of names or texts; numbers are names as well."""
    value = _loaded(text)
    if not isinstance(value, list):
        raise NoLabelError(f'{text[:SHOWN]!r} is no list; write it as ["a", "b"]')
    names = [cell_text(each) for each in value]
    if blank := [each for each, name in zip(value, names, strict=True) if not name or name.isspace()]:
        raise NoLabelError(f"{text[:SHOWN]!r} holds {json.dumps(blank[0])}, which is no name")
    return [name for name in names if name is not None]


def _as_set(names: Sequence[str] | None) -> list[str] | None:
    """Several labels of one sample have no order."""
    return None if names is None else sorted(set(names))


def _answers(text: str) -> list[dict[str, Any]]:
    """Answers as a set has them, or as SQuAD's files do."""
    value = _loaded(text)
    is_ours = isinstance(value, list) and all(
        isinstance(each, dict) and each.keys() == {"start", "end", "text"} for each in value
    )
    if is_ours:
        return [{name: each[name] for name in ("start", "end", "text")} for each in value]
    try:
        return [answer._asdict() for answer in parsed(text)]
    except NoAnswersError as error:
        raise NoLabelError(str(error)) from error


def _is_of_strings(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) and pa.types.is_string(kind.value_type))
