"""The figures of a regression: scikit-learn's and scipy's."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as oracle

from headstart.errors import DataError
from headstart.metrics.regression import evaluate_regression, resampled_numbers


def trial(n=300, shift=0.0, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=n).round(1) + shift  # rounded: ties
    return y, y + rng.normal(scale=0.5, size=n)


@pytest.mark.parametrize("shift", [0, 1e6])
def test_every_figure_is_scikit_learns(shift):
    y, said = trial(shift=shift)
    expected = {
        "r2": oracle.r2_score(y, said),
        "mae": oracle.mean_absolute_error(y, said),
        "rmse": oracle.root_mean_squared_error(y, said),
        "pearson": stats.pearsonr(y, said)[0],
        "spearman": stats.spearmanr(y, said)[0],
    }
    report = evaluate_regression(y, said)
    assert {name: report[name] for name in expected} == pytest.approx(expected, rel=1e-8)
    assert "per_target" not in report


def test_the_resamples_are_scipys():
    y, said = trial(n=80)
    resampled = resampled_numbers(y, said, 300, seed=4)
    figures = {
        "r2": oracle.r2_score,
        "mae": oracle.mean_absolute_error,
        "rmse": oracle.root_mean_squared_error,
        "pearson": lambda a, b: np.corrcoef(a, b)[0, 1],
    }
    for name, figure in figures.items():
        expected = stats.bootstrap(
            (y, said), figure, paired=True, vectorized=False, method="percentile", n_resamples=300, rng=4
        ).bootstrap_distribution
        assert resampled[name] == pytest.approx(expected, rel=1e-9)
    assert set(resampled) == set(figures)


def test_a_constant_has_errors_and_no_correlation():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = evaluate_regression(np.full(9, 0.1), np.linspace(0, 1, 9))
    assert report["r2"] is None
    assert report["pearson"] is None
    assert report["intervals"]["r2"] is None
    assert report["mae"] > 0
    json.dumps(report, allow_nan=False)


def test_what_cannot_be_compared_is_refused():
    y, said = trial()
    with pytest.raises(DataError, match="shapes must agree"):
        evaluate_regression(y, said[:5])
    with pytest.raises(DataError, match="no samples"):
        evaluate_regression(y[:0], said[:0])
    with pytest.raises(DataError, match="diverged"):
        evaluate_regression(y, said * np.inf)
