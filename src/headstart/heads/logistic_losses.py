"""The losses of logistic regression with their gradients in closed form: two matrix products each."""

from __future__ import annotations

import torch
from torch import Tensor


class SoftmaxLoss:
    """Cross-entropy of one class a sample, summed over samples: one problem with all classes in it.

    Parameters
    ----------
    X : Tensor, shape (N, D)
        Centred features.
    codes : Tensor of int64, shape (N,)
    n_classes : int
    weights : Tensor of float, shape (N,), optional
        Of the samples.
    smoothing : float in [0, 1)
        The share of each target that is spread over all classes.
    """

    def __init__(
        self, X: Tensor, codes: Tensor, n_classes: int, weights: Tensor | None = None, smoothing: float = 0.0
    ) -> None:
        self.X, self.weights, self.smoothing, self.n_classes = X, weights, smoothing, n_classes
        self._codes = codes[:, None]
        self._right = torch.full_like(self._codes, 1, dtype=X.dtype) * (smoothing - 1)

    def __call__(self, at: Tensor) -> tuple[Tensor, Tensor]:
        """Losses (1,) and gradients (1, (D + 1) * n_classes) of matrices (D, n_classes) over intercepts."""
        both = at.view(-1, self.n_classes)
        logits = torch.addmm(both[-1], self.X, both[:-1])
        logits -= logits.amax(dim=1, keepdim=True)
        wanted = logits.gather(1, self._codes)
        if self.smoothing:
            wanted = wanted.lerp(logits.mean(dim=1, keepdim=True), self.smoothing)
        share = logits.exp_()
        total = share.sum(dim=1, keepdim=True)
        losses = total.log() - wanted
        share /= total
        share.scatter_add_(1, self._codes, self._right)
        if self.smoothing:
            share -= self.smoothing / self.n_classes
        if self.weights is not None:
            losses *= self.weights[:, None]
            share *= self.weights[:, None]
        gradient = torch.empty_like(both)
        torch.mm(self.X.T, share, out=gradient[:-1])
        torch.sum(share, dim=0, out=gradient[-1])
        return losses.sum(dtype=torch.float64)[None], gradient.view(1, -1)

    def start(self) -> Tensor:
        """No matrix, and intercepts that give the classes their shares; shape (1, (D + 1) * n_classes)."""
        counts = torch.bincount(self._codes[:, 0], self.weights, minlength=self.n_classes)
        start = self.X.new_zeros(self.X.shape[1] + 1, self.n_classes)
        intercepts = (counts / counts.sum()).clamp(min=1e-6).log()
        # Only their differences matter. Gradients sum to zero, so that intercepts go on doing what they do here.
        start[-1] = (intercepts - intercepts.mean()).to(start.dtype)
        return start.view(1, -1)

    def penalised(self) -> Tensor:
        """1 for the matrix and 0 for the intercepts, shape (P,)."""
        mask = self.X.new_ones(self.X.shape[1] + 1, self.n_classes)
        mask[-1] = 0
        return mask.view(-1)

    def bends(self) -> Tensor:
        """How much the loss curves along the intercepts at `start`, 0 along the matrix, shape (1, P)."""
        counts = torch.bincount(self._codes[:, 0], self.weights, minlength=self.n_classes).clamp(min=1e-6)
        bends = self.X.new_zeros(self.X.shape[1] + 1, self.n_classes)
        bends[-1] = counts * (1 - counts / counts.sum()).clamp(min=1e-6)
        return bends.view(1, -1)

    def unpack(self, at: Tensor) -> tuple[Tensor, Tensor]:
        """The matrix (n_classes, D) and the intercepts (n_classes,)."""
        both = at.view(-1, self.n_classes)
        return both[:-1].T, both[-1]


class SigmoidLoss:
    """Binary cross-entropy of L labels, each a problem of its own, side by side.

    Parameters
    ----------
    X : Tensor, shape (N, D)
        Centred features.
    labels : Tensor of float, shape (N, L)
        0 or 1.
    weights : Tensor of float, shape (N, L), optional
    smoothing : float in [0, 1)
    """

    def __init__(
        self, X: Tensor, labels: Tensor, weights: Tensor | None = None, smoothing: float = 0.0
    ) -> None:
        self.X, self.weights = X, weights
        self._targets = labels * (1 - smoothing) + smoothing / 2

    def __call__(self, at: Tensor) -> tuple[Tensor, Tensor]:
        """Losses (L,) and gradients (L, D + 1); the last column is the intercept."""
        logits = torch.addmm(at[:, -1], self.X, at[:, :-1].T)
        losses = torch.nn.functional.softplus(logits) - self._targets * logits
        excess = logits.sigmoid_().sub_(self._targets)
        if self.weights is not None:
            losses *= self.weights
            excess *= self.weights
        gradient = torch.empty_like(at)
        gradient[:, :-1] = excess.T @ self.X
        gradient[:, -1] = excess.sum(dim=0)
        return losses.sum(dim=0, dtype=torch.float64), gradient

    def start(self) -> Tensor:
        """No matrix, and intercepts that give the labels their shares, shape (L, D + 1)."""
        weights = torch.ones_like(self._targets) if self.weights is None else self.weights
        shares = (weights * self._targets).sum(dim=0) / weights.sum(dim=0)
        start = self.X.new_zeros(self._targets.shape[1], self.X.shape[1] + 1)
        start[:, -1] = torch.logit(shares, eps=1e-6)
        return start

    def penalised(self) -> Tensor:
        """1 for the matrix and 0 for the intercept, shape (D + 1,)."""
        mask = self.X.new_ones(self.X.shape[1] + 1)
        mask[-1] = 0
        return mask

    def bends(self) -> Tensor:
        """How much the loss curves along the intercepts at `start`, 0 along the matrix, shape (L, D + 1)."""
        weights = torch.ones_like(self._targets) if self.weights is None else self.weights
        total = weights.sum(dim=0)
        shares = ((weights * self._targets).sum(dim=0) / total).clamp(1e-6, 1 - 1e-6)
        bends = torch.zeros_like(self.start())
        bends[:, -1] = total * shares * (1 - shares)
        return bends

    def unpack(self, at: Tensor) -> tuple[Tensor, Tensor]:
        """The matrix (L, D) and the intercepts (L,)."""
        return at[:, :-1], at[:, -1]
