"""The cut cache: what enters the blocks that train is computed once, and kept like any other feature."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.arrow import keys_from_arrow
from headstart.backbones.blocks import BLOCK
from headstart.cache.recipe import make_recipe
from headstart.config import ComputeConfig
from headstart.errors import ConfigError
from headstart.extraction.fill import fill
from headstart.extraction.plan import plan_for_spaces
from headstart.tuning.cut import Cut, PooledSamples, given_features, given_of
from headstart.tuning.depths import Depths

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.space import Space
    from headstart.config import TuneConfig
    from headstart.contracts import Progress
    from headstart.extraction.backbone import OpenedBackbone
    from headstart.fitting.data import Splits
    from headstart.tuning.inputs import RawSamples
    from headstart.tuning.network import TunedModel
    from headstart.tuning.raw_samples import RawData
    from headstart.tuning.strategies import Phase
    from headstart.types import BackboneInfo, Json

CUTTABLE = ("last:", "gradual")


def why_not(config: TuneConfig, info: BackboneInfo) -> str | None:
    """Why nothing is kept at a cut, for the user; None: it is."""
    if not config.cut_cache:
        return "--no-cut-cache was given"
    if not config.strategy.startswith(CUTTABLE):
        return f"{config.strategy} trains from the input, or nothing but the head"
    if config.augment:
        return "augmented inputs are other ones in each epoch"
    if info.modality not in ("text", "image"):
        return "only models of texts and of images are cut so far"
    if info.modality == "text" and (not info.n_layers or info.first_layer):
        return "its blocks cannot be told apart"
    if "padding" in info.preprocessing or "max_num_patches" in info.preprocessing:
        return "its padding takes part in a feature"
    if info.prompt:
        return "the tokens of a prompt take no part in a feature"
    return None


@dataclass
class CutCache:
    """What was kept for the phases of a training; a `ShortCut`.

    Parameters
    ----------
    raw : mapping of str to LabelledSamples
        The frozen features, which a phase of the head alone reads; by split.
    spaces : mapping of int to Space
        By the number of blocks that train.
    is_exact : bool
        Whether the frozen features are what float32 computes.
    """

    model: TunedModel
    raw: Splits
    spaces: Mapping[int, Space]
    is_exact: bool
    progress: Progress
    _cuts: dict[int, Cut | None] = field(default_factory=dict)

    @contextmanager
    def __call__(self, phase: Phase, samples: Mapping[str, RawSamples]) -> Iterator[Mapping[str, RawSamples]]:
        """Samples that begin where the phase trains, and a model that takes them."""
        n_blocks = phase.n_blocks
        if n_blocks == 0 and self.spaces and self.is_exact:
            with given_features(self.model):
                yield {split: self._pooled(split, plain) for split, plain in samples.items()}
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
        features = np.asarray(self.raw[split].X, dtype=np.float32)
        return PooledSamples(**given_of(plain), features=features)


def cut_taps(opened: OpenedBackbone, blocks: Sequence[int], n_blocks: int) -> dict[int, str]:
    """Where what enters so many last blocks of all is read, by their number."""
    layer = BLOCK if opened.info.modality == "image" else ""
    return {n: f"{layer}{n_blocks - n}.tokens" for n in blocks}


def count_blocks(opened: OpenedBackbone) -> int:
    """How many blocks the backbone has."""
    if opened.info.modality == "text":
        return opened.info.n_layers
    frozen = opened.backbone().load("cpu", "fp32")
    return Depths.of(frozen.module, getattr(frozen, "blocks", None)).n_blocks


def fill_cuts(
    config: TuneConfig, opened: OpenedBackbone, data: RawData, taps: Mapping[int, str], progress: Progress
) -> tuple[dict[int, Space], float]:
    """Compute what the cache lacks of what enters the last blocks, for each number of them.

    Parameters
    ----------
    taps : mapping of int to str
        By the number of blocks that train: where what enters them is read.

    Returns
    -------
    spaces : dict of int to Space
    seconds : float
        That it took.
    """
    info, start = opened.info, perf_counter()
    spaces = [opened.cache.space(make_recipe(info, tap, "fp32", "float32")) for tap in taps.values()]
    plan = plan_for_spaces(data.source, data.samples, spaces, "hdf5", "as it is trained")
    if len(plan.todo):
        progress.say(f"what enters the blocks that train is kept: {plan.summary()}")
    given: dict[str, Any] = {name: getattr(config, name) for name in ("cache", "device", "offline")}
    compute = ComputeConfig(**given)
    fill(plan, opened, compute, progress)
    opened.release()
    return dict(zip(taps, spaces, strict=True)), perf_counter() - start


def describe_cut(spaces: Mapping[int, Space], seconds: float) -> dict[str, Json]:
    """What a report says of it."""
    return {"spaces": {str(n): space.id for n, space in spaces.items()}, "seconds": seconds}
