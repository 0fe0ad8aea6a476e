"""What 95 % intervals can honestly say: exact ones of proportions, widened ones at the edges, or none with a reason.

A percentile bootstrap collapses where a sample holds no mistake: 49 right of 49 would be [1, 1]. Here a proportion has
the exact interval of Clopper and Pearson (Biometrika 26, 1934). Any other figure between two bounds has the same with
an effective number of samples (Korn and Graubard, Survey Methodology 24, 1998): from the variance over resamples, and
as far as there are few mistakes to resample, from the number of samples that the figure rests on. An error has
Student's interval of its logarithm, with the deviation over resamples; R² and a correlation the percentile interval,
expanded as Student's t is wider than a normal distribution (Hesterberg, The American Statistician 69, 2015). Where
samples come in groups, groups are resampled and counted, see `headstart.metrics.clusters`.
`benchmarks/coverage.py` measures how often they hold the truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.metrics.clusters import TAIL, share_of
from headstart.metrics.counts import Counts
from headstart.metrics.resampling import Interval

if TYPE_CHECKING:
    from headstart.groups import Groups

FEWEST_SAMPLES = 10
"""Below it resamples say nothing of a figure that is no proportion."""
FEWEST_MISTAKES = 10
"""Below it a mean without a bound (log loss) rests on a handful of samples, and the next mistake may double it."""
MANY_MISTAKES = 30
"""From so many on resamples say how much their number may differ."""
PRIOR = 6.0
"""As many mistakes as count as much for a variance as the number of samples does."""
BOUNDS: Mapping[str, tuple[float, float]] = {"mcc": (-1.0, 1.0), "bleu": (0.0, 100.0), "chrf": (0.0, 100.0)}
"""Of figures that are not in [0, 1]."""
UNBOUNDED = ("log_loss", "mae", "rmse", "r2", "pearson")
SIZES = ("log_loss", "mae", "rmse")
"""Those of them that are above 0, and skewed."""
RESTS_ON_MISTAKES = ("log_loss",)


@dataclass(frozen=True)
class Evidence:
    """What the figures of one run on n samples rest on.

    Parameters
    ----------
    n : int
        Of groups as many as there would be if all were of one size.
    n_mistakes : int, optional
        The fewer of the right and the wrong samples; None of numbers, which are neither.
    proportions : mapping of str to (float, float)
        Of figures that count samples: how many, of how many; see `headstart.metrics.clusters.share_of`.
    sizes : mapping of str to float
        How many independent samples a figure rests on, where they are fewer than n: of rare classes few.
    units : str
        What is counted.
    """

    n: int
    n_mistakes: int | None = None
    proportions: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    sizes: Mapping[str, float] = field(default_factory=dict)
    units: str = "samples"

    @classmethod
    def of(
        cls,
        n: int,
        groups: Groups | None,
        is_right: NDArray[np.bool_] | None = None,
        proportions: Mapping[str, tuple[float, float]] | None = None,
        sizes: Mapping[str, float] | None = None,
    ) -> Evidence:
        """Of n samples, or of the groups that they are in; ``is_right`` (N,) says which are right."""
        units = "samples" if groups is None else "groups"
        rests_on = n if groups is None else round(groups.n_even)
        n_mistakes = None
        if is_right is not None:
            sides = (is_right, ~is_right)
            n_mistakes = min(int(side.sum()) if groups is None else groups.n_with(side) for side in sides)
        return cls(rests_on, n_mistakes, proportions or {}, sizes or {}, units)

    def interval(self, name: str, value: float | None, resampled: NDArray[np.float64]) -> Interval:
        """The 95 % interval of a figure, from its value and what it is on resamples, (B,); None: see `reason`."""
        if name in self.proportions:
            return exact_interval(*self.proportions[name])
        if value is None or not np.isfinite(value) or self.reason(name) is not None:
            return None
        if name in UNBOUNDED:
            drawn = logarithmic_interval if name in SIZES else expanded_interval
            return self._unbounded(name, value, drawn(resampled, self.n, value))
        low, high = BOUNDS.get(name, (0.0, 1.0))
        found = self._bounded(name, (value - low) / (high - low), (resampled - low) / (high - low))
        return None if found is None else [low + (high - low) * end for end in found]

    def reason(self, name: str) -> str | None:
        """Why a figure has no interval; None if it has one, as far as its samples go."""
        if name in self.proportions:
            if self.proportions[name][1]:
                return None
            return (
                "there is no sample of it" if self.units == "samples" else "all its samples are of one group"
            )
        if self.n < FEWEST_SAMPLES:
            return f"{self.n:,} {self.units} are too few; it takes {FEWEST_SAMPLES}"
        if name in RESTS_ON_MISTAKES and self.n_mistakes is not None and self.n_mistakes < FEWEST_MISTAKES:
            noun = "mistakes" if self.units == "samples" else f"{self.units} with mistakes"
            return f"it rests on {self.n_mistakes:,} {noun}; it takes {FEWEST_MISTAKES}"
        size = self.sizes.get(name, self.n)
        if name not in UNBOUNDED and size < FEWEST_SAMPLES / 2:
            return (
                f"it rests on {size:.1f} {self.units} of the rarest classes; it takes {FEWEST_SAMPLES // 2}"
            )
        return None

    def intervals(
        self, values: Mapping[str, Any], resampled: Mapping[str, NDArray[np.float64]]
    ) -> dict[str, Interval]:
        """Of every figure that was resampled."""
        return {name: self.interval(name, values.get(name), drawn) for name, drawn in resampled.items()}

    def report(
        self, values: Mapping[str, Any], resampled: Mapping[str, NDArray[np.float64]]
    ) -> dict[str, Any]:
        """``intervals``, and ``no_interval``: why some figures have none."""
        intervals = self.intervals(values, resampled)
        missing = [name for name, found in intervals.items() if found is None]
        reasons = {name: self.reason(name) or "it cannot be computed on these samples" for name in missing}
        return {"intervals": intervals, **({"no_interval": reasons} if reasons else {})}

    def _unbounded(self, name: str, value: float, found: Interval) -> Interval:
        """Of a mean that a few mistakes make: not narrower, as a share of it, than the share of mistakes is known."""
        n_mistakes = self.n_mistakes
        if found is None or name not in RESTS_ON_MISTAKES or not n_mistakes or n_mistakes >= MANY_MISTAKES:
            return found
        # Of 99 %: where mistakes are rare, they are enough only where chance made too many of them.
        known = exact_interval(n_mistakes, self.n, tail=0.005)
        assert known is not None
        low, high = (value * end * self.n / n_mistakes for end in known)
        return [min(found[0], low), max(found[1], high)]

    def _bounded(self, name: str, share: float, resampled: NDArray[np.float64]) -> Interval:
        """Of a figure in [0, 1]."""
        drawn = resampled[np.isfinite(resampled)]
        if not len(drawn):
            return None
        size = self.sizes.get(name, float(self.n))
        centre = (share * size + 2) / (size + 4)  # Agresti and Coull's: at 0 and 1 there would be no variance
        binomial = centre * (1 - centre)
        mistakes = float(self.n if self.n_mistakes is None else self.n_mistakes)
        variance = float(drawn.var()) * self.n / max(self.n - 1, 1)
        variance = (mistakes * variance + PRIOR * binomial / size) / (mistakes + PRIOR)
        return exact_interval(share * binomial / variance, binomial / variance)


def exact_interval(hits: float, n: float, tail: float = TAIL) -> Interval:
    """Clopper and Pearson's interval of a proportion, with so much outside on either side; None of no sample.

    Examples
    --------
    >>> [round(end, 3) for end in exact_interval(49, 49)], exact_interval(0, 0)
    ([0.927, 1.0], None)
    """
    from scipy.special import betaincinv

    if not n:
        return None
    hits = min(max(hits, 0.0), n)
    low = float(betaincinv(hits, n - hits + 1, tail)) if hits > 0 else 0.0
    high = float(betaincinv(hits + 1, n - hits, 1 - tail)) if hits < n else 1.0
    return [low, high]


def logarithmic_interval(resampled: NDArray[np.float64], n: int, value: float) -> Interval:
    """Student's interval of the logarithm of a figure of n samples, with its deviation over resamples.

    None if there is no number above 0.

    Examples
    --------
    >>> values = np.linspace(1.0, 3.0, 1001)
    >>> [round(end, 2) for end in logarithmic_interval(values, 100, 2.0)]
    [1.08, 3.7]
    """
    from scipy.special import stdtrit

    values = resampled[np.isfinite(resampled) & (resampled > 0)]
    if not len(values) or n < 2 or value <= 0:
        return None
    half = float(np.log(values).std()) * -float(stdtrit(n - 1, TAIL)) * (n / (n - 1)) ** 0.5
    return [value * float(np.exp(-half)), value * float(np.exp(half))]


def expanded_interval(resampled: NDArray[np.float64], n: int, value: float | None = None) -> Interval:
    """The percentile interval of n samples, as much wider as few samples ask for; None if there is no number.

    Examples
    --------
    >>> values = np.linspace(0, 1, 1001)
    >>> [round(end, 3) for end in expanded_interval(values, 10)]
    [0.009, 0.991]
    """
    from scipy.special import ndtr, stdtrit

    values = resampled[np.isfinite(resampled)]
    if not len(values) or n < 2:
        return None
    tail = float(ndtr(stdtrit(n - 1, TAIL) * (n / (n - 1)) ** 0.5))
    low, high = np.quantile(values, [tail, 1 - tail]).tolist()
    return [low, high]


def paired_interval(both: float, only_first: float, only_second: float, n: float) -> Interval:
    """The interval of the difference of two proportions of the same n samples.

    Newcombe's method 10 (Statistics in Medicine 17, 1998), on Wilson's intervals.

    Examples
    --------
    >>> [round(end, 3) for end in paired_interval(49, 0, 0, 49)]
    [-0.073, 0.073]
    """
    if not n:
        return None
    neither = n - both - only_first - only_second
    first, second = both + only_first, both + only_second
    p, q = first / n, second / n
    (p_low, p_high), (q_low, q_high) = wilson(first, n), wilson(second, n)
    spread = max(float(first * (n - first)) * float(second * (n - second)), 0.0)
    above = both * neither - only_first * only_second
    # With Newcombe's correction of a positive correlation.
    phi = 0.0 if not spread else (max(above - n / 2, 0) if above > 0 else above) / spread**0.5
    below = (p - p_low) ** 2 - 2 * phi * (p - p_low) * (q_high - q) + (q_high - q) ** 2
    over = (p_high - p) ** 2 - 2 * phi * (p_high - p) * (q - q_low) + (q - q_low) ** 2
    return [p - q - max(below, 0.0) ** 0.5, p - q + max(over, 0.0) ** 0.5]


def wilson(hits: float, n: float) -> tuple[float, float]:
    """Wilson's interval of a proportion of n samples, at least one."""
    from scipy.special import ndtri

    z = float(ndtri(1 - TAIL))
    p, shrink = hits / n, 1 + z * z / n
    middle, half = (p + z * z / (2 * n)) / shrink, z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5 / shrink
    return max(middle - half, 0.0), min(middle + half, 1.0)


def class_intervals(counts: Counts, code: int) -> dict[str, Interval]:
    """Of the precision and the recall of one class; None where nothing was predicted so, or nothing is."""
    hits, predicted, support = (int(part[code]) for part in (counts.hits, counts.predicted, counts.support))
    return {"precision": exact_interval(hits, predicted), "recall": exact_interval(hits, support)}


def grouped_class_intervals(
    truth: NDArray[np.bool_], said: NDArray[np.bool_], groups: Groups
) -> dict[str, Interval]:
    """The same of samples in groups: where the class is (N,), and where it was predicted (N,)."""
    return {
        "precision": exact_interval(*share_of(truth[said], groups.among(said))),
        "recall": exact_interval(*share_of(said[truth], groups.among(truth))),
    }


def effective_size(supports: NDArray[Any]) -> float:
    """How many samples a mean over classes rests on, from those of each class: K² / Σ 1/n.

    Examples
    --------
    >>> effective_size(np.array([50, 50])), round(effective_size(np.array([95, 5]))), effective_size(np.array([9, 0]))
    (100.0, 19, 0.0)
    """
    each = np.asarray(supports, dtype=np.float64)
    return float(len(each) ** 2 / (1 / each).sum()) if len(each) and each.min() > 0 else 0.0
