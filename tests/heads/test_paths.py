"""Several values of one parameter are fitted along a path, and each head is what it would be alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headstart.heads import open_head

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
