"""Slices: how good a run is on the samples with each value of each column, the worst first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headstart.arrow import column_of
from headstart.groups import groups_in
from headstart.metrics.clusters import share_of
from headstart.metrics.intervals import exact_interval
from headstart.metrics.paired import ACCURACY, Paired
from headstart.metrics.tables import MOST_VALUES, NUMERIC_BINS
from headstart.reporting.budget import MOST_SLICES
from headstart.types import SPLITS
from headstart.words import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.groups import Groups
    from headstart.reporting.columns import Column
    from headstart.reporting.outcomes import Outcome
    from headstart.types import Figure, Json

    Mask = NDArray[np.bool_]

FEWEST = 10
"""Samples of a slice."""
MOST_JUDGED = 50_000
"""Samples that are judged again for slices, all together, of figures that are no share of the samples."""
OUTCOMES = ("prediction", "confidence", "right", "error", "flip")
"""Columns that say what a run did, and nothing of the samples; also with a run's letter behind."""


@dataclass(frozen=True)
class Part:
    """Some of p samples: those with a value of a column, or with a number in a range."""

    column: Column
    value: str
    is_in: Mask

    @property
    def about(self) -> dict[str, Json]:
        """What the page says of it."""
        return {"column": self.column.name, "value": self.value, "n": int(self.is_in.sum())}


def parts_of(columns: Sequence[Column], rows: NDArray[np.int64]) -> Iterator[Part]:
    """The parts of some rows of a page that are large enough to say something, and are not all."""
    for column in columns:
        if column.name.partition(".")[0] in OUTCOMES:
            continue
        found = _bins(column, column.content[rows]) if column.values is not None else _values(column, rows)
        for part in found:
            if FEWEST <= part.is_in.sum() < len(rows):
                yield part


def _values(column: Column, rows: NDArray[np.int64]) -> Iterator[Part]:
    """The most frequent values."""
    codes = column.content[rows]
    counts = np.bincount(codes[codes >= 0], minlength=len(column.names))
    for code in np.argsort(-counts, kind="stable")[:MOST_VALUES].tolist():
        if counts[code] >= FEWEST:
            yield Part(column, column.names[code], codes == code)


def _bins(column: Column, numbers: NDArray[np.float64]) -> Iterator[Part]:
    """Bins with as many samples each."""
    known = np.isfinite(numbers)
    if not known.any():
        return
    edges = np.unique(np.quantile(numbers[known], np.linspace(0, 1, NUMERIC_BINS + 1)))
    bins = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, max(len(edges) - 2, 0))
    for place in range(max(len(edges) - 1, 1)):
        is_in = known & (bins == place)
        if is_in.any():
            low, high = (_written(end) for end in (numbers[is_in].min(), numbers[is_in].max()))
            yield Part(column, f"{low} to {high}", is_in)


def _written(number: float) -> str:
    """A number with as many digits as tell it from others on the page, which filters by what is written here."""
    return str(np.format_float_positional(np.float32(number), trim="-"))


def slices_of(outcome: Outcome, columns: Sequence[Column], notes: list[str]) -> list[dict[str, Json]]:
    """The leading figure of a run on each part of the split that says most of new data, and on each split.

    What there is no room or time for is said.
    """
    splits = outcome.splits
    last = next(code for code in (2, 1, 0) if (splits == code).any())
    chosen = np.flatnonzero(splits == last)
    judge = _judge_of(outcome)
    parts = list(parts_of([column for column in columns if column.name != "split"], outcome.rows[chosen]))
    found = judge.slices(chosen, parts, SPLITS[last])
    of_all = np.arange(len(splits))
    for part in parts_of([column for column in columns if column.name == "split"], outcome.rows):
        found += judge.slices(of_all, [part], part.value)
    sign = 1 if judge.figure.larger_is_better else -1
    found.sort(key=lambda one: (sign * one["figure_value"], -one["n"]))
    if judge.n_unjudged:
        notes.append(
            f"{counted(judge.n_unjudged, 'slice')} of {outcome.name} left out: {judge.figure.title} takes too long"
        )
    if len(found) > MOST_SLICES:
        notes.append(f"the worst {MOST_SLICES:,} of {len(found):,} slices of {outcome.name} are shown")
    return found[:MOST_SLICES]


class _Judge:
    """Says how good a run is on some of its samples."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.figure: Figure = outcome.label.task.figures[0]
        self.groups = groups_in(outcome.table)
        self.n_unjudged = 0

    def slices(self, rows: NDArray[np.int64], parts: Sequence[Part], split: str) -> list[dict[str, Json]]:
        """What the page says of parts of some rows."""
        return [
            {**part.about, "split": split, "figure": self.figure.name, **figures}
            for part in parts
            if (figures := self.figures(rows[part.is_in], rows[~part.is_in])) is not None
        ]

    def figures(self, rows: NDArray[np.int64], rest: NDArray[np.int64]) -> dict[str, Json] | None:
        """The figure on some samples with its interval, and on the rest; None if it cannot be computed."""
        raise NotImplementedError


class _Shares(_Judge):
    """Of accuracy, which is a share of the samples."""

    def figures(self, rows: NDArray[np.int64], rest: NDArray[np.int64]) -> dict[str, Json] | None:
        is_right = self.outcome.doubts.is_right
        assert is_right is not None
        groups = None if self.groups is None else _among(self.groups, rows)
        interval = exact_interval(*share_of(is_right[rows], groups))
        value, other = float(is_right[rows].mean()), float(is_right[rest].mean())
        return {"figure_value": value, "interval": interval, "rest": other}


class _Figures(_Judge):
    """Of any other figure: the samples are judged anew, as far as that is done in a while."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.left = MOST_JUDGED

    def figures(self, rows: NDArray[np.int64], rest: NDArray[np.int64]) -> dict[str, Json] | None:
        self.left -= len(rows) + len(rest)
        if self.left < 0:
            self.n_unjudged += 1
            return None
        name, task = self.figure.name, self.outcome.label.task
        here, there = (self.outcome.table.take(column_of(each)) for each in (rows, rest))
        paired = Paired(task.judge({"run": here}), len(rows), groups=groups_in(here))
        value, other = paired.judged["run"].figures[name], task.judge({"run": there})["run"].figures[name]
        if not math.isfinite(value):
            return None
        interval = paired.intervals("run").get(name)
        return {"figure_value": value, "interval": interval, "rest": other if math.isfinite(other) else None}


def _judge_of(outcome: Outcome) -> _Judge:
    is_share = outcome.label.task.figures[0].name == ACCURACY and outcome.doubts.is_right is not None
    return _Shares(outcome) if is_share else _Figures(outcome)


def _among(groups: Groups, rows: NDArray[np.int64]) -> Groups:
    is_there = np.zeros(len(groups.codes), dtype=bool)
    is_there[rows] = True
    return groups.among(is_there)
