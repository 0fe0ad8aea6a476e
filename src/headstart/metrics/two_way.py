"""A mean over draws of training samples and over test samples at once: how sure it is of both.

A fit on each of S draws marks each of n test samples. Draws and samples are crossed and both random, so that the
variance of the mean of all S x n marks is that of a two-way layout without replication: (MS_draws + MS_samples -
MS_rest) / (S n), never less than either source alone, with Satterthwaite's degrees of freedom. It is what multi-reader
multi-case studies take, with draws for readers (Dorfman, Berbaum and Metz, Investigative Radiology 27, 1992; Hillis,
Statistics in Medicine 26, 2007); of one draw what is left is the variance over samples. A share has Korn and
Graubard's interval on the effective number of samples that follows, with their correction by Student's t.

It says how another test set and other draws of the same training set would do. Large draws of one training set
overlap, and what another training set would give it does not say.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from headstart.metrics.intervals import PRIOR, exact_interval
from headstart.metrics.resampling import LEVEL, Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.groups import Groups


@dataclass(frozen=True, slots=True)
class MeanMark:
    """The mean of marks over draws and units (samples, groups or blocks of them), and how sure it is.

    ``n_differing``: of a share the fewer of the units that some draw has right and that some draw has wrong; of a
    difference the units that have one.
    """

    mean: float
    variance: float
    freedom: float
    n_draws: int
    n_units: int
    n_differing: int

    def interval(self, level: float = LEVEL) -> Interval:
        """Student's; None where fewer than two units say something."""
        if self.n_units < 2 or not np.isfinite(self.variance) or not np.isfinite(self.mean):
            return None
        half = self._quantile(level) * self.variance**0.5
        return [self.mean - half, self.mean + half]

    def share_interval(self, level: float = LEVEL) -> Interval:
        """Of a share: Clopper and Pearson's, with the effective number of samples; inside [0, 1]."""
        size = float(self.n_units)
        if self.n_units < 2:
            return None
        centre = (self.mean * size + 2) / (size + 4)  # at 0 and 1 there would be no variance
        binomial = centre * (1 - centre)
        # As far as few units differ, their number says how much others would.
        weight = float(self.n_differing)
        variance = (weight * self.variance + PRIOR * binomial / size) / (weight + PRIOR)
        effective = binomial / variance
        if np.isfinite(self.freedom):
            effective *= (self._quantile(level, size - 1) / self._quantile(level)) ** 2
        return exact_interval(self.mean * effective, effective, (1 - level) / 2)

    def p_value(self) -> float:
        """That the mean is 0, on both sides."""
        from scipy.special import stdtr

        if not self.variance:
            return 1.0 if not self.mean else 0.0
        return float(2 * stdtr(self.freedom, -abs(self.mean) / self.variance**0.5))

    def _quantile(self, level: float, freedom: float | None = None) -> float:
        from scipy.special import stdtrit

        return -float(stdtrit(self.freedom if freedom is None else freedom, (1 - level) / 2))


def mean_mark(
    marks: NDArray[np.floating] | NDArray[np.bool_], groups: Groups | None = None, mean: float | None = None
) -> MeanMark:
    """The mean of marks (S, n) of S draws, and how sure it is.

    Parameters
    ----------
    marks : ndarray, shape (S, n)
        1 where the fit on a draw has a test sample right; or their differences, or pseudo-values of blocks.
    groups : Groups, optional
        Of the samples: whole groups are the units.
    mean : float, optional
        What the mean is, where it is not that of pseudo-values.

    Examples
    --------
    >>> right = np.array([[1, 1, 1, 1, 0, 1, 0, 1]] * 2)  # of two draws that agree
    >>> found = mean_mark(right)
    >>> found.mean, round(found.freedom), [round(end, 2) for end in found.share_interval()]
    (0.75, 7, [0.35, 0.97])
    """
    table = np.asarray(marks, dtype=np.float64)
    whole, n_differing = float(table.mean()), _n_differing(table, groups)
    if groups is not None:
        table = _of_groups(table, whole, groups)
    n_draws, n_units = table.shape
    of_draws, of_units, rest = _mean_squares(table)
    total = max(of_draws, of_units, of_draws + of_units - rest)
    parts = [(of_draws, n_draws - 1), (of_units, n_units - 1)]
    spread = sum(part**2 / freedom for part, freedom in parts if freedom)
    return MeanMark(
        mean=whole if mean is None else mean,
        variance=total / (n_draws * n_units),
        freedom=total**2 / spread if spread else float(max(n_units - 1, 1)),
        n_draws=n_draws,
        n_units=n_units,
        n_differing=n_differing,
    )


def _mean_squares(table: NDArray[np.float64]) -> tuple[float, float, float]:
    """Of draws, of units and of the rest; 0 where there is one alone."""
    n_draws, n_units = table.shape
    centred = table - table.mean()
    by_draw, by_unit = centred.mean(axis=1), centred.mean(axis=0)
    rest = centred - by_draw[:, None] - by_unit
    free = (n_draws - 1) * (n_units - 1)
    return (
        n_units * float((by_draw**2).sum()) / (n_draws - 1) if n_draws > 1 else 0.0,
        n_draws * float((by_unit**2).sum()) / (n_units - 1) if n_units > 1 else 0.0,
        float((rest**2).sum()) / free if free else 0.0,
    )


def _of_groups(table: NDArray[np.float64], mean: float, groups: Groups) -> NDArray[np.float64]:
    """A mark for each group, so that their mean is that of all samples: the linear part of a ratio."""
    n = table.shape[1]
    sums = np.stack([np.bincount(groups.codes, row - mean, len(groups)) for row in table])
    return np.asarray(mean + sums * (len(groups) / n))


def _n_differing(table: NDArray[np.float64], groups: Groups | None) -> int:
    """The fewer of the units that have a mark above the least in some draw, and of those with one below the largest."""
    sides = (table > table.min()).any(axis=0), (table < table.max()).any(axis=0)
    return min(int(side.sum()) if groups is None else groups.n_with(side) for side in sides)


def mean_of_pairs(
    mine: NDArray[np.floating], others: NDArray[np.floating], groups: Groups | None, same_draws: bool
) -> MeanMark:
    """How much larger the mean of some marks (S, n) is than that of others (S', n), of the same units.

    Paired over units, and over draws where they are the same; of other draws each side has its own variance over them.
    """
    if same_draws:
        table = np.asarray(mine, np.float64) - np.asarray(others, np.float64)
        differs = (table != 0).any(axis=0)
        n_differing = int(differs.sum()) if groups is None else groups.n_with(differs)
        return replace(mean_mark(table, groups), n_differing=n_differing)
    sides = [np.asarray(side, dtype=np.float64) for side in (mine, others)]
    first, second = (side.mean(axis=0)[None] for side in sides)
    averages = mean_of_pairs(first, second, groups, same_draws=True)
    parts = [(averages.variance, averages.freedom)]
    for side in sides:
        if len(side) > 1:
            parts.append((float(side.mean(axis=1).var(ddof=1)) / len(side), len(side) - 1.0))
    variance = sum(part for part, _ in parts)
    spread = sum(part**2 / freedom for part, freedom in parts)
    freedom = variance**2 / spread if spread else averages.freedom
    n_draws = min(len(side) for side in sides)
    return MeanMark(averages.mean, variance, freedom, n_draws, averages.n_units, averages.n_differing)
