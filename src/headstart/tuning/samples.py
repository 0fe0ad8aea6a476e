"""What a training of a whole network reads: the raw samples of a set, prepared as the backbone's own transform does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from headstart.errors import DataError, SampleError
from headstart.training.examples import batches_of
from headstart.types import PADDING

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import Change
    from headstart.tuning.whole_model import WholeModel

LABELS = "labels"
MOST_KEPT = 1 << 28
"""Bytes of prepared inputs that stay in memory: texts do, images of more than a few hundred do not."""
FEW, AT_ONCE = 32, 512
EVALUATED_AT_ONCE = 32


@dataclass
class RawSamples:
    """N labelled raw samples, which the model's own transform prepares.

    ``payload`` gives the content of a sample by its number, ``change`` by number and epoch what is done to it before
    the transform. ``targets`` are as the objective takes them: int64 (N,), float32 (N, C), or tags int16 (N, T).
    """

    payload: Callable[[int], Any]
    names: Sequence[str]
    targets: Tensor
    model: WholeModel
    change: Callable[[int, int], Change | None] | None = None
    epoch: int = 0
    _kept: dict[int, Any] = field(default_factory=dict)
    _kept_bytes: int = 0
    _lengths: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def prepared(self, rows: Sequence[int]) -> list[Any]:
        """Model inputs of some samples."""
        if self.change is not None:
            return self._prepare(rows, [self.change(row, self.epoch) for row in rows])
        missing = [row for row in rows if row not in self._kept]
        made = dict(zip(missing, self._prepare(missing) if missing else [], strict=True))
        for row, inputs in made.items():
            self._kept_bytes += _n_bytes(inputs)
            if self._kept_bytes < MOST_KEPT:
                self._kept[row] = inputs
        return [made[row] if row in made else self._kept[row] for row in rows]

    def _prepare(self, rows: Sequence[int], changes: Sequence[Any] | None = None) -> list[Any]:
        made = self.model.frozen.prepare([self.payload(row) for row in rows], changes)
        for row, inputs in zip(rows, made, strict=True):
            if isinstance(inputs, SampleError):
                raise DataError(f"{self.names[row]} cannot be used any more: {inputs}; extract the set anew")
        return list(made)

    def batch(self, rows: Sequence[int]) -> dict[str, Tensor]:
        """Some samples as one batch on the CPU, with their targets under ``labels``."""
        batch = self.model.collate(self.prepared(rows))
        return {**batch, LABELS: self.targets[torch.as_tensor(list(rows))]}

    def inputs(self, rows: Sequence[int]) -> dict[str, Tensor]:
        """What the model takes of some samples, on its device: a batch without targets."""
        return {n: part.to(self.model.frozen.device) for n, part in self.batch(rows).items() if n != LABELS}

    def outputs(
        self, run: Callable[[dict[str, Tensor]], Tensor], at_once: int = EVALUATED_AT_ONCE
    ) -> list[NDArray[np.float32]]:
        """What a pass makes of each sample, in eval mode, without gradients and changes; of a sentence its words."""
        was_training, change = self.model.training, self.change
        self.model.eval()
        self.change = None
        found: list[Any] = [None] * len(self)
        try:
            lengths = self.lengths()
            order = np.arange(len(self)) if lengths is None else np.argsort(lengths, kind="stable")
            with torch.inference_mode():
                for start in range(0, len(order), at_once):
                    rows = order[start : start + at_once].tolist()
                    for row, output in zip(rows, run(self.inputs(rows)).float().cpu().numpy(), strict=True):
                        found[row] = output[: self._n_words(row)]
        finally:
            self.change = change
            self.model.train(was_training)
        return found

    def _n_words(self, row: int) -> int | None:
        """How many words a sample has; None if it is no sentence."""
        if self.targets.ndim < 2 or self.targets.is_floating_point():
            return None
        return int((self.targets[row] != PADDING).sum())

    def lengths(self) -> NDArray[np.int64] | None:
        """What each sample costs, in the model's own units; None where all cost alike, as images do."""
        if self._lengths is None:
            few = np.linspace(0, len(self) - 1, min(len(self), FEW)).astype(int).tolist()
            is_even = len({self.model.length(inputs) for inputs in self.prepared(few)}) == 1
            self._lengths = np.empty(0, dtype=np.int64) if is_even else self._measured()
        return self._lengths if len(self._lengths) else None

    def _measured(self) -> NDArray[np.int64]:
        found = np.empty(len(self), dtype=np.int64)
        for start in range(0, len(self), AT_ONCE):
            rows = range(start, min(start + AT_ONCE, len(self)))
            found[start : rows.stop] = [self.model.length(inputs) for inputs in self.prepared(rows)]
        return found


def _n_bytes(inputs: Any) -> int:
    if isinstance(inputs, dict):
        return sum(_n_bytes(part) for part in inputs.values())
    if hasattr(inputs, "nbytes"):
        return int(inputs.nbytes)
    return 8 * len(inputs) if hasattr(inputs, "__len__") else 8


def stacked(outputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Outputs of N samples as one array (N, …); those of fewer words are filled up with zeros."""
    longest = max((output.shape for output in outputs), default=(0,))
    if all(output.shape == longest for output in outputs):
        return np.stack(outputs).astype(np.float32)
    whole = np.zeros((len(outputs), *longest), dtype=np.float32)
    for row, output in enumerate(outputs):
        whole[row, : len(output)] = output
    return whole


@dataclass
class Windows:
    """The order of an epoch: shuffled windows of a batch each, cut into parts that fit the memory.

    Parts of a window go through the network one after the other and make one step together. Where samples are of
    different lengths, those of a part are alike, so that little is padded. The order is that of `headstart.training`.
    """

    n: int
    batch_size: int
    part_size: int
    seed: int
    lengths: NDArray[np.int64] | None = None
    epoch: int = 1

    @property
    def n_parts(self) -> int:
        """Parts of a whole window."""
        return -(-self.batch_size // self.part_size)

    def __len__(self) -> int:
        whole, rest = divmod(self.n, self.batch_size)
        return whole * self.n_parts + -(-rest // self.part_size)

    def __iter__(self) -> Iterator[list[int]]:
        """The rows of each part of the epoch."""
        for window in batches_of(self.n, self.batch_size, self.seed, self.epoch, torch.device("cpu")):
            rows = window.numpy()
            if self.lengths is not None:
                rows = rows[np.argsort(self.lengths[rows], kind="stable")]
            for start in range(0, len(rows), self.part_size):
                yield rows[start : start + self.part_size].tolist()
