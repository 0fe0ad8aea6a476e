"""Random numbers of a training: they follow from its seed and the epoch, and nobody else's change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def generator_of(seed: int, epoch: int) -> torch.Generator:
    """Random numbers of one epoch: a training that is taken up in the middle draws what it would have drawn."""
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
