"""Labels and whatever else stands beside the content of WebDataset samples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.arrow import strings
from headstart.data.blocks import Problem
from headstart.data.labels.cells import cell_text
from headstart.data.labels.kinds import read_flags, read_labels
from headstart.data.labels.lists import string_lists
from headstart.data.tars.index import NO_MEMBER
from headstart.data.tars.roles import CLASS, OBJECT, TEXTS

if TYPE_CHECKING:
    import pyarrow as pa

    from headstart.data.tars.block import TarBlock
    from headstart.data.tars.roles import TarRoles
    from headstart.types import LabelColumn, LabelKind, LabelReading

    Cells = dict[str, list[Any]]


def read_cells(
    block: TarBlock, but_for: Sequence[str], also: Sequence[str]
) -> tuple[Cells, dict[int, Problem]]:
    """What the small members of samples say, by column.

    Parameters
    ----------
    block : TarBlock
    but_for : sequence of str
        Endings of members that are the content.
    also : sequence of str
        Endings of further members to read as texts.

    Returns
    -------
    cells : dict of str to list
        Values as JSON has them; None where a sample says nothing.
    problems : dict of int to Problem
        By row of the block.
    """
    problems: dict[int, Problem] = {}
    cells = _said(block, problems)
    there = block.index.kinds()
    for kind in dict.fromkeys((CLASS, *TEXTS, *also)):
        if kind in there and kind not in but_for:
            cells[kind] = _texts(block, kind, problems)
    return cells, problems


def meta_columns(cells: Cells, roles: TarRoles) -> dict[str, pa.Array]:
    """What is no label, as strings; lists and objects are left out."""
    return {
        f"meta:{name}": strings([_storable(cell_text(value)) for value in values])
        for name, values in cells.items()
        if name not in roles.labels and not any(isinstance(value, list | dict) for value in values)
    }


def label_columns(
    cells: Cells, roles: TarRoles, reading: LabelReading, kinds: Mapping[str, LabelKind], block: TarBlock
) -> dict[str, LabelColumn]:
    """The labels of some samples.

    Parameters
    ----------
    cells : dict of str to list
        As `read_cells` gives them.
    roles : TarRoles
    reading : LabelReading
    kinds : mapping of str to str
        What the labels are, as far as it is decided.
    block : TarBlock

    Raises
    ------
    DataError, ConfigError
        A label is not what it should be.
    """
    columns = {name: _column(cells.get(name) or [None] * len(block.rows)) for name in roles.labels}
    if roles.are_flags:
        return dict.fromkeys(roles.label_columns(), read_flags(columns, reading, block.place))
    return {
        name: read_labels(column, name, replace(reading, kind=kinds.get(name, reading.kind)), block.place)
        for name, column in columns.items()
    }


def _column(values: Sequence[Any]) -> Any:
    if not any(isinstance(value, list) for value in values):
        return strings([_storable(cell_text(value)) for value in values])
    lists = [value if isinstance(value, list) or value is None else [value] for value in values]
    return string_lists([None if value is None else [cell_text(part) for part in value] for value in lists])


def _texts(block: TarBlock, kind: str, problems: dict[int, Problem]) -> list[str | None]:
    texts: list[str | None] = []
    for row, member in enumerate(block.members((kind,))[0].tolist()):
        try:
            texts.append(None if member == NO_MEMBER else block.read(member).decode("utf-8"))
        except UnicodeDecodeError:
            problems.setdefault(row, Problem(f"its .{kind} is not UTF-8"))
            texts.append(None)
    return [text and text.strip() for text in texts] if kind == CLASS else texts


def _said(block: TarBlock, problems: dict[int, Problem]) -> Cells:
    """What JSON objects say, by name."""
    members = block.members((OBJECT,))[0]
    cells: Cells = {}
    for row in np.flatnonzero(members != NO_MEMBER).tolist():
        try:
            said = json.loads(block.read(int(members[row])))
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            problems[row] = Problem("its .json is no JSON object")
            continue
        for name, value in said.items():
            if name not in cells:
                cells[name] = [None] * len(members)
            cells[name][row] = value
    return {name: values for name, values in cells.items() if _storable(name) == name}


def _storable(text: str | None) -> str | None:
    """A text as UTF-8 can write it: JSON may hold half of a surrogate pair."""
    return text and text.encode("utf-8", "backslashreplace").decode("utf-8")
