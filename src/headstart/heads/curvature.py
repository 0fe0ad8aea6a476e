"""How losses of logistic regression curve, near enough to be inverted: what makes L-BFGS end in a few steps.

The Hessian of each output is ``C * X' diag(w) X`` and the penalty's 1, with the weights w = p (1 - p) of its samples;
between outputs it is left out. Few samples weigh much, those that are near the border of a class: the heaviest are
taken as they are, the others by the variance of each column. So many are taken that it costs about as much as one
look at the loss. In the array API standard: numpy's arrays on a CPU, torch's tensors on a GPU.

References
----------
Hager (1989), Updating the Inverse of a Matrix (the identity of Woodbury).
"""

from __future__ import annotations

import numpy as np

from headstart.devices import Array, array_namespace
from headstart.heads.parallel import each, parts_of

ROWS_PER_ROOT = 1.2
"""Samples that are taken as they are, times the square root of all: their products are as many as those of a loss."""
MOST_NUMBERS = 1 << 25
"""Of the samples that are taken, over all outputs: 128 MB in single precision."""
ROUNDING = 100
"""The flattest direction against the steepest, in units of rounding: the identity subtracts numbers of that ratio."""
SMALL = 32
"""Rows of a matrix that is inverted as it is."""
INTERCEPT = 1e-2
"""The share of an output's weight that curves along its intercept at least, which has no penalty."""


class Curvature:
    """The blocks of a Hessian, one for each of K outputs, of centred features X (N, D) beside a column of ones.

    Parameters
    ----------
    X : array of shape (N, D)
    spread : array of shape (D,)
        Mean squares of the columns.
    weights : array of shape (N, K)
        How much the loss of each sample curves along each of its logits.
    C : float
    """

    def __init__(self, X: Array, spread: Array, weights: Array, C: float) -> None:
        n_rows, n_outputs = _n_rows(X.shape, weights.shape[1]), weights.shape[1]
        products = n_rows**2 * X.shape[1] * n_outputs
        self._parts = parts_of(n_outputs, products if isinstance(X, np.ndarray) else 0)
        self._blocks = each(lambda part: _Blocks(X, spread, weights[:, part], C, n_rows), self._parts)

    def solve(self, slopes: Array) -> Array:
        """The inverse times slopes (K, D + 1), intercepts last."""
        places = range(len(self._parts))
        solved = each(lambda place: self._blocks[place].solve(slopes[self._parts[place]]), places)
        return array_namespace(slopes).concat(solved)


def mean_squares(X: Array) -> Array:
    """Of each column of X (N, D)."""
    products = np.einsum("nd,nd->d", X, X) if isinstance(X, np.ndarray) else (X * X).sum(0)
    return products / X.shape[0]


class _Blocks:
    """Those of some of the outputs: ``F + R' R``, with a diagonal F for what is flat and a row of R for each sample.

    The inverse is ``G (1 - S' (1 + S S')^-1 S) G`` where G is one over the root of F, and S is R G.
    """

    def __init__(self, X: Array, spread: Array, weights: Array, C: float, n_rows: int) -> None:
        xp = array_namespace(X)
        rows = _heaviest(weights, n_rows)
        w = C * xp.take_along_axis(weights.T, rows, axis=1)
        total = C * xp.sum(weights, axis=0)
        rest = xp.clip(total - xp.sum(w, axis=1), min=0)
        taken = X[rows]
        steepest = xp.sum(w * (1 + xp.linalg.vecdot(taken, taken)), axis=1)
        noise = ROUNDING * xp.finfo(X.dtype).eps * steepest
        flat = 1 + noise[:, None] + rest[:, None] * spread
        tiny = float(xp.finfo(X.dtype).tiny) ** 0.5
        intercept = xp.clip(noise + rest + INTERCEPT * total, min=tiny)
        self._narrow = 1 / xp.sqrt(xp.concat([flat, intercept[:, None]], axis=1))  # (K, D + 1)
        root = xp.sqrt(w)[:, :, None]
        self._rows = xp.empty((*rows.shape, X.shape[1] + 1), dtype=X.dtype, device=X.device)
        self._rows[:, :, :-1] = taken
        self._rows[:, :, -1] = 1
        self._rows *= root
        self._rows *= self._narrow[:, None, :]
        inner = self._rows @ xp.matrix_transpose(self._rows)
        inner += xp.eye(inner.shape[-1], dtype=X.dtype, device=X.device)
        self._inner = _inverse(inner)

    def solve(self, slopes: Array) -> Array:
        xp = array_namespace(slopes)
        narrowed = self._narrow * slopes
        along = self._inner @ (self._rows @ narrowed[:, :, None])
        back: Array = self._narrow * (narrowed - (xp.matrix_transpose(self._rows) @ along)[:, :, 0])
        return back


def _inverse(matrices: Array) -> Array:
    """Of positive definite matrices (K, n, n), by halves: most of it are products, which are faster by far."""
    xp, n = array_namespace(matrices), matrices.shape[-1]
    if n <= SMALL:
        return xp.linalg.inv(matrices)
    half = n // 2
    across = matrices[:, half:, :half]
    first = _inverse(matrices[:, :half, :half])
    bent = across @ first
    second = _inverse(matrices[:, half:, half:] - bent @ xp.matrix_transpose(across))
    whole, corner = xp.empty_like(matrices), second @ bent
    whole[:, :half, :half] = first + xp.matrix_transpose(bent) @ corner
    whole[:, half:, :half] = -corner
    whole[:, :half, half:] = -xp.matrix_transpose(corner)
    whole[:, half:, half:] = second
    return whole


def _n_rows(shape: tuple[int, int], n_outputs: int) -> int:
    n, width = shape
    return min(n, int(ROWS_PER_ROOT * n**0.5) + 1, MOST_NUMBERS // (n_outputs * (width + 1)) + 1)


def _heaviest(weights: Array, n: int) -> Array:
    """The rows of the n largest of each column of (N, K), in no order, shape (K, n)."""
    if isinstance(weights, np.ndarray):
        return np.argpartition(weights.T, len(weights) - n, axis=1)[:, len(weights) - n :]
    return weights.T.topk(n, dim=1, sorted=False).indices  # which the array API has no word for
