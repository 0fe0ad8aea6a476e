"""Ridge regression in closed form: every alpha, and the exact leave-one-out prediction of every row.

One eigendecomposition of the smaller of the two Gram matrices serves all alphas. Double precision throughout;
rows are read in blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.analysis.rows import in_blocks, mean_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headstart.analysis.rows import Rows

ALPHAS = tuple(10.0**power for power in np.arange(-5, 2.5, 0.5))
"""Strengths that are tried, as a share of N: the eigenvalues of a standardised Gram matrix grow with N."""


@dataclass(frozen=True, slots=True)
class RidgePath:
    """Ridge regressions of one matrix, for every alpha.

    Parameters
    ----------
    mean, scale : ndarray of shape (D,)
        Columns are standardised by these; a constant column has scale 1.
    basis : ndarray of shape (D, R)
        Takes standardised rows to the axes in which the Gram matrix is diagonal.
    spectrum : ndarray of shape (R,)
        The Gram matrix there.
    projected : ndarray of shape (R, T)
        The targets there.
    offset : ndarray of shape (T,)
        The mean of the targets; the intercept is not penalised.
    n_rows : int
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    basis: NDArray[np.float64]
    spectrum: NDArray[np.float64]
    projected: NDArray[np.float64]
    offset: NDArray[np.float64]
    n_rows: int

    def rotated(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Rows (n, D) in the axes of the basis, shape (n, R)."""
        rotated: NDArray[np.float64] = ((X - self.mean) / self.scale) @ self.basis
        return rotated

    def weights(self, alpha: float) -> NDArray[np.float64]:
        """What rotated rows are multiplied by, shape (R, T)."""
        return self.projected / (self.spectrum + alpha)[:, None]

    def predict(self, X: Rows, alpha: float) -> NDArray[np.float64]:
        """Predictions for other rows, shape (n, T)."""
        weights = self.basis @ self.weights(alpha)
        blocks = [((block - self.mean) / self.scale) @ weights for _, block in in_blocks(X)]
        return np.concatenate(blocks) + self.offset if blocks else np.empty((0, len(self.offset)))


@dataclass(frozen=True, slots=True)
class LeaveOneOut:
    """What a ridge regression predicts for each row when it is fitted on all others.

    Parameters
    ----------
    alphas : ndarray of shape (A,)
    errors : ndarray of shape (A,)
        The mean squared error of each.
    alpha : float
        The one with the smallest error.
    predictions : ndarray of shape (N, T)
        At that alpha.
    """

    alphas: NDArray[np.float64]
    errors: NDArray[np.float64]
    alpha: float
    predictions: NDArray[np.float64]


def fit_path(X: Rows, Y: NDArray[Any]) -> RidgePath:
    """Decompose once, for targets (N, T).

    Where N < D the kernel matrix (N, N) is decomposed instead of the Gram matrix (D, D).
    """
    mean, scale = mean_of(X), _scale_of(X)
    offset = Y.mean(axis=0)
    n, width = X.shape
    if n < width:
        rows = (X[:] - mean) / scale
        spectrum, vectors = _eigen(rows @ rows.T)
        basis = rows.T @ (vectors / np.sqrt(spectrum))
    else:
        gram = np.zeros((width, width))
        for _, block in in_blocks(X):
            rows = (block - mean) / scale
            gram += rows.T @ rows
        spectrum, basis = _eigen(gram)
    against = np.zeros((width, Y.shape[1]))
    for place, block in in_blocks(X):
        against += ((block - mean) / scale).T @ (Y[place] - offset)
    return RidgePath(mean, scale, basis, spectrum, basis.T @ against, offset, n)


def leave_one_out(
    path: RidgePath, X: Rows, Y: NDArray[Any], alphas: Sequence[float] | None = None
) -> LeaveOneOut:
    """The exact leave-one-out error of every alpha, and the predictions of the best.

    Residual i without row i is ``r_i / (1 - h_i)``, with the residual and the leverage of the fit on all rows
    (Allen 1974). Only the scale of the columns knows of the row that is left out.

    Parameters
    ----------
    path : RidgePath
        Of these rows and targets.
    X : Rows, shape (N, D)
    Y : ndarray of shape (N, T)
    alphas : sequence of float, optional
        In (0, inf). None: `ALPHAS` times N.
    """
    tried = np.array(
        [share * path.n_rows for share in ALPHAS] if alphas is None else alphas, dtype=np.float64
    )
    squared = np.zeros(len(tried))
    for place, block in in_blocks(X):
        rotated = path.rotated(block)
        for i, alpha in enumerate(tried):
            squared[i] += np.square(_left_out(path, rotated, Y[place], alpha)).sum()
    best = float(tried[squared.argmin()])
    predictions = np.empty(Y.shape)
    for place, block in in_blocks(X):
        predictions[place] = Y[place] - _left_out(path, path.rotated(block), Y[place], best)
    return LeaveOneOut(tried, squared / Y.size, best, predictions)


def _left_out(
    path: RidgePath, rotated: NDArray[np.float64], Y: NDArray[Any], alpha: float
) -> NDArray[np.float64]:
    """Residuals of rows by the fits that lack them, shape (n, T)."""
    leverage = 1 / path.n_rows + np.square(rotated) @ (1 / (path.spectrum + alpha))
    residual = Y - path.offset - rotated @ path.weights(alpha)
    # A leverage of 1 is a row that only its own target decides: no fit without it says anything of it.
    left: NDArray[np.float64] = residual / np.maximum(1 - leverage, 1e-10)[:, None]
    return left


def _scale_of(X: Rows) -> NDArray[np.float64]:
    mean, total = mean_of(X), np.zeros(X.shape[1])
    for _, block in in_blocks(X):
        total += np.square(block - mean).sum(axis=0)
    scale = np.sqrt(total / max(X.shape[0], 1))
    return np.where(scale > 1e-12 * np.maximum(np.abs(mean), 1e-30), scale, 1.0)


def _eigen(gram: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvalues above rounding error, and their vectors."""
    from scipy.linalg import eigh

    values, vectors = eigh(gram, driver="evd")
    kept = values > max(values.max(initial=0), 1e-300) * len(gram) * np.finfo(np.float64).eps
    return values[kept], vectors[:, kept]
