"""A converted model in the place of a frozen one: samples are prepared, and batches run, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headstart.backbones.plain_inputs import open_plain_inputs
from headstart.devices import processor, usable_cores
from headstart.runtimes.compiled import CompiledRuntime, open_compiled, outputs_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headstart.contracts import Batch, Change, ModelInputs
    from headstart.errors import SampleError
    from headstart.runtimes.compiled import Layout
    from headstart.runtimes.kept import KeptModel
    from headstart.types import Payload

GAIN = 1.05
"""It must have been so much faster than torch to take its place."""
TORCH_STARTS_IN = 8.0
"""Seconds: importing torch and the model's library, and loading the model."""


@dataclass(frozen=True)
class ConvertedModel:
    """A backbone as a converted model, with what prepares samples for it."""

    runtime: CompiledRuntime
    """What runs its batches, and reads the taps that it was opened for."""
    inputs: ModelInputs

    @property
    def is_reentrant(self) -> bool:
        """See `ModelInputs`."""
        return True

    @property
    def budget(self) -> int:
        """See `ModelInputs`."""
        return self.inputs.budget

    def prepare(
        self, payloads: Sequence[Payload], changes: Sequence[Change | None] | None = None
    ) -> list[Any | SampleError]:
        """See `ModelInputs`."""
        return self.inputs.prepare(payloads, changes)

    def length(self, prepared: Any) -> int:
        """See `ModelInputs`."""
        return self.inputs.length(prepared)

    def collate(self, prepared: Sequence[Any]) -> Batch:
        """See `ModelInputs`."""
        return self.inputs.collate(prepared)


def open_converted(kept: KeptModel, taps: Sequence[str], layout: Layout) -> ConvertedModel | None:
    """A kept model for some taps, with what prepares samples for it; None: torch has to.

    Raises
    ------
    DamagedError
        A file of it is not what was written.
    """
    plain = kept.manifest["plain"]
    if plain is None:
        return None
    files = {name: kept.read(name) for name in plain["files"]}
    inputs = open_plain_inputs(plain["kind"], plain["settings"], files)
    return ConvertedModel(open_compiled(kept, taps, layout), inputs)


def proves(kept: KeptModel, taps: Sequence[str]) -> bool:
    """Whether a kept model was shown to give these taps as torch does."""
    return kept.proves(outputs_of(taps, kept.manifest["errors"]))


def is_faster(kept: KeptModel) -> bool:
    """Whether a kept model is to take the place of torch, which is loaded; so too where nobody knows yet."""
    speed = kept.speed(processor().id)
    return speed is None or speed.gain >= GAIN


def is_sooner(kept: KeptModel, n_samples: int) -> bool:
    """Whether a kept model is done with samples, or views of them, before torch is, which would have to start first."""
    speed = kept.speed(processor().id)
    if speed is None:
        return True
    seconds = n_samples * speed.seconds / usable_cores()
    return seconds <= seconds * speed.gain + TORCH_STARTS_IN
