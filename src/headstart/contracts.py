"""What the parts ask of each other. `headstart.testing` has a test suite for each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from headstart.types import AT_END

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch
    from numpy.typing import NDArray
    from PIL import Image

    from headstart.errors import SampleError
    from headstart.types import (
        Activations,
        BackboneInfo,
        Features,
        LabelKind,
        Modality,
        Payload,
        Precision,
        SampleBlock,
        Tokens,
    )


class KeyMemo(Protocol):
    """Remembers which key a file had, by a fingerprint of its identity on this machine."""

    def lookup(self, fingerprints: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Keys, shape (N, 16), and which of them are known, shape (N,)."""

    def remember(self, fingerprints: NDArray[np.uint8], keys: NDArray[np.uint8]) -> None:
        """Keep keys, shape (N, 16), under fingerprints of the same shape."""


class Payloads(Protocol):
    """Samples by their number: what an extraction reads."""

    @property
    def modality(self) -> Modality:
        """What the samples are."""

    @property
    def rows_a_block(self) -> int | None:
        """How many consecutive rows are read together (a row group, a stretch of a tar).

        None: any row is as near as any other.
        """

    def payload(self, row: int) -> Payload:
        """The content of the ``row``-th sample that the scan yielded.

        Raises
        ------
        SampleError
            It cannot be read any more.
        """


class Source(Payloads, Protocol):
    """Where samples come from."""

    @property
    def description(self) -> str:
        """What the data was taken for, in a line for the user."""

    @property
    def label_names(self) -> Mapping[str, Sequence[str]]:
        """For each label column the names in the order that the data gives; empty: sort them."""

    @property
    def label_kinds(self) -> Mapping[str, LabelKind]:
        """For each label column what its values are."""

    @property
    def streams(self) -> bool:
        """Whether a payload can be had only while its block is the last one that `scan` yielded."""

    def scan(self, memo: KeyMemo) -> Iterator[SampleBlock]:
        """All samples in blocks, in an order that depends on the data alone."""


class Backbone(Protocol):
    """A frozen model that may not be in memory yet."""

    @property
    def spec(self) -> str:
        """As the user wrote it."""

    def memo_key(self) -> Mapping[str, Any] | None:
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

    def witnesses(self) -> Sequence[Path]:
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


class FrozenModel(Protocol):
    """A backbone in memory, in eval mode and without gradients."""

    @property
    def module(self) -> torch.nn.Module:
        """The module whose weights are frozen."""

    @property
    def device(self) -> torch.device:
        """Where it lies."""

    @property
    def is_reentrant(self) -> bool:
        """Whether several threads may call `forward` at once; `prepare` and `collate` they always may."""

    @property
    def budget(self) -> int:
        """What a batch may cost together, in units of `length`, before anything was measured."""

    def prepare(
        self, payloads: Sequence[Payload], changes: Sequence[Change | None] | None = None
    ) -> list[Any | SampleError]:
        """Each payload as model input on the CPU, not yet in a batch.

        A payload that cannot be used gives a `SampleError` in its place.

        Parameters
        ----------
        payloads : sequence
            One that is the very object before it is decoded but once.
        changes : sequence of Change, optional
            What to do to each on the way; None: nothing.
        """

    def length(self, prepared: Any) -> int:
        """What a prepared sample costs: its tokens, or 1 where all cost the same."""

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

    def run(self, batch: Mapping[str, torch.Tensor]) -> list[torch.Tensor | Tokens]:
        """What each tap reads of a batch on its device; several threads may call it at once."""

    def trial(
        self, make_batch: Callable[[], Mapping[str, torch.Tensor]], seconds_left: float
    ) -> Callable[[], Any] | None:
        """Something faster to try in a thread of its own; None if nothing pays with so much work left."""

    def adopt(self, trial: Any) -> str:
        """Run as a trial did, if it was a success; otherwise what to tell the user, or nothing."""


class ShardReader(Protocol):
    """One committed shard, opened for reading. Closing is a matter of dropping it."""

    @property
    def recipe(self) -> str:
        """The recipe that the shard carries, as canonical JSON."""

    def keys(self) -> NDArray[np.uint8]:
        """All keys, shape (N, 16), in the shard's order."""

    def features(self, rows: NDArray[np.int64] | None = None) -> Features:
        """The given rows, in that order; None: all of them."""


class ShardFormat(Protocol):
    """How features are written to a file and read back."""

    @property
    def suffix(self) -> str:
        """The ending of its files, with the dot."""

    def encode(self, features: Features, recipe: str) -> bytes | memoryview:
        """A whole file, ready to be written and digested."""

    def open(self, path: Path) -> ShardReader:
        """Open a file.

        Raises
        ------
        CorruptShardError
            It is not a shard of this format, or is cut short.
        FormatError
            It is of a newer version.
        """


class Head(Protocol):
    """A scikit-learn estimator over features that can be kept as tensors and JSON.

    A classifier has ``classes_`` and ``predict_proba``, a regressor has neither.
    """

    kind: str
    """Its name, as `open_head` takes it."""
    fitted: tuple[str, ...]
    """Attributes besides the tensors that are kept with a saved head."""
    trains_by_epochs: bool
    """Whether ``fit`` takes callbacks, views and a checkpoint, and features that stay on disk."""
    trains_side_by_side: bool
    """Whether several of them can be trained in one pass."""
    computes_in_torch: bool
    """Whether fitting imports torch in any case."""
    takes_sequences: bool
    """Whether a sample is several vectors."""
    takes_views: bool
    """Whether training draws features of changed copies."""
    n_features_in_: int

    def fit(self, X: Any, y: Any, X_val: Any = None, y_val: Any = None) -> Any:
        """Fit on features and labels; what has to be chosen is chosen on validation data."""

    def predict(self, X: Any) -> NDArray[Any]:
        """Labels, or numbers."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """What it was made with."""

    def tensors(self) -> Mapping[str, NDArray[Any]]:
        """What was fitted, as arrays that go into a safetensors file."""


class Progress(Protocol):
    """Tells a person how far the work is."""

    def say(self, message: str) -> None:
        """A line that the user should see once."""

    def begin(self, description: str, total: int | None) -> None:
        """A new phase of so many samples."""

    def advance(self, n: int) -> None:
        """So many samples of the phase are done."""

    def note(self, figures: str) -> None:
        """Figures to show beside how far it is."""

    def end(self) -> None:
        """The phase is over."""
