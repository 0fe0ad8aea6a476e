"""Several runs on the same samples: every figure of all of them on the same resamples, by group where samples have one.

McNemar's test of samples in groups counts as many as are independent (Eliasziw and Donner, Statistics in Medicine 10,
1991).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.metrics.clusters import independent
from headstart.metrics.intervals import FEWEST_SAMPLES, expanded_interval, paired_interval
from headstart.metrics.resampling import RESAMPLES, Draws, interval_of, resampled_figures
from headstart.types import Judged

if TYPE_CHECKING:
    from headstart.groups import Groups

MOST_EXACT = 1000
"""Up to so many samples that one alone has right, McNemar's test is computed in whole numbers."""
ACCURACY = "accuracy"
FEWEST_DIFFERING = 5
"""Samples that one of two runs alone has right; resamples of fewer say nothing of the difference of other figures."""
SIGNIFICANT = 0.05
"""Below it a p-value counts."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How much one run's figure is above another's."""

    value: float
    interval: list[float] | None
    """[low, high], 95 %; None where the samples cannot say."""

    @property
    def leaves_out_zero(self) -> bool:
        """Whether the interval does."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]

    @property
    def half_width(self) -> float:
        """What stands behind the ±; NaN without an interval."""
        return (self.interval[1] - self.interval[0]) / 2 if self.interval else float("nan")


@dataclass(frozen=True, slots=True)
class Versus:
    """One run against another on the same samples."""

    other: str
    differences: Mapping[str, Difference]
    """By figure: this run's minus the other's."""
    only_this: int | None = None
    """How many samples this run alone has right; None of numbers, which no one can say."""
    only_other: int | None = None
    p_value: float | None = None
    """Of McNemar's exact test; None where no figure is the share of samples that are right as a whole."""
    p_holm: float | None = None
    """The same, made larger for the number of runs that were held against the other one."""

    def is_significant(self, figure: str) -> bool:
        """Whether two runs differ measurably: the interval leaves out 0, and the test, where there is one, agrees."""
        return self.differences[figure].leaves_out_zero and (self.p_holm is None or self.p_holm < SIGNIFICANT)


class Paired:
    """The figures of several runs on the same n samples, in the same order, and on the same resamples of them."""

    def __init__(
        self,
        judged: Mapping[str, Judged],
        n: int,
        resamples: int = RESAMPLES,
        seed: int = 0,
        groups: Groups | None = None,
    ) -> None:
        self.judged, self.n, self.groups = judged, n, groups
        self.n_units = n if groups is None else round(groups.n_even)

        def figures(draws: Draws) -> dict[tuple[str, str], NDArray[np.float64]]:
            return {
                (run, name): values
                for run, one in judged.items()
                for name, values in one.resample(draws).items()
            }

        self._values = resampled_figures(n, figures, resamples, seed, groups)

    def intervals(self, run: str) -> dict[str, list[float] | None]:
        """The 95 % interval of each figure; None where the samples cannot say, see `reasons`."""
        judged = self.judged[run]
        own = {name: values for (of, name), values in self._values.items() if of == run}
        if judged.evidence is None:
            return {name: interval_of(values) for name, values in own.items()}
        return {
            name: judged.evidence.interval(name, judged.figures.get(name), values)
            for name, values in own.items()
        }

    def reason(self, run: str, figure: str) -> str | None:
        """Why a figure of a run has no interval; None if it may have one."""
        evidence = self.judged[run].evidence
        return None if evidence is None else evidence.reason(figure)

    def difference(self, run: str, other: str, figure: str) -> Difference:
        """A run's figure minus another's, with the interval of the difference; see `_interval`."""
        value = self.judged[run].figures[figure] - self.judged[other].figures[figure]
        return Difference(value, self._interval(run, other, figure))

    def resampled_difference(self, run: str, other: str, figure: str) -> NDArray[np.float64]:
        """The same on each resample, (B,)."""
        difference: NDArray[np.float64] = self._values[run, figure] - self._values[other, figure]
        return difference

    def _interval(self, run: str, other: str, figure: str) -> list[float] | None:
        """Of accuracy Newcombe's, of others on the same resamples; None where the samples cannot say.

        That is of fewer than ten samples, of fewer than five on which the runs differ, and of a figure that has no
        interval in one of the runs; of samples in groups, groups are counted.
        """
        mine, others = self.judged[run].is_right, self.judged[other].is_right
        if mine is not None and others is not None:
            counted, n_differing = self._counted(mine, others)
            if figure == ACCURACY:
                return paired_interval(*counted)
            if n_differing < FEWEST_DIFFERING:
                return None
        if self.n_units < FEWEST_SAMPLES or any(self.reason(each, figure) for each in (run, other)):
            return None
        return expanded_interval(self.resampled_difference(run, other, figure), self.n_units)

    def _counted(
        self, mine: NDArray[np.bool_], others: NDArray[np.bool_]
    ) -> tuple[tuple[float, float, float, float], int]:
        """As many samples as are independent that both have right, each alone, and all; and on how many they differ."""
        counts = [int((a & b).sum()) for a, b in ((mine, others), (mine, ~others), (~mine, others))]
        if self.groups is None:
            return (counts[0], counts[1], counts[2], self.n), counts[1] + counts[2]
        n_differing = self.groups.n_with(mine != others)
        worth = independent(mine.astype(np.float64) - others, n_differing, self.groups) / self.n
        return (counts[0] * worth, counts[1] * worth, counts[2] * worth, self.n * worth), n_differing

    def versus(self, run: str, other: str) -> Versus:
        """Everything that two runs differ by."""
        names = [name for of, name in self._values if of == run]
        differences = {name: self.difference(run, other, name) for name in names}
        mine, others = self.judged[run].is_right, self.judged[other].is_right
        if mine is None or others is None:
            return Versus(other, differences)
        only_this, only_other = int((mine & ~others).sum()), int((others & ~mine).sum())
        (_, first, second, _), _ = self._counted(mine, others)
        # Which samples are right as a whole is accuracy; of entities or parts of answers it says nothing.
        p_value = mcnemar(round(first), round(second)) if ACCURACY in differences else None
        return Versus(other, differences, only_this, only_other, p_value, p_value)

    def against(self, other: str) -> dict[str, Versus]:
        """Every other run against one, with p-values that hold for all of them together."""
        each = {run: self.versus(run, other) for run in self.judged if run != other}
        tested = {run: versus.p_value for run, versus in each.items() if versus.p_value is not None}
        adjusted = holm(tested)
        return {run: replace(versus, p_holm=adjusted.get(run)) for run, versus in each.items()}


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P-values of several tests, adjusted so that all of them together err in one of twenty cases.

    After Holm, Scandinavian Journal of Statistics 6 (1979).

    Examples
    --------
    >>> holm({"a": 0.01, "b": 0.5, "c": 0.02})
    {'a': 0.03, 'c': 0.04, 'b': 0.5}
    """
    adjusted: dict[str, float] = {}
    least = 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        least = max(least, min((len(p_values) - place) * p_values[name], 1.0))
        adjusted[name] = least
    return adjusted


def mcnemar(only_first: int, only_second: int) -> float:
    """The p-value of McNemar's exact test, of how many samples each of two alone has right.

    Examples
    --------
    >>> mcnemar(0, 5), mcnemar(3, 3)
    (0.0625, 1.0)
    """
    n, fewer = only_first + only_second, min(only_first, only_second)
    # Not scipy's binomtest: importing it takes as long as everything else. A coin is as likely to fall so unevenly
    # on either side.
    if n <= MOST_EXACT:
        return float(min(2 * sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n, 1.0))
    k = np.arange(1, fewer + 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log((n - k + 1) / k))])
    return min(2 * math.exp(float(np.logaddexp.reduce(logs)) - n * math.log(2)), 1.0)
