"""Targets that carry what a teacher says beside the label, and the loss of both.

They go through the loop, its checkpoints, mixup and the parts of a step like any others: one row of numbers a sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from torch import Tensor

from headstart.errors import DataError
from headstart.training.trainee import Objective

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import Distillable, Task
    from headstart.samples import SoftTargets

WEIGHTS = 2
"""Columns that come first: what the label and the teacher's opinion count."""


def lessons(targets: NDArray[Any], logits: NDArray[np.float32], soft: SoftTargets) -> NDArray[np.float32]:
    """Targets with what a teacher says, as `DistilledObjective` takes them.

    Parameters
    ----------
    targets : ndarray, shape (N,) of classes or (N, C)
    logits : ndarray of float32, shape (N, C)
        The teacher's, in the order of the student's outputs.
    soft : SoftTargets
    """
    labels = targets[:, None] if targets.ndim == 1 else targets
    parts = [soft.hard[:, None], soft.soft[:, None], labels, logits]
    if soft.features is not None:
        parts.append(soft.features)
    return np.concatenate(parts, axis=1).astype(np.float32)


@dataclass(frozen=True)
class DistilledObjective(Objective):
    """The loss of the label and that of the teacher's opinion, weighted sample by sample.

    Logits may have more columns than the ``n_outputs`` of the task: behind them stand features that are to be like the
    teacher's. Targets without a teacher, as those of validation samples, have the loss of the label alone.
    """

    n_outputs: int = 1
    temperature: float = 1.0
    feature_weight: float = 0.0

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """See `Objective.losses`."""
        said, shown = logits[..., : self.n_outputs], logits[..., self.n_outputs :]
        if not self._is_taught(targets):
            return super().losses(said, targets)
        weights, labels, opinions, features = self._parts(targets, logits.shape[1])
        task = cast("Distillable", self.task)
        soft = task.soft_losses(said, opinions, self.temperature)
        loss = weights[..., 0] * super().losses(said, labels) + weights[..., 1] * soft
        if shown.shape[-1]:
            loss = loss + self.feature_weight * (shown - features).square().mean(dim=-1)
        return loss

    def right(self, logits: Tensor, targets: Tensor) -> Tensor | None:
        """See `Objective.right`; of a sample without a label the teacher says which answer is right."""
        said = logits[..., : self.n_outputs]
        labels = self._parts(targets, logits.shape[1])[1] if self._is_taught(targets) else targets
        return super().right(said, labels)

    def _is_taught(self, targets: Tensor) -> bool:
        return targets.is_floating_point() and targets.shape[-1] > self.n_outputs

    def _parts(self, targets: Tensor, n_members: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weights (B, M, 2), labels (B, M) or (B, M, C), opinions (B, M, C) and features (B, M, F)."""
        rows = targets if targets.ndim == 3 else targets.unsqueeze(1).expand(-1, n_members, -1)
        are_classes = self.task.form == "classes"
        stop = WEIGHTS + (1 if are_classes else self.n_outputs)
        labels = rows[..., WEIGHTS].long() if are_classes else rows[..., WEIGHTS:stop]
        behind = stop + self.n_outputs
        return rows[..., :WEIGHTS], labels, rows[..., stop:behind], rows[..., behind:]


def taught(head: Any, targets: NDArray[Any], soft: SoftTargets | None) -> NDArray[Any]:
    """Targets of a head with what a teacher says, as a student's loss takes them; without a teacher as they are."""
    if soft is None:
        return targets
    if len(soft.logits) != len(targets):
        raise DataError(f"y has {len(targets):,} rows, and the teacher speaks of {len(soft.logits):,}")
    return lessons(targets, head.opinions(soft), soft)


def objective_of(
    task: Task, weights: Tensor | None, smoothing: float, n_outputs: int, soft: SoftTargets | None
) -> Objective:
    """What is minimised, with a teacher or without."""
    if soft is None:
        return Objective(task, weights, smoothing)
    return DistilledObjective(task, weights, smoothing, n_outputs, soft.temperature, soft.feature_weight)
