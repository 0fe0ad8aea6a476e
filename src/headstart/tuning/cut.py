"""Beginning in the middle: the first blocks of a network are left out, and what came out of them is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.backbones.images import PIXELS
from headstart.backbones.timm_models import has_channels_last
from headstart.errors import ConfigError
from headstart.tuning.inputs import LABELS, RawSamples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.tuning.network import TunedModel

STATES = "states"
BLANK_SIDE = 32
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
    """A backbone without its first blocks.

    What stands before them still runs, and what comes out of it is dropped.

    Parameters
    ----------
    n_left_out : int
        In [1, n_blocks).

    Raises
    ------
    ConfigError
        Its blocks are no modules of their own.
    """

    model: TunedModel
    n_left_out: int
    _gives_tuples: bool = False
    _shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        blocks = self.model.blocks[: self.n_left_out]
        homes = {
            id(child): (module, name)
            for module in self.model.backbone.modules()
            for name, child in module.named_children()
        }
        self._homes = [homes[id(block)] for block in blocks if id(block) in homes]
        if len({id(block) for block in blocks}) < self.n_left_out or len(self._homes) < self.n_left_out:
            raise ConfigError("its blocks are no modules of their own, so that none can be the first")

    def look(self, batch: Mapping[str, Tensor]) -> None:
        """See in a pass over a batch what leaves the last block that is left out, and whether as part of a tuple."""
        self.model.eval()  # a dropout would draw from the training's random numbers
        seen: list[Any] = []
        owner, name = self._homes[-1]
        handle = owner.get_submodule(name).register_forward_hook(lambda *given: seen.append(given[2]))
        try:
            with torch.no_grad():
                self.model.features(batch)
        finally:
            handle.remove()
        self._gives_tuples = isinstance(seen[0], tuple)
        self._shape = tuple((seen[0][0] if self._gives_tuples else seen[0]).shape[1:])

    def samples(self, plain: RawSamples, states: Callable[[int], NDArray[Any]]) -> CutSamples:
        """Samples that begin at the cut.

        Parameters
        ----------
        plain : RawSamples
        states : callable
            From a sample's number to what leaves the last block that is left out, (T, D).
        """
        given = given_of(plain)
        batch = plain.batch([0])
        if PIXELS not in batch:
            return CutSamples(**given, states=states)
        # The network's first layers see a blank: what they make of it is dropped. Without positions in them any
        # size will do.
        shape, channels_last = self._shape, has_channels_last(self.model.backbone)
        blank = batch[PIXELS][0] * 0
        if len(shape) == 3 and not channels_last:
            blank = blank[:, :BLANK_SIDE, :BLANK_SIDE]
        return CutImages(**given, states=states, blank=blank, shape=shape, channels_last=channels_last)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Leave the blocks out inside; batches must carry their ``states``."""
        read = self.model.read
        whole = [owner.get_submodule(name) for owner, name in self._homes]
        given = [_Given(self._gives_tuples) for _ in whole]

        def begin(batch: Mapping[str, Tensor]) -> Tensor:
            given[0].states = batch[STATES]
            features: Tensor = read({name: part for name, part in batch.items() if name != STATES})
            return features

        self._put(given)
        self.model.read = begin
        try:
            yield
        finally:
            self._put(whole)
            self.model.read = read

    def _put(self, modules: Sequence[nn.Module]) -> None:
        for (owner, name), module in zip(self._homes, modules, strict=True):
            setattr(owner, name, module)

    def check(self, whole: RawSamples, cut: CutSamples) -> None:
        """Compare the features of a few samples with those of the whole network.

        Raises
        ------
        ConfigError
            They differ: something else than the blocks passes from the bottom to the top.
        """
        rows = list(range(min(4, len(whole))))
        self.model.eval()
        try:
            with torch.no_grad():
                wanted = self.model.features(whole.inputs(rows))
                with self.active():
                    found = self.model.features(cut.inputs(rows))
        except (RuntimeError, ValueError, AssertionError, TypeError, AttributeError, LookupError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ConfigError(f"it cannot begin behind block {self.n_left_out} ({reason})") from error
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
class CutImages(CutSamples):
    """Images with what leaves the last block that is left out; they are not decoded.

    Parameters
    ----------
    blank : Tensor, shape (3, H, W)
        What the layers before the blocks are shown.
    shape : tuple of int
        Of the states of one image: (T, D), or of a map.
    channels_last : bool
        Whether maps are (H, W, D) rather than (D, H, W).
    """

    blank: Tensor = field(default_factory=lambda: torch.empty(0))
    shape: tuple[int, ...] = ()
    channels_last: bool = False

    def batch(self, rows: Sequence[int]) -> dict[str, Tensor]:
        """Some samples as one batch, with their ``states`` (B, …) as they left the block."""
        states = torch.from_numpy(np.stack([self.states(row) for row in rows]).astype(np.float32, copy=False))
        if len(self.shape) == 3 and not self.channels_last:
            _, height, width = self.shape
            states = states.reshape(len(rows), height, width, -1).permute(0, 3, 1, 2)
        else:
            states = states.reshape(len(rows), *self.shape)
        blank = self.blank.expand(len(rows), *self.blank.shape)
        return {PIXELS: blank, STATES: states, LABELS: self.targets[torch.as_tensor(list(rows))]}

    def lengths(self) -> None:
        """All cost alike."""
        return


@dataclass
class PooledSamples(RawSamples):
    """Samples of which only what the head reads is wanted."""

    features: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), dtype=np.float32))

    def batch(self, rows: Sequence[int]) -> dict[str, Tensor]:
        """Some samples as ``states`` (B, D)."""
        numbers = torch.as_tensor(list(rows))
        return {STATES: torch.from_numpy(self.features[numbers.numpy()]), LABELS: self.targets[numbers]}

    def lengths(self) -> None:
        """All cost alike."""
        return


def given_of(samples: RawSamples) -> dict[str, Any]:
    """What samples were made of, for others like them."""
    return {name: getattr(samples, name) for name in ("payload", "names", "targets", "model")}


@contextmanager
def given_features(model: TunedModel) -> Iterator[None]:
    """Let the head read ``states`` as they are: no part of the backbone runs."""
    read = model.read
    model.read = lambda batch: batch[STATES]
    try:
        yield
    finally:
        model.read = read
