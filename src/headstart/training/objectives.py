"""Losses of a stack of heads, one a row and member."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from headstart.types import UNSEEN

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from headstart.contracts import Task


@dataclass(frozen=True)
class Objective:
    """What is minimised: the loss of a task.

    Parameters
    ----------
    class_weight : Tensor, shape (C,), optional
        As `Task.balanced_weights` gives them.

    A validation target may be ``UNSEEN``, of a label that training lacks: it has no loss, and is always wrong.
    """

    task: Task
    class_weight: Tensor | None = None
    label_smoothing: float = 0.0

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Losses (B, M) of logits (B, M, C) for targets: (B,) classes, or (B, C) labels or numbers.

        Targets may also be those of each member, (B, M) and (B, M, C).
        """
        wanted = _by_member(targets, logits.shape[1])
        return self.task.losses(logits, wanted, self.class_weight, self.label_smoothing)

    def right(self, logits: Tensor, targets: Tensor) -> Tensor | None:
        """Which rows are right, bool (B, M): all labels of a row have to be; None where none is right or wrong."""
        return self.task.right(logits, _by_member(targets, 1))

    def to(self, device: torch.device) -> Objective:
        """The same on another device."""
        weights = None if self.class_weight is None else self.class_weight.to(device)
        return replace(self, class_weight=weights)

    def n_seen(self, targets: Tensor) -> int:
        """How many rows of one stream have a loss."""
        return int((targets != UNSEEN).sum()) if _are_classes(targets) else len(targets)


def _by_member(targets: Tensor, n_members: int) -> Tensor:
    """(B, M) classes, or (B, M, C) labels or numbers."""
    if targets.ndim > (1 if _are_classes(targets) else 2):
        return targets
    return targets.unsqueeze(1).expand(-1, n_members, *targets.shape[1:])


def _are_classes(targets: Tensor) -> bool:
    return not targets.is_floating_point()
