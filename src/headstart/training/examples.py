"""What a training loop reads, in which order, and the random numbers that decide it.

They follow from a seed and the epoch, so that a training that is taken up in the middle draws what it would have drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from headstart.training.settings import Member

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.heads.sequences import VectorSequences

MOST_NUMBERS = 1 << 24
MAY_ANSWER = 2
"""What a token is at which an answer may start or end."""
VIEWS = 1 << 32
"""What is added to a seed to draw views: no seed of a sample order is as large."""

Inputs: TypeAlias = "Tensor | tuple[Tensor, Tensor]"
"""Rows (B, D); or padded sequences (B, L, D) with a mask (B, L) that is True where there is something."""


class Examples:
    """Inputs with targets, on the device of the network; targets are int64 (N,) for classes, else float32 (N, C)."""

    targets: Tensor

    @property
    def n_numbers(self) -> int:
        """The most that an input has."""
        raise NotImplementedError

    @property
    def rows_at_once(self) -> int:
        """How many rows fit into memory beside what a network makes of them."""
        return max(MOST_NUMBERS // max(self.n_numbers, 1), 1)

    def __len__(self) -> int:
        return len(self.targets)

    def begin(self, seed: int, epoch: int) -> None:
        """An epoch of training begins: what is drawn in it follows from the two."""

    def take(self, rows: Tensor, training: bool = False) -> Inputs:
        """The inputs of some rows."""
        raise NotImplementedError


@dataclass
class Rows(Examples):
    """Rows in memory. What each shows in an epoch of training is drawn from its own inputs and ``views`` (V, N, D)."""

    inputs: Tensor
    targets: Tensor
    views: Tensor | None = None
    shown: Tensor | None = None

    @property
    def n_numbers(self) -> int:
        """D."""
        return self.inputs.shape[1]

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
class StoredRows(Examples):
    """Rows (N, D) that stay where they are until they are asked for, and are standardised then."""

    stored: Any
    targets: Tensor
    mean: Tensor
    scale: Tensor

    @property
    def n_numbers(self) -> int:
        """D."""
        return int(self.stored.shape[1])

    def take(self, rows: Tensor, training: bool = False) -> Tensor:
        """The inputs of some rows, shape (B, D)."""
        features = np.asarray(self.stored[rows.cpu().numpy()], dtype=np.float32)
        return (torch.from_numpy(features).to(self.targets.device) - self.mean) / self.scale


@dataclass
class Ragged(Examples):
    """Sequences of vectors, padded a batch at a time."""

    sequences: VectorSequences
    targets: Tensor
    mean: Tensor
    scale: Tensor

    @property
    def n_numbers(self) -> int:
        """Of the longest."""
        return self.sequences.longest * self.sequences.width

    def take(self, rows: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        """Sequences (B, L, D), zeros after the end of each, and the mask (B, L) of what is there."""
        padded, mask = self.sequences.padded(rows.cpu().numpy())
        device = self.targets.device
        there = torch.from_numpy(mask).to(device)
        values = (torch.from_numpy(padded).to(device) - self.mean) / self.scale
        return values * there.unsqueeze(2), there


@dataclass
class AnsweredPassages(Ragged):
    """Tokens of questions with contexts, padded a batch at a time; ``places`` says which of them are of a context."""

    places: VectorSequences

    def take(self, rows: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        """Tokens (B, L, D), and what each is (B, L): 0 nothing, `MAY_ANSWER` of a context, or the first of all."""
        values, there = super().take(rows, training)
        where = torch.from_numpy(self.places.padded(rows.cpu().numpy())[0]).to(there.device)
        may_answer = where[..., 1] > where[..., 0]
        may_answer[:, 0] = True  # stands for no answer
        return values, there.to(torch.uint8) + (there & may_answer).to(torch.uint8)


@dataclass(frozen=True)
class Stream:
    """Members of a stack that see the same inputs in the same order; validation targets may be ``UNSEEN``.

    The seed is that of the first weights, the order of the samples, the views drawn, mixup and dropout.
    """

    examples: Examples
    members: Sequence[Member]
    validation: Examples | None = None
    seed: int = 0


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


def generator_of(seed: int, epoch: int) -> torch.Generator:
    """Random numbers of one epoch."""
    mixed = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(mixed >> 1))


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Dropout of a network draws from the global generators; afterwards these are as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        seed_global(seed, device)
        yield


def seed_global(seed: int, device: torch.device) -> None:
    """Seed what modules draw from on the CPU and on one device."""
    # Not torch.manual_seed: it also seeds the devices that are not restored.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
