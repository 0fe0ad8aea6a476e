"""Points in the plane keep what they promise to keep, and are the same each time."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from headstart.errors import ConfigError, MissingDependencyError
from headstart.inspection.project import check_method, project

from ..made_sets import clouds

X, Y = clouds(150, n_classes=3, width=60, apart=12)


def test_pca_is_the_singular_value_decomposition() -> None:
    centred = X.astype(float) - X.mean(axis=0)
    U, S, _ = np.linalg.svd(centred, full_matrices=False)
    ours = project(X, "pca")
    np.testing.assert_allclose(np.abs(ours), np.abs(U[:, :2] * S[:2]), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("method", ["pca", "tsne", "umap"])
def test_classes_that_are_apart_stay_apart_and_a_seed_repeats(method: str) -> None:
    if method == "umap":
        pytest.importorskip("umap")
    points = project(X, check_method(method), seed=1)
    assert points.shape == (150, 2)
    assert points.dtype == np.float32
    distance = np.square(points[:, None] - points[None]).sum(axis=-1)
    np.fill_diagonal(distance, np.inf)
    assert (Y[distance.argmin(axis=1)] == Y).mean() > 0.9
    assert np.array_equal(points, project(X, check_method(method), seed=1))


def test_few_samples_and_flat_features_are_projected_all_the_same() -> None:
    assert project(X[:4], "tsne").shape == (4, 2)
    assert project(X[:, :1], "pca").shape == (150, 2)
    with pytest.raises(ConfigError, match="four or more"):
        project(X[:3], "pca")


def test_a_method_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="tsne"):
        check_method("t-sne")
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingDependencyError, match=r"headstart\[umap\]"):
        check_method("umap")
