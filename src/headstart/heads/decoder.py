"""The head that writes texts: the decoder of an encoder-decoder, over the states of its encoder."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from headstart.errors import ConfigError, StorageError
from headstart.heads.estimators import BaseHead, Shapes, Tensors
from headstart.heads.parameters import Interval
from headstart.heads.sequences import sequences_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.backbones.hf.writers import Writer
    from headstart.types import LabelKind

AT_ONCE = 32
"""Samples that are written at once, of one beam."""


class DecoderHead(BaseHead):
    """Writes a text for each sample from its token vectors (T, D), the states of the encoder it was trained with.

    It is made by fine-tuning, and not fitted by itself.

    Parameters
    ----------
    num_beams : int in [1, 129)
        1: greedy, the likeliest token each time; more: the best of so many beginnings.
    max_new_tokens : int in [1, 100001)
        Of a text, at most.
    device : str
        ``auto``, ``cpu``, ``cuda`` …
    """

    kind: ClassVar[str] = "decoder"
    intervals: ClassVar[Mapping[str, Interval]] = {
        "num_beams": Interval(1, 129, whole=True), "max_new_tokens": Interval(1, 100_001, whole=True),
    }  # fmt: skip
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    computes_in_torch: ClassVar[bool] = True
    takes_sequences: ClassVar[bool] = True

    def __init__(self, num_beams: int = 1, max_new_tokens: int = 64, device: str = "auto") -> None:
        self.num_beams, self.max_new_tokens, self.device = num_beams, max_new_tokens, device

    @classmethod
    def of(cls, writer: Writer, **params: Any) -> Self:
        """The head of a trained encoder-decoder."""
        head = cls(**params)
        head.writer = writer
        head.n_features_in_ = int(writer.net.get_input_embeddings().weight.shape[1])
        return head

    @property
    def task(self) -> LabelKind:
        """Texts."""
        return self.label_kind or "seq2seq"

    def fit(self, X: Any, y: Any, X_val: Any = None, y_val: Any = None) -> Self:
        """Refuse: fine-tuning trains it."""
        raise ConfigError(
            "a decoder is trained by fine-tune, with the encoder frozen or not: headstart fine-tune SET --strategy "
            "decoder"
        )

    def predict(self, X: Any) -> NDArray[Any]:
        """A text for each sample, objects (N,)."""
        from headstart.devices import pick_device

        sequences = sequences_of(X)
        if sequences is None or sequences.width != self.n_features_in_:
            raise ConfigError(f"this decoder reads token vectors of width {self.n_features_in_}")
        self.writer.check_room(self.max_new_tokens)
        device = pick_device(self.device)
        self.writer.net.to(device).eval()
        texts = np.empty(len(sequences), dtype=object)
        at_once = max(AT_ONCE // self.num_beams, 1)
        for start in range(0, len(sequences), at_once):
            rows = np.arange(start, min(start + at_once, len(sequences)))
            texts[rows] = self._write(sequences, rows, device)
        return texts

    def _write(self, sequences: Any, rows: NDArray[np.int64], device: Any) -> list[str]:
        import torch

        states, there = sequences.padded(rows)
        return self.writer.write(
            torch.from_numpy(states).to(device),
            torch.from_numpy(there).to(device).long(),
            self.num_beams,
            self.max_new_tokens,
        )

    # -- as it is kept

    def tensors(self) -> dict[str, NDArray[Any]]:
        """All weights that are not the encoder's alone."""
        return {
            name: tensor.detach().float().cpu().numpy() for name, tensor in self.writer.own_state().items()
        }

    def files(self) -> dict[str, bytes]:
        """Its configuration, how it writes, and its tokenizer, as transformers keeps them."""
        with tempfile.TemporaryDirectory() as folder:
            self.writer.save_settings(Path(folder), self.num_beams, self.max_new_tokens)
            return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir()) if path.is_file()}

    def shapes(self, tensors: Tensors, n_classes: int, n_features: int) -> Shapes:
        """As they are: the network that they belong to says which it takes."""
        self.n_features_in_ = n_features
        return {name: tensor.shape for name, tensor in tensors.items()}

    def restore(self, classes: NDArray[Any] | None, tensors: Tensors) -> Self:
        """Keep what `tensors` gave until the network is made."""
        self._tensors = tensors
        return self

    def read_files(self, folder: Path, digests: Mapping[str, str]) -> None:
        """See that what `files` gave is there as it was; the network is made when it is first asked for."""
        for name, digest in digests.items():
            try:
                content = (folder / name).read_bytes()
            except OSError as error:
                raise StorageError(
                    f"cannot read {folder / name}: {error.strerror}; fine-tune again"
                ) from error
            if blake2b(content, digest_size=16).hexdigest() != digest:
                raise StorageError(
                    f"{folder / name} is not the file that was written with it; fine-tune again"
                )
        self._folder = folder

    @cached_property
    def writer(self) -> Writer:
        """The network with its tokenizer."""
        import torch

        from headstart.backbones.hf.writers import Writer

        state = {name: torch.from_numpy(np.array(tensor)) for name, tensor in self._tensors.items()}
        return Writer.restored(self._folder, state)
