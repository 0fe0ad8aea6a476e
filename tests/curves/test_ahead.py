"""From how many labels on one of two curves is ahead: what is said of curves whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from headstart.curves.ahead import compare_curves
from headstart.curves.record import Curve, JudgedDraw
from headstart.types import Figure

ACCURACY = Figure("accuracy", "accuracy", is_share=True)
N, DRAWS = 800, 8


def curve(name: str, shares: Mapping[int, float], seed: int, drawn: str = "") -> Curve:
    """A curve that has so large a share of the samples right, those that are easy most often."""
    ease = np.random.default_rng(0).normal(size=N)
    rng = np.random.default_rng(seed)
    draws = []
    for size, share in shares.items():
        for number in range(DRAWS):
            score = ease + rng.normal(0, 0.3, N) + rng.normal(0, 0.02)
            marks = (score < np.quantile(ease, share)).astype(np.float64)
            about = f"{drawn}{size} {number}"
            draws.append(
                JudgedDraw("shots", size, number, size, about, {"accuracy": float(marks.mean())}, marks)
            )
    return Curve(name, tuple(draws))


def test_who_is_ahead_from_where_on_is_said() -> None:
    many = curve("network", {1: 0.40, 4: 0.60, 16: 0.80}, 1)
    few = curve("centroid", {1: 0.50, 4: 0.60, 16: 0.70}, 2)
    found = compare_curves([few, many], "shots", ACCURACY, None)
    assert found is not None
    assert found.best == "network"
    assert [lead.sign for lead in found.leads["centroid"]] == [-1, 0, 1]
    assert all(lead.is_paired and lead.n_draws == DRAWS for lead in found.leads["centroid"])
    [said] = found.sentences
    assert said.startswith("At 16 of each class network is ahead of centroid, by ")
    assert "; at 4 neither surely is; at 1 centroid is ahead, by " in said


def test_a_lead_at_every_size_is_one_statement() -> None:
    found = compare_curves(
        [curve("a", {1: 0.3, 2: 0.4}, 1), curve("b", {1: 0.5, 2: 0.6}, 2)], "shots", ACCURACY, None
    )
    assert found is not None
    [said] = found.sentences
    assert said.startswith("From 1 to 2 of each class b is ahead of a, by ")


def test_the_same_curve_twice_is_never_ahead() -> None:
    a, b = curve("a", {1: 0.5, 2: 0.6}, 1), curve("b", {1: 0.5, 2: 0.6}, 1)
    found = compare_curves([a, b], "shots", ACCURACY, None)
    assert found is not None
    assert found.sentences == ["From 1 to 2 of each class neither a nor b is surely ahead."]
    assert [lead.interval for lead in found.leads["b"]] == [None, None]


def test_draws_of_other_train_samples_are_not_paired() -> None:
    mine, others = curve("a", {4: 0.6}, 1), curve("b", {4: 0.6}, 2, drawn="elsewhere ")
    found = compare_curves([mine, others], "shots", ACCURACY, None)
    assert found is not None
    [leads] = found.leads.values()
    assert not leads[0].is_paired


def test_curves_without_a_size_in_common_are_not_compared() -> None:
    assert compare_curves([curve("a", {1: 0.5}, 1), curve("b", {2: 0.5}, 2)], "shots", ACCURACY, None) is None
    assert compare_curves([curve("a", {1: 0.5}, 1)], "shots", ACCURACY, None) is None


@pytest.mark.slow
def test_equal_heads_are_called_different_in_one_of_twenty_comparisons_at_most() -> None:
    """Five sizes of two curves of one truth: Holm's correction holds for all together."""
    wrong = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        ease = rng.normal(size=200)
        pair = []
        for name in ("a", "b"):
            draws = []
            for size in range(1, 6):
                for number in range(6):
                    marks = (ease + rng.normal(0, 1, 200) + rng.normal(0, 0.2) > -0.5).astype(np.float64)
                    draws.append(
                        JudgedDraw("shots", size, number, size, "x", {"accuracy": float(marks.mean())}, marks)
                    )
            pair.append(Curve(name, tuple(draws)))
        found = compare_curves(pair, "shots", ACCURACY, None)
        assert found is not None
        wrong += any(lead.sign for leads in found.leads.values() for lead in leads)
    assert wrong / 300 <= 0.08
