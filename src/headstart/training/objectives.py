"""Losses of a stack of heads, one a row and member."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from headstart.heads.estimators import UNSEEN
from headstart.types import LabelKind


@dataclass(frozen=True)
class Objective:
    """What is minimised.

    Parameters
    ----------
    task : {"single", "multi", "regression"}
        Cross-entropy of classes, mean binary cross-entropy of labels, or squared error.
    class_weight : Tensor, shape (C,), optional
        What a row of each class counts; for several labels a sample, what a present label counts.
    label_smoothing : float in [0, 1)

    A validation target may be ``UNSEEN``, of a label that training lacks: it has no loss, and is always wrong.
    """

    task: LabelKind
    class_weight: Tensor | None = None
    label_smoothing: float = 0.0

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Losses (B, M) of logits (B, M, C) for targets: (B,) classes, or (B, C) labels or numbers.

        Targets may also be those of each member, (B, M) and (B, M, C).
        """
        n_rows, n_members, n_outputs = logits.shape
        wanted = self._by_member(targets, n_members)
        if self.task == "single":
            repeated = wanted.reshape(-1)
            flat = cross_entropy(
                logits.reshape(-1, n_outputs),
                repeated,
                weight=self.class_weight,
                reduction="none",
                ignore_index=UNSEEN,
                label_smoothing=self.label_smoothing,
            )
            return flat.view(n_rows, n_members)
        if self.task == "regression":
            return (logits - wanted).square().mean(2)
        smooth = wanted * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
        return binary_cross_entropy_with_logits(
            logits, smooth, pos_weight=self.class_weight, reduction="none"
        ).mean(2)

    def right(self, logits: Tensor, targets: Tensor) -> Tensor | None:
        """Which rows are right, bool (B, M): all labels of a row have to be; None: for numbers none are."""
        match self.task:
            case "single":
                return logits.argmax(dim=2) == self._by_member(targets, 1)
            case "multi":
                return ((logits > 0) == (self._by_member(targets, 1) > 0.5)).all(dim=2)
        return None

    def _by_member(self, targets: Tensor, n_members: int) -> Tensor:
        """(B, M) classes, or (B, M, C) labels or numbers."""
        n_dimensions = 1 if self.task == "single" else 2
        if targets.ndim > n_dimensions:
            return targets
        return targets.unsqueeze(1).expand(-1, n_members, *targets.shape[1:])

    def to(self, device: torch.device) -> Objective:
        """The same on another device."""
        weights = None if self.class_weight is None else self.class_weight.to(device)
        return replace(self, class_weight=weights)

    def n_seen(self, targets: Tensor) -> int:
        """How many rows of one stream have a loss."""
        return int((targets != UNSEEN).sum()) if self.task == "single" else len(targets)


def balanced_weights(targets: Tensor, n_outputs: int, task: LabelKind) -> Tensor:
    """What each class or label counts, so that all count alike.

    For classes n / (C · count), whose mean over the rows is 1; for labels absent / present, at most 100.
    """
    if task == "single":
        counts = torch.bincount(targets, minlength=n_outputs).clamp(min=1)
        return len(targets) / (n_outputs * counts.float())
    present = targets.sum(dim=0)
    return ((len(targets) - present) / present.clamp(min=1)).clamp(0.01, 100.0)
