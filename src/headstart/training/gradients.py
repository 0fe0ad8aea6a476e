"""Watching gradients: how large they are, and whether they move anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from headstart.training.trainee import Trainee

MOST_LOOKED_AT = 1 << 24
"""Numbers of a member that are compared before and after an epoch; of more a regular sample."""


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
