"""Columns are scaled by their deviation, but for those that hold rounding noise alone."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from headstart.heads.rows import moments, moments_of

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("size", [1, 7, 500])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_in_whatever_parts_rows_come_they_are_scikit_learns(size: int, dtype: type) -> None:
    X = (RNG.normal(size=(500, 6)) * [1, 10, 0.1, 3, 0, 0.5] + [1e3, 0, -5, 1e-3, 0.1, 2]).astype(dtype)
    mean, scale = moments_of(X[start : start + size] for start in range(0, 500, size))
    theirs = StandardScaler().fit(X)
    np.testing.assert_allclose(mean, theirs.mean_, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(scale, theirs.scale_, rtol=1e-8)
    assert scale[4] == 1


def test_what_varies_by_less_than_features_are_exact_is_not_scaled() -> None:
    X = RNG.normal(size=(300, 4)).astype(np.float32)
    X[:, 1] = 1e-9 * X[:, 0]
    X[:, 2] = 7
    for mean, scale in (moments_of([X]), moments(X)):
        assert scale[[1, 2]].tolist() == [1, 1]
        np.testing.assert_allclose(scale[[0, 3]], X[:, [0, 3]].std(axis=0), rtol=1e-5)
        assert mean[2] == 7


def test_a_small_unit_is_no_noise_and_equal_columns_are_constant() -> None:
    X = RNG.normal(size=(300, 3)) * 1e-9
    np.testing.assert_allclose(moments_of([X])[1], X.std(axis=0))
    same = np.full((3000, 3), 0.1, dtype=np.float32)
    assert moments_of(same[start : start + 7] for start in range(0, 3000, 7))[1].tolist() == [1, 1, 1]
    assert moments_of([X[:1]])[1].tolist() == [1, 1, 1]
