"""The losses of logistic regression with their gradients in closed form: two matrix products each.

In the array API standard: numpy's arrays on a CPU, torch's tensors on a GPU. Minimisation starts (``start``) without
a matrix, and with intercepts that give classes and labels their shares; see `headstart.heads.lbfgs.Loss`.
"""

from __future__ import annotations

from array_api_compat import array_namespace, device

from headstart.devices import Array
from headstart.heads.curvature import Curvature
from headstart.heads.lbfgs import Inverse

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
        self._rows = self._xp.arange(X.shape[0], device=device(X))
        self.penalised = self._over_intercepts(1, 0)[0]
        xp, hot = self._xp, codes[:, None] == self._xp.arange(n_classes, device=device(X))
        weighed = hot if weights is None else xp.where(hot, weights[:, None], 0)
        counts = xp.sum(weighed, axis=0, dtype=xp.float64)
        intercepts = xp.log(xp.clip(counts / xp.sum(counts), min=LEAST_SHARE))
        # Only their differences matter.
        self.start = self._over_intercepts(0, intercepts - xp.mean(intercepts))

    def __call__(self, at: Array) -> tuple[Array, Array]:
        """Losses (1,) and gradients (1, (D + 1) * n_classes)."""
        xp, right = self._xp, (self._rows, self._codes)
        logits = self._logits(at)
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
            losses *= self.weights
            share *= self.weights[:, None]
        gradient = xp.concat([self.X.T @ share, xp.sum(share, axis=0, keepdims=True)])
        return xp.sum(losses, dtype=xp.float64)[None], gradient.reshape(1, -1)

    def curvature(self, at: Array, C: float) -> Inverse:
        """See `headstart.heads.lbfgs.Loss`."""
        share = self._xp.exp(self._logits(at))
        share /= self._xp.sum(share, axis=1, keepdims=True)
        share *= 1 - share
        if self.weights is not None:
            share *= self.weights[:, None]
        blocks = Curvature(self.X, share, C)
        return lambda slopes: blocks.solve(slopes.reshape(-1, self.n_classes).T).T.reshape(1, -1)

    def _logits(self, at: Array) -> Array:
        """Logits (N, n_classes), the largest of each row 0."""
        both = at.reshape(-1, self.n_classes)
        logits = self.X @ both[:-1]
        logits += both[-1]
        logits -= self._xp.max(logits, axis=1, keepdims=True)
        return logits

    def unpack(self, at: Array) -> tuple[Array, Array]:
        """The matrix (n_classes, D) and the intercepts (n_classes,)."""
        both = at.reshape(-1, self.n_classes)
        return both[:-1].T, both[-1] - self._xp.mean(both[-1])

    def _over_intercepts(self, matrix: float, intercepts: Array | float) -> Array:
        xp, X = self._xp, self.X
        whole = xp.full((X.shape[1] + 1, self.n_classes), matrix, dtype=X.dtype, device=device(X))
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
        self.penalised = self._beside_intercepts(1, 0)[0]
        xp, counted = self._xp, self._xp.ones_like(self._targets) if weights is None else weights
        total = xp.sum(counted, axis=0, dtype=xp.float64)
        having = xp.sum(counted * self._targets, axis=0, dtype=xp.float64)
        share = xp.clip(having / total, min=LEAST_SHARE, max=1 - LEAST_SHARE)
        self.start = self._beside_intercepts(0, xp.log(share / (1 - share)))

    def __call__(self, at: Array) -> tuple[Array, Array]:
        """Losses (L,) and gradients (L, D + 1)."""
        xp, logits = self._xp, self._logits(at)
        losses = softplus(logits) - self._targets * logits
        excess = 0.5 * xp.tanh(0.5 * logits) + (0.5 - self._targets)  # the sigmoid, which overflows nowhere
        if self.weights is not None:
            losses *= self.weights
            excess *= self.weights
        gradient = xp.concat([excess.T @ self.X, xp.sum(excess, axis=0)[:, None]], axis=1)
        return xp.sum(losses, axis=0, dtype=xp.float64), gradient

    def curvature(self, at: Array, C: float) -> Inverse:
        """See `headstart.heads.lbfgs.Loss`."""
        bent = 0.25 * (1 - self._xp.tanh(0.5 * self._logits(at)) ** 2)
        if self.weights is not None:
            bent *= self.weights
        return Curvature(self.X, bent, C).solve

    def _logits(self, at: Array) -> Array:
        logits = self.X @ at[:, :-1].T
        logits += at[:, -1]
        return logits

    def unpack(self, at: Array) -> tuple[Array, Array]:
        """The matrix (L, D) and the intercepts (L,)."""
        return at[:, :-1], at[:, -1]

    def _beside_intercepts(self, matrix: float, intercepts: Array | float) -> Array:
        xp, X = self._xp, self.X
        whole = xp.full((self._targets.shape[1], X.shape[1] + 1), matrix, dtype=X.dtype, device=device(X))
        whole[:, -1] = intercepts
        return whole
