"""The figures of a multi-label classification: scikit-learn's."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from sklearn import metrics as oracle

from headstart.errors import DataError
from headstart.metrics.multi import evaluate_multi


def trial(n=400, n_labels=5, seed=0, decimals=9):
    rng = np.random.default_rng(seed)
    Y = (rng.random((n, n_labels)) < rng.uniform(0.05, 0.6, n_labels)).astype(int)
    p = 1 / (1 + np.exp(-(rng.normal(size=Y.shape) + Y).round(decimals)))
    return Y, p, [f"tag {i}" for i in range(n_labels)]


@pytest.mark.parametrize("decimals", [9, 0])
def test_every_figure_is_scikit_learns(decimals):
    Y, p, names = trial(decimals=decimals)
    said = (p > 0.5).astype(int)
    report = evaluate_multi(Y, p, names, resamples=0)
    expected = {
        "accuracy": oracle.accuracy_score(Y, said),
        "hamming_loss": oracle.hamming_loss(Y, said),
        "roc_auc": oracle.roc_auc_score(Y, p, average="macro"),
        "micro_roc_auc": oracle.roc_auc_score(Y, p, average="micro"),
        "average_precision": oracle.average_precision_score(Y, p, average="macro"),
        "micro_average_precision": oracle.average_precision_score(Y, p, average="micro"),
        "log_loss": np.mean([oracle.log_loss(Y[:, i], p[:, i]) for i in range(5)]),
        "brier": np.mean([oracle.brier_score_loss(Y[:, i], p[:, i]) for i in range(5)]),
    }
    for average in ("micro", "macro", "weighted", "samples"):
        figures = oracle.precision_recall_fscore_support(Y, said, average=average, zero_division=0)
        expected |= {
            f"{average}_{name}": value
            for name, value in zip(("precision", "recall", "f1"), figures, strict=False)
        }
    assert {name: report[name] for name in expected} == pytest.approx(expected, rel=1e-9)
    assert report["per_class"]["tag 3"]["f1"] == pytest.approx(oracle.f1_score(Y[:, 3], said[:, 3]))
    assert report["per_class"]["tag 3"]["support"] == Y[:, 3].sum()


def test_the_intervals_hold_the_figures():
    Y, p, names = trial()
    report = evaluate_multi(Y, p, names)
    assert {"accuracy", "hamming_loss", "macro_f1", "samples_f1", "log_loss"} <= set(report["intervals"])
    for name, (low, high) in report["intervals"].items():
        assert low < report[name] < high


def test_a_label_that_never_or_always_occurs_breaks_nothing():
    Y, p, names = trial()
    Y[:, 0], Y[:, 1] = 0, 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = evaluate_multi(Y, p, names)
    assert report["per_class"]["tag 0"]["roc_auc"] is None
    assert report["per_class"]["tag 1"]["roc_auc"] is None
    assert report["roc_auc"] == pytest.approx(oracle.roc_auc_score(Y[:, 2:], p[:, 2:]))
    json.dumps(report, allow_nan=False)


def test_what_does_not_fit_together_is_refused():
    Y, p, names = trial()
    with pytest.raises(DataError, match=r"\(400, 5\).*\(400, 4\)"):
        evaluate_multi(Y, p[:, :4], names)
    with pytest.raises(DataError, match="no samples"):
        evaluate_multi(Y[:0], p[:0], names)
    with pytest.raises(DataError, match="diverged"):
        evaluate_multi(Y, p * np.nan, names)
