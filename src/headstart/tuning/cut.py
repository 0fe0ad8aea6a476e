"""The cut cache: what enters the blocks that train is computed once, and kept like any other feature.

The first blocks of a network are left out then, and what came out of them is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.arrow import keys_from_arrow
from headstart.backbones.blocks import BLOCK
from headstart.backbones.images import PIXELS
from headstart.backbones.timm_models import has_channels_last
from headstart.cache.recipe import make_recipe
from headstart.config import ComputeConfig
from headstart.errors import ConfigError, NoBlocksError, first_line
from headstart.extraction.fill import fill
from headstart.extraction.plan import plan_for_spaces
from headstart.samples import are_sequences
from headstart.tuning.samples import LABELS, RawSamples
from headstart.tuning.strategies import plan_phases
from headstart.tuning.whole_model import Depths, WholeModel
from headstart.tuning.word_inputs import windows_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.space import Space
    from headstart.config import TuneConfig
    from headstart.contracts import Progress
    from headstart.extraction.backbone import OpenedBackbone
    from headstart.extraction.read_again import RawData
    from headstart.fitting.data import Splits
    from headstart.tuning.strategies import Phase
    from headstart.types import BackboneInfo, Json

CUTTABLE = ("last:", "gradual")
TEXTS = ("text", "words")
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
    """A backbone without its first blocks, which must be modules of their own, some of them left.

    What stands before them still runs, and what comes out of it is dropped.
    """

    model: WholeModel
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
        """Samples that begin at the cut; ``states`` gives what leaves the last block that is left out, (T, D)."""
        batch = plain.batch([0])
        if PIXELS not in batch:
            return CutSamples(**_given_of(plain, cost_alike=False), states=states)
        # The network's first layers see a blank: what they make of it is dropped. Without positions in them any
        # size will do.
        shape, channels_last = self._shape, has_channels_last(self.model.backbone)
        blank = batch[PIXELS][0] * 0
        if len(shape) == 3 and not channels_last:
            blank = blank[:, :BLANK_SIDE, :BLANK_SIDE]
        given = {**_given_of(plain), "states": states}
        return CutImages(**given, blank=blank, shape=shape, channels_last=channels_last)

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
        """Refuse if features of a few samples are not those of the whole network: more than the blocks passes up."""
        rows = list(range(min(4, len(whole))))
        self.model.eval()
        try:
            with torch.no_grad():
                wanted = self.model.features(whole.inputs(rows))
                with self.active():
                    found = self.model.features(cut.inputs(rows))
        except (RuntimeError, ValueError, AssertionError, TypeError, AttributeError, LookupError) as error:
            reason = first_line(error)
            raise ConfigError(f"it cannot begin behind block {self.n_left_out} ({reason})") from error
        if float((wanted - found).abs().max()) > CLOSE * float(wanted.abs().max()):
            raise ConfigError("what its first blocks give is not all that enters the others")


@dataclass(kw_only=True)
class CutSamples(RawSamples):
    """Samples with what leaves the last block that is left out: by their numbers vectors (T, D)."""

    states: Callable[[int], NDArray[Any]]

    def batch(self, rows: Sequence[int]) -> dict[str, Tensor]:
        """Some samples as one batch, with their ``states`` (B, T, D), zero where nothing is."""
        batch = super().batch(rows)
        found = [self.states(row) for row in rows]
        states = np.zeros((*batch["attention_mask"].shape, found[0].shape[1]), dtype=np.float32)
        place = 0
        for vectors, prepared in zip(found, self.prepared(rows), strict=True):
            start = 0
            for window in windows_of(prepared):
                n = self.model.frozen.length(window)
                states[place, :n] = vectors[start : start + n]
                place, start = place + 1, start + n
        return {**batch, STATES: torch.from_numpy(states)}


@dataclass(kw_only=True)
class CutImages(CutSamples):
    """Images with what leaves the last block that is left out; they are not decoded.

    The layers before the blocks are shown a ``blank`` (3, H, W). States of an image have a ``shape`` (T, D), or that of
    a map: (D, H, W), or (H, W, D) if its channels are last.
    """

    blank: Tensor
    shape: tuple[int, ...]
    channels_last: bool

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


@dataclass(kw_only=True)
class PooledSamples(RawSamples):
    """Samples of which only what the head reads is wanted: an array (N, D), or sequences."""

    features: Any

    def batch(self, rows: Sequence[int]) -> dict[str, Tensor]:
        """Some samples as ``states`` (B, D), or (B, T, D)."""
        numbers = torch.as_tensor(list(rows))
        own = numbers.numpy()
        states = self.features.padded(own)[0] if are_sequences(self.features) else self.features[own]
        return {STATES: torch.from_numpy(states), LABELS: self.targets[numbers]}


def _given_of(samples: RawSamples, cost_alike: bool = True) -> dict[str, Any]:
    """What samples were made of, for others like them."""
    given = {name: getattr(samples, name) for name in ("payload", "names", "targets", "model")}
    return {**given, "_lengths": np.empty(0, dtype=np.int64)} if cost_alike else given


@dataclass
class CutCache:
    """What was kept for the phases of a training, in spaces by the number of blocks that train.

    A phase of the head alone reads the frozen features by split, ``raw``, if they are what float32 computes.
    """

    model: WholeModel
    raw: Splits
    spaces: Mapping[int, Space]
    seconds: float
    is_exact: bool
    progress: Progress
    _cuts: dict[int, Cut | None] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        """What a report says of it; nothing if nothing was kept."""
        spaces = {str(n): space.id for n, space in self.spaces.items()}
        return {"cut": {"spaces": spaces, "seconds": self.seconds}} if spaces else {}

    @contextmanager
    def __call__(self, phase: Phase, samples: Mapping[str, RawSamples]) -> Iterator[Mapping[str, RawSamples]]:
        """Samples that begin where the phase trains, and a model that takes them."""
        n_blocks = phase.n_blocks
        if n_blocks == 0 and self.spaces and self.is_exact and not self.raw["train"].beside:
            read = self.model.read
            self.model.read = lambda batch: batch[STATES]  # no part of the backbone runs
            try:
                yield {split: self._pooled(split, plain) for split, plain in samples.items()}
            finally:
                self.model.read = read
            return
        if n_blocks is None or n_blocks not in self.spaces:
            yield samples
            return
        cut = self._checked(n_blocks, samples["train"])
        if cut is None:
            yield samples
            return
        begun = {split: cut.samples(plain, self._states(n_blocks, split)) for split, plain in samples.items()}
        with cut.active():
            yield begun

    def _checked(self, n_blocks: int, train: RawSamples) -> Cut | None:
        if n_blocks not in self._cuts:
            try:
                cut = Cut(self.model, self.model.depths.n_blocks - n_blocks)
                cut.look(train.inputs([0]))
                cut.check(train, cut.samples(train, self._states(n_blocks, "train")))
                self._cuts[n_blocks] = cut
            except ConfigError as error:
                self.progress.say(f"the whole network runs in each epoch: {error}")
                self._cuts[n_blocks] = None
        return self._cuts[n_blocks]

    def _states(self, n_blocks: int, split: str) -> Callable[[int], NDArray[Any]]:
        keys = keys_from_arrow(self.raw[split].table.column("key"))
        return self.spaces[n_blocks].rows(keys).vectors

    def _pooled(self, split: str, plain: RawSamples) -> PooledSamples:
        X = self.raw[split].X
        features = X if are_sequences(X) else np.asarray(X, dtype=np.float32)
        return PooledSamples(**_given_of(plain), features=features)


def fill_cuts(
    config: TuneConfig, opened: OpenedBackbone, data: RawData, progress: Progress
) -> tuple[dict[int, Space], float]:
    """Compute what the cache lacks of what enters the last blocks that train.

    Returns
    -------
    spaces : dict of int to Space
        By the number of blocks; none where nothing is kept.
    seconds : float
        That it took.
    """
    reason = _why_not(config, opened.info)
    if reason is None:
        n_blocks = _count_blocks(opened)
        blocks = [
            n for n in (phase.n_blocks for phase in plan_phases(config, n_blocks)) if n and n < n_blocks
        ]
        layer = BLOCK if opened.info.modality == "image" else ""
        try:
            return fill_taps(
                config, opened, data, {n: f"{layer}{n_blocks - n}.tokens" for n in blocks}, progress
            )
        except NoBlocksError as error:
            progress.say(f"the whole network runs in each epoch: {error}")
    elif config.cut_cache and config.strategy.startswith(CUTTABLE):
        progress.say(f"the whole network runs in each epoch: {reason}")
    return {}, 0.0


def _count_blocks(opened: OpenedBackbone) -> int:
    if opened.info.modality in TEXTS:
        return opened.info.n_layers
    frozen = opened.backbone().load("cpu", "fp32")
    return Depths.of(frozen.module, getattr(frozen, "blocks", None)).n_blocks


def fill_taps(
    config: TuneConfig,
    opened: OpenedBackbone,
    data: RawData,
    taps: Mapping[int, str],
    progress: Progress,
    said: str = "what enters the blocks that train is kept",
) -> tuple[dict[int, Space], float]:
    """Compute what the cache lacks at some taps; the spaces by what names them, and the seconds that it took."""
    if not taps:
        return {}, 0.0
    start = perf_counter()
    info = _with_all_windows(opened.info)
    spaces = [opened.cache.space(make_recipe(info, tap, "fp32", "float32")) for tap in taps.values()]
    plan = plan_for_spaces(data.source, data.samples, spaces, "hdf5", "as it is trained")
    if len(plan.todo):
        progress.say(f"{said}: {plan.summary()}")
    given: dict[str, Any] = {name: getattr(config, name) for name in ("cache", "device", "offline")}
    fill(plan, opened, ComputeConfig(**given), progress)
    opened.release()
    return dict(zip(taps, spaces, strict=True)), perf_counter() - start


def _with_all_windows(info: BackboneInfo) -> BackboneInfo:
    """The backbone as it gives all tokens of all windows of a pair, of which a head reads each token once."""
    if not info.windows or "tokens" not in info.windows:
        return info
    return replace(info, windows={**info.windows, "tokens": "all"})


def _why_not(config: TuneConfig, info: BackboneInfo) -> str | None:
    """Why nothing is kept at a cut, for the user; None if it is."""
    if not config.cut_cache:
        return "--no-cut-cache was given"
    if not config.strategy.startswith(CUTTABLE):
        return f"{config.strategy} trains from the input, or nothing but the head"
    if config.augment:
        return "augmented inputs are other ones in each epoch"
    if info.modality not in (*TEXTS, "image"):
        return "only models of texts and of images are cut so far"
    if info.modality in TEXTS and (not info.n_layers or info.first_layer):
        return "its blocks cannot be told apart"
    if "padding" in info.preprocessing or "max_num_patches" in info.preprocessing:
        return "its padding takes part in a feature"
    if info.prompt:
        return "the tokens of a prompt take no part in a feature"
    return None
