"""Intervals hold the truth as often as they say, at every number of samples and at the edges."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.coverage import MODELS, SIZES, UNTOLD, coverage, is_enough
from headstart.groups import Groups
from headstart.metrics.clusters import share_of
from headstart.metrics.intervals import Evidence, exact_interval, paired_interval, wilson
from headstart.metrics.multi import evaluate_multi
from headstart.metrics.paired import Paired
from headstart.metrics.regression import judge_numbers
from headstart.metrics.single import evaluate_single

MANY, FEW = 600, 60
FEW_TRIALS = 300
"""Of one share, which costs next to nothing."""


def too_low(model: str, n: int, trials: int) -> dict[str, float]:
    found = coverage(MODELS[model], n, trials, seed=7)
    return {name: held for name, (held, given) in found.items() if not is_enough(name, held, given, trials)}


@pytest.mark.slow
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("model", MODELS)
def test_intervals_hold_the_truth(model: str, n: int) -> None:
    assert too_low(model, n, MANY) == {}


@pytest.mark.slow
def test_accuracy_of_samples_in_groups_is_held_and_would_not_be_without_them() -> None:
    told, untold = (
        coverage(model, 500, MANY, seed=8, resamples=100)["accuracy"]
        for model in (MODELS["2 classes in groups, 0.9"], UNTOLD)
    )
    assert told[0] >= 0.93
    assert told[1] == 1
    assert untold[0] < 0.85


@pytest.mark.parametrize("p", [0.5, 0.9])
@pytest.mark.parametrize(("n_groups", "of_group"), [(10, 5), (100, 5), (30, 10)])
def test_shares_of_groups_are_held_where_samples_alone_would_not_hold_them(
    p: float, n_groups: int, of_group: int
) -> None:
    """Beta-binomial, with an intraclass correlation of a half."""
    rng = np.random.default_rng(0)
    groups = Groups(np.repeat(np.arange(n_groups), of_group))
    held = {"told": 0, "untold": 0}
    for _ in range(FEW_TRIALS):
        hits = rng.random(len(groups.codes)) < rng.beta(p, 1 - p, n_groups)[groups.codes]
        for name, known in (("told", groups), ("untold", None)):
            found = exact_interval(*share_of(hits, known))
            assert found is not None
            held[name] += found[0] <= p <= found[1]
    assert held["told"] / FEW_TRIALS >= 0.93
    assert held["untold"] / FEW_TRIALS < 0.85


@pytest.mark.parametrize(
    ("model", "n"), [("2 classes, 1.0", 50), ("numbers, 0.5", 10), ("2 classes in groups, 0.5", 50)]
)
def test_some_of_them_do(model: str, n: int) -> None:
    assert too_low(model, n, FEW) == {}


@pytest.mark.parametrize("n", [10, 50, 500])
@pytest.mark.parametrize("p", [0.5, 0.9, 0.99, 1.0])
def test_a_proportion_is_held_as_often_as_is_said(n: int, p: float) -> None:
    """Exactly: over all outcomes, each as often as it is."""
    from scipy.stats import binom

    held = sum(
        binom.pmf(hits, n, p)
        for hits in range(n + 1)
        for low, high in [exact_interval(hits, n)]
        if low <= p <= high
    )
    assert held >= 0.95 - 1e-9


def test_no_interval_collapses() -> None:
    y = np.array(["a", "b"] * 24 + ["a"])
    report = evaluate_single(y, np.stack([y == "a", y == "b"], axis=1) * 0.8 + 0.1, ["a", "b"], ["a", "b"])
    assert report["intervals"]["accuracy"] == pytest.approx([0.927, 1.0], abs=1e-3)
    given = {name: found for name, found in report["intervals"].items() if found is not None}
    assert all(high - low > 0.02 for low, high in given.values()), given
    assert all(low <= report[name] <= high for name, (low, high) in given.items())
    assert report["intervals"]["log_loss"] is None
    assert report["no_interval"] == {"log_loss": "it rests on 0 mistakes; it takes 10"}
    assert report["per_class"]["b"]["intervals"]["recall"] == pytest.approx([0.858, 1.0], abs=1e-3)


def test_labels_have_them_too() -> None:
    truth = np.arange(60).reshape(30, 2) % 3 == 0
    report = evaluate_multi(truth, truth * 0.8 + 0.1, ["a", "b"])
    assert report["intervals"]["accuracy"] == pytest.approx([0.884, 1.0], abs=1e-3)
    low, high = report["intervals"]["macro_f1"]
    assert low < 0.95
    assert high == 1
    assert report["per_class"]["a"]["intervals"]["precision"] == pytest.approx([0.692, 1.0], abs=1e-3)


def test_a_class_that_a_few_samples_have_makes_a_dash() -> None:
    y = np.array(["a"] * 40 + ["b"])
    p = np.tile([0.9, 0.1], (41, 1))
    report = evaluate_single(y, p, ["a", "b"], ["a", "b"])
    assert report["intervals"]["macro_recall"] is None
    assert (
        report["no_interval"]["macro_recall"] == "it rests on 3.9 samples of the rarest classes; it takes 5"
    )
    assert report["intervals"]["accuracy"] is not None


def test_few_samples_have_a_reason() -> None:
    evidence = Evidence(9, 4, {"accuracy": (5, 9)})
    assert evidence.interval("macro_f1", 0.5, np.linspace(0, 1, 100)) is None
    assert evidence.reason("macro_f1") == "9 samples are too few; it takes 10"
    assert evidence.interval("accuracy", 5 / 9, np.array([])) == pytest.approx([0.212, 0.863], abs=1e-3)


def test_wilson_and_newcombe_are_those_of_their_papers() -> None:
    assert wilson(81, 263) == pytest.approx(
        (0.2553, 0.3662), abs=1e-4
    )  # Newcombe 1998, example of one proportion
    # Newcombe 1998 (paired), table III: 36, 12, 2, 0 of 50.
    assert paired_interval(36, 12, 2, 50) == pytest.approx((0.0569, 0.3404), abs=2e-3)


def test_a_difference_of_a_few_numbers_has_none() -> None:
    truth = np.arange(5.0)
    paired = Paired({"a": judge_numbers(truth, truth + 1), "b": judge_numbers(truth, truth + 2)}, 5)
    versus = paired.versus("a", "b")
    assert versus.differences["mae"].interval is None
    assert not versus.is_significant("mae")
    assert paired.reason("a", "mae") == "5 samples are too few; it takes 10"
