"""Nearest neighbours by cosine, with every k from one search."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from headstart.heads import neighbours
from headstart.heads.knn import KNNHead, KNNRegressor
from headstart.heads.neighbours import nearest, votes


def test_it_votes_as_scikit_learn_does_with_the_same_weights(problem):
    head = KNNHead(k=7, temperature=0.1).fit(problem.X, problem.y)
    Z, Z_test = ((X - head.mean_) / head.scale_ for X in (problem.X, problem.X_test))
    model = KNeighborsClassifier(7, metric="cosine", weights=lambda far: np.exp((1 - far) / 0.1))
    model.fit(Z, problem.y)
    np.testing.assert_allclose(
        head.predict_proba(problem.X_test), model.predict_proba(Z_test), rtol=1e-3, atol=1e-5
    )
    np.testing.assert_array_equal(head.predict(problem.X_test), model.predict(Z_test))


def test_numbers_are_weighted_means_of_the_neighbours(problem):
    y = np.stack([problem.X[:, 0], problem.X[:, 1] * 2], axis=1)
    head = KNNRegressor(k=4, scaling="none").fit(problem.X, y)
    model = KNeighborsRegressor(4, metric="cosine", weights=lambda far: np.exp((1 - far) / 0.07))
    predicted = model.fit(problem.X.astype(np.float64), y).predict(problem.X_test.astype(np.float64))
    close = np.isclose(head.predict(problem.X_test), predicted, rtol=1e-2, atol=1e-2)
    assert close.mean() > 0.97  # rounding in single precision swaps neighbours that are equally near


def test_every_k_of_one_search_is_what_a_search_for_it_gives(problem):
    Z = problem.X - problem.X.mean(axis=0)
    codes = np.searchsorted(np.unique(problem.y), problem.y)
    ks = [1, 3, 10, 400]
    together = list(votes(nearest(Z[:50], Z, 400), codes, 4, ks))
    for place, k in enumerate(ks):
        [alone] = votes(nearest(Z[:50], Z, k), codes, 4, [k])
        np.testing.assert_allclose(together[place], alone, rtol=1e-12)


def test_leave_one_out_is_exact(problem):
    X, y = problem.X[:60], problem.y[:60]
    head = KNNHead(ks=[1, 5, 20], scaling="none").fit(X, y)
    errors = []
    for left_out in range(60):
        rest = np.arange(60) != left_out
        likely = (
            KNNHead(k=5, scaling="none").fit(X[rest], y[rest]).predict_proba(X[left_out : left_out + 1])[0]
        )
        errors.append(np.square(likely - (head.classes_ == y[left_out])).sum())
    assert head.path_[1]["k"] == 5
    assert head.path_[1]["error"] == pytest.approx(np.mean(errors), rel=1e-4)


def test_auto_takes_the_k_with_the_least_error(problem):
    for validation in ((), (problem.X_val, problem.y_val)):
        head = KNNHead().fit(problem.X, problem.y, *validation)
        errors = {entry["k"]: entry["error"] for entry in head.path_}
        assert errors[head.k_] == min(errors.values())
        assert set(errors) == {1, 2, 3, 5, 10, 20, 50, 100, 200}


def test_validation_decides_by_itself(problem):
    """Where each validation sample is a training sample, one neighbour is never wrong."""
    assert KNNHead().fit(problem.X, problem.y, problem.X, problem.y).k_ == 1
    assert KNNHead().fit(problem.X, problem.y).k_ > 1


def test_more_neighbours_than_samples_are_all_samples(problem):
    few, many = (KNNHead(k=k).fit(problem.X[:20], problem.y[:20]) for k in (20, 5000))
    np.testing.assert_array_equal(few.predict_proba(problem.X_test), many.predict_proba(problem.X_test))


def test_many_queries_are_answered_as_few_are(problem, monkeypatch):
    head = KNNHead(k=9).fit(problem.X, problem.y)
    whole = head.predict_proba(problem.X_test)
    monkeypatch.setattr(neighbours, "QUERIES", 7)
    np.testing.assert_allclose(head.predict_proba(problem.X_test), whole, rtol=1e-4, atol=1e-6)


def test_a_sample_of_zeros_is_like_none_and_still_answered(problem):
    head = KNNHead(k=3, scaling="none").fit(problem.X, problem.y)
    assert np.isfinite(head.predict_proba(np.zeros((1, 12)))).all()
