"""Beginning in the middle: the first blocks of a network are left out, and what came out of them is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import ConfigError
from headstart.finetuning.depths import blocks_of
from headstart.finetuning.inputs import LABELS, RawSamples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.finetuning.network import TunedModel

STATES = "states"
CLOSE = 1e-4
"""How far from the whole network's, as a share of the largest, features may be."""


class _Given(nn.Module):
    """Stands for the first blocks: gives what is to enter the first block that is left."""

    def __init__(self, is_tuple: bool) -> None:
        super().__init__()
        self.is_tuple = is_tuple
        self.states: Tensor | None = None

    def forward(self, hidden_states: Tensor, *_: Any, **__: Any) -> Any:
        """The given states; behind the first of several, what comes in."""
        states = hidden_states if self.states is None else self.states
        return (states,) if self.is_tuple else states


@dataclass
class Cut:
    """A backbone of transformers without its first blocks.

    Parameters
    ----------
    model : TunedModel
    n_left_out : int
        In [1, n_blocks).

    Raises
    ------
    ConfigError
        Its blocks stand in no list of the module.
    """

    model: TunedModel
    n_left_out: int
    gives_tuples: bool = False
    _owner: nn.Module = field(init=False)
    _name: str = field(init=False)

    def __post_init__(self) -> None:
        blocks = blocks_of(self.model.backbone)
        homes = [
            (module, name)
            for module in self.model.backbone.modules()
            for name, child in module.named_children()
            if isinstance(child, nn.ModuleList) and list(child) == blocks and blocks
        ]
        if not homes:
            raise ConfigError("its blocks stand in no list that could begin in the middle")
        self._owner, self._name = homes[0]

    def look(self, batch: Mapping[str, Tensor]) -> None:
        """See in a pass over a batch what a block gives: its states, or a tuple of which they are the first."""
        seen: list[Any] = []
        first = blocks_of(self.model.backbone)[0]
        handle = first.register_forward_hook(lambda *given: seen.append(given[2]))
        try:
            with torch.no_grad():
                self.model.features(batch)
        finally:
            handle.remove()
        self.gives_tuples = isinstance(seen[0], tuple)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Leave the blocks out inside; batches must carry their ``states``."""
        whole: Any = getattr(self._owner, self._name)
        read = self.model.read
        given = [_Given(self.gives_tuples) for _ in range(self.n_left_out)]

        def begin(batch: Mapping[str, Tensor]) -> Tensor:
            given[0].states = batch[STATES]
            features: Tensor = read({name: part for name, part in batch.items() if name != STATES})
            return features

        setattr(self._owner, self._name, nn.ModuleList([*given, *whole[self.n_left_out :]]))
        self.model.read = begin
        try:
            yield
        finally:
            setattr(self._owner, self._name, whole)
            self.model.read = read

    def check(self, whole: RawSamples, cut: CutSamples) -> None:
        """Compare the features of a few samples with those of the whole network.

        Raises
        ------
        ConfigError
            They differ: something else than the blocks passes from the bottom to the top.
        """
        rows = list(range(min(4, len(whole))))
        self.model.eval()
        self.look(whole.inputs(rows))
        with torch.no_grad():
            wanted = self.model.features(whole.inputs(rows))
            with self.active():
                found = self.model.features(cut.inputs(rows))
        if float((wanted - found).abs().max()) > CLOSE * float(wanted.abs().max()):
            raise ConfigError("what its first blocks give is not all that enters the others")


@dataclass
class CutSamples(RawSamples):
    """Samples with what leaves the last block that is left out.

    Parameters
    ----------
    states : callable
        From a sample's number to its vectors, (T, D).
    """

    states: Callable[[int], NDArray[Any]] = field(default=lambda _: np.empty((0, 0)))

    def batch(self, rows: Sequence[int]) -> dict[str, Tensor]:
        """Some samples as one batch, with their ``states`` (B, T, D), zero where nothing is."""
        batch = super().batch(rows)
        width = batch["attention_mask"].shape[1]
        found = [self.states(row) for row in rows]
        states = np.zeros((len(rows), width, found[0].shape[1]), dtype=np.float32)
        for place, vectors in enumerate(found):
            states[place, : len(vectors)] = vectors
        return {**batch, STATES: torch.from_numpy(states)}


@dataclass
class PooledSamples(RawSamples):
    """Samples of which only what the head reads is wanted.

    Parameters
    ----------
    features : ndarray of float32, shape (N, D)
    """

    features: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), dtype=np.float32))

    def batch(self, rows: Sequence[int]) -> dict[str, Tensor]:
        """Some samples as ``states`` (B, D)."""
        numbers = torch.as_tensor(list(rows))
        return {STATES: torch.from_numpy(self.features[numbers.numpy()]), LABELS: self.targets[numbers]}

    def lengths(self) -> None:
        """All cost alike."""
        return


@contextmanager
def given_features(model: TunedModel) -> Iterator[None]:
    """Let the head read ``states`` as they are: no part of the backbone runs."""
    read = model.read
    model.read = lambda batch: batch[STATES]
    try:
        yield
    finally:
        model.read = read
