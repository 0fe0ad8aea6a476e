"""The nearest class mean."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestCentroid

from headstart.heads.centroid import CentroidHead


def test_by_distance_it_is_scikit_learns_nearest_centroid(problem):
    head = CentroidHead(metric="euclidean").fit(problem.X, problem.y)
    Z, Z_test = ((X - head.mean_) / head.scale_ for X in (problem.X, problem.X_test))
    np.testing.assert_array_equal(
        head.predict(problem.X_test), NearestCentroid().fit(Z, problem.y).predict(Z_test)
    )


def test_by_cosine_the_length_of_a_sample_does_not_matter(problem):
    X = problem.X - problem.X.mean(axis=0)
    head = CentroidHead(scaling="none").fit(X, problem.y)
    lengths = np.random.default_rng(0).uniform(0.1, 10, size=(len(X), 1)).astype(np.float32)
    np.testing.assert_allclose(head.predict_proba(X * lengths), head.predict_proba(X), rtol=1e-3, atol=1e-6)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    means = np.stack([unit[problem.y == name].mean(axis=0) for name in head.classes_])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(head.decision_function(X) * 0.07, unit @ means.T, atol=1e-4)


def test_one_sample_of_a_class_is_enough(problem):
    first = [int(np.argmax(problem.y == name)) for name in ("cat", "dog", "eel", "fox")]
    head = CentroidHead().fit(problem.X[first], problem.y[first])
    assert head.score(problem.X[first], problem.y[first]) == 1


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_two_classes_have_two_rows_and_one_decision_value(metric, problem):
    X, y = problem.binary()
    head = CentroidHead(metric=metric).fit(X, y)
    assert head.coef_.shape == (2, 12)
    np.testing.assert_array_equal(head.predict(X), np.where(head.decision_function(X) > 0, "dog", "cat"))
