"""The losses of logistic regression with their gradients in closed form: a matrix product each.

In the array API standard: numpy's arrays on a CPU, torch's tensors on a GPU. Minimisation starts (``start``) without
a matrix, and with intercepts that give classes and labels their shares; see `headstart.heads.lbfgs.Loss`.
"""

from __future__ import annotations

import numpy as np

from headstart.devices import Array, array_namespace
from headstart.heads.curvature import Curvature, mean_squares
from headstart.heads.lbfgs import Inverse
from headstart.heads.parallel import each, parts_of

LEAST_SHARE = 1e-6
"""What a class counts at least where the intercepts start: of one without samples the logarithm is infinite."""


def softplus(logits: Array) -> Array:
    """``log(1 + exp(logits))``, element by element, without overflow."""
    xp = array_namespace(logits)
    return xp.clip(logits, min=0) + xp.log1p(xp.exp(-abs(logits)))


class SoftmaxLoss:
    """Cross-entropy of one class a sample, summed over samples: one problem with all classes in it.

    Of centred features X (N, D), codes (N,) and weights of the samples (N,); ``smoothing`` is the share of each
    target that is spread over all classes. Parameters are matrices (D, n_classes) over intercepts.
    """

    def __init__(
        self, X: Array, codes: Array, n_classes: int, weights: Array | None = None, smoothing: float = 0.0
    ) -> None:
        self.X, self.weights, self.smoothing, self.n_classes = X, weights, smoothing, n_classes
        self._xp = array_namespace(X)
        self._codes = codes
        self._parts = _parts(X, n_classes)
        self._spread = mean_squares(X)
        self.penalised = self._over_intercepts(1, 0)[0]
        xp, hot = self._xp, codes[:, None] == self._xp.arange(n_classes, device=X.device)
        weighed = hot if weights is None else xp.where(hot, weights[:, None], 0)
        counts = xp.sum(weighed, axis=0, dtype=xp.float64)
        intercepts = xp.log(xp.clip(counts / xp.sum(counts), min=LEAST_SHARE))
        # Only their differences matter.
        self.start = self._over_intercepts(0, intercepts - xp.mean(intercepts))

    def logits(self, at: Array) -> Array:
        """Of each sample and class, (N, n_classes)."""
        both = at.reshape(-1, self.n_classes)
        return _affine(self.X, both[:-1], both[-1], self._parts)

    def look(self, logits: Array) -> tuple[Array, Array]:
        """Losses (1,), and their slopes along the logits (N, n_classes)."""
        slopes = self._xp.empty_like(logits)
        losses = each(lambda part: self._look(logits[part], part, slopes), self._parts)
        return sum(losses)[None], slopes

    def _look(self, logits: Array, part: slice, slopes: Array) -> Array:
        xp, codes = self._xp, self._codes[part]
        right = xp.arange(codes.shape[0], device=codes.device), codes
        logits = logits - xp.max(logits, axis=1, keepdims=True)
        wanted = logits[right]
        if self.smoothing:
            wanted = (1 - self.smoothing) * wanted + self.smoothing * xp.mean(logits, axis=1)
        share = xp.exp(logits)
        total = xp.sum(share, axis=1)
        losses = xp.log(total) - wanted
        share /= total[:, None]
        share[right] -= 1 - self.smoothing
        if self.smoothing:
            share -= self.smoothing / self.n_classes
        if self.weights is not None:
            losses *= self.weights[part]
            share *= self.weights[part, None]
        slopes[part] = share
        return xp.sum(losses, dtype=xp.float64)

    def gradient(self, slopes: Array) -> Array:
        """Shape (1, (D + 1) * n_classes)."""
        matrix = sum(each(lambda part: self.X[part].T @ slopes[part], self._parts))
        intercepts = self._xp.sum(slopes, axis=0, keepdims=True)
        return self._xp.concat([matrix, intercepts]).reshape(1, -1)

    def curvature(self, logits: Array, C: float) -> Inverse:
        """See `headstart.heads.lbfgs.Loss`."""
        bent = self._xp.empty_like(logits)
        each(lambda part: self._bend(logits[part], part, bent), self._parts)
        blocks = Curvature(self.X, self._spread, bent, C)
        return lambda slopes: blocks.solve(slopes.reshape(-1, self.n_classes).T).T.reshape(1, -1)

    def _bend(self, logits: Array, part: slice, bent: Array) -> None:
        share = self._xp.exp(logits - self._xp.max(logits, axis=1, keepdims=True))
        share /= self._xp.sum(share, axis=1, keepdims=True)
        bent[part] = share * (1 - share)
        if self.weights is not None:
            bent[part] *= self.weights[part, None]

    def unpack(self, at: Array) -> tuple[Array, Array]:
        """The matrix (n_classes, D) and the intercepts (n_classes,)."""
        both = at.reshape(-1, self.n_classes)
        return both[:-1].T, both[-1] - self._xp.mean(both[-1])

    def _over_intercepts(self, matrix: float, intercepts: Array | float) -> Array:
        xp, X = self._xp, self.X
        whole = xp.full((X.shape[1] + 1, self.n_classes), matrix, dtype=X.dtype, device=X.device)
        whole[-1] = intercepts
        return whole.reshape(1, -1)


class SigmoidLoss:
    """Binary cross-entropy of L labels, each a problem of its own, side by side.

    Of centred features X (N, D), labels 0 or 1 (N, L) and weights (N, L). Parameters are rows (L, D + 1), each
    with its intercept in the last column.
    """

    def __init__(self, X: Array, labels: Array, weights: Array | None = None, smoothing: float = 0.0) -> None:
        self.X, self.weights = X, weights
        self._xp = array_namespace(X)
        self._targets = labels * (1 - smoothing) + smoothing / 2
        self._parts = _parts(X, labels.shape[1])
        self._spread = mean_squares(X)
        self.penalised = self._beside_intercepts(1, 0)[0]
        xp, counted = self._xp, self._xp.ones_like(self._targets) if weights is None else weights
        total = xp.sum(counted, axis=0, dtype=xp.float64)
        having = xp.sum(counted * self._targets, axis=0, dtype=xp.float64)
        share = xp.clip(having / total, min=LEAST_SHARE, max=1 - LEAST_SHARE)
        self.start = self._beside_intercepts(0, xp.log(share / (1 - share)))

    def logits(self, at: Array) -> Array:
        """Of each sample and label, (N, L)."""
        return _affine(self.X, at[:, :-1].T, at[:, -1], self._parts)

    def look(self, logits: Array) -> tuple[Array, Array]:
        """Losses (L,), and their slopes along the logits (N, L)."""
        xp = self._xp
        losses = softplus(logits) - self._targets * logits
        excess = 0.5 * xp.tanh(0.5 * logits) + (0.5 - self._targets)  # the sigmoid, which overflows nowhere
        if self.weights is not None:
            losses *= self.weights
            excess *= self.weights
        return xp.sum(losses, axis=0, dtype=xp.float64), excess

    def gradient(self, slopes: Array) -> Array:
        """Shape (L, D + 1)."""
        matrix = sum(each(lambda part: slopes[part].T @ self.X[part], self._parts))
        return self._xp.concat([matrix, self._xp.sum(slopes, axis=0)[:, None]], axis=1)

    def curvature(self, logits: Array, C: float) -> Inverse:
        """See `headstart.heads.lbfgs.Loss`."""
        bent = 0.25 * (1 - self._xp.tanh(0.5 * logits) ** 2)
        if self.weights is not None:
            bent *= self.weights
        return Curvature(self.X, self._spread, bent, C).solve

    def unpack(self, at: Array) -> tuple[Array, Array]:
        """The matrix (L, D) and the intercepts (L,)."""
        return at[:, :-1], at[:, -1]

    def _beside_intercepts(self, matrix: float, intercepts: Array | float) -> Array:
        xp, X = self._xp, self.X
        whole = xp.full((self._targets.shape[1], X.shape[1] + 1), matrix, dtype=X.dtype, device=X.device)
        whole[:, -1] = intercepts
        return whole


def _affine(X: Array, matrix: Array, intercepts: Array, parts: list[slice]) -> Array:
    """``X @ matrix + intercepts``, parts of its rows at once."""
    xp = array_namespace(X)
    whole = xp.empty((X.shape[0], matrix.shape[1]), dtype=X.dtype, device=X.device)

    def fill(part: slice) -> None:
        whole[part] = X[part] @ matrix
        whole[part] += intercepts

    each(fill, parts)
    return whole


def _parts(X: Array, n_outputs: int) -> list[slice]:
    """Parts of the rows that are worked on at once; on a GPU all are one."""
    products = X.shape[0] * X.shape[1] * n_outputs
    return parts_of(X.shape[0], products if isinstance(X, np.ndarray) else 0)
