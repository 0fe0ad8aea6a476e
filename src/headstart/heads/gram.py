"""Ridge regression for every strength of the penalty at once, with its exact leave-one-out error.

With more samples than features everything follows from one eigendecomposition of the Gram matrix Z'Z of
the features, otherwise from one of the kernel ZZ'. Rows are read in blocks, so that nothing of the size of
the features is held besides them.

References
----------
Rifkin and Lippert (2007), Notes on Regularized Least Squares, MIT-CSAIL-TR-2007-025.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BLOCK_BYTES = 16 << 20
"""Of a block of features in double precision: small, and still long enough for BLAS."""
SAFE = 2e-8
"""The weakest penalty, as a share of the largest eigenvalue, that squaring the features leaves exact."""


@dataclass(frozen=True, slots=True)
class RidgePath:
    """Ridge regressions of one problem.

    Parameters
    ----------
    errors : ndarray, shape (A,)
        For each alpha the mean squared leave-one-out error, over samples and targets.
    best : int
        The place of the alpha with the least error; of equals the first.
    coef : ndarray, shape (T, D)
        Of the best.
    offset : ndarray, shape (T,)
        What is predicted for a sample that is the mean of all.
    """

    errors: Floats
    best: int
    coef: Floats
    offset: Floats


@dataclass(frozen=True, slots=True)
class Design:
    """Features as the regression sees them: centred, scaled, in double precision, a block at a time.

    Parameters
    ----------
    X : ndarray of float, shape (N, D)
    mean, scale : ndarray, shape (D,)
        The mean is that of X.
    """

    X: NDArray[np.floating[Any]]
    mean: Floats
    scale: Floats

    def rows(self) -> Iterator[tuple[slice, Floats]]:
        """Blocks of rows (B, D); each is overwritten by the next."""
        n, width = self.X.shape
        size = max(1, min(n, BLOCK_BYTES // (8 * width)))
        room = np.empty((size, width))
        for start in range(0, n, size):
            part = slice(start, min(start + size, n))
            block = room[: part.stop - start]
            np.subtract(self.X[part], self.mean, out=block)
            block /= self.scale
            yield part, block

    def columns(self) -> Iterator[tuple[slice, Floats]]:
        """Blocks of columns (N, B)."""
        n, width = self.X.shape
        size = max(1, BLOCK_BYTES // (8 * n))
        for start in range(0, width, size):
            part = slice(start, start + size)
            yield part, (self.X[:, part] - self.mean[part]) / self.scale[part]


def ridge_path(design: Design, targets: NDArray[Any], alphas: Floats) -> RidgePath:
    """Least squares with an intercept and an L2 penalty, for every alpha.

    Parameters
    ----------
    design : Design
        N samples.
    targets : ndarray, shape (N, T)
    alphas : ndarray, shape (A,)
    """
    offset = targets.mean(axis=0, dtype=np.float64)
    n, width = design.X.shape
    solve = _from_gram if n > width else _from_kernel
    errors, best, coef = solve(design, targets, offset, alphas)
    return RidgePath(errors, best, coef, offset)


def _from_gram(
    design: Design, targets: NDArray[Any], offset: Floats, alphas: Floats
) -> tuple[Floats, int, Floats]:
    n, width = design.X.shape
    gram, moment = np.zeros((width, width)), np.zeros((width, targets.shape[1]))
    for part, Z in design.rows():
        gram += Z.T @ Z
        moment += Z.T @ (targets[part] - offset)
    values, vectors = _decompose(gram, design, alphas.min())
    shrunk = 1 / (values[:, None] + alphas)  # (D, A)
    turned = vectors.T @ moment
    sums = np.zeros(len(alphas))
    for part, Z in design.rows():
        turned_rows = Z @ vectors
        wanted = targets[part] - offset
        left = 1 - 1 / n - turned_rows**2 @ shrunk  # (B, A): the share of itself that a sample is not
        for place in range(len(alphas)):
            residual = wanted - turned_rows @ (shrunk[:, place, None] * turned)
            sums[place] += _sum_of_squares(residual, left[:, place])
    errors = sums / targets.size
    best = _least(errors)
    return errors, best, (vectors @ (shrunk[:, best, None] * turned)).T


def _decompose(gram: Floats, design: Design, weakest: float) -> tuple[Floats, Floats]:
    """Eigenvalues (D,) and eigenvectors (D, D) of a Gram matrix, exact enough for the weakest penalty."""
    values, vectors = np.linalg.eigh(gram)
    if weakest >= SAFE * values[-1]:
        return values.clip(min=0), vectors
    # The small eigenvalues are rounding errors of the large ones. Triangular factors of the rows
    # themselves have the singular values without squaring them.
    factor: Any = np.empty((0, len(gram)))
    for _, Z in design.rows():
        factor = np.linalg.qr(np.concatenate([factor, Z]), mode="r")
    _, singular, rows = np.linalg.svd(factor, full_matrices=False)
    return singular**2, rows.T


def _from_kernel(
    design: Design, targets: NDArray[Any], offset: Floats, alphas: Floats
) -> tuple[Floats, int, Floats]:
    n, width = design.X.shape
    kernel = np.zeros((n, n))
    for _, Z in design.columns():
        kernel += Z @ Z.T
    # Centred features leave the constant vector without an eigenvalue. It gets one that is known, so that
    # what it adds can be taken off again, however small alpha is.
    constant = float(np.trace(kernel)) / n or 1.0
    kernel += constant / n
    values, vectors = np.linalg.eigh(kernel)
    shrunk = 1 / (values.clip(min=0)[:, None] + alphas)
    turned = vectors.T @ (targets - offset)
    diagonal = vectors**2 @ shrunk - 1 / ((constant + alphas) * n)  # (N, A)
    errors = np.empty(len(alphas))
    for place in range(len(alphas)):
        dual = vectors @ (shrunk[:, place, None] * turned)
        errors[place] = _sum_of_squares(dual, diagonal[:, place]) / targets.size
    best = _least(errors)
    dual = vectors @ (shrunk[:, best, None] * turned)
    coef = np.empty((targets.shape[1], width))
    for part, Z in design.columns():
        coef[:, part] = dual.T @ Z
    return errors, best, coef


def _sum_of_squares(residual: Floats, left: Floats) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):  # a sample alone has nothing to be predicted from
        return float((np.einsum("ij,ij->i", residual, residual) / left**2).sum())


def _least(errors: Floats) -> int:
    return int(np.where(np.isnan(errors), np.inf, errors).argmin())
