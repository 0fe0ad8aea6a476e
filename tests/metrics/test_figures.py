"""The figures that runs are compared by are those of their reports, intervals included."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.metrics.multi import evaluate_multi, judge_labels
from headstart.metrics.paired import Paired
from headstart.metrics.regression import evaluate_regression, judge_numbers
from headstart.metrics.single import evaluate_single, judge_classes

N, RESAMPLES, SEED = 250, 300, 3


def check(judged, report):
    """All figures, and all intervals that both have, are the report's."""
    assert judged.figures == pytest.approx({name: report[name] for name in judged.figures})
    intervals = Paired({"run": judged}, N, RESAMPLES, SEED).intervals("run")
    for name, interval in intervals.items():
        assert interval == pytest.approx(report["intervals"][name]), name
    return set(intervals)


@pytest.mark.parametrize("n_classes", [2, 7])
def test_of_classes(n_classes):
    rng = np.random.default_rng(0)
    names = [f"class {c}" for c in range(n_classes)]
    p = rng.dirichlet(np.ones(n_classes) * 0.5, N)
    true = np.array([*names, "never seen in train"])[rng.integers(0, n_classes + 1, N)]
    columns = np.array([names.index(name) if name in names else -1 for name in true])
    p_true = np.where(columns >= 0, p[np.arange(N), columns], 0)
    judged = judge_classes(true, np.array(names)[p.argmax(axis=1)], p_true, p.max(axis=1), names)
    report = evaluate_single(true, p, names, names, resamples=RESAMPLES, seed=SEED)
    assert check(judged, report) == {"accuracy", "macro_f1", "log_loss"}
    assert judged.is_right.mean() == report["accuracy"]


def test_of_labels():
    rng = np.random.default_rng(1)
    truth, p = rng.random((N, 5)) < 0.3, rng.random((N, 5))
    report = evaluate_multi(truth, p, list("abcde"), resamples=RESAMPLES, seed=SEED)
    judged = judge_labels(truth, p)
    assert check(judged, report) == {"accuracy", "macro_f1", "micro_f1", "log_loss"}
    assert judged.is_right.mean() == report["accuracy"]


def test_of_numbers():
    rng = np.random.default_rng(2)
    truth = rng.normal(1e6, 3, N)
    said = truth + rng.normal(0, 1, N)
    report = evaluate_regression(truth, said, resamples=RESAMPLES, seed=SEED)
    judged = judge_numbers(truth, said)
    assert check(judged, report) == {"mae", "rmse", "r2"}
    assert judged.is_right is None


def test_a_class_that_was_given_no_chance_costs_a_finite_loss():
    y = np.array(["a", "b"])
    judged = judge_classes(y, y, np.array([1.0, 0.0]), np.array([1.0, 1.0]))
    assert judged.figures["log_loss"] == pytest.approx(-np.log(np.finfo(np.float64).eps) / 2)
