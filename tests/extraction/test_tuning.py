"""The batch size that a machine computes fastest is found from the work itself."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.extraction.batches import FULL, BatchTuner

from ..variants import examples

Rate = Callable[[int], float]
"""Samples a second at a batch size."""


def run(tuner: BatchTuner, rate: Rate, n: int = 200, drift: float = 0.0) -> list[int]:
    """Batches on a simulated machine that gets faster by ``drift`` a batch; the budget of each."""
    used = []
    for number in range(n):
        budget = tuner.next_budget()
        used.append(budget)
        tuner.took(budget, budget, budget / (rate(budget) * (1 + drift) ** number))
    return used


def peaked(best: int) -> Rate:
    """A machine whose rate falls by a tenth with each step of two away from the best size."""
    return lambda budget: 100 * 0.9 ** abs(math.log2(budget / best))


@settings(deadline=None)
@given(start=st.integers(0, 9), best=st.integers(0, 9))
def test_it_finds_the_fastest_size_from_wherever_it_starts(start: int, best: int) -> None:
    tuner = BatchTuner(2**start)
    run(tuner, peaked(2**best))
    assert tuner.budget == 2**best
    assert tuner.is_settled


@settings(deadline=None, max_examples=examples(30))
@given(best=st.integers(2, 8), drift=st.floats(0.0, 0.05))
def test_texts_that_get_shorter_do_not_look_like_a_better_size(best: int, drift: float) -> None:
    """Long texts come first: any size looks faster than the one before it."""
    tuner = BatchTuner(2**best)
    run(tuner, peaked(2**best), drift=drift)
    assert tuner.budget == 2**best


def test_of_sizes_that_are_equal_it_does_not_take_the_larger() -> None:
    tuner = BatchTuner(8)
    used = run(tuner, lambda budget: 100.0)
    assert tuner.budget == 8
    assert max(used) == 16


def test_where_little_is_left_nothing_is_tried() -> None:
    tuner = BatchTuner(8)
    assert {tuner.next_budget(may_try=False) for _ in range(50)} == {8}
    assert {tuner.next_budget() for _ in range(2)} == {8, 16}


def test_a_gain_that_is_lost_in_the_noise_is_none() -> None:
    tuner = BatchTuner(8)
    run(tuner, lambda budget: 102.0 if budget == 16 else 100.0)
    assert tuner.budget == 8


def test_one_slow_batch_does_not_decide() -> None:
    tuner, seen = BatchTuner(8), []
    for _ in range(100):
        budget = tuner.next_budget()
        seen.append(budget)
        hiccup = 50 if seen.count(16) == 3 and budget == 16 else 1
        tuner.took(budget, budget, hiccup * budget / peaked(32)(budget))
    assert tuner.budget == 32


def test_a_size_that_was_asked_for_stays() -> None:
    tuner = BatchTuner(7, is_fixed=True)
    assert tuner.is_settled
    assert set(run(tuner, peaked(64))) == {7}


@pytest.mark.parametrize("is_fixed", [True, False])
def test_out_of_memory_gives_way_and_ends_the_climb(is_fixed: bool) -> None:
    tuner = BatchTuner(16, is_fixed=is_fixed)
    tuner.out_of_memory(16)
    assert tuner.budget == 8
    assert set(run(tuner, peaked(1024))) == {8}


def test_several_lanes_that_fail_at_one_size_halve_it_once() -> None:
    tuner = BatchTuner(16)
    for _ in range(3):
        tuner.out_of_memory(16)
    assert tuner.budget == 8
    tuner.out_of_memory(1)
    assert tuner.budget == 1


def test_out_of_memory_of_a_size_that_was_only_tried_leaves_the_one_in_use() -> None:
    tuner = BatchTuner(16)
    assert tuner.next_budget() == 32
    tuner.out_of_memory(32)
    assert tuner.budget == 16
    assert tuner.is_settled


def test_the_first_batches_and_those_that_are_not_full_say_nothing() -> None:
    tuner = BatchTuner(8, n_warm=50)
    assert set(run(tuner, peaked(64), n=50)) == {8, 16}
    for _ in range(100):
        budget = tuner.next_budget()
        tuner.took(budget, int(FULL * budget) - 1, 0.001 if budget == 16 else 1.0)
    assert tuner.budget == 8
    assert not tuner.is_settled


def test_what_comes_late_from_a_size_that_is_given_up_is_not_judged() -> None:
    tuner = BatchTuner(8)
    run(tuner, peaked(8), n=100)
    assert tuner.is_settled
    for _ in range(20):
        tuner.took(64, 64, 1e-9)
    assert tuner.budget == 8
