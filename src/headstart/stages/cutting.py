"""The cut cache: what enters the blocks that train is computed once, and kept like any other feature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.arrow import keys_from_arrow
from headstart.cache.formats import shard_format
from headstart.cache.reading.stored import open_rows
from headstart.errors import ConfigError
from headstart.extraction.plan import plan_extraction
from headstart.finetuning.cut import Cut, CutSamples, PooledSamples, given_features
from headstart.recipe import make_recipe
from headstart.stages.computing import fill
from headstart.stages.config import ComputeConfig
from headstart.stages.spaces import Work

if TYPE_CHECKING:
    from headstart.cache.space import Space
    from headstart.contracts import Progress
    from headstart.finetuning.inputs import RawSamples
    from headstart.finetuning.network import TunedModel
    from headstart.finetuning.strategies import Phase
    from headstart.stages.computing import OpenedBackbone
    from headstart.stages.config import TuneConfig
    from headstart.stages.fit_data import FitData
    from headstart.stages.raw_samples import RawData
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
    if info.architecture.get("library") != "transformers" or info.modality != "text":
        return "only text models of transformers are cut so far"
    if not info.n_layers or info.first_layer:
        return "its blocks cannot be told apart"
    if info.prompt:
        return "the tokens of a prompt take no part in a feature"
    return None


@dataclass
class CutCache:
    """What was kept for the phases of a training; a `ShortCut`.

    Parameters
    ----------
    model : TunedModel
    raw : FitData
        The frozen features, which a phase of the head alone reads; in ``parts``.
    spaces : mapping of int to Space
        By the number of blocks that train.
    is_exact : bool
        Whether the frozen features are what float32 computes.
    progress : Progress
    """

    model: TunedModel
    raw: FitData
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
        cut_samples = {split: self._cut(n_blocks, split, plain) for split, plain in samples.items()}
        cut = self._checked(n_blocks, samples, cut_samples)
        if cut is None:
            yield samples
            return
        with cut.active():
            yield cut_samples

    def _checked(
        self, n_blocks: int, samples: Mapping[str, RawSamples], cut_samples: Mapping[str, CutSamples]
    ) -> Cut | None:
        if n_blocks not in self._cuts:
            try:
                cut = Cut(self.model, self.model.depths.n_blocks - n_blocks)
                cut.check(samples["train"], cut_samples["train"])
                self._cuts[n_blocks] = cut
            except ConfigError as error:
                self.progress.say(f"the whole network runs in each epoch: {error}")
                self._cuts[n_blocks] = None
        return self._cuts[n_blocks]

    def _cut(self, n_blocks: int, split: str, plain: RawSamples) -> CutSamples:
        keys = keys_from_arrow(self.raw.parts[split].table.column("key"))
        rows = open_rows(self.spaces[n_blocks], keys)
        return CutSamples(**_fields(plain), states=rows.vectors)

    def _pooled(self, split: str, plain: RawSamples) -> PooledSamples:
        features = np.asarray(self.raw.parts[split].X, dtype=np.float32)
        return PooledSamples(**_fields(plain), features=features)


def _fields(samples: RawSamples) -> dict[str, Any]:
    names = ("payload", "names", "targets", "model")
    return {each.name: getattr(samples, each.name) for each in fields(samples) if each.name in names}


def fill_cuts(
    config: TuneConfig, opened: OpenedBackbone, data: RawData, blocks: Sequence[int], progress: Progress
) -> tuple[dict[int, Space], float]:
    """Compute what the cache lacks of what enters the last blocks, for each number of them.

    Returns
    -------
    spaces : dict of int to Space
    seconds : float
        That it took.
    """
    info, start = opened.info, perf_counter()
    taps = [f"{info.n_layers - n_blocks}.tokens" for n_blocks in blocks]
    spaces = [opened.cache.space(make_recipe(info, tap, "fp32", "float32")) for tap in taps]
    plan = plan_extraction(data.source, data.samples, spaces, taps, shard_format("hdf5"))
    if len(plan.todo):
        progress.say(f"what enters the blocks that train is kept: {plan.summary()}")
    given: dict[str, Any] = {name: getattr(config, name) for name in ("cache", "device", "offline")}
    compute = ComputeConfig(**given)
    fill(Work(plan, "fp32", "float32", "as it is trained"), opened, compute, progress)
    opened.release()
    return dict(zip(blocks, spaces, strict=True)), perf_counter() - start


def describe_cut(spaces: Mapping[int, Space], seconds: float) -> dict[str, Json]:
    """What a report says of it."""
    return {"spaces": {str(n): space.id for n, space in spaces.items()}, "seconds": seconds}
