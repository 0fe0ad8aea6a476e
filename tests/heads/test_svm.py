"""The linear support vector machine is liblinear's, on standardised features."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC, LinearSVR

from headstart.heads.svm import SVMHead, SVMRegressor


@pytest.mark.parametrize("weight", [None, "balanced"])
@pytest.mark.parametrize("binary", [False, True])
def test_it_gives_what_scikit_learn_gives(problem, binary, weight):
    X, y = problem.binary() if binary else (problem.X, problem.y)
    X, X_test = X[20:].astype(np.float64), problem.X_test.astype(np.float64)
    head = SVMHead(C=0.05, class_weight=weight or "none").fit(X, y[20:])
    plain = make_pipeline(StandardScaler(), LinearSVC(C=0.05, class_weight=weight, random_state=0))
    plain.fit(X, y[20:])
    np.testing.assert_allclose(
        head.decision_function(X_test), plain.decision_function(X_test), rtol=1e-6, atol=1e-6
    )
    np.testing.assert_array_equal(head.predict(X_test), plain.predict(X_test))


def test_it_is_about_as_good_as_a_machine_with_a_linear_kernel(problem):
    head = SVMHead(C=0.05).fit(problem.X, problem.y)
    kernel = make_pipeline(StandardScaler(), SVC(kernel="linear", C=0.05)).fit(problem.X, problem.y)
    ours, theirs = (model.score(problem.X_test, problem.y_test) for model in (head, kernel))
    assert ours == pytest.approx(theirs, abs=0.03)


def test_numbers_are_fitted_in_deviations_of_their_own(problem):
    X = problem.X.astype(np.float64)
    y = 300 * X[:, 0] + 5000
    head = SVMRegressor(C=0.1).fit(X, y)
    model = LinearSVR(C=0.1, epsilon=0.1, loss="squared_epsilon_insensitive", dual="auto", random_state=0)
    model.fit(StandardScaler().fit_transform(X), (y - y.mean()) / y.std())
    wanted = model.predict(StandardScaler().fit_transform(X)) * y.std() + y.mean()
    np.testing.assert_allclose(head.predict(X), wanted, rtol=1e-5)


def test_it_says_whether_it_converged_and_warns_of_nothing(problem):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = SVMHead().fit(problem.X, problem.y)
        cut_short = SVMHead(C=10.0, max_iter=1).fit(problem.X, problem.y)
    assert done.converged_
    assert not cut_short.converged_
