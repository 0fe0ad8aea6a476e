"""What extraction and fine-tuning ask of models, and of what runs them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from headstart.types import AT_END

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from PIL import Image

    from headstart.errors import SampleError
    from headstart.types import (
        Activations,
        BackboneInfo,
        Payload,
        Precision,
        Read,
        TrialWork,
    )


class Backbone(Protocol):
    """A frozen model that may not be in memory yet."""

    @property
    def spec(self) -> str:
        """As the user wrote it."""

    def cache_key(self) -> Mapping[str, Any] | None:
        """What a resolution depends on besides files (spec, options, library versions).

        None: resolve it anew each time.
        """

    def resolve(self) -> BackboneInfo:
        """Load the model, if it is not loaded, and say what it is.

        Raises
        ------
        BackboneError
            The weights cannot be had here.
        """

    def source_files(self) -> Sequence[Path]:
        """The files that the last `resolve` read: if none changed, it would say the same."""

    def load(self, device: str, precision: Precision) -> FrozenModel:
        """The model, frozen, in eval mode, on a device."""


class Change(Protocol):
    """What a view makes of one sample: drawn from the view's seed and the sample's key alone."""

    def image(self, image: Image.Image) -> Image.Image:
        """A changed RGB picture, of any size, before the model's own transform."""

    def text(self, text: str) -> str:
        """A changed text, before any prompt and before it is tokenised."""

    def tokens(self, ids: Sequence[int], special: Collection[int], mask: int | None) -> list[int]:
        """Changed token ids, as many as before.

        Parameters
        ----------
        ids : sequence of int
        special : collection of int
            Ids that stay as they are wherever they stand.
        mask : int, optional
            The token that stands for a hidden one; None: the model has none.
        """


Batch: TypeAlias = Mapping[str, Any]
"""Prepared samples as model input, by name: tensors, or arrays where the runtime takes those."""


class ModelInputs(Protocol):
    """From samples to batches."""

    @property
    def is_reentrant(self) -> bool:
        """Whether several threads may run batches at once; `prepare` and `collate` they always may."""

    @property
    def budget(self) -> int:
        """What a batch may cost together, in units of `length`, before anything was measured."""

    def prepare(
        self, payloads: Sequence[Payload], changes: Sequence[Change | None] | None = None
    ) -> list[Any | SampleError]:
        """Each payload as model input on the CPU, not yet in a batch.

        A payload that cannot be used gives a `SampleError` in its place, and a text that is read in parts `Windows`.
        Of a text it is a `TokenRow`, which says how many tokens there were before it was cut.

        Parameters
        ----------
        payloads : sequence
            One that is the very object before it is decoded but once.
        changes : sequence of Change, optional
            What to do to each on the way; None: nothing.
        """

    def length(self, prepared: Any) -> int:
        """What a prepared sample costs: its tokens, or 1 where all cost the same."""

    def collate(self, prepared: Sequence[Any]) -> Batch:
        """Prepared samples as one batch on the CPU."""


class FrozenModel(ModelInputs, Protocol):
    """A backbone in memory, in eval mode and without gradients."""

    @property
    def module(self) -> torch.nn.Module:
        """The module whose weights are frozen."""

    @property
    def device(self) -> torch.device:
        """Where it lies."""

    def collate(self, prepared: Sequence[Any]) -> dict[str, torch.Tensor]:
        """Prepared samples as one batch of tensors on the CPU."""

    def forward(self, batch: Mapping[str, torch.Tensor], reads: Collection[str] = AT_END) -> Activations:
        """Run the model once over a batch that lies on its device.

        Parameters
        ----------
        batch : mapping of str to Tensor
            What `collate` made.
        reads : collection of str
            What is wanted: numbered layers as in canonical taps, and any of `AT_END`. Without any of
            these the pass stops after the deepest layer.
        """


class Runtime(Protocol):
    """What runs a frozen model over batches, and may find a faster way to while it works."""

    @property
    def name(self) -> str:
        """As what the model runs now, such as ``eager``."""

    @property
    def works_in_lanes(self) -> bool:
        """Whether the thread that calls `run` does the work itself, so that its processor time is what it took."""

    @property
    def needs_a_core(self) -> bool:
        """Whether what will make it faster is at work beside it, and gets on with a core of its own."""

    def lane(self) -> AbstractContextManager[Any]:
        """What a thread is inside while it calls `run`."""

    def place(self, batch: Batch) -> Batch:
        """A batch on the device."""

    def run(self, batch: Batch) -> list[Read]:
        """What each tap reads of a batch on its device, in memory of its own; several threads may call it at once."""

    def trial(self, work: TrialWork) -> Callable[[], Any] | None:
        """Something faster to try in a thread of its own; None if nothing pays with so much work left."""

    def adopt(self, trial: Any) -> str:
        """Run as a trial did, if it was a success; what to tell the user, or nothing."""

    def close(self) -> None:
        """Leave threads and processes as they were."""
