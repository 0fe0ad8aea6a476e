"""Leave-one-out in closed form is what leaving one out gives; LogME is the evidence at its maximum."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.linear_model import Ridge, RidgeCV

from headstart.heads import ridge_path as designs
from headstart.heads.ridge import RidgeRegressor
from headstart.heads.ridge_path import Design, leave_one_out, ridge_path
from headstart.inspection.rank import _decompose, log_evidence, logme
from headstart.samples import ChosenRows
from headstart.tasks import open_task

ALPHAS = np.array([0.1, 1.0, 10.0, 100.0])


def problem(n: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Columns of unequal scale, far from zero, one of them constant."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, width)) * rng.uniform(0.1, 10, width) + 50
    Y = rng.normal(size=(n, 3)) + X[:, :3] / 5
    X[:, -1] = 7
    return X, Y


@pytest.fixture(params=[9 * 8 * 12, 16 << 20], ids=["small blocks", "one block"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(designs, "BLOCK_BYTES", request.param)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize(("n", "width"), [(80, 12), (30, 70)])
def test_it_is_what_fits_without_each_row_give(n: int, width: int) -> None:
    X, Y = problem(n, width)
    design = Design.standardised(ChosenRows(X, np.arange(n)))
    path, predictions = leave_one_out(design, Y, ALPHAS)
    scale = X.std(axis=0)
    Z = (X - X.mean(axis=0)) / np.where(scale > 1e-9, scale, 1)
    for alpha, error in zip(path.alphas, path.errors, strict=True):
        left = [
            Ridge(alpha=alpha).fit(np.delete(Z, i, 0), np.delete(Y, i, 0)).predict(Z[i : i + 1])[0]
            for i in range(n)
        ]
        np.testing.assert_allclose(error, np.square(np.array(left) - Y).mean(), rtol=1e-8)
        if alpha == path.alpha:
            np.testing.assert_allclose(predictions, left, rtol=1e-6, atol=1e-8)
    assert path.alpha == path.alphas[path.errors.argmin()]
    all_rows = Ridge(alpha=path.alpha).fit(Z, Y)
    np.testing.assert_allclose(path.predict(design), all_rows.predict(Z), rtol=1e-8)


@pytest.mark.parametrize(("n", "width"), [(100, 60), (60, 100), (60, 60)])
@pytest.mark.parametrize("alpha", [1e-12, 1e-9, 1e-4])
def test_it_is_exact_on_badly_conditioned_features_with_next_to_no_penalty(
    n: int, width: int, alpha: float
) -> None:
    rng = np.random.default_rng(0)
    turn, other = (np.linalg.qr(rng.normal(size=(size, size)))[0] for size in (n, width))
    rank = min(n, width)
    X = (turn[:, :rank] * np.logspace(0, -6, rank)) @ other[:rank]
    y = X @ rng.normal(size=(width, 1)) + 0.1 * rng.normal(size=(n, 1))
    design = Design(X, X.mean(axis=0), np.ones(width))
    path, predictions = leave_one_out(design, y, np.array([alpha]))
    left = []
    for i in range(n):
        rest, said = np.delete(X, i, 0), np.delete(y, i, 0)
        U, s, axes = np.linalg.svd(rest - rest.mean(axis=0), full_matrices=False)
        weights = axes.T @ ((s / (s**2 + alpha))[:, None] * (U.T @ (said - said.mean())))
        left.append(said.mean() + (X[i] - rest.mean(axis=0)) @ weights)
    assert path.errors[0] == pytest.approx(np.square(np.array(left) - y).mean(), rel=1e-6)
    np.testing.assert_allclose(predictions, left, rtol=1e-4, atol=1e-6 * np.abs(left).max())


@pytest.mark.parametrize("width", [40, 400])
def test_dimensions_of_rounding_noise_are_not_fitted(width: int) -> None:
    """Three of MiniLM's 384 vary by 4e-9 and less: at unit variance they would be as good as any other."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, width)) * 0.05 + 0.02
    y = rng.normal(size=(200, 1))
    dead = [3, 17]
    X[:, dead] = 0.02 + 4e-9 * y  # so small that only a run's own rounding errors can say so much
    path, predictions = leave_one_out(Design.standardised(X), y)
    alive, theirs = leave_one_out(Design.standardised(np.delete(X, dead, axis=1)), y, path.alphas)
    assert path.alpha == alive.alpha
    np.testing.assert_allclose(predictions, theirs, atol=1e-6)
    assert open_task("regression").score(y, predictions) < 0.1


def test_it_chooses_the_alpha_that_scikit_learn_chooses() -> None:
    X, Y = problem(150, 20)
    Z = (X - X.mean(axis=0)) / np.where(X.std(axis=0) > 1e-9, X.std(axis=0), 1)
    alphas = np.logspace(-2, 4, 13)
    theirs = RidgeCV(alphas=alphas, store_cv_results=True).fit(Z, Y)
    ours = ridge_path(Design.standardised(X), Y, alphas)
    np.testing.assert_allclose(ours.errors, theirs.cv_results_.mean(axis=(0, 1)), rtol=1e-6)
    assert ours.alpha == theirs.alpha_


@pytest.mark.parametrize(("n", "width"), [(60, 5), (30, 50)])
def test_the_default_alphas_grow_with_the_rows_and_are_those_of_the_ridge_head(n: int, width: int) -> None:
    X, Y = problem(n, width)
    path = ridge_path(Design.standardised(X), Y)
    assert path.alphas[0] == pytest.approx(n * 1e-5 * (width - 1) / width)
    head = RidgeRegressor().fit(X, Y)
    np.testing.assert_allclose([tried["alpha"] for tried in head.path_], path.alphas)
    np.testing.assert_allclose([tried["loo_error"] for tried in head.path_], path.errors)


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
