"""A mean over draws and test samples: its interval covers both sources, and a difference is taken in pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm

from headstart.groups import Groups
from headstart.metrics.intervals import exact_interval
from headstart.metrics.two_way import mean_mark, mean_of_pairs

ROUNDS = 300
CASES = [(1.0, 10, 300, 0.3, 1.0), (0.3, 5, 60, 0.5, 1.0), (2.0, 10, 200, 0.1, 0.5), (1.2, 1, 150, 0.0, 1.0)]
"""How easy samples are, draws, samples, and the deviations of draws and of samples."""


def drawn(
    rng: np.random.Generator, ease: float, shape: tuple[int, int], a: float, b: float
) -> NDArray[np.bool_]:
    """Which samples each draw has right: a probit model of draws, samples, and both together."""
    n_draws, n = shape
    of_draws, of_samples = rng.normal(0, a, (n_draws, 1)), rng.normal(0, b, (1, n))
    return np.asarray(ease + of_draws + of_samples + rng.normal(size=shape) > 0)


def covered(case: tuple[float, int, int, float, float], rounds: int) -> float:
    """How often the interval holds the share that new draws have right of new samples."""
    ease, n_draws, n, a, b = case
    rng, truth = np.random.default_rng(0), float(norm.cdf(ease / np.sqrt(1 + a * a + b * b)))
    hits = 0
    for _ in range(rounds):
        interval = mean_mark(drawn(rng, ease, (n_draws, n), a, b)).share_interval()
        assert interval is not None
        hits += interval[0] <= truth <= interval[1]
    return hits / rounds


@pytest.mark.parametrize("case", CASES)
def test_the_interval_covers_new_draws_and_new_samples(case: tuple[float, int, int, float, float]) -> None:
    assert covered(case, ROUNDS) >= 0.92  # 0.95 minus 2.4 deviations of so many rounds


@pytest.mark.slow
@pytest.mark.parametrize("ease", [0.3, 1.2, 2.3])
@pytest.mark.parametrize("shape", [(3, 100), (5, 50), (10, 1000), (20, 30)])
@pytest.mark.parametrize("spread", [(0.0, 1.0), (0.2, 1.0), (0.5, 1.0), (0.2, 0.0), (0.05, 3.0)])
def test_it_covers_whatever_the_source(
    ease: float, shape: tuple[int, int], spread: tuple[float, float]
) -> None:
    assert covered((ease, *shape, *spread), 1000) >= 0.925


def test_samples_alone_or_draws_alone_would_not_cover() -> None:
    """What makes the interval necessary: either source alone says too much."""
    rng, truth = np.random.default_rng(0), float(norm.cdf(0.5 / np.sqrt(1.25)))
    by_samples = by_draws = 0
    for _ in range(ROUNDS):
        right = drawn(rng, 0.5, (5, 400), 0.5, 0.0)
        one = exact_interval(right.mean() * right.size, right.size)
        assert one is not None
        by_samples += one[0] <= truth <= one[1]
        right = drawn(rng, 0.5, (10, 60), 0.0, 0.5)
        each = right.mean(axis=1)
        by_draws += abs(each.mean() - truth) <= 2.262 * each.std(ddof=1) / np.sqrt(10)
    assert max(by_samples, by_draws) / ROUNDS < 0.9


@pytest.mark.parametrize("same_draws", [True, False])
def test_differences_cover_and_pairs_are_narrower(same_draws: bool) -> None:
    rng, hits, widths = np.random.default_rng(0), 0, []
    truth = float(norm.cdf(1.0 / np.sqrt(1 + 0.25 + 1)) - norm.cdf(0.7 / np.sqrt(1 + 0.25 + 1)))
    for _ in range(ROUNDS):
        draws, samples = rng.normal(0, 0.5, (2, 8, 1)), rng.normal(0, 1, (1, 200))
        other = draws[0] if same_draws else draws[1]
        mine = 1.0 + draws[0] + samples + rng.normal(size=(8, 200)) > 0
        others = 0.7 + other + samples + rng.normal(size=(8, 200)) > 0
        found = mean_of_pairs(mine, others, None, same_draws).interval()
        assert found is not None
        hits += found[0] <= truth <= found[1]
        widths.append(found[1] - found[0])
    assert hits / ROUNDS >= 0.92
    assert (np.mean(widths) < 0.15) == same_draws


def test_groups_are_the_units() -> None:
    """Four samples of a group that always agree are one."""
    rng = np.random.default_rng(0)
    right = rng.random((5, 40)) < 0.7
    groups = Groups(np.repeat(np.arange(40), 4))
    single, grouped = mean_mark(right), mean_mark(np.repeat(right, 4, axis=1), groups)
    assert (grouped.n_units, grouped.n_differing) == (40, single.n_differing)
    assert grouped.variance == pytest.approx(single.variance)
    assert grouped.share_interval() == pytest.approx(single.share_interval())


@given(st.integers(1, 6), st.integers(2, 40), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_an_interval_lies_around_its_mean_and_within_bounds(n_draws: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    right: Any = rng.random((n_draws, n)) < rng.random()
    low, high = mean_mark(right).share_interval() or (0, 1)
    assert 0 <= low <= right.mean() <= high <= 1
    assert low < high
    zero = mean_of_pairs(right, right, None, True)
    assert (zero.mean, zero.n_differing, zero.p_value()) == (0, 0, 1)
