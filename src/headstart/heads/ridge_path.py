"""Ridge regression for every strength of the penalty at once, with its exact leave-one-out error.

With more samples than features everything follows from one eigendecomposition of the Gram matrix Z'Z of
the features, otherwise from one of the kernel ZZ'. Rows are read in blocks, so that nothing of the size of
the features is held besides them. In the array API standard: numpy's arrays on a CPU, torch's tensors on a GPU.

References
----------
Allen (1974), The Relationship between Variable Selection and Data Augmentation and a Method for Prediction.
Rifkin and Lippert (2007), Notes on Regularized Least Squares, MIT-CSAIL-TR-2007-025.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import array_namespace

from headstart.heads.arrays import fetched, moved

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from headstart.heads.arrays import Array
    from headstart.heads.design import Design

    Floats = NDArray[np.float64]

SHARES = np.logspace(-5, 2, 15)
"""Penalties that are tried unless others are given, as shares of the mean eigenvalue of the Gram matrix:
whatever the unit and the number of rows."""

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

    alphas: Floats
    errors: Floats
    best: int
    coef: Floats
    offset: Floats

    @property
    def alpha(self) -> float:
        """The best."""
        return float(self.alphas[self.best])

    def predict(self, design: Design) -> Floats:
        """Predictions of the best for rows that are centred and scaled as those it was fitted on, (n, T)."""
        predicted = np.empty((design.X.shape[0], len(self.offset)))
        for part, Z in design.rows():
            predicted[part] = fetched(Z @ moved(self.coef, design.gpu).T) + self.offset
        return predicted


def ridge_path(design: Design, targets: NDArray[Any], alphas: Floats | None = None) -> RidgePath:
    """Least squares with an intercept and an L2 penalty, for every alpha.

    Parameters
    ----------
    design : Design
        N samples.
    targets : ndarray, shape (N, T)
    alphas : ndarray, shape (A,), optional
        In (0, inf). None: `SHARES` of the mean eigenvalue.
    """
    return _path(_solver(design, targets, alphas))


def leave_one_out(
    design: Design, targets: NDArray[Any], alphas: Floats | None = None
) -> tuple[RidgePath, Floats]:
    """The same, and what the best predicts for each sample when it is fitted on all others, shape (N, T).

    Of the sample that is left out only the scale of the columns knows.
    """
    solver = _solver(design, targets, alphas)
    path = _path(solver)
    return path, solver.left_out(path.best)


def _solver(design: Design, targets: NDArray[Any], alphas: Floats | None) -> _Gram | _Kernel:
    n, width = design.X.shape
    return (_Gram if n > width else _Kernel)(design, targets, alphas)


def _path(solver: _Gram | _Kernel) -> RidgePath:
    errors = solver.errors()
    best = int(np.where(np.isnan(errors), np.inf, errors).argmin())
    return RidgePath(solver.alphas, errors, best, solver.coef(best), solver.offset)


class _Gram:
    """By the eigenvectors of Z'Z: more samples than features."""

    def __init__(self, design: Design, targets: NDArray[Any], alphas: Floats | None) -> None:
        self.design, self.targets = design, targets
        self.offset = targets.mean(axis=0, dtype=np.float64)
        width = design.X.shape[1]
        gram = moved(np.zeros((width, width)), design.gpu)
        moment = moved(np.zeros((width, targets.shape[1])), design.gpu)
        for part, Z in design.rows():
            gram += Z.T @ Z
            moment += Z.T @ self._wanted(part)
        self.alphas = _alphas_of(gram, design) if alphas is None else alphas
        values, self._vectors = array_namespace(gram).linalg.eigh(gram)
        if not _is_safe(values, self.alphas):
            del gram, values
            factor = _triangle(fetched(Z) for _, Z in design.rows(at_least=width))
            values, self._vectors = (moved(found, design.gpu) for found in _squared(factor))
        self._shrunk = _shrunk(values, self.alphas, design.gpu)  # (D, A)
        self._turned = self._vectors.T @ moment

    def errors(self) -> Floats:
        """The mean squared leave-one-out error of each alpha."""
        n = len(self.targets)
        sums = np.zeros(len(self.alphas))
        for part, Z in self.design.rows():
            rows, wanted = Z @ self._vectors, self._wanted(part)
            left = 1 - 1 / n - rows**2 @ self._shrunk  # (B, A): the share of itself that a sample is not
            for place in range(len(self.alphas)):
                residual = wanted - rows @ self._weights(place)
                sums[place] += _sum_of_squares(residual, left[:, place])
        return sums / self.targets.size

    def left_out(self, place: int) -> Floats:
        """What the fits with an alpha that lack a sample predict for it."""
        n = len(self.targets)
        predicted = np.empty(self.targets.shape)
        for part, Z in self.design.rows():
            rows = Z @ self._vectors
            left = 1 - 1 / n - rows**2 @ self._shrunk[:, place]
            residual = self._wanted(part) - rows @ self._weights(place)
            predicted[part] = self.targets[part] - fetched(_divided(residual, left))
        return predicted

    def coef(self, place: int) -> Floats:
        """Of an alpha, (T, D)."""
        return fetched(self._vectors @ self._weights(place)).T

    def _weights(self, place: int) -> Array:
        return self._shrunk[:, place, None] * self._turned

    def _wanted(self, part: slice) -> Array:
        return moved(self.targets[part] - self.offset, self.design.gpu)


class _Kernel:
    """By the eigenvectors of ZZ': at most as many samples as features."""

    def __init__(self, design: Design, targets: NDArray[Any], alphas: Floats | None) -> None:
        self.design, self.targets = design, targets
        self.offset = targets.mean(axis=0, dtype=np.float64)
        n = len(targets)
        kernel = moved(np.zeros((n, n)), design.gpu)
        for _, Z in design.columns():
            kernel += Z @ Z.T
        self.alphas = _alphas_of(kernel, design) if alphas is None else alphas
        # Centred features leave the constant vector without an eigenvalue. It gets one that is known, so
        # that what it adds can be taken off again, however small alpha is.
        constant = _trace(kernel) / n or 1.0
        kernel += constant / n
        values, self._vectors = array_namespace(kernel).linalg.eigh(kernel)
        if not _is_safe(values, self.alphas):
            del kernel, values
            columns = (fetched(Z).T for _, Z in design.columns(at_least=n))
            factor = _triangle(columns, np.full((1, n), np.sqrt(constant / n)))
            values, self._vectors = (moved(found, design.gpu) for found in _squared(factor))
        self._shrunk = _shrunk(values, self.alphas, design.gpu)  # (N, A)
        self._turned = self._vectors.T @ moved(targets - self.offset, design.gpu)
        constants = moved(1 / ((constant + self.alphas) * n), design.gpu)
        self._diagonal = self._vectors**2 @ self._shrunk - constants

    def errors(self) -> Floats:
        """The mean squared leave-one-out error of each alpha."""
        places = range(len(self.alphas))
        sums = [_sum_of_squares(self._dual(place), self._diagonal[:, place]) for place in places]
        return np.array(sums) / self.targets.size

    def left_out(self, place: int) -> Floats:
        """What the fits with an alpha that lack a sample predict for it."""
        predicted: Floats = self.targets - fetched(_divided(self._dual(place), self._diagonal[:, place]))
        return predicted

    def coef(self, place: int) -> Floats:
        """Of an alpha, (T, D)."""
        dual = self._dual(place)
        coef = np.empty((dual.shape[1], self.design.X.shape[1]))
        for part, Z in self.design.columns():
            coef[:, part] = fetched(dual.T @ Z)
        return coef

    def _dual(self, place: int) -> Array:
        return self._vectors @ (self._shrunk[:, place, None] * self._turned)


def _shrunk(values: Array, alphas: Floats, gpu: torch.device | None) -> Array:
    """What each direction is multiplied by under each alpha, shape (R, A)."""
    return 1 / (array_namespace(values).clip(values, min=0)[:, None] + moved(alphas, gpu))


def _trace(gram: Array) -> float:
    return float(array_namespace(gram).linalg.trace(gram))


def _alphas_of(gram: Array, design: Design) -> Floats:
    """Both Gram matrices have the same trace."""
    return SHARES * (_trace(gram) / design.X.shape[1] or 1.0)


def _is_safe(values: Array, alphas: Floats) -> bool:
    """Whether eigenvalues of a squared matrix are exact enough for the weakest penalty: the small ones are
    rounding errors of the large ones."""
    return bool(alphas.min() >= SAFE * float(values[-1]))


def _triangle(parts: Iterable[Floats], first: Floats | None = None) -> Floats:
    """R of the QR decomposition of rows (n, D) that come in parts: it has their singular values, not squared."""
    factor: Any = first
    for part in parts:
        rows = part if factor is None else np.concatenate([factor, part])
        factor = np.linalg.qr(rows, mode="r")
    triangle: Floats = factor
    return triangle


def _squared(factor: Floats) -> tuple[Floats, Floats]:
    """Eigenvalues (R,) and eigenvectors (D, R) of F'F, by the singular values of F."""
    _, singular, rows = np.linalg.svd(factor, full_matrices=False)
    return singular**2, rows.T


def _sum_of_squares(residual: Array, left: Array) -> float:
    squares = array_namespace(residual).linalg.vecdot(residual, residual)
    with np.errstate(divide="ignore", invalid="ignore"):  # a sample alone has nothing to be predicted from
        return float((squares / left**2).sum())


def _divided(residual: Array, left: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return residual / left[:, None]
