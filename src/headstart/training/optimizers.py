"""Optimizers of a stack: each member has its own learning rate, and nothing of its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from headstart.training.settings import Member, Settings

if TYPE_CHECKING:
    from headstart.heads.networks.networks import Network

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
LBFGS_STEPS = 20
"""Iterations of L-BFGS that count as an epoch."""
FUSED = ("cpu", "cuda")

Gradients = dict[str, Tensor]


class StackOptimizer(Protocol):
    """Changes the parameters of a network in place."""

    def step(self, gradients: Gradients, rates: Sequence[float]) -> None:
        """One step, with the learning rate of each member."""

    def keep(self, members: Tensor) -> None:
        """Go on with some members, after the network does."""

    def state(self) -> dict[str, Tensor]:
        """What a training that is taken up again needs."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` gave."""


def open_optimizer(network: Network, members: Sequence[Member], settings: Settings) -> StackOptimizer:
    """The optimizer that the settings name; L-BFGS is driven by the loop, see `LBFGS`."""
    decays = [member.weight_decay for member in members]
    return SGD(network, decays, settings.momentum) if settings.optimizer == "sgd" else AdamW(network, decays)


def is_matrix(network: Network, parameter: Tensor) -> bool:
    """Whether a parameter is decayed: those of several dimensions are."""
    return parameter.ndim - network.is_stacked > 1


class _WithMoments:
    """What AdamW and SGD share.

    Parameters
    ----------
    network : Network
    decays : sequence of float, length M
        Weight decay of the matrices.
    """

    moments: tuple[str, ...]

    def __init__(self, network: Network, decays: Sequence[float]) -> None:
        self._network = network
        self._decays = list(decays)
        self._n_steps = torch.zeros((), dtype=torch.float32)
        self._held: dict[str, dict[str, Tensor]] = {
            moment: {name: torch.zeros_like(p) for name, p in self._parameters().items()}
            for moment in self.moments
        }

    def _parameters(self) -> dict[str, Tensor]:
        return {name: p.detach() for name, p in self._network.named_parameters() if p.requires_grad}

    def keep(self, members: Tensor) -> None:
        """Go on with some members."""
        self._decays = [self._decays[number] for number in members.tolist()]
        for held in self._held.values():
            for name, tensor in held.items():
                held[name] = tensor[members].clone()

    def state(self) -> dict[str, Tensor]:
        """The moments and the number of steps."""
        moments = {f"{m}.{name}": t for m, held in self._held.items() for name, t in held.items()}
        return {"n_steps": self._n_steps, **moments}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` gave."""
        self._n_steps.copy_(state["n_steps"])
        for moment, held in self._held.items():
            for name in held:
                held[name] = state[f"{moment}.{name}"].to(held[name].device)

    def _split(self, tensor: Tensor, n_groups: int) -> Sequence[Tensor]:
        """A tensor whole, or member by member."""
        return [tensor] if n_groups == 1 else tensor.unbind(0)


class AdamW(_WithMoments):
    """AdamW (Loshchilov and Hutter, 2019), by torch's fused kernel.

    The kernel takes one learning rate, so each member has a call of its own over its part of the stack, which
    is also what fits into a core's cache.
    """

    moments = ("mean", "square")

    def step(self, gradients: Gradients, rates: Sequence[float]) -> None:
        """One step, with the learning rate of each member."""
        self._n_steps += 1
        parameters = self._parameters()
        alike = len(set(rates)) == 1 and len(set(self._decays)) == 1
        n_groups = 1 if alike or not self._network.is_stacked else len(rates)
        for matrices in (True, False):
            names = [n for n, p in parameters.items() if is_matrix(self._network, p) == matrices]
            if names:
                self._update(names, parameters, gradients, rates, n_groups, matrices)

    def _update(
        self,
        names: Sequence[str],
        parameters: Mapping[str, Tensor],
        gradients: Gradients,
        rates: Sequence[float],
        n_groups: int,
        matrices: bool,
    ) -> None:
        columns: list[Mapping[str, Tensor]] = [
            parameters,
            gradients,
            self._held["mean"],
            self._held["square"],
        ]
        split = [[self._split(column[name], n_groups) for name in names] for column in columns]
        device = split[0][0][0].device
        n_steps = [self._n_steps.to(device)] * len(names)
        for group in range(n_groups):
            lists = [[parts[group] for parts in column] for column in split]
            decay = self._decays[group] if matrices else 0.0
            _adamw(lists, n_steps, rates[group], decay, device.type in FUSED)


def _adamw(
    lists: Sequence[list[Tensor]], n_steps: list[Tensor], rate: float, decay: float, fused: bool
) -> None:
    """Update parameters, given with their gradients, means and mean squares."""
    settings: dict[str, Any] = {
        "lr": rate, "beta1": BETA1, "beta2": BETA2, "weight_decay": decay, "eps": EPSILON, "amsgrad": False,
        "maximize": False,
    }  # fmt: skip
    parameters, gradients, means, squares = lists
    if fused:  # torch.optim.adamw.adamw(fused=True) is this call after sorting the lists, which takes longer
        torch._fused_adamw_(parameters, gradients, means, squares, [], n_steps, **settings)
        return
    from torch.optim.adamw import adamw

    counts = [count - 1 for count in n_steps]  # which this one raises, and the kernel above does not
    adamw(parameters, gradients, means, squares, [], counts, **settings)


class SGD(_WithMoments):
    """Stochastic gradient descent with momentum and decoupled weight decay."""

    moments = ("momentum",)

    def __init__(self, network: Network, decays: Sequence[float], momentum: float) -> None:
        super().__init__(network, decays)
        self._momentum = momentum

    def step(self, gradients: Gradients, rates: Sequence[float]) -> None:
        """One step, with the learning rate of each member."""
        for name, parameter in self._parameters().items():
            velocity = self._held["momentum"][name]
            velocity.mul_(self._momentum).add_(gradients[name])
            rate = self._by_member(rates, parameter)
            if is_matrix(self._network, parameter):
                parameter.mul_(1 - rate * self._by_member(self._decays, parameter))
            parameter.sub_(rate * velocity)

    def _by_member(self, values: Sequence[float], parameter: Tensor) -> Tensor:
        each = torch.tensor(values, dtype=parameter.dtype, device=parameter.device)
        return each.view(-1, *[1] * (parameter.ndim - 1)) if self._network.is_stacked else each[0]


class LBFGS:
    """L-BFGS with strong Wolfe line search, by torch; all rows at once, one member.

    Parameters
    ----------
    network : Network
        Of one member.
    lr : float
    """

    def __init__(self, network: Network, lr: float) -> None:
        self._parameters = [p for p in network.parameters() if p.requires_grad]
        self._optimizer = torch.optim.LBFGS(
            self._parameters, lr=lr, max_iter=LBFGS_STEPS, line_search_fn="strong_wolfe"
        )

    def epoch(self, loss: Callable[[], Tensor]) -> float:
        """A few iterations down a loss of everything; the loss before them."""

        def closure() -> Any:
            self._optimizer.zero_grad()
            value = loss()
            torch.autograd.backward(value)
            return value.detach()

        return float(self._optimizer.step(closure))  # type: ignore[no-untyped-call]
