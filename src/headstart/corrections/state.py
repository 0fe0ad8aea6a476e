"""What decisions make of a set: its labels, the names of its classes, and what is kept of the decisions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa

from headstart.cache.corrections import ENTRY, WAITING, Correction, KeptCorrections, Sample
from headstart.corrections.resolve import resolve
from headstart.corrections.table import MADE, relabelled, rows_of, texts_of, without
from headstart.tasks import open_task

if TYPE_CHECKING:
    from headstart.cache.set_state import SetState
    from headstart.corrections.resolve import Outcome
    from headstart.corrections.texts import Cells
    from headstart.types import Json


@dataclass(frozen=True)
class CorrectedSamples:
    """Samples with the labels that decisions come to.

    Parameters
    ----------
    table : pyarrow.Table
        All of them, those that are dropped as they were.
    rows : tuple of Correction
        All decisions, with what the data gives of samples that are there.
    outcome : Outcome
    changed : frozenset
        Samples and columns whose label is another one than in the table before.
    dropped : frozenset of int
        Rows of the table.
    """

    table: pa.Table
    rows: tuple[Correction, ...]
    outcome: Outcome
    changed: frozenset[tuple[Sample, str]]
    dropped: frozenset[int]

    @property
    def remaining(self) -> pa.Table:
        """The table without those that are dropped."""
        return without(self.table, self.dropped)


def correct_samples(
    table: pa.Table,
    rows: Sequence[Correction],
    cells: Mapping[str, Cells],
    places: Mapping[Sample, list[int]],
) -> CorrectedSamples:
    """A table of a set, with labels as they are in force, under all decisions that there are by now.

    Parameters
    ----------
    places : mapping
        Where the samples stand that the decisions are about.
    """
    outcome = resolve(rows)
    labels, gone = outcome.labels, outcome.dropped
    now = texts_of(table, places, labels, cells)
    changed = {key for key, text in now.items() if labels[key] != text and key[0] not in gone}
    changes: dict[str, dict[int, str]] = defaultdict(dict)
    for sample, column in changed:
        changes[column] |= dict.fromkeys(places[sample], labels[sample, column])
    dropped = frozenset(row for sample in gone for row in places.get(sample, ()))
    splits = _splits(table, places, rows, gone)
    marked = (
        replace(row, split=splits.get(row.sample, row.split)) if row.action == "drop" else row for row in rows
    )
    corrected = relabelled(table, changes, cells)
    return CorrectedSamples(corrected, tuple(marked), outcome, frozenset(changed), dropped)


def _splits(
    table: pa.Table, places: Mapping[Sample, list[int]], rows: Iterable[Correction], gone: Collection[Sample]
) -> dict[Sample, str]:
    """In which split samples were that are dropped: they return there if they ever do."""
    column = table.column("split")
    now = {sample: column[places[sample][0]].as_py() or "" for sample in gone if sample in places}
    # What the data says of one that was dropped before is not where the set had put it.
    return now | {row.sample: row.split for row in rows if row.split and row.sample in gone}


def kept(
    rows: Sequence[Correction],
    outcome: Outcome,
    names: Mapping[str, Sequence[str]],
    cells: Mapping[str, Cells],
) -> KeptCorrections | None:
    """What a state keeps of the decisions that it stands on; ``names`` are those that its data gives."""
    if not rows:
        return None
    counts = Counter(row.action if is_met(row, outcome) else WAITING for row in rows)
    return KeptCorrections(tuple(sorted(rows)), counts, new_classes(rows, outcome, names, cells))


def is_met(row: Correction, outcome: Outcome) -> bool:
    """Whether a decision is in effect, or what it asks for is so anyway."""
    if row.identity in outcome.in_effect:
        return True
    if row.action == "drop":
        return row.sample in outcome.dropped
    return row.action == "relabel" and outcome.labels.get((row.sample, row.label)) == row.new


def new_classes(
    rows: Sequence[Correction],
    outcome: Outcome,
    names: Mapping[str, Sequence[str]],
    cells: Mapping[str, Cells],
) -> dict[str, tuple[str, ...]]:
    """By column the names that decisions bring, in the order of the samples; where there are no others, sorted."""
    given = {(row.sample, row.label): row.given for row in rows}
    found: dict[str, tuple[str, ...]] = {}
    for column, known in names.items():
        task = open_task(cells[column].kind) if column in cells else None
        texts = [
            text
            for (sample, of), text in sorted(outcome.labels.items())
            if of == column and text and text != given[sample, of]
        ]
        if task is not None and task.has_names and texts:
            occurring = task.names_in(cells[column].column(list(dict.fromkeys(texts))))
            new = [name for name in occurring if name not in set(known)]
            found[column] = tuple(new if known else sorted(new))
    return {column: new for column, new in found.items() if new}


def given_names(features: SetState) -> dict[str, list[str]]:
    """The names of each label column without those that corrections brought; of the one that they make, none."""
    brought: Mapping[str, Json] = features.info.get(ENTRY, {}).get("classes", {})
    if not features.label_names:
        return {MADE: []}
    return {
        column: [name for name in names if name not in brought.get(column, ())]
        for column, names in features.label_names.items()
    }


def places_of(table: pa.Table, rows: Iterable[Correction]) -> dict[Sample, list[int]]:
    """Where the samples stand that decisions are about."""
    return rows_of(table, {row.sample for row in rows})
