"""Cells of several lines, and whether one of them swallowed rows: a stray quote may open one and another close it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from headstart.arrow import numbers_of
from headstart.data.label_cells import whole
from headstart.errors import DataError
from headstart.words import counted

if TYPE_CHECKING:
    import pyarrow as pa

KEPT = 1000
MOST_VALUES = 1000
"""Of a column whose values can give swallowed rows away."""
_BREAK = r"[\n\r]"
_LINE_END = re.compile(r"\r\n|\n|\r")


class LongCells:
    """The cells of several lines of a file with columns of these ``names``."""

    def __init__(self, names: Sequence[str], delimiter: str) -> None:
        self._names, self._delimiter = list(names), delimiter
        self.n = 0
        self._longest = (0, 0)  # lines, row
        self._suspects: list[tuple[int, int, list[str]]] = []  # row, place of the cell, all cells of the row

    def __str__(self) -> str:
        lines, row = self._longest
        return (
            f"{counted(self.n, 'cell')} of several lines (the longest has {lines:,}, in row {row:,}; "
            "--quoting none would take its quotes literally)"
        )

    def add(self, batch: pa.Table, rows_before: int) -> None:
        """Look at the next rows."""
        for place, name in enumerate(self._names):
            column = whole(batch.column(name))
            found = numbers_of(pc.indices_nonzero(pc.match_substring_regex(column, pattern=_BREAK)))
            for row in np.asarray(found).tolist():
                self._note(batch, row, place, rows_before + row + 1)

    def _note(self, batch: pa.Table, row: int, place: int, number: int) -> None:
        self.n += 1
        cells = [batch.column(name)[row].as_py() for name in self._names]
        lines = _LINE_END.split(cells[place])
        self._longest = max(self._longest, (len(lines), number), key=lambda longest: longest[0])
        if len(self._suspects) < KEPT and self._are_rows(lines, place):
            self._suspects.append((number, place, cells))

    def _are_rows(self, lines: Sequence[str], place: int) -> bool:
        """Whether the lines of a cell, with the other cells of its row, have each as many cells as a row."""
        widths = [line.count(self._delimiter) + 1 for line in lines]
        widths[0] += place
        widths[-1] += len(self._names) - 1 - place
        return len(lines) > 1 and set(widths) == {len(self._names)}

    def check(self, path: Path, rows: pa.Table) -> None:
        """Refuse a cell whose lines are rows that end in values of their columns.

        Raises
        ------
        DataError
            With the row and the option that decides.
        """
        known: dict[int, set[str]] = {}
        for number, place, cells in self._suspects:
            lines = _LINE_END.split(cells[place])
            first = [*cells[:place], *lines[0].split(self._delimiter)]
            swallowed = [first, *(line.split(self._delimiter) for line in lines[1:-1])]
            for column, name in enumerate(self._names):
                # Cells before the stray quote are in their places whichever way it is read.
                values = [row[column] for row in swallowed][1 if column < place else 0 :]
                if column < place:
                    values.append(lines[-1].split(self._delimiter)[column])
                known_here = self._vocabulary(known, rows, column, name) if column != place else set()
                hides_most = len(lines) > max(rows.num_rows, 2)
                if hides_most or 2 * sum(value in known_here for value in values) > len(values):
                    raise DataError(
                        f"{path}, row {number:,}: the {len(lines):,} lines of a quoted cell look like rows (in column "
                        f"{name!r} too); pass --quoting none if quotes are characters like others, or "
                        " --quoting double if the cell is meant so"
                    )

    def _vocabulary(self, known: dict[int, set[str]], rows: pa.Table, column: int, name: str) -> set[str]:
        """The values of a column where they come again and again; else none."""
        if column not in known:
            values = pc.unique(rows.column(name)).to_pylist()
            repeats = len(values) <= MOST_VALUES and 2 * len(values) <= rows.num_rows + 1
            known[column] = {value for value in values if value and value.strip()} if repeats else set()
        return known[column]
