"""Leave-one-out in closed form is what leaving one out gives; LogME is the evidence at its maximum."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.linear_model import Ridge, RidgeCV

from headstart.analysis import ridge
from headstart.analysis.logme import _decompose, log_evidence, logme
from headstart.analysis.ridge import fit_path, leave_one_out
from headstart.analysis.rows import in_blocks
from headstart.analysis.targets import labelled, score, targets_of

ALPHAS = [0.1, 1.0, 10.0, 100.0]


def problem(n: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Columns of unequal scale, far from zero, one of them constant."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, width)) * rng.uniform(0.1, 10, width) + 50
    Y = rng.normal(size=(n, 3)) + X[:, :3] / 5
    X[:, -1] = 7
    return X, Y


@pytest.fixture(params=[9, 4096])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ridge, "in_blocks", lambda X: in_blocks(X, request.param))


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize(("n", "width"), [(80, 12), (30, 70)])
def test_it_is_what_fits_without_each_row_give(n: int, width: int) -> None:
    X, Y = problem(n, width)
    path = fit_path(X, Y)
    found = leave_one_out(path, X, Y, ALPHAS)
    scale = X.std(axis=0)
    Z = (X - X.mean(axis=0)) / np.where(scale > 1e-9, scale, 1)
    for alpha, error in zip(found.alphas, found.errors, strict=True):
        left = [
            Ridge(alpha=alpha).fit(np.delete(Z, i, 0), np.delete(Y, i, 0)).predict(Z[i : i + 1])[0]
            for i in range(n)
        ]
        np.testing.assert_allclose(error, np.square(np.array(left) - Y).mean(), rtol=1e-8)
        if alpha == found.alpha:
            np.testing.assert_allclose(found.predictions, left, rtol=1e-6, atol=1e-8)
    assert found.alpha == found.alphas[found.errors.argmin()]
    np.testing.assert_allclose(path.predict(X, 1.0), Ridge(alpha=1.0).fit(Z, Y).predict(Z), rtol=1e-8)


def test_it_chooses_the_alpha_that_scikit_learn_chooses() -> None:
    X, Y = problem(150, 20)
    Z = (X - X.mean(axis=0)) / np.where(X.std(axis=0) > 1e-9, X.std(axis=0), 1)
    alphas = np.logspace(-2, 4, 13)
    theirs = RidgeCV(alphas=alphas, store_cv_results=True).fit(Z, Y)
    ours = leave_one_out(fit_path(X, Y), X, Y, alphas.tolist())
    np.testing.assert_allclose(ours.errors, theirs.cv_results_.mean(axis=(0, 1)), rtol=1e-6)
    assert ours.alpha == theirs.alpha_


def test_the_default_alphas_grow_with_the_rows() -> None:
    X, Y = problem(60, 5)
    assert leave_one_out(fit_path(X, Y), X, Y).alphas[0] == pytest.approx(60 * 1e-5)


@pytest.mark.parametrize(("n", "width"), [(60, 10), (20, 40)])
def test_the_evidence_is_that_of_a_normal_distribution(n: int, width: int) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, width))
    y = (X[:, 0] + 0.5 * rng.normal(size=n) > 0).astype(float)
    spectrum, projected = _decompose(X, y[:, None])
    rest = np.square(y).sum() - projected.sum()
    for alpha, beta in ((1.0, 1.0), (3.0, 0.2)):
        covariance = X @ X.T / alpha + np.eye(n) / beta
        theirs = multivariate_normal(np.zeros(n), covariance).logpdf(y) / n
        assert log_evidence(spectrum, projected[:, 0], rest, n, alpha, beta) == pytest.approx(theirs)


def test_logme_is_the_largest_evidence() -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(80, 12)) + 2
    y = X[:, 0] + rng.normal(size=80)
    spectrum, projected = _decompose(X, y[:, None])
    rest = np.square(y).sum() - projected.sum()
    best = minimize(
        lambda v: -log_evidence(spectrum, projected[:, 0], rest, 80, *np.exp(v)), [0, 0], method="Nelder-Mead"
    )
    assert logme(X, y[:, None]) == pytest.approx(-best.fun, abs=1e-4)
    noise = rng.permutation(y)[:, None]
    assert logme(X, noise) < logme(X, y[:, None]) - 0.1
    assert logme(X, np.hstack([y[:, None], noise])) == pytest.approx(
        (logme(X, y[:, None]) + logme(X, noise)) / 2
    )


def test_targets_and_scores_by_the_kind_of_labels() -> None:
    single = targets_of(np.array([0, 2, 1]), "single", 3)
    assert score(single, single[[0, 1, 1]], "single") == pytest.approx(2 / 3)
    Y = np.array([[1, 0], [1, 1], [0, 0]], dtype=np.int8)
    multi = targets_of(Y, "multi", 2)
    assert score(multi, multi, "multi") == 1
    assert score(multi, np.ones((3, 2)), "multi") == pytest.approx(2 * 3 / (6 + 3))
    numbers = targets_of(np.array([1.0, 2.0, 3.0]), "regression", 0)
    assert score(numbers, numbers, "regression") == 1
    assert score(numbers, np.full((3, 1), 2.0), "regression") == 0
    assert np.isnan(score(numbers[:0], numbers[:0], "regression"))
    assert labelled(np.array([0, -1]), "single").tolist() == [True, False]
    assert labelled(np.array([[0, 1], [-1, -1]]), "multi").tolist() == [True, False]
    assert labelled(np.array([0.0, np.nan]), "regression").tolist() == [True, False]
