"""What decisions come to: the label of each sample, whatever order they came in and however often.

A decision is a step from its old label to its new one; to keep a label is a step to itself, to drop a sample one to
nowhere. From the label that the data gives, steps are followed as long as there are any: those of the earliest turn
first, and never back to an earlier turn. So the outcome depends on the set of decisions alone. A label is left a second
time only by a step of a later turn than the one that led back to it: what was undone stays undone, until somebody
decides anew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

from headstart.cache.corrections import Correction, Sample

K = TypeVar("K")
GONE = None
"""Where a sample is that was dropped; labels are texts."""


class Step(NamedTuple):
    """A decision without what does not matter for its outcome."""

    turn: int
    old: str
    new: str | None


@dataclass(frozen=True, slots=True)
class Walk:
    """Where steps lead to from the label that the data gives.

    ``clash`` are two steps that give different outcomes for the same label; None if there are none.
    """

    at: str | None
    used: frozenset[Step]
    clash: tuple[Step, Step] | None = None


def step_of(row: Correction) -> Step | None:
    """The step that a row is; None of a note."""
    if row.action == "unsure":
        return None
    return Step(row.turn, row.old, {"keep": row.old, "drop": GONE}.get(row.action, row.new))


def contradiction(steps: Iterable[Step]) -> tuple[Step, Step] | None:
    """Two steps of one turn that leave one label for different ones, whether the sample has it or not."""
    first: dict[tuple[int, str], Step] = {}
    for step in sorted(steps, key=_order):
        other = first.setdefault((step.turn, step.old), step)
        if other.new != step.new:
            return other, step
    return None


def walk(given: str, steps: Sequence[Step]) -> Walk:
    """Follow the steps from a label."""
    leaving: dict[str, list[Step]] = defaultdict(list)
    for step in sorted(set(steps), key=_order):
        leaving[step.old].append(step)
    at: str | None = given
    turn = 0
    arrived: dict[str, int] = {}
    taken: dict[str, list[Step]] = defaultdict(list)
    while at is not None:
        is_back = bool(taken[at])
        arrived.setdefault(at, turn)
        onward = [step for step in leaving[at] if (step.turn > turn if is_back else step.turn >= turn)]
        if not onward:
            break
        step = onward[0]
        if (
            step.new is not None
            and step.new != at
            and taken[step.new]
            and taken[step.new][-1].turn >= step.turn
        ):
            return Walk(at, frozenset(), (taken[step.new][-1], step))  # round and round within one turn
        taken[at].append(step)
        at, turn = step.new, step.turn
    clash = _disagreeing(arrived, taken, leaving)
    used = {step for some in taken.values() for step in some}
    agreeing = {s for old in arrived for s in leaving[old] if any(s.new == t.new for t in taken[old])}
    return Walk(at, frozenset(used | agreeing), clash)


def _disagreeing(
    arrived: Mapping[str, int], taken: Mapping[str, Sequence[Step]], leaving: Mapping[str, Sequence[Step]]
) -> tuple[Step, Step] | None:
    """A step that leaves a label of the walk for another one than it took, and nothing led back for it."""
    for old, since in arrived.items():
        ends = {step.new for step in taken[old]}
        for step in leaving[old]:
            if step.turn >= since and step.new not in ends:
                return taken[old][0], step
    return None


def _order(step: Step) -> tuple[int, str, bool, str]:
    return step.turn, step.old, step.new is not None, step.new or ""


@dataclass(frozen=True)
class Outcome:
    """What the decisions about some samples come to.

    Parameters
    ----------
    labels : mapping
        The label by sample and column; those of dropped samples as well.
    dropped : frozenset
    in_effect : frozenset
        The rows, by their identities, that the labels stand on, notes among them.
    clashes : mapping
        By sample two rows that contradict each other.
    """

    labels: Mapping[tuple[Sample, str], str] = field(default_factory=dict)
    dropped: frozenset[Sample] = frozenset()
    in_effect: frozenset[tuple[str, ...]] = frozenset()
    clashes: Mapping[Sample, tuple[Correction, Correction]] = field(default_factory=dict)


def resolve(rows: Iterable[Correction]) -> Outcome:
    """What decisions come to; each row says what the data gives.

    Of samples that are dropped, the labels are those that the data gives.
    """
    labels: dict[tuple[Sample, str], str] = {}
    dropped: set[Sample] = set()
    in_effect: set[tuple[str, ...]] = set()
    clashes: dict[Sample, tuple[Correction, Correction]] = {}
    for sample, own in grouped(rows, lambda row: row.sample).items():
        for column, some in grouped(own, lambda row: row.label).items():
            steps = {row: step for row in some if (step := step_of(row)) is not None}
            found = walk(some[0].given, list(steps.values()))
            clash = contradiction(steps.values()) or found.clash
            if clash is not None:
                clashes[sample] = _rows_of(clash, steps)
                continue
            labels[sample, column] = some[0].given if found.at is GONE else found.at
            if found.at is GONE:
                dropped.add(sample)
            in_effect |= {row.identity for row in some if row not in steps or steps[row] in found.used}
        if sample in dropped and sample not in clashes and (pair := _against_drop(own, in_effect)):
            clashes[sample] = pair
    return Outcome(labels, frozenset(dropped), frozenset(in_effect), clashes)


def _against_drop(
    rows: Sequence[Correction], in_effect: set[tuple[str, ...]]
) -> tuple[Correction, Correction] | None:
    """A row that drops a sample, and one that wants to keep or relabel it and was not decided before."""
    drop = min((row for row in rows if row.action == "drop" and row.identity in in_effect), key=_turn)
    before = {row.label: row.turn for row in rows if row.action == "drop" and row.identity in in_effect}
    for row in rows:
        decides = row.action in ("relabel", "keep")
        leads_there = row.label in before and row.identity in in_effect
        if decides and not leads_there and row.turn >= drop.turn:
            return drop, row
    return None


def stamped(
    new: Sequence[Correction], kept: Sequence[Correction], in_force: str, now: int
) -> list[Correction]:
    """New rows about one label of a sample, with the turn in which they count.

    It is that of the state that they were made for. A row whose old label is in force all the same, though its turn is
    past, is a decision of now: it was written by hand, on top of corrections that came since.
    """
    steps = [step for row in (*kept, *new) if (step := step_of(row)) is not None]
    if not new or contradiction(steps):
        return list(new)
    found = walk(new[0].given, steps)
    late = [row for row in new if row.old == in_force and row.action != "unsure"]
    if found.clash is None and all(step_of(row) in found.used for row in late):
        return list(new)
    return [replace(row, turn=max(row.turn, now)) if row in late else row for row in new]


def _turn(row: Correction) -> int:
    return row.turn


def _rows_of(clash: tuple[Step, Step], steps: Mapping[Correction, Step]) -> tuple[Correction, Correction]:
    """The rows of two steps."""
    first, second = (next(row for row, step in steps.items() if step == one) for one in clash)
    return first, second


def grouped(rows: Iterable[Correction], name: Callable[[Correction], K]) -> dict[K, list[Correction]]:
    """Rows by something that they have in common, in their order."""
    found: dict[K, list[Correction]] = defaultdict(list)
    for row in rows:
        found[name(row)].append(row)
    return found
