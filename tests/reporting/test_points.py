"""The axes of the map are the principal axes."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from headstart.reporting import points


@pytest.mark.parametrize("shape", [(300, 20), (20, 300), (50, 1), (4, 2), (30, 30)])
@pytest.mark.parametrize("is_wide", [False, True])
def test_axes_are_those_of_scikit_learn(
    shape: tuple[int, int], is_wide: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_wide:
        monkeypatch.setattr(points, "WIDE", 0)
    rng = np.random.default_rng(0)
    X = (rng.normal(size=shape) * np.geomspace(9, 1, shape[1]) + 5).astype(np.float32)
    mean, axes, shares = points._axes(X)
    expected = PCA(min(2, shape[1]), svd_solver="full").fit(X.astype(np.float64))
    np.testing.assert_allclose(mean, expected.mean_, rtol=1e-5)
    signs = np.sign((axes * expected.components_).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(axes * signs, expected.components_, atol=2e-2 if is_wide else 2e-3)
    np.testing.assert_allclose(shares, expected.explained_variance_ratio_, atol=1e-3)
    assert (np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1) > 0).all()


def test_large_numbers_have_axes_too() -> None:
    X = (np.random.default_rng(0).normal(size=(40, 6)) * 1e25).astype(np.float32)
    _, axes, shares = points._axes(X)
    assert np.isfinite(axes).all()
    assert 0 < sum(shares) <= 1


def test_rows_that_are_all_alike_lie_in_one_place() -> None:
    mean, axes, shares = points._axes(np.ones((9, 5), dtype=np.float32))
    assert np.isfinite(axes).all()
    assert shares == [0, 0]
    np.testing.assert_array_equal(mean, np.ones(5))
