"""What extract, predict and the embedder share: opening a backbone, and filling its spaces."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headstart.backbones import located_spec, open_backbone, side_of
from headstart.cache.resolutions import find_known, record_known
from headstart.errors import ConfigError, MismatchError, WeightsUnavailableError
from headstart.extraction.engine import LocalEngine
from headstart.extraction.samples import NO_LIMIT, FailureLimit
from headstart.extraction.workers import ModelRecipe, WorkersEngine
from headstart.extraction.writer import ShardWriter

if TYPE_CHECKING:
    from headstart.backbones.options import BackboneOptions
    from headstart.cache.space import CommittedShard, Space
    from headstart.cache.store import Cache
    from headstart.config import ComputeConfig
    from headstart.contracts import Backbone, FrozenModel, Progress, Source
    from headstart.extraction.plan import ExtractionPlan, Work
    from headstart.extraction.timings import Timings
    from headstart.types import BackboneInfo, Failure, Json, Precision


class OpenedBackbone:
    """A backbone, and what is known of it before its weights are loaded.

    Parameters
    ----------
    spec : str
    options : BackboneOptions
    cache : Cache
        Its memo, and what lies beside its spaces, may know the backbone already.
    progress : Progress
    """

    def __init__(self, spec: str, options: BackboneOptions, cache: Cache, progress: Progress) -> None:
        self.spec = spec
        self._options = options
        self.cache = cache
        self._progress = progress
        self._backbone: Backbone | None = None
        self.was_loaded = False
        self.info = self._resolve()

    @property
    def portable_spec(self) -> dict[str, Json]:
        """Spec and options, without anything of this machine."""
        options = {**self._options.given(), **side_of(self.spec, self._options)}
        return {"spec": located_spec(self.spec), "options": options}

    def backbone(self) -> Backbone:
        """The backbone, to be loaded.

        Raises
        ------
        BackboneError
            Its weights cannot be had on this machine.
        """
        if self._backbone is None:
            self._backbone = open_backbone(self.spec, self._options)
        return self._backbone

    def release(self) -> None:
        """Let go of the model; it is loaded anew if it is needed again."""
        self._backbone, self.was_loaded = None, False

    def model_recipe(self, precision: Precision) -> ModelRecipe:
        """What another process needs to load it."""
        return ModelRecipe(self.spec, self._options, precision, self.info.weights)

    def _resolve(self) -> BackboneInfo:
        """From this machine's memo, from the model, or from what the cache knows of it."""
        try:
            key = self.backbone().memo_key()
            if key is not None and (info := self.cache.resolutions.get(key)):
                return info
            began = time.time_ns()
            info = self.backbone().resolve()
        except WeightsUnavailableError as error:
            known = find_known(self.cache.space_paths(), self.portable_spec)
            if len(known) != 1:
                raise
            self._progress.say(f"{error}; going on with what the cache holds of it")
            return known[0]
        self.was_loaded = True
        if key is not None:
            self.cache.resolutions.put(key, info, self.backbone().witnesses(), began)
        return info


def check_modality(source: Source, info: BackboneInfo) -> None:
    """Refuse images for a text backbone, and the other way round."""
    takes = {"text": ("text", "text-pair")}
    if source.modality not in takes.get(info.modality, (info.modality,)):
        pairs = "give --image-column and --text-column for pairs of both, or "
        raise ConfigError(
            f"{info.spec} takes {info.modality}s, and the data holds {source.modality}s "
            f"({source.description}); {pairs if info.modality == 'image-text' else ''}choose another backbone"
        )


@dataclass(frozen=True, slots=True)
class Filled:
    """What was computed to fill the spaces of a plan.

    Parameters
    ----------
    n_computed : int
        The samples that this process computed.
    failures : list of Failure
    timings : Timings, optional
        None: nothing was.
    """

    n_computed: int
    failures: list[Failure]
    timings: Timings | None


class Filler:
    """Computes and commits what spaces lack; a plan with nothing to do loads no model.

    Parameters
    ----------
    opened : OpenedBackbone
    config : ComputeConfig
    progress : Progress
    limit : FailureLimit
    keep_open : bool
        Let shards grow from plan to plan, over the same spaces, until `finish`.

    Attributes
    ----------
    n_computed : int
        The samples that this process computed.
    failures : list of Failure
    timings : Timings, optional
        None: nothing was computed.
    """

    def __init__(
        self,
        opened: OpenedBackbone,
        config: ComputeConfig,
        progress: Progress,
        limit: FailureLimit = NO_LIMIT,
        keep_open: bool = False,
    ) -> None:
        self._opened = opened
        self._config = config
        self._progress = progress
        self._limit = limit
        self._keep_open = keep_open
        self._is_prepared = False
        self._model: FrozenModel | None = None
        self._writer: ShardWriter | None = None
        self.timings: Timings | None = None
        self.n_computed = 0
        self.failures: list[Failure] = []

    def fill(self, work: Work) -> None:
        """Compute what the spaces of a plan lack."""
        if not len(work.plan.todo):
            return
        devices = [] if self._keep_open else worker_devices(self._config, len(work.plan.todo))
        engine = self._workers(work, devices) if len(devices) > 1 else self._local(work)
        try:
            for _ in self._run(engine, work):
                pass
        finally:
            self.n_computed += engine.n_computed
            self.failures += engine.failures
            if engine.timings is not None:
                self.timings = engine.timings if self.timings is None else self.timings.joined(engine.timings)

    def _local(self, work: Work) -> LocalEngine:
        return LocalEngine(self._progress, work.stored, self._config.batch_size, self._limit)

    def _workers(self, work: Work, devices: Sequence[str]) -> WorkersEngine:
        from headstart.extraction.inference import usable_cores

        model = self._opened.model_recipe(work.precision)
        cores, size = usable_cores(), self._config.batch_size
        return WorkersEngine(self._progress, model, devices, cores, work.stored, size, self._limit)

    def _run(self, engine: LocalEngine | WorkersEngine, work: Work) -> Iterator[CommittedShard]:
        if isinstance(engine, WorkersEngine):
            self._prepare(work)
            yield from engine.run(work.plan)
            return
        if self._model is None:
            self._model = load_model(self._opened, self._config.device, work.precision)
        self._prepare(work)  # after the model: one that cannot be loaded leaves no empty spaces
        if self._writer is None:
            self._writer = ShardWriter(work.plan.spaces, work.plan.shard_format)
        yield from engine.run(work.plan, self._model, self._writer, self._keep_open)

    def finish(self, spaces: Sequence[Space]) -> None:
        """Commit what is still open, and keep the indexes of the spaces."""
        if self._writer is not None:
            for _ in self._writer.commit():
                pass
        for space in spaces:
            space.save_index()

    def _prepare(self, work: Work) -> None:
        """Make the folders of the spaces, once."""
        if self._is_prepared:
            return
        self._is_prepared = True
        self._opened.cache.prepare()
        for space in work.plan.spaces:
            space.prepare()
            record_known(space.path, self._opened.portable_spec, self._opened.info)


def fill(
    work: Work,
    opened: OpenedBackbone,
    config: ComputeConfig,
    progress: Progress,
    limit: FailureLimit = NO_LIMIT,
) -> Filled:
    """Compute and commit what the spaces of a plan lack."""
    filler = Filler(opened, config, progress, limit)
    n_todo = len(work.plan.todo)
    if n_todo:
        progress.begin("extracting", n_todo)
    try:
        filler.fill(work)
    finally:
        if n_todo:
            progress.end()
    filler.finish(work.plan.spaces)
    record_use(work.plan, n_todo)
    return Filled(filler.n_computed, filler.failures, filler.timings)


ENOUGH_A_GPU = 1000  # samples, below which another worker's start takes longer than they do


def worker_devices(config: ComputeConfig, n_todo: int) -> list[str]:
    """The device of each worker: those that were asked for, or every GPU where there are several.

    Raises
    ------
    ConfigError
        There are more workers than GPUs.
    """
    import torch

    from headstart.backbones.freezing import resolve_device

    device = resolve_device(config.device)
    n_gpus = torch.cuda.device_count() if device == "cuda" else 1
    n_workers = config.workers
    if n_workers is None:
        n_workers = min(n_gpus, -(-n_todo // ENOUGH_A_GPU))
    if device == "cuda" and n_workers > n_gpus:
        raise ConfigError(f"--workers {n_workers}, and there are {n_gpus} GPUs: one worker each is the most")
    return [f"cuda:{n}" for n in range(n_workers)] if device == "cuda" else [device] * n_workers


def record_use(plan: ExtractionPlan, n_missing: int) -> None:
    """Note beside each space how much of a run it held, for ``cache ls``."""
    n_missing = min(n_missing, plan.n_unique)  # a stream computes anew what comes again in a later block
    for space in plan.spaces:
        space.record_use(plan.n_unique - n_missing, n_missing)


def load_model(opened: OpenedBackbone, device: str, precision: Precision) -> FrozenModel:
    """The model on a device, after a look that it is the one that its features are named after.

    Raises
    ------
    MismatchError
        It has changed since it was resolved.
    """
    from headstart.backbones.freezing import resolve_device

    backbone = opened.backbone()
    if not opened.was_loaded:
        # The memo named the space; the weights that fill it must be the ones that it was named after.
        differences = _differences(backbone.resolve(), opened.info)
        if differences:
            if (key := backbone.memo_key()) is not None:
                opened.cache.resolutions.forget(key)
            raise MismatchError(
                f"{opened.spec} is not what it was when its features were named "
                f"({', '.join(differences)} changed); run the command again"
            )
    return backbone.load(resolve_device(device), precision)


def _differences(now: BackboneInfo, then: BackboneInfo) -> list[str]:
    names = ("weights", "architecture", "preprocessing", "max_length", "prompt", "code")
    return [name for name in names if _plain(getattr(now, name)) != _plain(getattr(then, name))]


def _plain(value: Json) -> Json:
    return dict(value) if isinstance(value, Mapping) else value
