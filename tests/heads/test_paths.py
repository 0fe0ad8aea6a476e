"""Several values of one parameter are fitted along a path, and each head is what it would be alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from headstart.heads import open_head
from headstart.heads.logistic import principal_axes

VALUES: dict[str, list[float]] = {
    "logistic": [0.01, 0.1, 1.0, 10.0, 100.0, 1000.0], "ridge": [0.1, 1.0, 10.0, 1e3], "knn": [1, 3, 5, 20],
}  # fmt: skip


def path_of(kind: str, X: Any, y: Any, guides: Any = (), **params: Any) -> Any:
    head: Any = open_head(kind, params, 0, "single")
    return head.fit_path(VALUES[kind], X, y, guides)


def alone(kind: str, value: float, X: Any, y: Any, **params: Any) -> Any:
    head: Any = open_head(kind, params, 0, "single")
    return head.set_params(**{head.path_parameter: value}).fit(X, y)


@pytest.mark.parametrize("scaling", ["standard", "none"])
def test_every_c_of_a_path_reaches_the_objective_of_a_cold_fit(problem: Any, scaling: str) -> None:
    steps = path_of("logistic", problem.X, problem.y, scaling=scaling)
    assert [step.head.C for step in steps] == VALUES["logistic"]
    for step, C in zip(steps, VALUES["logistic"], strict=True):
        cold = alone("logistic", C, problem.X, problem.y, scaling=scaling, tol=1e-7)
        assert step.head.objective_ <= cold.objective_ * (1 + 1e-3)
        assert np.mean(step.head.predict(problem.X_test) == cold.predict(problem.X_test)) >= 0.99


@pytest.mark.parametrize("kind", ["ridge", "knn"])
def test_closed_forms_along_a_path_are_those_that_are_fitted_alone(problem: Any, kind: str) -> None:
    for step, value in zip(path_of(kind, problem.X, problem.y), VALUES[kind], strict=True):
        own = alone(kind, value, problem.X, problem.y)
        np.testing.assert_allclose(
            step.head.predict_proba(problem.X_test), own.predict_proba(problem.X_test), rtol=1e-4, atol=1e-6
        )


def test_a_guide_of_another_fold_changes_how_soon_a_head_is_found_and_not_which(problem: Any) -> None:
    half = len(problem.X) // 2
    first = path_of("logistic", problem.X[:half], problem.y[:half])
    guided = path_of("logistic", problem.X, problem.y, [step.guide for step in first])
    plain = path_of("logistic", problem.X, problem.y)
    for with_guide, without in zip(guided, plain, strict=True):
        assert with_guide.head.objective_ == pytest.approx(without.head.objective_, rel=1e-3)


def test_a_guide_over_other_classes_is_left_aside(problem: Any) -> None:
    X, y = problem.binary()
    other = path_of("logistic", X, y)
    steps = path_of("logistic", problem.X, problem.y, [step.guide for step in other])
    plain = path_of("logistic", problem.X, problem.y)
    assert [step.head.objective_ for step in steps] == [step.head.objective_ for step in plain]


@pytest.mark.parametrize("kind", list(VALUES))
def test_heads_of_a_path_answer_together_what_each_answers_alone(problem: Any, kind: str) -> None:
    heads = [step.head for step in path_of(kind, problem.X, problem.y)]
    for head, answering in zip(heads, heads[0].answer_path(heads, problem.X_test), strict=True):
        np.testing.assert_allclose(
            answering.predict_proba(problem.X_test), head.predict_proba(problem.X_test), rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("kind", list(VALUES))
def test_the_same_path_twice_gives_the_same_numbers(problem: Any, kind: str) -> None:
    first, second = (path_of(kind, problem.X, problem.y) for _ in range(2))
    for one, two in zip(first, second, strict=True):
        assert np.array_equal(one.head.predict_proba(problem.X_test), two.head.predict_proba(problem.X_test))


def test_features_that_go_together_are_turned_for_the_solver_alone() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(6, size=1500)
    X = (np.eye(6)[y] @ rng.normal(size=(6, 40)) + rng.normal(size=(1500, 40))) @ rng.normal(size=(40, 40))
    X = X.astype(np.float32)
    assert principal_axes(X, 6) is not None  # so that what follows is about turned features
    assert principal_axes(X, 2) is None
    head = alone("logistic", 0.1, X, y, tol=1e-7)
    Z = (X - X.mean(0)) / X.std(0)
    peer = LogisticRegression(C=0.1, tol=1e-8, max_iter=5000).fit(Z, y)
    np.testing.assert_allclose(head.predict_proba(X), peer.predict_proba(Z), atol=2e-3)
    along = [step.head.objective_ for step in path_of("logistic", X, y, tol=1e-7)]
    assert along[1] == pytest.approx(head.objective_, rel=1e-4)


def test_a_guide_brings_its_axes_along() -> None:
    rng = np.random.default_rng(1)
    y = rng.integers(6, size=3000)
    X = (np.eye(6)[y] @ rng.normal(size=(6, 40)) + rng.normal(size=(3000, 40))).astype(np.float32)
    few, many = path_of("logistic", X[:70], y[:70]), path_of("logistic", X, y)
    assert few[0].guide.basis is None
    assert many[0].guide.basis is not None
    for guides in (few, many):  # too few samples for axes, and another's axes
        guided = path_of("logistic", X[:2000], y[:2000], [step.guide for step in guides], tol=1e-7)
        plain = path_of("logistic", X[:2000], y[:2000], tol=1e-7)
        for one, other in zip(guided, plain, strict=True):
            assert one.head.objective_ == pytest.approx(other.head.objective_, rel=1e-4)
