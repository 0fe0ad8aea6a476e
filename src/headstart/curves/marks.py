"""What each test sample counts in the figure of a curve: kept of each draw, so that curves are compared in pairs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.arrow import keys_from_arrow
from headstart.groups import Groups
from headstart.metrics.paired import ACCURACY
from headstart.metrics.two_way import mean_mark
from headstart.tasks import open_task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.metrics.resampling import Interval
    from headstart.samples import LabelledSamples
    from headstart.types import Figure, LabelKind, Predictions

BLOCKS = 30
"""Of samples, each left out in turn, where a figure is no mean over samples."""


@dataclass(frozen=True)
class Marker:
    """Marks what heads say of the samples that a protocol judges on.

    The share of samples that are right is the mean of their marks, 1 or 0. Any other figure (F1 of entities, R²) has
    pseudo-values of blocks of samples instead: what the figure is with all, and without each in turn (Tukey's
    jackknife). Blocks follow from the keys and groups of the samples alone, so that those of two runs on the same
    samples are the same.
    """

    judge: LabelledSamples

    @property
    def kind(self) -> LabelKind:
        """What the labels are."""
        return self.judge.kind

    @property
    def figure(self) -> str:
        """The figure of the curve."""
        return open_task(self.kind).leading_score

    @property
    def marks_samples(self) -> bool:
        """Whether each sample has a mark; else each block has."""
        return self.figure == ACCURACY

    @property
    def units(self) -> list[str]:
        """Ids of what is marked."""
        if self.marks_samples:
            ids: list[str] = self.judge.table.column("id").to_pylist()
            return ids
        return [f"block {number}" for number in range(len(self._blocks))]

    @cached_property
    def groups(self) -> Groups | None:
        """Of the samples, where those are marked."""
        return Groups.of(self.judge.groups) if self.marks_samples else None

    @cached_property
    def _blocks(self) -> list[NDArray[np.int64]]:
        """The rows of each block, whole groups in one, dealt out in the order of their keys."""
        keys = np.ascontiguousarray(keys_from_arrow(self.judge.table.column("key"))).view("S16").ravel()
        codes = self.judge.groups
        units = np.unique(keys, return_inverse=True)[1] if codes is None else codes
        order = np.argsort(keys, kind="stable")
        first = np.full(units.max() + 1, len(keys))
        np.minimum.at(first, units[order], np.arange(len(keys)))
        dealt = np.argsort(np.argsort(first, kind="stable"), kind="stable") % BLOCKS
        number = dealt[units]
        return [np.flatnonzero(number == block) for block in np.unique(number)]

    def __call__(self, said: Predictions) -> NDArray[np.float64]:
        """A mark for each unit, shape (U,)."""
        if self.marks_samples:
            right = open_task(self.kind).is_right(said)
            assert right is not None  # which accuracy is the share of
            return right.astype(np.float64)
        whole, n = self._figure_of(said), len(self._blocks)
        every = np.arange(len(said))
        without = [self._figure_of(_part(said, np.setdiff1d(every, rows))) for rows in self._blocks]
        return n * whole - (n - 1) * np.array(without)

    def _figure_of(self, said: Predictions) -> float:
        return float(open_task(self.kind).scores(said)[self.figure]) if len(said) else float("nan")

    def interval(self, marks: NDArray[np.float64], mean: float) -> Interval:
        """Of the figure's mean over the draws of marks (S, U)."""
        found = mean_mark(marks, self.groups, mean)
        return found.share_interval() if figure_of(self.kind, self.figure).is_share else found.interval()


def figure_of(kind: LabelKind, name: str) -> Figure:
    """A figure of a task by its name."""
    return next(figure for figure in open_task(kind).figures if figure.name == name)


def _part(said: Predictions, rows: NDArray[np.int64]) -> Predictions:
    """Of some of the samples."""
    true: Any = said.true[rows]
    return replace(said, true=true, outputs=said.outputs[rows], table=None, groups=None)
