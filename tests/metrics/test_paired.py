"""Several runs on the same samples: differences on the same resamples, and McNemar's test."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest, bootstrap

from headstart.metrics.paired import Paired, holm, mcnemar
from headstart.metrics.regression import judge_numbers
from headstart.metrics.single import judge_classes

N = 300


def three_runs():
    rng = np.random.default_rng(0)
    y = rng.choice(list("abc"), N)
    said = {name: np.where(rng.random(N) < share, y, "a") for name, share in
            (("poor", 0.6), ("fair", 0.8), ("good", 0.82))}  # fmt: skip
    even = np.full(N, 0.5)
    return y, said, {name: judge_classes(y, each, even, even) for name, each in said.items()}


def test_a_difference_is_that_of_two_heads_alone_however_many_runs_there_are():
    y, said, judged = three_runs()
    paired = Paired(judged, N, 400, seed=5)
    for run in judged:
        for other in judged:
            mine, others = said[run] == y, said[other] == y

            def difference(rows, mine=mine, others=others):
                return mine[rows].mean() - others[rows].mean()

            expected = bootstrap(
                (np.arange(N),), difference, vectorized=False, method="percentile", n_resamples=400, rng=5
            ).confidence_interval  # Newcombe's is the same where no proportion is at an edge
            found = paired.versus(run, other)
            assert found.differences["accuracy"].value == pytest.approx(difference(np.arange(N)))
            if run != other:
                assert found.differences["accuracy"].interval == pytest.approx(list(expected), abs=0.015)
            b, c = (mine & ~others).sum(), (others & ~mine).sum()
            assert (found.only_this, found.only_other) == (b, c)
            assert found.p_value == pytest.approx(min(1, 2 * binom.cdf(min(b, c), b + c, 0.5)))
    itself = paired.versus("good", "good")
    assert itself.differences["accuracy"].value == 0
    low, high = itself.differences["accuracy"].interval  # 300 samples alike are no proof that all are
    assert -0.03 < low < 0 < high < 0.03
    assert itself.differences["macro_f1"].interval is None


def test_any_figure_has_a_paired_interval():
    rng = np.random.default_rng(1)
    truth = rng.normal(size=N)
    first, second = truth + rng.normal(0, 1, N), truth + rng.normal(0, 0.8, N)
    judged = {"first": judge_numbers(truth, first), "second": judge_numbers(truth, second)}

    def difference(rows):
        return np.abs(second - truth)[rows].mean() - np.abs(first - truth)[rows].mean()

    expected = bootstrap(
        (np.arange(N),), difference, vectorized=False, method="percentile", n_resamples=300, rng=7
    ).confidence_interval
    found = Paired(judged, N, 300, seed=7).versus("second", "first")
    assert found.differences["mae"].interval == pytest.approx(list(expected), abs=0.005)
    assert found.differences["mae"].value == pytest.approx(difference(np.arange(N)))
    assert found.p_value is None


def test_significant_is_what_leaves_out_0():
    _, _, judged = three_runs()
    paired = Paired(judged, N)
    assert paired.versus("good", "poor").is_significant("accuracy")
    assert paired.versus("poor", "good").is_significant("accuracy")
    assert not paired.versus("good", "fair").is_significant("accuracy")
    assert not paired.versus("good", "good").is_significant("accuracy")


@pytest.mark.parametrize(
    ("first", "second"),
    [(0, 0), (0, 1), (3, 3), (4, 11), (120, 60), (10, 2000), (700, 800), (30_000, 31_000)],
)
def test_mcnemar_is_the_exact_binomial_test(first, second):
    n = first + second
    expected = binomtest(first, n).pvalue if n else 1.0
    assert mcnemar(first, second) == pytest.approx(expected, rel=1e-9)


def test_p_values_grow_with_the_number_of_runs():
    _, _, judged = three_runs()
    paired = Paired(judged, N)
    against = paired.against("good")
    assert set(against) == {"poor", "fair"}
    assert against["poor"].p_holm == pytest.approx(2 * against["poor"].p_value)
    assert against["fair"].p_holm == pytest.approx(against["fair"].p_value)


def test_holm_is_never_out_of_order_and_never_above_one():
    adjusted = holm({"a": 0.3, "b": 0.011, "c": 0.01, "d": 0.9})
    assert adjusted == pytest.approx({"c": 0.04, "b": 0.04, "a": 0.6, "d": 0.9})
    assert holm({"a": 0.8, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


def test_few_disagreements_are_no_measurable_difference():
    """The bootstrap's interval leaves out 0 where one run alone is right five times, the exact test says no."""
    y = np.full(180, "a")
    half = np.full(180, 0.5)
    worse = np.where(np.arange(180) < 5, "b", y)
    paired = Paired(
        {"all": judge_classes(y, y, half, half), "five": judge_classes(y, worse, half, half)}, 180
    )
    versus = paired.against("all")["five"]
    assert versus.differences["accuracy"].leaves_out_zero
    assert versus.p_value == 0.0625
    assert not versus.is_significant("accuracy")
