"""What was measured, as tables that can be kept as JSON and rendered later, on another machine if need be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.rounds import Timing


@dataclass(frozen=True)
class Table:
    """Timings that are compared with one of them.

    Parameters
    ----------
    title, said : str
        What it is about, and what it was measured on where the title does not say it.
    rows : dict of str to Timing
    reference : str
        The row that the others are compared with.
    versus : str
        What the last column says: a row's time over that of the reference.
    in_rates : bool
        Show samples a second; else seconds.
    notes : tuple of str
    shares : dict of str to float
        Where headstart spent its cores, by phase.
    """

    title: str
    said: str
    rows: dict[str, Timing]
    reference: str = "ours"
    versus: str = "headstart is × as fast"
    in_rates: bool = True
    notes: tuple[str, ...] = ()
    shares: dict[str, float] = field(default_factory=dict)

    def ratio(self, row: str, reference: str | None = None) -> float:
        """Time of a row over time of the reference, for each sample."""
        return self.rows[row].share / self.rows[reference or self.reference].share


@dataclass(frozen=True)
class Fact:
    """One figure that is no time."""

    label: str
    value: float


@dataclass(frozen=True)
class Section:
    """What one part of the benchmark measured, and on what.

    Parameters
    ----------
    machine : dict
        Of `describe_machine`.
    form : str
        How thoroughly: the form's name and its rounds.
    tables, facts : dict
    report : dict
        Whatever a program of its own printed (reading, scaling).
    """

    machine: dict[str, str]
    form: str
    tables: dict[str, Table] = field(default_factory=dict)
    facts: dict[str, Fact] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)

    def fits(self, other: Section) -> bool:
        """Whether tables of both may stand side by side: one kind of machine, versions, day and form."""
        return (self.machine, self.form) == (other.machine, other.form)


Results = dict[str, Section]


def save(path: Path, results: Mapping[str, Section]) -> None:
    """Keep results as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(
        {name: asdict(section) for name, section in results.items()}, indent=1, ensure_ascii=False
    )
    path.write_text(text + "\n", "utf-8")


def load(path: Path) -> Results:
    """Read what `save` kept; nothing where there is no such file."""
    if not path.exists():
        return {}
    return {name: _section(kept) for name, kept in json.loads(path.read_text("utf-8")).items()}


def _section(kept: dict[str, Any]) -> Section:
    tables = {name: _table(table) for name, table in kept.pop("tables").items()}
    facts = {name: Fact(**fact) for name, fact in kept.pop("facts").items()}
    return Section(tables=tables, facts=facts, **kept)


def _table(kept: dict[str, Any]) -> Table:
    rows = {
        name: Timing(row["label"], row["n"], tuple(row["seconds"])) for name, row in kept.pop("rows").items()
    }
    return Table(rows=rows, **{**kept, "notes": tuple(kept["notes"])})
