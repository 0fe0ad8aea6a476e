"""Percentile bootstrap: 95 % intervals of any figure, the same for the same seed; of groups, if samples have any."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from headstart.groups import Groups

RESAMPLES = 1000
LEVEL = 0.95
MOST_DRAWS = 50_000_000
"""About a second. A split so large needs fewer resamples: its intervals are narrow."""

FEWEST_RESAMPLES = 100
DRAWS_AT_ONCE = 1 << 18
"""What stays in a core's cache: twice as many at once take three times as long."""

Draws: TypeAlias = NDArray[np.int64]
Interval: TypeAlias = "list[float] | None"
Figures: TypeAlias = Mapping[str, NDArray[np.float64]]
Name = TypeVar("Name", bound=Hashable)


def percentile_intervals(
    n: int, figures: Callable[[Draws], Figures], resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Interval]:
    """The 95 % percentile interval of every figure, [low, high]; None if it could be computed on no resample.

    The same numbers as ``scipy.stats.bootstrap(method="percentile", rng=np.random.default_rng(seed))``. ``figures``
    takes draws, rows (B, n) with repetition, and gives {name: ndarray (B,)}; resamples on which one cannot be computed
    (all of one class) are left out. Fewer are drawn of more than 50,000 samples.

    Notes
    -----
    A class with a handful of samples is often missing from a resample, and the percentile interval of
    a macro average then lies low: it may not even hold the figure itself.
    """
    values = resampled_figures(n, figures, resamples, seed)
    return {name: interval_of(each) for name, each in values.items()}


def resampled_figures(
    n: int,
    figures: Callable[[Draws], Mapping[Name, NDArray[np.float64]]],
    resamples: int = RESAMPLES,
    seed: int = 0,
    groups: Groups | None = None,
) -> dict[Name, NDArray[np.float64]]:
    """Every figure on every resample, (B,) each: what is on one place was computed from the same rows."""
    parts = [figures(draws) for draws in draws_of(n, resamples, seed, groups)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def interval_of(values: NDArray[np.float64]) -> Interval:
    """The 95 % percentile interval of what resamples gave, (B,); None: none of them gave a number."""
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    alpha = (1 - LEVEL) / 2
    low, high = np.quantile(values, [alpha, 1 - alpha]).tolist()
    return [low, high]


def weights_of(draws: Draws) -> NDArray[np.float64]:
    """How often each row was drawn, (B, n)."""
    return counts_of(draws, draws.shape[1])


def counts_of(codes: Draws, n_codes: int) -> NDArray[np.float64]:
    """How often each code occurs in each row of codes (B, n), as (B, n_codes)."""
    shifted = codes + (np.arange(len(codes)) * n_codes)[:, None]
    counts = np.bincount(shifted.ravel(), minlength=len(codes) * n_codes)
    return counts.reshape(-1, n_codes).astype(np.float64)


def draws_of(n: int, resamples: int, seed: int, groups: Groups | None = None) -> Iterator[Draws]:
    """Rows drawn with repetition, in portions that fit the memory; of groups, whole ones until there are n rows."""
    rng = np.random.default_rng(seed)
    resamples = min(resamples, max(MOST_DRAWS // n, FEWEST_RESAMPLES))
    at_once = max(DRAWS_AT_ONCE // n, 1)
    draw = rows_of if groups is None else group_rows_of(groups, rng)
    for start in range(0, resamples, at_once):
        yield draw(rng, min(at_once, resamples - start), n)


def rows_of(rng: np.random.Generator, resamples: int, n: int) -> Draws:
    """Rows drawn one by one, (B, n)."""
    return rng.integers(0, n, (resamples, n))


def group_rows_of(
    groups: Groups, rng: np.random.Generator
) -> Callable[[np.random.Generator, int, int], Draws]:
    """Draws rows by whole groups; the last one is cut, so that every resample has as many rows as there are."""
    sizes = groups.sizes
    by_group = np.lexsort((rng.random(len(groups.codes)), groups.codes))
    starts = np.cumsum(sizes) - sizes

    def draw(rng: np.random.Generator, resamples: int, n: int) -> Draws:
        return np.stack([one(rng, n) for _ in range(resamples)])

    def one(rng: np.random.Generator, n: int) -> Draws:
        chosen = rng.integers(0, len(sizes), len(sizes))
        while sizes[chosen].sum() < n:
            chosen = np.append(chosen, rng.integers(0, len(sizes), len(sizes)))
        ends = np.cumsum(sizes[chosen])
        rows = np.repeat(starts[chosen] - (ends - sizes[chosen]), sizes[chosen]) + np.arange(ends[-1])
        drawn: Draws = by_group[rows[:n]]
        return drawn

    return draw
