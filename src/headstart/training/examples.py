"""What a training loop reads: rows in memory, rows that stay on disk, and sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor

from headstart.training.seeds import generator_of
from headstart.training.settings import Member

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.heads.sequences import VectorSequences

MOST_NUMBERS = 1 << 24
VIEWS = 1 << 32
"""What is added to a seed to draw views: no seed of a sample order is as large."""

Inputs: TypeAlias = "Tensor | tuple[Tensor, Tensor]"
"""Rows (B, D); or padded sequences (B, L, D) with a mask (B, L) that is True where there is something."""


class Examples(Protocol):
    """Inputs with targets."""

    targets: Tensor
    """On the device of the network; int64 (N,) for classes, else float32 (N, C)."""

    @property
    def rows_at_once(self) -> int:
        """How many rows fit into memory beside what a network makes of them."""

    def __len__(self) -> int:
        """N."""

    def begin(self, seed: int, epoch: int) -> None:
        """An epoch of training begins: what is drawn in it follows from the two."""

    def take(self, rows: Tensor, training: bool = False) -> Inputs:
        """The inputs of some rows, on the device of the network."""


@dataclass
class Rows:
    """Rows in memory, on the device of the network.

    Parameters
    ----------
    views : Tensor, shape (V, N, D), optional
        Other inputs for the same targets: what each sample shows in an epoch of training is drawn from
        these and from its own.
    """

    inputs: Tensor
    targets: Tensor
    views: Tensor | None = None
    shown: Tensor | None = None

    @property
    def rows_at_once(self) -> int:
        """As many as have some 16 million numbers."""
        return rows_of(self.inputs.shape[1])

    def __len__(self) -> int:
        return len(self.targets)

    def begin(self, seed: int, epoch: int) -> None:
        """Draw what each sample shows: 0 is its own input."""
        if self.views is not None:
            # A generator of its own, so that the order of the samples is the same with views as without.
            generator = generator_of(seed + VIEWS, epoch)
            drawn = torch.randint(len(self.views) + 1, (len(self),), generator=generator)
            self.shown = drawn.to(self.targets.device)

    def take(self, rows: Tensor, training: bool = False) -> Tensor:
        """The inputs of some rows, shape (B, D), in training each as it is shown."""
        own = self.inputs[rows]
        if self.views is None or self.shown is None or not training:
            return own
        drawn = self.shown[rows]
        changed = drawn > 0
        own[changed] = self.views[drawn[changed] - 1, rows[changed]]
        return own


@dataclass
class StoredRows:
    """Rows that stay where they are until they are asked for.

    Parameters
    ----------
    stored : array-like of shape (N, D)
        Indexed with an array of row numbers.
    mean, scale : Tensor of float32, shape (D,)
        What is read is standardised by them.
    """

    stored: Any
    targets: Tensor
    mean: Tensor
    scale: Tensor

    @property
    def rows_at_once(self) -> int:
        """As many as have some 16 million numbers."""
        return rows_of(self.stored.shape[1])

    def __len__(self) -> int:
        return len(self.targets)

    def begin(self, seed: int, epoch: int) -> None:
        """Nothing is drawn."""

    def take(self, rows: Tensor, training: bool = False) -> Tensor:
        """The inputs of some rows, shape (B, D)."""
        features = np.asarray(self.stored[rows.cpu().numpy()], dtype=np.float32)
        return (torch.from_numpy(features).to(self.targets.device) - self.mean) / self.scale


@dataclass
class Ragged:
    """Sequences of vectors, padded a batch at a time."""

    sequences: VectorSequences
    targets: Tensor
    mean: Tensor
    scale: Tensor

    @property
    def rows_at_once(self) -> int:
        """As many as have some 16 million numbers, were all as long as the longest."""
        return rows_of(self.sequences.longest * self.sequences.width)

    def __len__(self) -> int:
        return len(self.targets)

    def begin(self, seed: int, epoch: int) -> None:
        """Nothing is drawn."""

    def take(self, rows: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        """Sequences (B, L, D), zeros after the end of each, and the mask (B, L) of what is there."""
        padded, mask = self.sequences.padded(rows.cpu().numpy())
        device = self.targets.device
        there = torch.from_numpy(mask).to(device)
        values = (torch.from_numpy(padded).to(device) - self.mean) / self.scale
        return values * there.unsqueeze(2), there


@dataclass(frozen=True)
class Stream:
    """Members of a stack that see the same inputs in the same order.

    Parameters
    ----------
    validation : Examples, optional
        Targets may be ``UNSEEN``.
    seed : int
        Of the first weights, the order of the samples, the views drawn, mixup and dropout.
    """

    examples: Examples
    members: Sequence[Member]
    validation: Examples | None = None
    seed: int = 0


def rows_of(n_numbers: int) -> int:
    """How many rows of so many numbers are taken at once.

    Examples
    --------
    >>> rows_of(384), rows_of(512 * 1024)
    (43690, 32)
    """
    return max(MOST_NUMBERS // max(n_numbers, 1), 1)


def batches_of(n: int, batch_size: int, seed: int, epoch: int, device: torch.device) -> Sequence[Tensor]:
    """The rows of each batch of an epoch, shuffled."""
    order = torch.randperm(n, generator=generator_of(seed, epoch)).to(device)
    return torch.split(order, batch_size)


def mixing(
    n: int, alpha: float, generator: np.random.Generator, device: torch.device
) -> tuple[Tensor, float]:
    """For mixup: the partner of each of ``n`` rows, and how much of the row itself stays, in [0, 1]."""
    share = float(generator.beta(alpha, alpha))
    return torch.from_numpy(generator.permutation(n)).to(device), share


def as_tensor(array: NDArray[Any], device: torch.device) -> Tensor:
    """An array as float32 on a device."""
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(device)
