"""Two heads on the same samples: a paired interval and McNemar's exact test."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import binom, bootstrap

from headstart.errors import DataError
from headstart.metrics.comparison import compare


def trial(n=300):
    rng = np.random.default_rng(0)
    y = rng.choice(list("abc"), n)
    first, second = (np.where(rng.random(n) < share, y, "a") for share in (0.7, 0.85))
    return y, first, second


def test_the_interval_is_scipys_paired_bootstrap():
    y, first, second = trial()

    def difference(rows):
        return (second[rows] == y[rows]).mean() - (first[rows] == y[rows]).mean()

    expected = bootstrap(
        (np.arange(300),), difference, vectorized=False, method="percentile", n_resamples=400, rng=5
    ).confidence_interval
    report = compare(y, first, second, resamples=400, seed=5)
    assert report["interval"] == pytest.approx(list(expected))
    assert report["difference"] == pytest.approx(difference(np.arange(300)))
    assert json.loads(json.dumps(report)) == report


def test_the_p_value_is_mcnemars_exact_one():
    y, first, second = trial()
    report = compare(y, first, second)
    b, c = report["only_first"], report["only_second"]
    assert b == ((first == y) & (second != y)).sum()
    assert report["p_value"] == pytest.approx(min(1, 2 * binom.cdf(min(b, c), b + c, 0.5)))
    assert compare(y, second, first)["p_value"] == pytest.approx(report["p_value"])


def test_a_head_does_not_differ_from_itself():
    y, first, _ = trial()
    report = compare(y, first, first)
    assert (report["difference"], report["interval"], report["p_value"]) == (0, [0, 0], 1)


def test_predictions_of_other_samples_are_refused():
    y, first, second = trial()
    with pytest.raises(DataError, match="300 labels, 300 and 299 predictions"):
        compare(y, first, second[1:])
