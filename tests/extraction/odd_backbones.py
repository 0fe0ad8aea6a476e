"""Backbones that make trouble, loaded through ``py:odd_backbones:NAME``; all give what `plain` gives."""

from __future__ import annotations

import threading
from typing import Any

import torch
from tiny_backbones import TinyTexts

MOST = 3
"""Samples that fit into the memory of the crowded ones."""


class Plain(TinyTexts):
    """A sample that holds a bang cannot be computed, in whatever company."""

    is_reentrant = True

    def prepare(self, payload: Any) -> torch.Tensor:
        letters = super().prepare(payload)
        return torch.cat([letters, torch.tensor([float("bang" in payload)])])

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        self.check(batch)
        features: torch.Tensor = self.module(batch[:, :-1])
        return features

    def check(self, batch: torch.Tensor) -> None:
        """Nothing is wrong with it."""


class Crowded(Plain):
    """Has memory for `MOST` samples, and for none that holds a bang."""

    def check(self, batch: torch.Tensor) -> None:
        if len(batch) > MOST or batch[:, -1].any():
            raise torch.OutOfMemoryError(f"CUDA out of memory: {len(batch)} samples")


class OneLane(Crowded):
    """The same, one batch at a time."""

    is_reentrant = False


class Raising(Plain):
    """Stumbles over a bang."""

    def check(self, batch: torch.Tensor) -> None:
        if batch[:, -1].any():
            raise ValueError("a bang")


class Reusing(Plain):
    """Computes each batch into the same memory, and says that it must be alone."""

    is_reentrant = False

    def __init__(self) -> None:
        super().__init__()
        self.output = torch.zeros(64, 16)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        made = self.output[: len(batch)]
        made.copy_(super().forward(batch))
        return made


class Watchful(Plain):
    """Notices when two threads run it at once, which it has not said that they may."""

    is_reentrant = False

    def __init__(self) -> None:
        super().__init__()
        self.busy = threading.Lock()

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        if not self.busy.acquire(blocking=False):
            raise RuntimeError("two at once")
        try:
            return super().forward(batch)
        finally:
            self.busy.release()


plain = Plain
crowded = Crowded
one_lane = OneLane
raising = Raising
reusing = Reusing
watchful = Watchful
