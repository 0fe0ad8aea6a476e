"""The ridge head is RidgeClassifierCV, with its exact leave-one-out error, in less time and memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge, RidgeClassifier, RidgeClassifierCV, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from headstart.heads import open_head
from headstart.heads.ridge import RidgeHead, RidgeRegressor

ALPHAS = np.logspace(-3, 4, 15)


def conditioned(n, width, condition, seed=0):
    """Features whose singular values span a condition number, with an offset, and classes that they decide."""
    rng = np.random.default_rng(seed)
    turn, other = (np.linalg.qr(rng.normal(size=(width, width)))[0] for _ in range(2))
    X = rng.normal(size=(n, width)) @ (turn * np.logspace(0, -np.log10(condition), width)) @ other
    noisy = X[:, :5] + 0.3 * X.std() * rng.normal(size=(n, 5))
    return X + rng.normal(size=width), noisy.argmax(axis=1)


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


@pytest.mark.parametrize("condition", [1, 1e4, 1e8])
@pytest.mark.parametrize(("n", "width"), [(900, 60), (60, 150), (80, 80)])
def test_leave_one_out_errors_are_those_of_ridge_classifier_cv(n, width, condition):
    X, y = conditioned(n, width, condition)
    head = RidgeHead(alphas=ALPHAS, scaling="none").fit(X, y)
    model = RidgeClassifierCV(alphas=ALPHAS, store_cv_results=True).fit(X, y)
    errors = [entry["loo_error"] for entry in head.path_]
    np.testing.assert_allclose(errors, model.cv_results_.mean(axis=(0, 1)), rtol=1e-6)
    assert head.alpha_ == model.alpha_
    assert head.loo_error_ == pytest.approx(-model.best_score_, rel=1e-6)
    np.testing.assert_allclose(head.coef_, model.coef_, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("condition", [1, 1e8])
@pytest.mark.parametrize(("n", "width"), [(900, 60), (60, 150)])
def test_tensors_give_what_arrays_give(n, width, condition, monkeypatch):
    X, y = conditioned(n, width, condition)
    on_arrays = RidgeHead(alphas=ALPHAS).fit(X, y)
    monkeypatch.setattr("headstart.heads.ridge.pick_gpu", lambda _: torch.device("cpu"))
    on_tensors = RidgeHead(alphas=ALPHAS).fit(X, y)
    errors, wanted = ([entry["loo_error"] for entry in head.path_] for head in (on_tensors, on_arrays))
    np.testing.assert_allclose(errors, wanted, rtol=1e-6)
    np.testing.assert_allclose(on_tensors.coef_, on_arrays.coef_, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(on_tensors.intercept_, on_arrays.intercept_, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("n", "width"), [(40, 12), (12, 40)])
@pytest.mark.parametrize("alpha", [1e-9, 0.5])
def test_leave_one_out_errors_are_exact_also_where_the_penalty_is_tiny(n, width, alpha):
    """Against fits that each leave a sample out; half of the directions are all but missing."""
    X, _ = conditioned(n, width, 1e5, seed=1)
    y = X[:, 0] + np.random.default_rng(2).normal(size=n)
    head = RidgeRegressor(alpha=alpha, scaling="none").fit(X, y)
    errors = []
    for left_out in range(n):
        rest = np.arange(n) != left_out
        centre, mean = X[rest].mean(axis=0), y[rest].mean()
        U, s, rows = np.linalg.svd(X[rest] - centre, full_matrices=False)
        coef = rows.T @ (s / (s**2 + alpha) * (U.T @ (y[rest] - mean)))
        errors.append((y[left_out] - mean - (X[left_out] - centre) @ coef) ** 2)
    assert head.loo_error_ == pytest.approx(np.mean(errors), rel=1e-4)


def test_numbers_have_the_penalty_of_ridge_cv(problem):
    X = problem.X.astype(np.float64)
    y = np.stack([X[:, 0] * 3 + 7, np.sin(X[:, 1])], axis=1)
    head = RidgeRegressor(alphas=ALPHAS).fit(X, y)
    scaled = StandardScaler().fit_transform(X)
    model = RidgeCV(alphas=ALPHAS).fit(scaled, y)
    assert head.alpha_ == model.alpha_
    np.testing.assert_allclose(head.predict(X), model.predict(scaled), rtol=1e-8, atol=1e-8)
    plain = Ridge(alpha=3).fit(scaled, y[:, 0])
    np.testing.assert_allclose(RidgeRegressor(alpha=3.0).fit(X, y[:, 0]).predict(X), plain.predict(scaled))


def test_more_features_than_samples_are_fine():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 200)).astype(np.float32), np.arange(30) % 3
    X[np.arange(30), y] += 6
    assert open_head("ridge", {}, seed=0).fit(X, y).score(X, y) == 1


def test_auto_follows_the_unit_of_the_features(problem):
    X = StandardScaler().fit_transform(problem.X.astype(np.float64))
    heads = [RidgeHead(scaling="none").fit(X * factor, problem.y) for factor in (1.0, 0.01)]
    assert heads[1].alpha_ == pytest.approx(1e-4 * heads[0].alpha_, rel=1e-9)
    assert len(heads[0].path_) == 15
    np.testing.assert_array_equal(heads[0].predict(X), heads[1].predict(X * 0.01))


@pytest.mark.parametrize("shape", [(60_000, 64), (1500, 4000)])
def test_it_holds_neither_a_second_copy_of_the_features_nor_a_kernel_of_all_samples(shape):
    X = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    y = np.arange(len(X)) % 3
    tracemalloc.start()
    RidgeHead(alphas=[1.0, 10.0]).fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    blocks, kernel = 5 * 16 * 2**20, 4 * 8 * min(shape) ** 2
    assert peak < blocks + kernel
    assert shape[0] < shape[1] or peak < 8 * X.size * 2
