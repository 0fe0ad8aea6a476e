"""Watching gradients: how large they are, and whether they move anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from headstart.heads.networks.networks import Network


class Monitor:
    """What the gradients of an epoch did, for each member.

    Parameters
    ----------
    network : Network
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._total = torch.zeros(network.n_members)
        self._n_steps = 0
        self._norms: dict[str, Tensor] = {}
        self._before = self._copies()

    def _copies(self) -> dict[str, Tensor]:
        return {n: p.detach().clone() for n, p in self._network.named_parameters() if p.requires_grad}

    def see(self, gradients: Mapping[str, Tensor]) -> Tensor:
        """The gradients of a step; their norms by member, shape (M,)."""
        self._norms = {name: self._norm(gradient) for name, gradient in gradients.items()}
        norms = torch.stack(list(self._norms.values())).square().sum(dim=0).sqrt()
        self._total = self._total.to(norms.device) + norms
        self._n_steps += 1
        return norms

    def clip(self, gradients: Mapping[str, Tensor], most: float) -> None:
        """See the gradients, and scale each member's, in place, to a norm of at most ``most``."""
        norms = self.see(gradients)
        scales = (most / (norms + 1e-6)).clamp(max=1.0)
        if bool((scales < 1).any()):
            for gradient in gradients.values():
                gradient.mul_(self._by_member(scales, gradient))

    def report(self) -> list[dict[str, Any]]:
        """For each member: ``gradient_norm`` (the mean before clipping), ``moved`` (the share of parameters
        that changed in the epoch), and both by parameter (the norm of the last batch) under ``gradients``."""
        moved = {name: self._by_numbers(now != self._before[name]) for name, now in self._copies().items()}
        sizes = {name: part.shape[1] for name, part in moved.items()}
        shares = {name: part.float().mean(dim=1).tolist() for name, part in moved.items()}
        means = (self._total / max(self._n_steps, 1)).tolist()
        norms = {name: norm.tolist() for name, norm in self._norms.items()}
        return [
            {
                "gradient_norm": means[number],
                "moved": sum(shares[n][number] * sizes[n] for n in sizes) / sum(sizes.values()),
                "gradients": {
                    name: {
                        "norm": norms[name][number] if name in norms else None,
                        "moved": shares[name][number],
                    }
                    for name in sizes
                },
            }
            for number in range(self._network.n_members)
        ]

    def _by_numbers(self, tensor: Tensor) -> Tensor:
        """(M, all numbers of a parameter)."""
        return tensor.reshape(self._network.n_members, -1)

    def _norm(self, gradient: Tensor) -> Tensor:
        norms: Tensor = torch.linalg.vector_norm(self._by_numbers(gradient), dim=1)
        return norms

    def _by_member(self, scales: Tensor, gradient: Tensor) -> Tensor:
        if not self._network.is_stacked:
            return scales[0]
        return scales.view(-1, *[1] * (gradient.ndim - 1))
