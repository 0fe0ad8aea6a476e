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

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.devices import Array, array_namespace, fetched, moved
from headstart.heads.rows import Rows, in_blocks, moments_of

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SHARES = np.logspace(-5, 2, 15)
"""Penalties that are tried unless others are given, as shares of the mean eigenvalue of the Gram matrix:
whatever the unit and the number of rows."""

SAFE = 2e-8
"""The weakest penalty, as a share of the largest eigenvalue, that squaring the features leaves exact."""
BLOCK_BYTES = 16 << 20
"""Of a block of features in double precision: small, and still long enough for BLAS."""


@dataclass(frozen=True, slots=True)
class Design:
    """Features (N, D) as a regression sees them, a block at a time, handed out as arrays or on a GPU.

    Nothing of their size is ever held besides them; rows that stay on disk are read at once only where N <= D.
    The mean is that of the rows that are fitted.
    """

    X: Rows
    mean: Floats
    scale: Floats
    gpu: torch.device | None = None

    @classmethod
    def standardised(cls, X: Rows) -> Design:
        """Rows by their own mean and scale."""
        mean, scale = moments_of(block for _, block in in_blocks(X))
        return cls(X, mean, scale)

    def rows(self, at_least: int = 1) -> Iterator[tuple[slice, Array]]:
        """Blocks of rows (B, D); each is overwritten by the next."""
        n, width = self.X.shape
        size = max(1, min(n, max(at_least, BLOCK_BYTES // (8 * width))))
        room = np.empty((size, width))
        for part, found in in_blocks(self.X, size):
            block = room[: len(found)]
            np.subtract(found, self.mean, out=block)
            block /= self.scale
            yield part, moved(block, self.gpu)

    def columns(self, at_least: int = 1) -> Iterator[tuple[slice, Array]]:
        """Blocks of columns (N, B)."""
        n, width = self.X.shape
        size = max(1, at_least, BLOCK_BYTES // (8 * n))
        held = self.X[:]  # a view, where it is an array
        for start in range(0, width, size):
            part = slice(start, start + size)
            yield part, moved((held[:, part] - self.mean[part]) / self.scale[part], self.gpu)


@dataclass(frozen=True, slots=True)
class RidgePath:
    """Ridge regressions of one problem, one for each alpha; of equally good ones the first is the best."""

    alphas: Floats
    errors: Floats
    """Mean squared leave-one-out errors, over samples and targets, (A,)."""
    best: int
    coef: Floats
    """Of the best, (T, D)."""
    offset: Floats
    """What is predicted for a sample that is the mean of all, (T,)."""

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
    """Least squares of targets (N, T) with an intercept and an L2 penalty, for every alpha (A,) in (0, inf).

    Without alphas `SHARES` of the mean eigenvalue are tried.
    """
    [path] = ridge_paths(design, [targets], alphas)
    return path


def ridge_paths(
    design: Design, problems: Sequence[NDArray[Any]], alphas: Floats | None = None
) -> list[RidgePath]:
    """The same of the targets of several problems, each by itself, from one decomposition for all."""
    return _solver(design, problems, alphas).paths()


def ridge_each(design: Design, targets: NDArray[Any], alphas: Floats) -> Iterator[RidgePath]:
    """The regression of each alpha by itself, from one decomposition for all."""
    solver = _solver(design, [targets], alphas)
    [errors] = solver.errors()
    for place in range(len(alphas)):
        own = slice(place, place + 1)
        yield RidgePath(alphas[own], errors[own], 0, solver.coef(0, place), solver.offsets[0])


def leave_one_out(
    design: Design, targets: NDArray[Any], alphas: Floats | None = None
) -> tuple[RidgePath, Floats]:
    """The same, and what the best predicts for each sample when it is fitted on all others, shape (N, T).

    Of the sample that is left out only the scale of the columns knows.
    """
    solver = _solver(design, [targets], alphas)
    [path] = solver.paths()
    return path, solver.left_out(0, path.best)


def _solver(design: Design, problems: Sequence[NDArray[Any]], alphas: Floats | None) -> _Solver:
    n, width = design.X.shape
    return (_Gram if n > width else _Kernel)(design, problems, alphas)


class _Solver:
    """What both ways share; ``which`` is the number of a problem, ``place`` that of an alpha."""

    alphas: Floats
    _vectors: Array
    _shrunk: Array
    """What each direction is multiplied by under each alpha, shape (R, A)."""

    def __init__(self, design: Design, problems: Sequence[NDArray[Any]], alphas: Floats | None) -> None:
        self.design, self.problems = design, problems
        self.offsets: list[Floats] = [targets.mean(axis=0, dtype=np.float64) for targets in problems]

    def paths(self) -> list[RidgePath]:
        """The path of each problem."""
        found = []
        for which, errors in enumerate(self.errors()):
            best = int(np.where(np.isnan(errors), np.inf, errors).argmin())
            coef = self.coef(which, best)
            found.append(RidgePath(self.alphas, errors, best, coef, self.offsets[which]))
        return found

    def errors(self) -> list[Floats]:
        """The mean squared leave-one-out error of each alpha, for each problem."""
        raise NotImplementedError

    def left_out(self, which: int, place: int) -> Floats:
        """What the fits that lack a sample predict for it, (N, T)."""
        raise NotImplementedError

    def coef(self, which: int, place: int) -> Floats:
        """(T, D)."""
        raise NotImplementedError

    def _shrink(self, values: Array) -> Array:
        clipped = array_namespace(values).clip(values, min=0)
        return 1 / (clipped[:, None] + moved(self.alphas, self.design.gpu))

    def _is_safe(self, values: Array) -> bool:
        """Whether eigenvalues of a squared matrix are exact enough for the weakest penalty: the small ones are
        rounding errors of the large ones."""
        return bool(self.alphas.min() >= SAFE * float(values[-1]))

    def _by_factor(self, parts: Iterable[Floats], first: Floats | None = None) -> Array:
        """The eigenvalues instead, and the vectors, by the singular values of rows (n, D) that come in parts.

        R of their QR decomposition has these, not squared.
        """
        factor: Any = first
        for part in parts:
            factor = np.linalg.qr(part if factor is None else np.concatenate([factor, part]), mode="r")
        _, singular, rows = np.linalg.svd(factor, full_matrices=False)
        self._vectors = moved(rows.T, self.design.gpu)
        return moved(singular**2, self.design.gpu)


class _Gram(_Solver):
    """By the eigenvectors of Z'Z: more samples than features."""

    def __init__(self, design: Design, problems: Sequence[NDArray[Any]], alphas: Floats | None) -> None:
        super().__init__(design, problems, alphas)
        width = design.X.shape[1]
        gram = moved(np.zeros((width, width)), design.gpu)
        moments = [moved(np.zeros((width, targets.shape[1])), design.gpu) for targets in problems]
        for part, Z in design.rows():
            gram += Z.T @ Z
            for which, moment in enumerate(moments):
                moment += Z.T @ self._wanted(which, part)
        self.alphas = _alphas_of(gram, design) if alphas is None else alphas
        values, self._vectors = array_namespace(gram).linalg.eigh(gram)
        if not self._is_safe(values):
            del gram, values
            values = self._by_factor(fetched(Z) for _, Z in design.rows(at_least=width))
        self._shrunk = self._shrink(values)
        self._turned = [self._vectors.T @ moment for moment in moments]

    def errors(self) -> list[Floats]:
        n = len(self.problems[0])
        sums = [np.zeros(len(self.alphas)) for _ in self.problems]
        for part, Z in self.design.rows():
            rows = Z @ self._vectors
            left = 1 - 1 / n - rows**2 @ self._shrunk  # (B, A): the share of itself that a sample is not
            for which, found in enumerate(sums):
                self._add_errors(which, rows, left, self._wanted(which, part), found)
        return [found / targets.size for found, targets in zip(sums, self.problems, strict=True)]

    def _add_errors(self, which: int, rows: Array, left: Array, wanted: Array, sums: Floats) -> None:
        """Add the squared errors of a block of rows, which leave out so much of themselves, to those of each alpha."""
        turned = self._turned[which]
        width, n_targets = turned.shape
        # A product as wide as the features takes half the time of narrow ones.
        at_once = max(1, width // n_targets)
        for start in range(0, len(self.alphas), at_once):
            some = slice(start, start + at_once)
            weights = (self._shrunk[:, some, None] * turned[:, None, :]).reshape(width, -1)
            residual = (rows @ weights).reshape(len(wanted), -1, n_targets)
            residual -= wanted[:, None, :]
            sums[some] += _sums_of_squares(residual, left[:, some])

    def left_out(self, which: int, place: int) -> Floats:
        targets = self.problems[which]
        n, predicted = len(targets), np.empty(targets.shape)
        for part, Z in self.design.rows():
            rows = Z @ self._vectors
            left = 1 - 1 / n - rows**2 @ self._shrunk[:, place]
            residual = self._wanted(which, part) - rows @ self._weights(which, place)
            predicted[part] = targets[part] - fetched(_divided(residual, left))
        return predicted

    def coef(self, which: int, place: int) -> Floats:
        return fetched(self._vectors @ self._weights(which, place)).T

    def _weights(self, which: int, place: int) -> Array:
        return self._shrunk[:, place, None] * self._turned[which]

    def _wanted(self, which: int, part: slice) -> Array:
        return moved(self.problems[which][part] - self.offsets[which], self.design.gpu)


class _Kernel(_Solver):
    """By the eigenvectors of ZZ': at most as many samples as features."""

    def __init__(self, design: Design, problems: Sequence[NDArray[Any]], alphas: Floats | None) -> None:
        super().__init__(design, problems, alphas)
        n = len(problems[0])
        kernel = moved(np.zeros((n, n)), design.gpu)
        for _, Z in design.columns():
            kernel += Z @ Z.T
        self.alphas = _alphas_of(kernel, design) if alphas is None else alphas
        # Centred features leave the constant vector without an eigenvalue. It gets one that is known, so
        # that what it adds can be taken off again, however small alpha is.
        constant = _trace(kernel) / n or 1.0
        kernel += constant / n
        values, self._vectors = array_namespace(kernel).linalg.eigh(kernel)
        if not self._is_safe(values):
            del kernel, values
            columns = (fetched(Z).T for _, Z in design.columns(at_least=n))
            values = self._by_factor(columns, np.full((1, n), np.sqrt(constant / n)))
        self._shrunk = self._shrink(values)
        self._turned = [
            self._vectors.T @ moved(targets - offset, design.gpu)
            for targets, offset in zip(problems, self.offsets, strict=True)
        ]
        constants = moved(1 / ((constant + self.alphas) * n), design.gpu)
        self._diagonal = self._vectors**2 @ self._shrunk - constants

    def errors(self) -> list[Floats]:
        return [self._errors(which) for which in range(len(self.problems))]

    def _errors(self, which: int) -> Floats:
        sums = [
            _sums_of_squares(self._dual(which, place)[:, None], self._diagonal[:, place, None])[0]
            for place in range(len(self.alphas))
        ]
        return np.array(sums) / self.problems[which].size

    def left_out(self, which: int, place: int) -> Floats:
        dual, targets = self._dual(which, place), self.problems[which]
        predicted: Floats = targets - fetched(_divided(dual, self._diagonal[:, place]))
        return predicted

    def coef(self, which: int, place: int) -> Floats:
        dual = self._dual(which, place)
        coef = np.empty((dual.shape[1], self.design.X.shape[1]))
        for part, Z in self.design.columns():
            coef[:, part] = fetched(dual.T @ Z)
        return coef

    def _dual(self, which: int, place: int) -> Array:
        return self._vectors @ (self._shrunk[:, place, None] * self._turned[which])


def _trace(gram: Array) -> float:
    return float(array_namespace(gram).linalg.trace(gram))


def _alphas_of(gram: Array, design: Design) -> Floats:
    """Both Gram matrices have the same trace."""
    return SHARES * (_trace(gram) / design.X.shape[1] or 1.0)


def _sums_of_squares(residual: Array, left: Array) -> Floats:
    """Of each alpha, of residuals (N, A, T) of which samples leave out (N, A) of themselves."""
    squares = array_namespace(residual).linalg.vecdot(residual, residual)
    with np.errstate(divide="ignore", invalid="ignore"):  # a sample alone has nothing to be predicted from
        return fetched(array_namespace(residual).sum(squares / left**2, axis=0))


def _divided(residual: Array, left: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return residual / left[:, None]
