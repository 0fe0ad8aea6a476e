"""The logistic head is scikit-learn's own on standardised features."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from headstart.heads import open_head


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("binary", [False, True])
def test_it_gives_what_scikit_learn_gives(problem, binary, dtype):
    X, y = problem.binary() if binary else (problem.X, problem.y)
    X, X_test = X.astype(dtype), problem.X_test.astype(dtype)
    head = open_head("logistic", {"C": 0.5}, seed=0).fit(X, y)
    plain = make_pipeline(StandardScaler(), LogisticRegression(C=0.5, max_iter=1000)).fit(X, y)
    tolerance = 1e-10 if dtype is np.float64 else 2e-5
    np.testing.assert_allclose(
        head.decision_function(X_test), plain.decision_function(X_test), rtol=tolerance, atol=tolerance
    )
    np.testing.assert_allclose(head.predict_proba(X_test), plain.predict_proba(X_test), atol=tolerance)
    np.testing.assert_array_equal(head.predict(X_test), plain.predict(X_test))


def test_it_says_whether_it_converged_and_warns_of_nothing(problem):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = open_head("logistic", {}, seed=0).fit(problem.X, problem.y)
        cut_short = open_head("logistic", {"max_iter": 2}, seed=0).fit(problem.X, problem.y)
    assert done.converged_
    assert done.n_iter_ > 2
    assert not cut_short.converged_
    assert cut_short.n_iter_ == 2
