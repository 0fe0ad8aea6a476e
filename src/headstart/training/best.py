"""Which epoch of each member was the best, and its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from headstart.training.schedules import STEP_FACTOR
from headstart.training.settings import Criterion
from headstart.training.trainee import Trainee

TIE = 1e-6
"""The weight of the loss beside the accuracy: less than one sample of a million."""


def selection_score(loss: float, accuracy: float | None, by: Criterion) -> float:
    """How well an epoch does, the larger the better.

    A network that has learnt its training samples by heart goes on gaining accuracy while it grows too sure of
    itself, and its loss rises; the temperature that is fitted to the validation samples afterwards mends that.

    Examples
    --------
    >>> selection_score(0.5, 0.90, "accuracy") > selection_score(0.4, 0.90 - 1e-5, "accuracy")
    True
    >>> selection_score(0.4, 0.90, "accuracy") > selection_score(0.5, 0.90, "accuracy")
    True
    >>> selection_score(0.4, 0.89, "loss") > selection_score(0.5, 0.90, "loss")
    True
    """
    if not math.isfinite(loss):  # it diverged, and an accuracy is chance
        return -math.inf
    if accuracy is None or by == "loss":
        return -loss
    return accuracy + TIE / (1 + loss)


class BestWeights:
    """Remembers the weights of each member's best epoch, and how long ago that was.

    Parameters
    ----------
    trainee : Trainee
    patience : int, optional
        Epochs without a better one before a member stops. After a third of them, at least one, the learning rate
        falls where the schedule is ``plateau``.
    """

    def __init__(self, trainee: Trainee, patience: int | None) -> None:
        self._trainee = trainee
        self._patience = patience
        self.epochs = [0] * trainee.n_members
        """The best epoch of each, from 1; 0 if there is none yet."""
        self.scores = [-math.inf] * trainee.n_members
        self.factors = [1.0] * trainee.n_members
        """What ``plateau`` multiplies the learning rates by."""
        self.weights: dict[str, Tensor] = {}
        self._since_fall = [0] * trainee.n_members

    def update(self, epoch: int, scores: list[float | None]) -> None:
        """Take an epoch into account; a score is None where nothing could be measured."""
        better = [score is not None and score > best for score, best in zip(scores, self.scores, strict=True)]
        for place, is_better in enumerate(better):
            if is_better:
                self.epochs[place], self.scores[place] = epoch, float(scores[place] or 0.0)
        if self._patience and any(score is not None for score in scores):
            self._fall(better, max(self._patience // 3, 1))
        if any(better):
            self._remember(torch.tensor(better))

    def has_waited(self, place: int, epoch: int) -> bool:
        """Whether a member's best epoch is so long ago that it stops; never without a best one."""
        best = self.epochs[place]
        return bool(self._patience and best and epoch - best >= self._patience)

    def _remember(self, better: Tensor) -> None:
        for name, value in self._trainee.state().items():
            # Without the copies these would be the live weights, which training goes on changing.
            if name not in self.weights:
                self.weights[name] = _copied(value, self._trainee)
            elif self._trainee.is_stacked:
                self.weights[name][better] = value[better]
            else:
                self.weights[name].copy_(value)

    def _fall(self, better: list[bool], wait: int) -> None:
        for place, is_better in enumerate(better):
            self._since_fall[place] = 0 if is_better else self._since_fall[place] + 1
            if self._since_fall[place] >= wait:
                self._since_fall[place] = 0
                self.factors[place] *= STEP_FACTOR

    def weights_of(self, place: int) -> dict[str, Tensor]:
        """The best weights of a member, or those that it has now where no epoch was the best."""
        if not self._trainee.is_stacked:
            return self.weights or {n: _copied(t, self._trainee) for n, t in self._trainee.state().items()}
        tensors = self.weights if self.epochs[place] else self._trainee.state()
        return {name: tensor[place].clone() for name, tensor in tensors.items()}

    def keep(self, members: Tensor) -> None:
        """Go on with some members, after the trainee does."""
        places = members.tolist()
        for name in ("epochs", "scores", "factors", "_since_fall"):
            values = getattr(self, name)
            setattr(self, name, [values[place] for place in places])
        self.weights = {name: value[members].clone() for name, value in self.weights.items()}

    def state(self) -> dict[str, Any]:
        """What a training that is taken up again needs beside the weights."""
        scores = [None if math.isinf(score) else score for score in self.scores]
        return {
            "epochs": self.epochs, "scores": scores, "factors": self.factors, "since_fall": self._since_fall,
        }  # fmt: skip

    def restore(self, weights: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """Take over what `state` gave."""
        live = self._trainee.state()
        self.weights = {name: _copied(t.to(live[name].device), self._trainee) for name, t in weights.items()}
        self.epochs, self.factors = plain["epochs"], plain["factors"]
        self.scores = [-math.inf if score is None else score for score in plain["scores"]]
        self._since_fall = plain["since_fall"]


def _copied(tensor: Tensor, trainee: Trainee) -> Tensor:
    """A copy; of a network, which may fill a GPU, in main memory."""
    return tensor.detach().to(tensor.device if trainee.is_stacked else "cpu", copy=True)
