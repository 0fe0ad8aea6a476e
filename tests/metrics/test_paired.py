"""Several runs on the same samples: differences on the same resamples, and McNemar's test."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest, bootstrap, norm, t
from sklearn.metrics import f1_score

from headstart.metrics.entities import TaggedSentences, judge_tags
from headstart.metrics.paired import Paired, holm, mcnemar
from headstart.metrics.regression import judge_numbers
from headstart.metrics.single import judge_classes
from headstart.tasks.schemes import open_scheme

N = 300


def three_runs():
    rng = np.random.default_rng(0)
    y = rng.choice(list("abc"), N)
    said = {name: np.where(rng.random(N) < share, y, "a") for name, share in
            (("poor", 0.6), ("fair", 0.8), ("good", 0.82))}  # fmt: skip
    even = np.full(N, 0.5)
    return y, said, {name: judge_classes(y, each, even, even) for name, each in said.items()}


def scipys(difference, resamples, seed):
    """Its percentile interval, as much wider as ours is of N samples, and what it is made of."""
    tail = norm.cdf(t.ppf(0.025, N - 1) * (N / (N - 1)) ** 0.5)
    return bootstrap(
        (np.arange(N),),
        difference,
        vectorized=False,
        method="percentile",
        n_resamples=resamples,
        rng=seed,
        confidence_level=1 - 2 * tail,
    )


def test_a_difference_is_that_of_two_heads_alone_however_many_runs_there_are():
    y, said, judged = three_runs()
    paired = Paired(judged, N, 40, seed=5)
    for run, other in (("good", "poor"), ("fair", "good")):
        mine, others = said[run] == y, said[other] == y

        def accuracy(rows, mine=mine, others=others):
            return mine[rows].mean() - others[rows].mean()

        def macro_f1(rows, run=run, other=other):
            first, second = (f1_score(y[rows], said[each][rows], average="macro") for each in (run, other))
            return first - second

        found = paired.versus(run, other)
        for name, difference in (("accuracy", accuracy), ("macro_f1", macro_f1)):
            expected = scipys(difference, 40, 5)
            assert paired.resampled_difference(run, other, name) == pytest.approx(
                expected.bootstrap_distribution, abs=1e-12
            )
            assert found.differences[name].value == pytest.approx(difference(np.arange(N)))
            if name != "accuracy":  # which has Newcombe's; see the examples of his paper
                assert found.differences[name].interval == pytest.approx(list(expected.confidence_interval))
        b, c = (mine & ~others).sum(), (others & ~mine).sum()
        assert found.differences["accuracy"].interval == pytest.approx(
            newcombe((mine & others).sum(), b, c, (~mine & ~others).sum())
        )
        assert (found.only_this, found.only_other) == (b, c)
        assert found.p_value == pytest.approx(min(1, 2 * binom.cdf(min(b, c), b + c, 0.5)))
    itself = paired.versus("good", "good")
    assert itself.differences["accuracy"].value == 0
    low, high = itself.differences["accuracy"].interval  # 300 samples alike are no proof that all are
    assert -0.03 < low < 0 < high < 0.03
    assert itself.differences["macro_f1"].interval is None


def newcombe(e, f, g, h):
    """His method 10, written down from the paper with its letters: a table of the pairs ++, +-, -+ and --."""
    n = e + f + g + h
    theta = (f - g) / n
    l2, u2 = binomtest(int(e + f), int(n)).proportion_ci(method="wilson")
    l3, u3 = binomtest(int(e + g), int(n)).proportion_ci(method="wilson")
    dl2, du2, dl3, du3 = (e + f) / n - l2, u2 - (e + f) / n, (e + g) / n - l3, u3 - (e + g) / n
    a, b = (e + f) * (g + h) * (e + g) * (f + h), e * h - f * g
    c = b - n / 2 if b > n / 2 else 0 if b >= 0 else b
    phi = c / np.sqrt(float(a)) if a else 0
    delta = np.sqrt(dl2**2 - 2 * phi * dl2 * du3 + du3**2)
    epsilon = np.sqrt(du2**2 - 2 * phi * du2 * dl3 + dl3**2)
    return [theta - delta, theta + epsilon]


def test_any_figure_has_a_paired_interval():
    rng = np.random.default_rng(1)
    truth = rng.normal(size=N)
    first, second = truth + rng.normal(0, 1, N), truth + rng.normal(0, 0.8, N)
    judged = {"first": judge_numbers(truth, first), "second": judge_numbers(truth, second)}

    def difference(rows):
        return np.abs(second - truth)[rows].mean() - np.abs(first - truth)[rows].mean()

    found = Paired(judged, N, 300, seed=7).versus("second", "first")
    expected = list(scipys(difference, 300, 7).confidence_interval)
    assert found.differences["mae"].interval == pytest.approx(expected)
    assert found.differences["mae"].value == pytest.approx(difference(np.arange(N)))
    assert found.p_value is None


def test_sentences_right_as_a_whole_do_not_test_entities():
    true = [["B-a", "B-a", "O", "B-a"]] * 60
    said = [["B-a", "B-a", "B-a", "O"]] * 60  # two of three, and never a whole sentence right
    worse = [["O", "O", "O", "O"]] * 54 + true[:6]
    judged = {
        name: judge_tags(TaggedSentences(true, found, open_scheme("iob2")))
        for name, found in (("said", said), ("worse", worse))
    }
    found = Paired(judged, 60).versus("said", "worse")
    assert (found.only_this, found.only_other, found.p_value) == (0, 6, None)
    assert found.is_significant("micro_f1")
    assert found.differences["micro_f1"].value > 0


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
