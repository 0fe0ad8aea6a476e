"""Corrections that are kept with a set, applied again to what its data says."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from headstart.cache.layout import LABEL
from headstart.columns import cell
from headstart.contracts import Payloads
from headstart.corrections.resolve import grouped
from headstart.corrections.state import correct_samples, is_met, kept, places_of
from headstart.corrections.summary import SHOWN, label_shown, listed
from headstart.corrections.table import MADE, cells_of, texts_of, with_made
from headstart.words import counted

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.cache.corrections import Correction, KeptCorrections, Sample
    from headstart.cache.set_state import SetState
    from headstart.corrections.resolve import Outcome
    from headstart.types import LabelKind, Modality, Payload


@dataclass(frozen=True)
class Reapplied:
    """The samples of a scan as corrections make them.

    Parameters
    ----------
    table : pyarrow.Table
        With the labels that are in force.
    dropped : frozenset of int
        Rows that are left out.
    held : KeptCorrections, optional
        What the set keeps of the decisions from now on; None of none.
    n_applied : int
        Labels that were corrected again, and samples that were left out again.
    unmet : sequence of (str, str)
        Ids and labels of samples whose label is neither an old one of a decision about it nor a new one.
    """

    table: pa.Table
    dropped: frozenset[int] = frozenset()
    held: KeptCorrections | None = None
    n_applied: int = 0
    unmet: Sequence[tuple[str, str]] = ()

    @property
    def classes(self) -> Mapping[str, tuple[str, ...]]:
        """By column the names that no data gave."""
        return {} if self.held is None else self.held.classes

    def __str__(self) -> str:
        if not self.n_applied and not self.unmet:
            return ""
        n, shown = len(self.unmet), (f"{cell(id)} is now {label_shown(label)}" for id, label in self.unmet)
        said = f"{counted(self.n_applied, 'correction')} applied again"
        return said + (f"; {n:,} not: {listed(shown, SHOWN)}" if n else "")


def reapply(
    table: pa.Table,
    corrections: Sequence[Correction],
    names: Mapping[str, Sequence[str]],
    kinds: Mapping[str, LabelKind],
) -> Reapplied:
    """What decisions make of a table whose labels are those that the data gives.

    Decisions about samples that are not there, and about other label columns, are kept for the day that they are.
    """
    if not corrections:
        return Reapplied(table)
    cells, places = cells_of(table.schema, kinds), places_of(table, corrections)
    given = texts_of(table, places, {(row.sample, row.label) for row in corrections}, cells)
    rows = [replace(row, given=given.get((row.sample, row.label), row.given)) for row in corrections]
    found = correct_samples(table, rows, cells, places)
    return Reapplied(
        found.table,
        found.dropped,
        kept(found.rows, found.outcome, names, cells),
        len(found.changed) + len(found.dropped),
        _unmet(found.rows, found.outcome, given),
    )


def with_made_label(table: pa.Table, corrections: Sequence[Correction]) -> pa.Table:
    """A table with the label column that decisions made, which the data has not: it gives no label of it."""
    made = [row.given for row in corrections if row.label == MADE]
    if not made or any(made) or LABEL + MADE in table.column_names:
        return table
    return with_made(table)


def _unmet(
    rows: Sequence[Correction], outcome: Outcome, given: Mapping[tuple[Sample, str], str]
) -> list[tuple[str, str]]:
    """Samples that are there and about which something was decided that does not fit their label any more."""
    deciding = (row for row in rows if row.action != "unsure" and (row.sample, row.label) in given)
    return [
        (sample[1], given[sample, column])
        for (sample, column), some in grouped(deciding, lambda row: (row.sample, row.label)).items()
        if sample in outcome.clashes or not any(is_met(row, outcome) for row in some)
    ]


def kept_corrections(earlier: SetState | None, ends: bool) -> tuple[Correction, ...]:
    """The decisions that a set stands on, unless they end here."""
    return () if earlier is None or ends else earlier.corrections


def about_these(table: pa.Table, corrections: Sequence[Correction]) -> tuple[Correction, ...]:
    """The decisions about samples and label columns that a table has."""
    table = with_made_label(table, corrections)
    places, columns = places_of(table, corrections), set(cells_of(table.schema, {}))
    return tuple(row for row in corrections if row.sample in places and row.label in columns)


def dropped_rows(
    table: pa.Table, corrections: Sequence[Correction], kinds: Mapping[str, LabelKind]
) -> frozenset[int]:
    """The rows of a scan that decisions leave out: nothing is computed of them."""
    dropping = {row.sample for row in corrections if row.action == "drop"}
    return reapply(table, [row for row in corrections if row.sample in dropping], {}, kinds).dropped


@dataclass(frozen=True)
class RemainingPayloads(Payloads):
    """The samples of a source without those in some rows."""

    source: Payloads
    n: int
    left_out: Collection[int]
    _rows: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_rows", np.delete(np.arange(self.n), sorted(self.left_out)))

    @property
    def modality(self) -> Modality:
        """As of the source."""
        return self.source.modality

    @property
    def rows_per_block(self) -> int | None:
        """As of the source."""
        return self.source.rows_per_block

    def read_ahead(self, row: int) -> None:
        """Of one that remains."""
        self.source.read_ahead(int(self._rows[row]))

    def payload(self, row: int) -> Payload:
        """The content of one that remains."""
        return self.source.payload(int(self._rows[row]))
