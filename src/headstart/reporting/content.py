"""The content of a page, of whatever kind: samples with their columns, the map, neighbours, queues and runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from headstart.reporting.arrays import encoded_codes, encoded_numbers, encoded_rows, encoded_shares
from headstart.reporting.budget import MOST_PROBABILITIES, evenly_drawn, first_seen
from headstart.reporting.columns import Column, flags, joined_column, named_column, spread
from headstart.reporting.curves import curves_of
from headstart.reporting.figures import figures_of
from headstart.reporting.inputs import inputs_of
from headstart.reporting.neighbours import known, searched
from headstart.reporting.points import points_of
from headstart.reporting.reviewed import kept_rows, with_kept_last
from headstart.reporting.slices import slices_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import Progress
    from headstart.heads.neighbours import Neighbours
    from headstart.reporting.config import ReportConfig
    from headstart.reporting.outcomes import Outcome
    from headstart.reporting.queues import Queue
    from headstart.reporting.samples import PageSamples
    from headstart.reporting.vectors import Vectors
    from headstart.types import Json

    Rows = NDArray[np.int64]

RIGHT = ("wrong", "right")


@dataclass(frozen=True)
class Findings:
    """What is known of all samples, before it is chosen which of them fit on the page; all rows are of ``samples``.

    ``columns`` are what views filter by; ``first`` are samples to show before those of the queues; ``vectors`` is None
    where there is no map; ``near_train`` are of each of these the nearest of train, where an audit knows them
    and all samples are on the page.
    """

    samples: PageSamples
    vectors: Vectors | None
    queues: Sequence[Queue] = ()
    outcomes: Sequence[Outcome] = ()
    columns: Sequence[Column] = ()
    first: Rows = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    near_train: Neighbours | None = None

    def to_look_at(self) -> Rows:
        """The samples to show first: the beginnings of all queues, then what comes next in each."""
        ranked = [(each, np.arange(len(each))) for each in (self.first, *_ends(self.queues))]
        rows, ranks = (np.concatenate(part) for part in zip(*ranked, strict=True))
        return first_seen([rows[np.argsort(ranks, kind="stable")]])

    def located(self, samples: PageSamples) -> Findings:
        """The same of those samples that are on the page."""
        if len(samples) == len(self.samples):
            return self
        places = samples.places(len(self.samples))
        queues = (queue.located(places) for queue in self.queues)
        return Findings(
            samples,
            self.vectors,
            [queue for queue in queues if len(queue.rows)],
            [outcome.located(places) for outcome in self.outcomes],
            [column.take(samples.rows) for column in self.columns],
            places[self.first],
        )


def _ends(queues: Sequence[Queue]) -> list[Rows]:
    return [rows for queue in queues for rows in (queue.rows, queue.other) if rows is not None]


def content_of(
    found: Findings, config: ReportConfig, notes: list[str], progress: Progress
) -> dict[str, Json]:
    """The parts of a page that all kinds have."""
    slices = [slices_of(outcome, found.columns, notes) for outcome in found.outcomes]
    samples = found.samples.at_most(config.samples, found.to_look_at(), config.seed, notes)
    samples.say_paths(notes)
    kept = kept_rows(samples)
    found = found.located(samples)
    found = replace(found, queues=[with_kept_last(queue, kept) for queue in found.queues])
    first, drawn = found.to_look_at(), evenly_drawn(samples.strata(), config.seed)
    points = near = None
    if found.vectors is not None:
        points = points_of(samples, found.vectors, first, drawn, config, notes, progress)
        near = (
            searched(samples, found.vectors, first, notes, progress)
            if found.near_train is None
            else known(samples, found.vectors, found.near_train)
        )
    twins = [] if near is None else [near.of(first).ravel()]
    inputs = inputs_of(samples, first_seen([first, *twins, drawn]), config, notes, progress)
    return {
        "samples": {**samples.to_json(found.columns), **inputs.to_json()},
        "points": None if points is None else points.to_json(),
        "neighbours": None if near is None else near.to_json(),
        "runs": [
            run_json(outcome, each, config, notes)
            for outcome, each in zip(found.outcomes, slices, strict=True)
        ],
        "queues": [queue.to_json() for queue in found.queues],
        "matters": {"kept": kept.tolist()},
    }


def columns_of(samples: PageSamples, outcomes: Sequence[Outcome], notes: list[str]) -> list[Column]:
    """What is known of samples, and what runs say of them; of two runs with ``.a`` and ``.b`` behind the names."""
    n = len(samples)
    ends = [("", "")] if len(outcomes) == 1 else [(f".{letter}", f" of {letter}") for letter in "ab"]
    return samples.columns(notes) + [
        spread(replace(column, name=column.name + end, title=column.title + said), outcome.rows, n)
        for outcome, (end, said) in zip(outcomes, ends, strict=False)
        for column in outcome_columns(outcome)
    ]


def outcome_columns(outcome: Outcome) -> list[Column]:
    """The predictions of a run as columns of the samples that have one, (p,)."""
    doubts, said = outcome.doubts, outcome.table.column("prediction")
    found: list[Column | None] = []
    if outcome.is_classes:
        names = dict.fromkeys([*outcome.label.names, *outcome.classes])
        found.append(named_column("prediction", "prediction", said, list(names)))
    elif doubts.is_right is None:
        found.append(Column("prediction", "prediction", values=outcome.column("prediction")))
        found.append(Column("error", "prediction − label", values=doubts.score))
    elif outcome.label.page_kind == "multi":
        found.append(joined_column("prediction", "prediction", said))
    if doubts.confidence is not None:
        found.append(Column("confidence", "confidence", values=doubts.confidence))
    if doubts.is_right is not None:
        found.append(flags("right", "right or wrong", RIGHT, doubts.is_right))
    return [column for column in found if column is not None]


def run_json(
    outcome: Outcome, slices: list[dict[str, Json]], config: ReportConfig, notes: list[str]
) -> dict[str, Json]:
    """A run as the page has it."""
    doubts, n = outcome.doubts, len(outcome.classes)
    codes: dict[str, Json] = {"label": None, "prediction": None}
    texts: dict[str, Json] = {"said": None, "expected": None}
    if outcome.is_classes:
        codes = {"label": encoded_codes(outcome.true, n), "prediction": encoded_codes(outcome.said, n)}
    else:
        longest = config.text_length
        texts = {
            "said": outcome.readable("prediction", longest),
            "expected": outcome.readable("label", longest),
        }
    return {
        "name": outcome.name,
        "task": outcome.label.page_kind,
        "classes": list(outcome.classes),
        "figures": figures_of(outcome.run, outcome.label),
        "curves": curves_of(outcome.run),
        "slices": slices,
        "rows": encoded_rows(outcome.rows),
        **codes,
        "probabilities": _probabilities(outcome, notes),
        "confidence": None if doubts.confidence is None else encoded_numbers(doubts.confidence),
        **texts,
    }


def _probabilities(outcome: Outcome, notes: list[str]) -> Json:
    """Of all classes, where there is room for them."""
    n = len(outcome.rows) * len(outcome.classes)
    if not outcome.classes or outcome.doubts.confidence is None:
        return None
    if n > MOST_PROBABILITIES:
        notes.append(
            f"{n:,} probabilities of {len(outcome.classes):,} classes by {outcome.name} are too many for a page: those "
            "of the predictions are here"
        )
        return None
    return encoded_shares(outcome.probabilities())
