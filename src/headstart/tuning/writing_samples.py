"""What a training of a model that writes reads: inputs, or the states of a frozen encoder, and the texts to write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from headstart.tasks.seq2seq import PADDING
from headstart.tuning.samples import LABELS, RawSamples
from headstart.tuning.writing_model import MASK, STATES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.tuning.writing_model import WritingModel


@dataclass(kw_only=True)
class WrittenSamples(RawSamples):
    """N inputs, each with the tokens of its references; of several another one is learnt in each epoch.

    ``targets`` are the numbers of the samples.
    """

    labels: Sequence[Sequence[Sequence[int]]]

    def batch(self, rows: Sequence[int]) -> dict[str, Tensor]:
        """Some samples as one batch on the CPU, with the tokens of a reference each under ``labels`` (B, T)."""
        labels = [self._label(row) for row in rows]
        padded = torch.full((len(rows), max(map(len, labels))), PADDING, dtype=torch.int64)
        for place, ids in enumerate(labels):
            padded[place, : len(ids)] = torch.tensor(ids)
        return {**self.encoded(rows), LABELS: padded}

    def inputs(self, rows: Sequence[int]) -> dict[str, Tensor]:
        """The same on the model's device."""
        return {name: part.to(self.model.frozen.device) for name, part in self.batch(rows).items()}

    def encoded(self, rows: Sequence[int]) -> dict[str, Tensor]:
        """What the model reads of some samples."""
        return self.model.collate(self.prepared(rows))

    def n_tokens(self, rows: Sequence[int]) -> int:
        """How many tokens are learnt of some samples in this epoch."""
        return sum(len(self._label(row)) for row in rows)

    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each input and of its first reference."""
        if self._lengths is None:
            self._lengths = self.input_lengths() + np.array([len(refs[0]) for refs in self.labels])
        return self._lengths

    def input_lengths(self) -> NDArray[np.int64]:
        """Tokens of each input."""
        return self._measured()

    def _label(self, row: int) -> Sequence[int]:
        refs = self.labels[row]
        return refs[max(self.epoch - 1, 0) % len(refs)]


@dataclass(kw_only=True)
class StateSamples(WrittenSamples):
    """Samples whose encoder's states (T, D) are known by their numbers; the encoder is not run."""

    states: Callable[[int], NDArray[Any]]

    def encoded(self, rows: Sequence[int]) -> dict[str, Tensor]:
        """States (B, T, D), zero where nothing is, and where something is (B, T)."""
        found = [self.states(row) for row in rows]
        lengths = np.array([len(vectors) for vectors in found])
        states = np.zeros((len(rows), int(lengths.max()), found[0].shape[1]), dtype=np.float32)
        for place, vectors in enumerate(found):
            states[place, : len(vectors)] = vectors
        mask = np.arange(states.shape[1]) < lengths[:, None]
        return {STATES: torch.from_numpy(states), MASK: torch.from_numpy(mask).long()}


def with_states(samples: WrittenSamples, states: Callable[[int], NDArray[Any]]) -> StateSamples:
    """The same samples, of which the encoder's states are known."""
    names = ("payload", "names", "targets", "model", "labels")
    given = {name: getattr(samples, name) for name in names}
    return StateSamples(**given, states=states, _lengths=samples.lengths())


@dataclass(frozen=True)
class EncodedTexts:
    """The states of N samples, as a decoder reads them: cached ones, or computed when they are asked for."""

    samples: WrittenSamples
    model: WritingModel
    width: int

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def longest(self) -> int:
        """The most vectors that a sample has."""
        return int(self.samples.input_lengths().max(initial=1))

    def padded(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """See `headstart.heads.sequences.Sequences.padded`."""
        batch = self.samples.inputs(rows.tolist())
        self.model.eval()
        with torch.inference_mode():
            states = self.model.states(batch).float().cpu().numpy()
        return states, batch[MASK].bool().cpu().numpy()
