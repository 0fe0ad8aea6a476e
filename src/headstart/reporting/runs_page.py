"""The page of two runs on the same samples: which of these flipped, and where."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headstart.comparison.runs import NamedRun, match_rows, open_by_label
from headstart.errors import MismatchError
from headstart.groups import groups_in
from headstart.metrics.paired import Paired
from headstart.reporting.columns import Column, spread
from headstart.reporting.content import Findings, columns_of, content_of
from headstart.reporting.outcomes import Outcome, predictions_in, rows_among
from headstart.reporting.queues import mistakes_of
from headstart.reporting.run_page import about_run, samples_behind, set_behind
from headstart.reporting.samples import PageSamples, set_and_label
from headstart.reporting.slices import parts_of
from headstart.reporting.vectors import vectors_of
from headstart.tasks import open_task

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.contracts import Progress
    from headstart.registry.run import Run
    from headstart.reporting.config import ReportConfig
    from headstart.types import Json

    Rows = NDArray[np.int64]

FLIPS = ("both right", "gained", "lost", "both wrong")
LIST_FLIPS = (2, 1)
"""What is shown first: what the second run lost, then what it gained."""


@dataclass(frozen=True)
class TwoRuns:
    """Two runs of one label, and their predictions for the same n test samples in the same order."""

    runs: tuple[NamedRun, NamedRun]
    tables: tuple[pa.Table, pa.Table]
    paired: Paired

    @classmethod
    def of(cls, runs: Sequence[NamedRun]) -> TwoRuns:
        """Runs that are open.

        Raises
        ------
        MismatchError
            They predict different labels or tasks, or have other test samples.
        """
        first, second = runs
        columns = [str(run.run.labels["column"]) for run in runs]
        if columns[0] != columns[1]:
            raise MismatchError(
                f"run {first.name} predicts {columns[0]!r}, and run {second.name} {columns[1]!r}; a page is of runs of "
                "one label"
            )
        tables = match_rows(runs)
        judged = open_task(first.task).judge(
            {run.name: table for run, table in zip(runs, tables, strict=True)}
        )
        paired = Paired(judged, tables[0].num_rows, groups=groups_in(tables[0]))
        return cls((first, second), (tables[0], tables[1]), paired)

    @property
    def is_right(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
        """Which samples each has right, (n,); None of numbers."""
        a, b = (self.paired.judged[run.name].is_right for run in self.runs)
        return None if a is None or b is None else (a, b)

    def flips(self) -> NDArray[np.int32] | None:
        """Which of `FLIPS` each sample is, (n,)."""
        if self.is_right is None:
            return None
        a, b = self.is_right
        return np.select([a & b, b & ~a, a & ~b], [0, 1, 2], 3).astype(np.int32)


def runs_page(
    runs: Sequence[Run], config: ReportConfig, notes: list[str], progress: Progress
) -> dict[str, Json]:
    """What the page of two runs holds."""
    two = TwoRuns.of(_opened(runs, config, notes))
    samples, outcomes = _outcomes(two, config, notes)
    rows = rows_among(two.tables[0], samples.table)
    flips = two.flips()
    columns = columns_of(samples, outcomes, notes)
    compared = comparison_json(two, columns, rows)
    first = np.empty(0, dtype=np.int64)
    if flips is not None:
        columns.append(spread(Column("flip", "flip", FLIPS, flips), rows, len(samples)))
        first = np.concatenate([rows[flips == code] for code in LIST_FLIPS])
    features = samples.features
    wanted = two.runs[0].run.features
    vectors = None if features is None else vectors_of(features, config, wanted, notes)
    queues = [queue for queue in [mistakes_of(outcomes[1])] if len(queue.rows)]
    found = Findings(samples, vectors, queues, outcomes, columns, first)
    return {
        "kind": "runs",
        "title": " and ".join(run.name for run in two.runs),
        "about": _about(two),
        **set_and_label(samples),
        "comparison": compared,
        **content_of(found, config, notes, progress),
    }


def _opened(runs: Sequence[Run], config: ReportConfig, notes: list[str]) -> Sequence[NamedRun]:
    """Both runs by the label that is asked for, or the first that both predict."""
    found = open_by_label(runs, None, config.label)
    first, *others = found
    if others:
        notes.append(
            f"the runs predict several labels, and this page is of {first!r}; --label shows another: "
            f"{', '.join(map(repr, others))}"
        )
    return found[first]


def _outcomes(two: TwoRuns, config: ReportConfig, notes: list[str]) -> tuple[PageSamples, list[Outcome]]:
    """The samples of the page, and what each run says of them: without the set those of test alone."""
    features = set_behind(two.runs[0].run, config, notes)
    tables = list(two.tables)
    if features is not None:
        tables = [predictions_in(run.run, run.name) for run in two.runs]
    samples = samples_behind(two.runs[0].run, tables[0], features)
    met = (
        Outcome.met(run.run, run.name, table, samples, notes)
        for run, table in zip(two.runs, tables, strict=True)
    )
    return samples, list(met)


def comparison_json(two: TwoRuns, columns: Sequence[Column], rows: Rows) -> dict[str, Json]:
    """How two runs differ, as the page has it; ``rows`` are the places of their test samples."""
    a, b = two.runs
    versus, paired = two.paired.versus(b.name, a.name), two.paired
    figures = []
    for figure in open_task(a.task).figures:
        values = [paired.judged[run.name].figures.get(figure.name, math.nan) for run in two.runs]
        difference = versus.differences.get(figure.name)
        if all(map(math.isfinite, values)):
            about: dict[str, Json] = {
                "name": figure.name,
                "title": figure.title,
                "a": values[0],
                "b": values[1],
            }
            interval = None if difference is None else difference.interval
            figures.append({**about, "difference": values[1] - values[0], "interval": interval})
    said = "" if paired.groups is None else f", in {len(paired.groups):,} groups"
    return {
        "figures": figures,
        "only_a": versus.only_other,
        "only_b": versus.only_this,
        "p_value": versus.p_value,
        "n": paired.n,
        "slices": _slices(two, columns, rows),
        "note": f"On the {paired.n:,} test samples of both{said}. Differences are {b.name} minus {a.name}, with 95 % "
        "intervals on the same samples. Slices count samples that are right as a whole.",
    }


def _slices(two: TwoRuns, columns: Sequence[Column], rows: Rows) -> list[dict[str, Json]]:
    """Where samples flipped: first the parts that gained or lost the most of theirs."""
    if two.is_right is None:
        return []
    a, b = two.is_right
    known = rows >= 0
    found = []
    for part in parts_of([column for column in columns if column.name != "split"], rows[known]):
        mine, other = a[known][part.is_in], b[known][part.is_in]
        gained, lost = int((other & ~mine).sum()), int((mine & ~other).sum())
        shares = {"a": float(mine.mean()), "b": float(other.mean())}
        found.append({**part.about, **shares, "gained": gained, "lost": lost})
    return sorted(found, key=lambda one: (-abs(one["gained"] - one["lost"]) / one["n"], -one["n"]))


def _about(two: TwoRuns) -> list[list[str]]:
    """The facts of both, side by side."""
    facts = [dict(about_run(run.run)) for run in two.runs]
    names = [["a", two.runs[0].name], ["b", two.runs[1].name]]
    shared = [
        [name, value if value == facts[1].get(name) else f"{value} (a), {facts[1].get(name, '–')} (b)"]
        for name, value in facts[0].items()
    ]
    return [*names, *shared]
