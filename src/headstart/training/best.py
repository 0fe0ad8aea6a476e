"""Which epoch of each member of a stack was the best, and its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from headstart.heads.networks.networks import Network
from headstart.training.schedules import STEP_FACTOR


class BestWeights:
    """Remembers the weights of each member's best epoch by validation loss, and how long ago that was.

    Parameters
    ----------
    network : Network
    patience : int
        Epochs without a better loss before a training stops. After a third of them, at least one, the learning
        rate falls where the schedule is ``plateau``.
    """

    def __init__(self, network: Network, patience: int) -> None:
        self._network = network
        self._patience = patience
        self.epochs = [0] * network.n_members
        """The best epoch of each, from 1; 0: none yet."""
        self.losses = [math.inf] * network.n_members
        self.factors = [1.0] * network.n_members
        """What ``plateau`` multiplies the learning rates by."""
        self.weights: dict[str, Tensor] = {}
        self._since_fall = [0] * network.n_members

    def update(self, epoch: int, losses: list[float | None]) -> None:
        """Take an epoch into account; a loss is None where nothing could be measured."""
        better = [loss is not None and loss < best for loss, best in zip(losses, self.losses, strict=True)]
        for number, is_better in enumerate(better):
            if is_better:
                self.epochs[number], self.losses[number] = epoch, float(losses[number] or 0.0)
        if any(loss is not None for loss in losses):
            self._fall(better)
        if any(better):
            self._remember(torch.tensor(better))

    def _remember(self, better: Tensor) -> None:
        for name, value in self._network.state_dict().items():
            # Without the clones these would be the live weights, which training goes on changing.
            if name not in self.weights or not self._network.is_stacked:
                self.weights[name] = value.clone()
            else:
                self.weights[name][better] = value[better]

    def _fall(self, better: list[bool]) -> None:
        wait = max(self._patience // 3, 1)
        for number, is_better in enumerate(better):
            self._since_fall[number] = 0 if is_better else self._since_fall[number] + 1
            if self._since_fall[number] >= wait:
                self._since_fall[number] = 0
                self.factors[number] *= STEP_FACTOR

    def weights_of(self, member: int) -> dict[str, Tensor]:
        """The best weights of a member, or those that it has now where no epoch was the best."""
        tensors = self.weights if self.epochs[member] else self._network.state_dict()
        return self._network.member_weights(tensors, member)

    def keep(self, members: Tensor) -> None:
        """Go on with some members, after the network does."""
        numbers = members.tolist()
        for name in ("epochs", "losses", "factors", "_since_fall"):
            values = getattr(self, name)
            setattr(self, name, [values[number] for number in numbers])
        self.weights = {name: value[members].clone() for name, value in self.weights.items()}

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What a training that is taken up again needs."""
        plain = {
            "epochs": self.epochs,
            "losses": [None if math.isinf(loss) else loss for loss in self.losses],
            "factors": self.factors,
            "since_fall": self._since_fall,
        }
        return self.weights, plain

    def restore(self, weights: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """Take over what `state` gave."""
        live = self._network.state_dict()
        self.weights = {name: weight.to(live[name].device) for name, weight in weights.items()}
        self.epochs, self.factors = plain["epochs"], plain["factors"]
        self.losses = [math.inf if loss is None else loss for loss in plain["losses"]]
        self._since_fall = plain["since_fall"]
