"""The ridge head is scikit-learn's own on standardised features."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from headstart.heads import open_head


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("binary", [False, True])
def test_it_gives_what_scikit_learn_gives(problem, binary, dtype):
    X, y = problem.binary() if binary else (problem.X, problem.y)
    X, X_test = X.astype(dtype), problem.X_test.astype(dtype)
    head = open_head("ridge", {"alpha": 10}, seed=0).fit(X, y)
    plain = make_pipeline(StandardScaler(), RidgeClassifier(alpha=10)).fit(X, y)
    tolerance = 1e-10 if dtype is np.float64 else 2e-5
    np.testing.assert_allclose(
        head.decision_function(X_test), plain.decision_function(X_test), rtol=tolerance, atol=tolerance
    )
    np.testing.assert_array_equal(head.predict(X_test), plain.predict(X_test))


def test_more_features_than_samples_are_fine():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 200)).astype(np.float32), np.arange(30) % 3
    X[np.arange(30), y] += 6
    assert open_head("ridge", {}, seed=0).fit(X, y).score(X, y) == 1
