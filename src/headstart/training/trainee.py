"""What the training loop asks of a model, losses of each member, and where it gets them: a single network is one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from headstart.types import UNSEEN

if TYPE_CHECKING:
    from headstart.contracts import Task


@dataclass(frozen=True)
class Group:
    """Parameters that are updated alike: by the weight decay of each member, and its learning rate times ``scale``."""

    names: Sequence[str]
    decays: Sequence[float]
    scale: float = 1.0


@dataclass(frozen=True)
class Step:
    """Samples of one update of the weights, in parts that go through the model one after the other."""

    parts: Iterable[Any]
    n_samples: int


class Trainee:
    """M members that are trained side by side, with their samples; a single network is one member."""

    is_stacked: bool
    """Whether the first dimension of each parameter is that of the members; else there is one member."""
    device: torch.device
    seed: int
    n_samples: int
    n_steps: int
    """Per epoch."""
    rates: list[float]
    """The peak learning rate of each member."""

    @property
    def n_members(self) -> int:
        """How many are still trained."""
        return 1

    @property
    def module(self) -> nn.Module:
        """What is trained."""
        raise NotImplementedError

    def parameters(self) -> dict[str, nn.Parameter]:
        """The parameters that train, by name."""
        return {name: p for name, p in self.module.named_parameters() if p.requires_grad}

    def state(self) -> dict[str, Tensor]:
        """All that training changes, as it is now: parameters and buffers by name."""
        return dict(self.module.state_dict())

    def groups(self) -> list[Group]:
        """Each parameter that trains in one group."""
        raise NotImplementedError

    def begin(self, epoch: int) -> None:
        """Go into training mode, and draw what is drawn once per epoch: it follows from the seed and the epoch."""
        raise NotImplementedError

    def steps(self, first: int) -> Iterable[Step]:
        """The steps of the epoch, without those before ``first``."""
        raise NotImplementedError

    def losses(self, part: Any) -> Tensor:
        """The share of a part in the mean loss of its step, of each member, shape (M,)."""
        raise NotImplementedError

    def loss_of_all(self) -> Tensor:
        """The loss of all samples with the penalty of weight decay, for L-BFGS; of one member."""
        raise NotImplementedError

    def evaluate(self) -> list[tuple[float | None, float | None]]:
        """Mean loss and accuracy of each member on validation samples, in eval mode; None where there is none."""
        raise NotImplementedError

    def train_accuracy(self) -> list[float | None]:
        """The share of the epoch's training samples that each member had right before their step; None: unknown."""
        return [None] * self.n_members

    def halve(self) -> bool:
        """Let fewer samples through at once, where memory did not suffice; False if that cannot be."""
        return False

    def keep(self, members: Tensor) -> None:
        """Go on with some members, by their places."""

    def about(self) -> Mapping[str, Any]:
        """What callbacks are told of the first member before it begins."""
        return {}


class RightCounter:
    """How many training samples were right in an epoch, as they went through; read from the device at its end."""

    def __init__(self) -> None:
        self._right: Tensor | None = None
        self._n = 0

    @torch.no_grad()
    def add(self, found: Tensor | None) -> None:
        """Rows (B, M) that are right; None where none is right or wrong."""
        if found is not None:
            right = found.sum(dim=0)
            self._right = right if self._right is None else self._right + right
            self._n += len(found)

    def shares(self, n_members: int) -> list[float | None]:
        """Of each member; None if nothing was counted."""
        if self._right is None:
            return [None] * n_members
        return [right / self._n for right in self._right.tolist()]


@torch.no_grad()
def load_state(trainee: Trainee, tensors: Mapping[str, Tensor]) -> None:
    """Take over what `Trainee.state` gave, in place; a `KeyError` if a name is of no tensor here, or one is missing."""
    live = trainee.state()
    if missing := set(trainee.parameters()) - set(tensors):
        raise KeyError(min(missing))
    for name, tensor in tensors.items():
        live[name].copy_(tensor)


@dataclass(frozen=True)
class Objective:
    """What is minimised: the loss of a task, one a row and member.

    A validation target may be ``UNSEEN``, of a label that training lacks: it has no loss, and is always wrong.
    """

    task: Task
    class_weight: Tensor | None = None
    label_smoothing: float = 0.0

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Losses (B, M) of logits (B, M, C) for targets: (B,) classes, or (B, C) labels or numbers.

        Targets may also be those of each member, (B, M) and (B, M, C); or, of logits (B, M, T, C), (B, T) tags.
        """
        wanted = by_member(targets, logits.shape[1])
        return self.task.losses(logits, wanted, self.class_weight, self.label_smoothing)

    def right(self, logits: Tensor, targets: Tensor) -> Tensor | None:
        """Which rows are right, bool (B, M): all labels of a row have to be; None where none is right or wrong."""
        return self.task.right(logits, by_member(targets, 1))

    def to(self, device: torch.device) -> Objective:
        """The same on another device."""
        weights = None if self.class_weight is None else self.class_weight.to(device)
        return replace(self, class_weight=weights)

    def n_seen(self, targets: Tensor) -> int:
        """How many rows of one stream have a loss: of sentences those with a word that has one."""
        return (
            int((targets > UNSEEN).reshape(len(targets), -1).any(1).sum())
            if _are_classes(targets)
            else len(targets)
        )


def by_member(targets: Tensor, n_members: int) -> Tensor:
    """(B, M) classes, or (B, M, C) labels or numbers."""
    if targets.ndim > (1 if _are_classes(targets) else 2):
        return targets
    return targets.unsqueeze(1).expand(-1, n_members, *targets.shape[1:])


def _are_classes(targets: Tensor) -> bool:
    return not targets.is_floating_point()
