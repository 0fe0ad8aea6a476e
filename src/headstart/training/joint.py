"""The loss of one network for several labels: a weighted sum, in which a sample counts for the labels that it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import Tensor

from headstart.training.trainee import Objective, by_member

if TYPE_CHECKING:
    import torch

    from headstart.contracts import Task


@dataclass(frozen=True)
class JointOutput:
    """What of the logits and of the targets is one label's.

    Parameters
    ----------
    task : Task
    logits : slice
        Its outputs.
    targets : slice
        Its columns: the place of a class, or a number or 0/1 for each output.
    weight : int
        The column that says what its loss counts in each row; 0 where the sample lacks the label.
    has_classes : bool
        Whether its target is the place of a class.
    class_weight : Tensor, shape (n_outputs,), optional
    """

    task: Task
    logits: slice
    targets: slice
    weight: int
    has_classes: bool
    class_weight: Tensor | None = None

    def losses(self, logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """Weighted losses (B, M) of logits (B, M, C) for targets (B, M, K), both of all labels."""
        wanted = targets[..., self.targets]
        if self.has_classes:
            wanted = wanted[..., 0].long()
        losses = self.task.losses(logits[..., self.logits], wanted, self.class_weight, smoothing)
        return losses * targets[..., self.weight]


@dataclass(frozen=True)
class JointObjective(Objective):
    """What is minimised for several labels: the sum of what each label's loss counts; targets are floats (B, K)."""

    outputs: Sequence[JointOutput] = ()

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Losses (B, M) of logits (B, M, C) for targets (B, K), or those of each member, (B, M, K)."""
        wanted = by_member(targets, logits.shape[1])
        first, *others = (output.losses(logits, wanted, self.label_smoothing) for output in self.outputs)
        return sum(others, first)

    def right(self, logits: Tensor, targets: Tensor) -> Tensor | None:
        """None: no row is right or wrong in all of its labels alike."""
        return None

    def to(self, device: torch.device) -> JointObjective:
        """The same on another device."""
        moved = [
            replace(one, class_weight=None if one.class_weight is None else one.class_weight.to(device))
            for one in self.outputs
        ]
        return replace(self, outputs=moved)

    def n_seen(self, targets: Tensor) -> int:
        """All rows: the weights of the labels make up for those that lack one."""
        return len(targets)
