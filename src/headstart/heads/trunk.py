"""One network with outputs for several labels (hard parameter sharing; Caruana, 1997), and the head of each label.

The hidden layers, the trunk, are trained on all labels at once; a sample counts for those that it has. What is trained
is taken apart again: the head of a label is a head of its kind, with the weights of the trunk and of its own outputs.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.errors import ConfigError
from headstart.heads import open_head
from headstart.heads.torch_heads import TorchHead
from headstart.tasks import open_task
from headstart.types import UNSEEN

if TYPE_CHECKING:
    import torch

    from headstart.heads.estimators import Shapes, Tensors
    from headstart.samples import SoftTargets
    from headstart.training.joint import JointObjective, JointOutput
    from headstart.training.loop import TrainingResult
    from headstart.types import LabelKind

OUTPUT = "output."
"""What the names of the weights begin with that are of the last layer, a row for each output."""


def joint_labels(labels: Sequence[tuple[NDArray[Any], NDArray[np.bool_]]]) -> NDArray[Any]:
    """The labels of N samples as a trunk takes them: an array (N,) with two fields for each label.

    Parameters
    ----------
    labels : sequence of (targets, known)
        Of each label the targets of the samples that have it, as `Task.targets` gives them, and which of the N samples
        those are, shape (N,).

    Examples
    --------
    >>> joint_labels([(np.array(["a", "b"]), np.array([True, False, True]))])["0"].tolist()
    ['a', '', 'b']
    """
    fields: list[Any] = []
    for number, (targets, _) in enumerate(labels):
        fields += [(str(number), targets.dtype, targets.shape[1:]), (f"{number} known", np.bool_)]
    joint = np.zeros(len(labels[0][1]), dtype=fields)
    for number, (targets, known) in enumerate(labels):
        joint[str(number)][known] = targets
        joint[f"{number} known"] = known
    return joint


class TorchTrunk(TorchHead):
    """A torch head for several labels; `open_trunk` makes one.

    It is fitted on what `joint_labels` gives, and answers through its ``members_``, a fitted head for each label.

    Attributes
    ----------
    members_ : list of TorchHead
        In the order of the labels.
    """

    fitted: ClassVar[tuple[str, ...]] = ("n_iter_", "best_epoch_")

    kinds: Sequence[LabelKind]
    """Of the labels, in order."""
    weights: Sequence[float]
    """What the loss of each label counts."""
    members_: list[TorchHead]

    def member(self, number: int) -> TorchHead:
        """The unfitted head of a label."""
        return cast("TorchHead", open_head(self.kind, self.get_params(), 0, self.kinds[number]))

    def finish(self, trained: TrainingResult) -> Self:
        """Become fitted with what training gave, and the head of each label with it."""
        super().finish(trained)
        # Heads of one stack share what they learnt of the data, and none may write into the members of another.
        self.members_ = [copy.copy(member) for member in self.members_]
        for member, tensors in zip(self.members_, self.member_tensors(self.tensors()), strict=True):
            member.restore(getattr(member, "classes_", None), tensors)
            member.history_, member.n_iter_ = self.history_, self.n_iter_
            member.best_epoch_ = self.best_epoch_
        return self

    def tensors(self) -> dict[str, NDArray[Any]]:
        """What was fitted; of the targets of labels that are classes the mean is 0 and the scale 1."""
        ones = [(np.zeros(member.n_outputs_), np.ones(member.n_outputs_)) for member in self.members_]
        known = [
            [getattr(member, f"{name}_") for name in member.target_tensors] or one
            for member, one in zip(self.members_, ones, strict=True)
        ]
        means, scales = zip(*known, strict=True)
        targets = {"target_mean": np.concatenate(means), "target_scale": np.concatenate(scales)}
        return {**super().tensors(), **targets}

    def member_tensors(self, every: Tensors) -> list[dict[str, NDArray[Any]]]:
        """Of all tensors those of each label's head, the trunk among them; none is copied."""
        found, start = [], 0
        of_targets = ("target_mean", "target_scale")
        for member in self.members_:
            own = slice(start, start := start + member.n_outputs_)
            known = {n: t for n, t in every.items() if n not in of_targets or n in member.target_tensors}
            of_outputs = {n: t[own] for n, t in known.items() if n.startswith(OUTPUT) or n in of_targets}
            found.append({**known, **of_outputs})
        return found

    def shapes(self, tensors: Tensors, n_classes: int, n_features: int) -> Shapes:
        """The shape that each of its tensors must have, for so many outputs of all labels."""
        numbers = dict.fromkeys(("target_mean", "target_scale"), (n_classes,))
        return {**super().shapes(tensors, n_classes, n_features), **numbers}

    def _read_labelled(self, X: Any, y: ArrayLike) -> tuple[Any, NDArray[Any]]:
        features, labels = self._read(X, reset=True), np.asarray(y)
        if len(features) != len(labels):
            raise ConfigError(f"X has {len(features):,} rows, and y {len(labels):,}; it needs as many")
        return features, labels

    def _learn_targets(self, y: NDArray[Any]) -> NDArray[Any]:
        self.members_ = [self.member(number) for number in range(len(self.kinds))]
        for member, (targets, _) in zip(self.members_, self._split(y), strict=True):
            member._learn_targets(targets)
            member.n_outputs_ = member._n_outputs()
        return self._as_targets(y)

    def _as_targets(self, y: NDArray[Any]) -> NDArray[Any]:
        """Targets (N, K): the columns of each label, and behind them what it counts in each row."""
        pairs = zip(self.members_, self.weights, self._split(y), strict=True)
        return np.concatenate([_packed(*pair) for pair in pairs], axis=1)

    def _n_outputs(self) -> int:
        return sum(member.n_outputs_ for member in self.members_)

    def _split(self, y: NDArray[Any]) -> list[tuple[NDArray[Any], NDArray[np.bool_]]]:
        """What `joint_labels` joined."""
        known = [y[f"{number} known"] for number in range(len(self.kinds))]
        return [(y[str(number)][has_label], has_label) for number, has_label in enumerate(known)]

    def _objective(
        self, targets: NDArray[Any], device: torch.device, soft: SoftTargets | None = None
    ) -> JointObjective:
        from headstart.training.joint import JointObjective

        outputs = self._outputs(targets)
        smoothing = float(self.label_smoothing)
        return JointObjective(outputs[0].task, None, smoothing, outputs).to(device)

    def _outputs(self, targets: NDArray[Any]) -> list[JointOutput]:
        from headstart.training.joint import JointOutput

        found, first, column = [], 0, 0
        for member, kind in zip(self.members_, self.kinds, strict=True):
            task = open_task(kind)
            logits = slice(first, first := first + member.n_outputs_)
            width = 1 if task.form == "classes" else member.n_outputs_
            own = slice(column, column := column + width)
            found.append(JointOutput(task, logits, own, column, task.form == "classes"))
            column += 1
        if self.class_weight == "balanced":
            return [self._balanced(one, targets) for one in found]
        return found

    def _balanced(self, output: JointOutput, targets: NDArray[Any]) -> JointOutput:
        """The same with classes that count alike, by the samples that have the label."""
        import torch

        own = torch.from_numpy(targets[targets[:, output.weight] > 0][:, output.targets])
        own = own[:, 0].long() if output.has_classes else own
        n_outputs = output.logits.stop - output.logits.start
        return replace(output, class_weight=output.task.balanced_weights(own, n_outputs))


def _packed(
    member: TorchHead, weight: float, label: tuple[NDArray[Any], NDArray[np.bool_]]
) -> NDArray[np.float32]:
    """The targets of a label as floats (N, K), and in a last column what its loss counts in each row.

    A label that few samples have counts as much as others in the mean over all rows: a row that has it counts for
    those that lack it.
    """
    targets, known = label
    coded = member._as_targets(targets)
    coded = coded[:, None] if coded.ndim == 1 else coded
    packed = np.zeros((len(known), coded.shape[1] + 1), dtype=np.float32)
    packed[known, :-1] = coded
    has_loss = known.copy()
    if coded.dtype.kind == "i":
        has_loss[known] = coded[:, 0] != UNSEEN
    if has_loss.any():
        packed[has_loss, -1] = weight * len(known) / has_loss.sum()
    return packed
