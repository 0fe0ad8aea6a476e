"""What became of corrections: of each of them, and in a few lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from headstart.arrow import column_of, keys_from_arrow
from headstart.cache.corrections import ENTRY, Correction, counts_said
from headstart.cache.layout import LABEL
from headstart.columns import cell
from headstart.corrections.state import is_met
from headstart.keys import contains, pack
from headstart.words import counted

if TYPE_CHECKING:
    from headstart.cache.corrections import Identity, Sample
    from headstart.cache.sets import FeatureSet
    from headstart.corrections.file import CorrectionFile
    from headstart.corrections.state import CorrectedSamples
    from headstart.corrections.texts import Cells

SHOWN = 3
SHOWN_NAMES = 5
GONE = "not in the set"


@dataclass(frozen=True)
class Skipped:
    """A decision that changed nothing: the label is neither its old one nor its new one.

    ``now`` is the label in force; None of a sample that is not in the set.
    """

    row: Correction
    now: str | None


@dataclass(frozen=True)
class Corrected:
    """A set before and after corrections, and what became of each of them.

    ``applied`` counts by action those that are new and in effect; ``n_known`` were kept with the set before, and
    ``n_already`` ask for what is so anyway. ``classes`` are new names by column. ``n_contradicting`` are corrected
    samples that are in the set under another id too, with another label.
    """

    before: FeatureSet
    after: FeatureSet
    files: tuple[CorrectionFile, ...]
    rows: frozenset[Identity]
    applied: Mapping[str, int]
    n_known: int = 0
    n_already: int = 0
    skipped: tuple[Skipped, ...] = ()
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    n_contradicting: int = 0

    def lines(self) -> Iterator[str]:
        """The same for people."""
        if self.rows:
            yield f"corrections of set {self.after.name}: {'; '.join(self._parts())}"
        for column, names in self.classes.items():
            noun = "a new class" if len(names) == 1 else f"{len(names):,} new classes"
            yield f"{noun} in {column!r}: {listed((repr(cell(name)) for name in names), SHOWN_NAMES)}"
            for alike in look_alikes(names, self.after.label_names[column]):
                first, second, *_ = (repr(cell(name)) for name in alike)
                yield (
                    f"warning: {listed(map(repr, map(cell, alike)), SHOWN_NAMES)} differ by case or blanks alone, and "
                    f"are classes of their own in {column!r}; if they are one, relabel again: old {first}, new {second}"
                )
        if self.n_contradicting:
            are = "is" if self.n_contradicting == 1 else "are"
            yield (
                f"warning: {counted(self.n_contradicting, 'corrected sample')} {are} in the set under another id too, "
                "byte for byte, with another label; correct that as well"
            )

    def _parts(self) -> Iterator[str]:
        n = sum(self.applied.values())
        counts = counts_said(self.applied)
        yield f"{n:,} applied" + (f" ({counts})" if counts else "")
        if self.n_known:
            yield f"{self.n_known:,} kept with the set before"
        if self.n_already:
            yield f"{self.n_already:,} already so"
        if self.skipped:
            yield f"{len(self.skipped):,} not applied: {listed(map(_reason, self.skipped), SHOWN)}"


def _reason(one: Skipped) -> str:
    now = f"is {GONE}" if one.now is None else f"is {label_shown(one.now)}, not {label_shown(one.row.old)}"
    return f"{cell(one.row.id)} {now}"


def look_alikes(new: Iterable[str], every: Iterable[str]) -> Iterator[list[str]]:
    """Names of classes that differ by case or blanks alone, a new one among them.

    Examples
    --------
    >>> list(look_alikes(["Yes"], ["no", "yes", "Yes"])), list(look_alikes(["on"], ["no", "yes", "on", "No"]))
    ([['Yes', 'yes']], [])
    """
    by_look: dict[str, list[str]] = {}
    for name in every:
        by_look.setdefault("".join(name.casefold().split()), []).append(name)
    for look in dict.fromkeys("".join(name.casefold().split()) for name in new):
        if len(by_look.get(look, ())) > 1:
            yield sorted(by_look[look])


def label_shown(text: str) -> str:
    """A label in a message."""
    return repr(cell(text)) if text else "without a label"


def listed(texts: Iterable[str], n: int) -> str:
    """The first of several texts, for a message."""
    every = list(texts)
    return ", ".join(every[:n]) + (", …" if len(every) > n else "")


def summarise(
    before: FeatureSet,
    after: FeatureSet,
    files: tuple[CorrectionFile, ...],
    rows: Iterable[Correction],
    places: Collection[Sample],
    found: CorrectedSamples,
    cells: Mapping[str, Cells],
) -> Corrected:
    """What became of each of the rows of some files; ``places`` are the samples that the set has."""
    known = {row.identity for row in before.corrections}
    applied, counts, skipped = Counter[str](), Counter[str](), list[Skipped]()
    for row in sorted(rows):
        is_dropped = row.sample in found.outcome.dropped
        if not is_met(row, found.outcome) or not (row.sample in places or is_dropped):
            is_there = row.sample in places and not is_dropped
            now = found.outcome.labels.get((row.sample, row.label), row.given) if is_there else None
            skipped.append(Skipped(row, now))
        elif row.identity in known:
            counts["known"] += 1
        elif row.identity in found.outcome.in_effect:
            applied[row.action] += 1
        else:
            counts["already"] += 1
    return Corrected(
        before,
        after,
        files,
        frozenset(row.identity for row in rows),
        applied,
        counts["known"],
        counts["already"],
        tuple(skipped),
        _new_since(before, after),
        _count_contradicting(found, cells),
    )


def _new_since(before: FeatureSet, after: FeatureSet) -> dict[str, tuple[str, ...]]:
    """Names of classes that a state has and the one before it had not."""
    brought = after.info.get(ENTRY, {}).get("classes", {})
    new = {
        column: tuple(name for name in names if name not in before.label_names.get(column, ()))
        for column, names in brought.items()
    }
    return {column: names for column, names in new.items() if names}


def _count_contradicting(found: CorrectedSamples, cells: Mapping[str, Cells]) -> int:
    """How many of the samples that changed are there under another id with another label, byte for byte."""
    changed = {(key, column) for (key, _), column in found.changed}
    if not changed:
        return 0
    table = found.remaining
    keys = keys_from_arrow(table.column("key"))
    near = np.flatnonzero(contains(pack(map(bytes.fromhex, {key for key, _ in changed})), keys))
    labels: dict[tuple[str, str], set[str]] = {}
    for column in {column for _, column in changed}:
        values = table.column(LABEL + column).take(column_of(near)).to_pylist()
        for row, value in zip(near.tolist(), values, strict=True):
            labels.setdefault((keys[row].tobytes().hex(), column), set()).add(cells[column].written(value))
    return sum(len(labels.get(about, ())) > 1 for about in changed)
