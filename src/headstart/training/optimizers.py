"""Optimizers of several members, each with its own learning rate and nothing of its neighbours; their gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from headstart.training.settings import Settings
from headstart.training.trainee import Trainee

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
FUSED = ("cpu", "cuda")
MOST_LOOKED_AT = 1 << 24
"""Numbers of a member that are compared before and after an epoch; of more a regular sample."""

Gradients = Mapping[str, Tensor]


def open_optimizer(trainee: Trainee, settings: Settings) -> MomentOptimizer:
    """The optimizer that the settings name; L-BFGS is driven by the loop."""
    return SGD(trainee, settings.momentum) if settings.optimizer == "sgd" else AdamW(trainee)


class MomentOptimizer:
    """What AdamW and SGD share: they change parameters in place, and remember moments of their gradients."""

    moments: tuple[str, ...]

    def __init__(self, trainee: Trainee) -> None:
        self._parameters = trainee.parameters()
        self._is_stacked = trainee.is_stacked
        self._groups = trainee.groups()
        self._decays = [list(group.decays) for group in self._groups]
        self._n_steps = torch.zeros((), dtype=torch.float32, device=trainee.device)
        self._held = {
            moment: {name: torch.zeros_like(p) for name, p in self._parameters.items()}
            for moment in self.moments
        }

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The parameters, as torch's scaler of gradients asks for them."""
        return [{"params": list(self._parameters.values())}]

    def step(self, gradients: Gradients, rates: Sequence[float]) -> None:
        """One step, with the learning rate of each member."""
        raise NotImplementedError

    def keep(self, members: Tensor) -> None:
        """Go on with some members, after the trainee does."""
        self._decays = [[decays[place] for place in members.tolist()] for decays in self._decays]
        for held in self._held.values():
            for name, tensor in held.items():
                held[name] = tensor[members].clone()

    def state(self) -> dict[str, Tensor]:
        """The moments and the number of steps."""
        moments = {f"{m}.{name}": t for m, held in self._held.items() for name, t in held.items()}
        return {"n_steps": self._n_steps, **moments}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` gave."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])


class AdamW(MomentOptimizer):
    """AdamW (Loshchilov and Hutter, 2019), by torch's fused kernel.

    The kernel takes one learning rate, so each member has a call of its own over its part of the stack, which
    is also what fits into a core's cache.
    """

    moments = ("mean", "square")

    def __init__(self, trainee: Trainee) -> None:
        super().__init__(trainee)
        self._columns: dict[tuple[int, int], list[list[list[Tensor]]]] = {}

    def keep(self, members: Tensor) -> None:
        """Go on with some members."""
        super().keep(members)
        self._columns.clear()

    @torch.no_grad()
    def step(self, gradients: Gradients, rates: Sequence[float]) -> None:
        """One step, with the learning rate of each member."""
        self._n_steps += 1
        alike = len(set(rates)) == 1 and all(len(set(decays)) == 1 for decays in self._decays)
        n_calls = 1 if alike or not self._is_stacked else len(rates)
        for number, (group, decays) in enumerate(zip(self._groups, self._decays, strict=True)):
            if (number, n_calls) not in self._columns:
                columns = (self._parameters, self._held["mean"], self._held["square"])
                self._columns[number, n_calls] = [_split(column, group.names, n_calls) for column in columns]
            of_gradients = _split(gradients, group.names, n_calls)
            n_steps = [self._n_steps] * len(group.names)
            for place in range(n_calls):
                parameters, means, squares = (column[place] for column in self._columns[number, n_calls])
                lists = [parameters, of_gradients[place], means, squares]
                _adamw(lists, n_steps, group.scale * rates[place], decays[place])


def _split(tensors: Mapping[str, Tensor], names: Sequence[str], n_parts: int) -> list[list[Tensor]]:
    """Tensors whole, or member by member."""
    if n_parts == 1:
        return [[tensors[name].detach() for name in names]]
    return [list(each) for each in zip(*(tensors[name].detach().unbind(0) for name in names), strict=True)]


def _adamw(lists: list[list[Tensor]], n_steps: list[Tensor], rate: float, decay: float) -> None:
    """Update parameters, given with their gradients, means and mean squares."""
    settings: dict[str, Any] = {
        "lr": rate, "beta1": BETA1, "beta2": BETA2, "weight_decay": decay, "eps": EPSILON, "amsgrad": False,
        "maximize": False,
    }  # fmt: skip
    parameters, gradients, means, squares = lists
    if n_steps[0].device.type in FUSED:
        # torch.optim.adamw.adamw(fused=True) is this call after sorting the lists, which takes longer
        torch._fused_adamw_(parameters, gradients, means, squares, [], n_steps, **settings)
        return
    from torch.optim.adamw import adamw

    counts = [count - 1 for count in n_steps]  # which this one raises, and the kernel above does not
    adamw(parameters, gradients, means, squares, [], counts, **settings)


class SGD(MomentOptimizer):
    """Stochastic gradient descent with momentum and decoupled weight decay."""

    moments = ("momentum",)

    def __init__(self, trainee: Trainee, momentum: float) -> None:
        super().__init__(trainee)
        self._momentum = momentum

    @torch.no_grad()
    def step(self, gradients: Gradients, rates: Sequence[float]) -> None:
        """One step, with the learning rate of each member."""
        for group, decays in zip(self._groups, self._decays, strict=True):
            for name in group.names:
                parameter, velocity = self._parameters[name], self._held["momentum"][name]
                velocity.mul_(self._momentum).add_(gradients[name])
                rate = self._by_member([group.scale * rate for rate in rates], parameter)
                if any(decays):
                    parameter.mul_(1 - rate * self._by_member(decays, parameter))
                parameter.sub_(rate * velocity)

    def _by_member(self, values: Sequence[float], parameter: Tensor) -> Tensor:
        each = torch.tensor(values, dtype=parameter.dtype, device=parameter.device)
        return each.view(-1, *[1] * (parameter.ndim - 1)) if self._is_stacked else each[0]


class GradientMonitor:
    """What the gradients of an epoch did, for each member."""

    def __init__(self, trainee: Trainee) -> None:
        self._parameters = trainee.parameters()
        self._n_members, self._is_stacked = trainee.n_members, trainee.is_stacked
        size = sum(parameter.numel() for parameter in self._parameters.values()) // self._n_members
        self._stride = -(-size // MOST_LOOKED_AT)
        self._total = torch.zeros(self._n_members, device=trainee.device)
        self._n_steps = 0
        self._norms: dict[str, Tensor] = {}
        self._before = {name: part.clone() for name, part in self._looked_at().items()}

    def _looked_at(self) -> dict[str, Tensor]:
        """(M, all numbers of a parameter), or a sample of them."""
        return {
            name: parameter.detach().reshape(self._n_members, -1)[:, :: max(self._stride, 1)]
            for name, parameter in self._parameters.items()
        }

    def see(self, gradients: Mapping[str, Tensor]) -> Tensor:
        """The gradients of a step; their norms by member, shape (M,)."""
        if self._is_stacked:
            each = [
                torch.linalg.vector_norm(gradient.reshape(self._n_members, -1), dim=1)
                for gradient in gradients.values()
            ]
        else:
            each = [norm.reshape(1) for norm in torch._foreach_norm(list(gradients.values()))]
        self._norms = dict(zip(gradients, each, strict=True))
        norms = torch.stack(each).square().sum(dim=0).sqrt()
        self._total += norms
        self._n_steps += 1
        return norms

    def clip(self, gradients: Mapping[str, Tensor], most: float) -> None:
        """See the gradients, and scale each member's, in place, to a norm of at most ``most``."""
        norms = self.see(gradients)
        scales = (most / (norms + 1e-6)).clamp(max=1.0)
        # Asking a GPU whether any is to be scaled would wait for it.
        if scales.device.type == "cpu" and not bool((scales < 1).any()):
            return
        if not self._is_stacked:
            torch._foreach_mul_(list(gradients.values()), scales[0])
            return
        for gradient in gradients.values():
            gradient.mul_(scales.view(-1, *[1] * (gradient.ndim - 1)))

    def report(self) -> list[dict[str, Any]]:
        """For each member: ``gradient_norm`` (the mean before clipping), ``moved`` (the share of parameters
        that changed in the epoch), and both by parameter (the norm of the last batch) under ``gradients``."""
        moved = {name: now != self._before[name] for name, now in self._looked_at().items()}
        sizes = {name: part.shape[1] for name, part in moved.items()}
        shares = {name: part.float().mean(dim=1).tolist() for name, part in moved.items()}
        means = (self._total / max(self._n_steps, 1)).tolist()
        norms = {name: norm.tolist() for name, norm in self._norms.items()}
        return [
            {
                "gradient_norm": means[place],
                "moved": sum(shares[n][place] * sizes[n] for n in sizes) / sum(sizes.values()),
                "gradients": {
                    name: {
                        "norm": norms[name][place] if name in norms else None,
                        "moved": shares[name][place],
                    }
                    for name in sizes
                },
            }
            for place in range(self._n_members)
        ]
