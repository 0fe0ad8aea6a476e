"""Suggestions as people and programs take them: a table, and a file of corrections to be filled in."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.arrow import column_of, strings
from headstart.columns import cell, columns
from headstart.corrections.file import COLUMNS
from headstart.errors import ConfigError
from headstart.files import write_durably
from headstart.notebook import html_table
from headstart.places import expanded

if TYPE_CHECKING:
    import pyarrow as pa

    from headstart.types import Json

SHOWN_ROWS = 20
PREDICTED, INPUT = "predicted", "input"
"""The columns of a file with what a head takes the sample for, and with the text itself, or where it comes from."""


@dataclass(frozen=True)
class Suggestion:
    """A sample that would be worth a label.

    ``key`` is in hex. ``score`` is what speaks for it: 1 - margin, the entropy in nats, typicality, or the distance to
    what is covered; None of a draw. ``predicted`` is a head's class for it, "" without one. ``input`` is the text
    itself, or where the sample comes from.
    """

    id: str
    key: str
    score: float | None = None
    predicted: str = ""
    input: str = ""


@dataclass(frozen=True)
class Suggestions(Sequence[Suggestion]):
    """What to label next, the first first.

    Parameters
    ----------
    set, digest : str
        The set, in the state that was looked at.
    label : str
        The label column that is to be filled in.
    strategy, said : str
        How they were found, in a word and for people.
    rows : tuple of Suggestion
    n_open, n_labelled : int
        Train samples that could be suggested, and that have a label.
    notes : tuple of str
        What was left out.
    """

    set: str
    digest: str
    label: str
    strategy: str
    said: str
    rows: tuple[Suggestion, ...]
    n_open: int
    n_labelled: int
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    @property
    def ids(self) -> list[str]:
        """Of the samples, in order."""
        return [row.id for row in self.rows]

    @property
    def csv(self) -> str:
        """The file that `save` writes."""
        out = io.StringIO(newline="")
        writer = csv.writer(out)
        writer.writerow([*COLUMNS, PREDICTED, INPUT])
        for row in self.rows:
            note = self.strategy if row.score is None else f"{self.strategy} {row.score:.4g}"
            known = [row.key, row.id, self.label, "", "", "", note, self.digest]
            writer.writerow([*known, row.predicted, row.input])
        return out.getvalue()

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write a file in the format of corrections, whose column ``new`` is to be filled in.

        Raises
        ------
        ConfigError
            A file lies there, in which somebody may have filled in labels.
        """
        check_target(path, overwrite)
        write_durably(Path(expanded(path)), self.csv.encode("utf-8"))

    def table(self) -> pa.Table:
        """``id``, ``key``, ``score``, ``predicted`` and ``input``, a row for each."""
        import pyarrow as pa

        scores = column_of(np.array([np.nan if row.score is None else row.score for row in self.rows]))
        texts = {
            name: strings([getattr(row, name) for row in self.rows])
            for name in ("id", "key", PREDICTED, INPUT)
        }
        return pa.table({"id": texts.pop("id"), "key": texts.pop("key"), "score": scores, **texts})

    @property
    def as_json(self) -> dict[str, Json]:
        """For machines."""
        about = {
            name: getattr(self, name)
            for name in ("set", "digest", "label", "strategy", "n_open", "n_labelled")
        }
        rows = [
            {"id": row.id, "key": row.key, "score": row.score, PREDICTED: row.predicted, INPUT: row.input}
            for row in self.rows
        ]
        return {**about, "notes": list(self.notes), "suggestions": rows}

    def shown(self, n: int | None = None) -> tuple[list[str], list[list[Any]]]:
        """A heading, and a row for each of the first; columns that say nothing are left out."""
        rows = self.rows[:n]
        header = ["id"]
        cells: list[list[Any]] = [[cell(row.id, None)] for row in rows]
        if any(row.score is not None for row in rows):
            header.append(self.strategy)
            cells = [[*line, row.score] for line, row in zip(cells, rows, strict=True)]
        if any(row.predicted for row in rows):
            header.append(PREDICTED)
            cells = [[*line, cell(row.predicted)] for line, row in zip(cells, rows, strict=True)]
        if any(row.input not in ("", row.id) for row in rows):
            header.append(INPUT)
            cells = [[*line, cell(row.input)] for line, row in zip(cells, rows, strict=True)]
        return header, cells

    def __repr__(self) -> str:
        return "\n".join([self.said, *columns(*self.shown(SHOWN_ROWS))])

    def _repr_html_(self) -> str:
        header, rows = self.shown(SHOWN_ROWS)
        shown = [[f"{each:.4g}" if isinstance(each, float) else each for each in row] for row in rows]
        return html_table(self.said, header, shown)


def check_target(path: str | os.PathLike[str], overwrite: bool) -> None:
    """Refuse a file that cannot be one of corrections, or that lies there already, before any work is done."""
    place = Path(expanded(path))
    if place.suffix.lower() != ".csv":
        raise ConfigError(
            f"{place} does not end in .csv; suggestions are a file of corrections to be filled in"
        )
    if not place.parent.is_dir():
        raise ConfigError(f"there is no folder {place.parent} to write {place.name} to")
    if place.exists() and not overwrite:
        raise ConfigError(
            f"{place} is there already, and somebody may have filled in labels; choose another --out, or --overwrite"
        )
