"""The one way to fill spaces: for a scan, a stream, predict, the embedder and the cut cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from headstart.cache.resolutions import record_known
from headstart.errors import ConfigError
from headstart.extraction.backbone import load_model
from headstart.extraction.engine import LocalEngine
from headstart.extraction.inference import usable_cores
from headstart.extraction.samples import NO_LIMIT, FailureLimit, SampleCollector, samples_of
from headstart.extraction.workers import WorkersEngine
from headstart.extraction.writer import ShardWriter
from headstart.keys import first_occurrences

if TYPE_CHECKING:
    from headstart.config import ComputeConfig
    from headstart.contracts import FrozenModel, KeyMemo, Payloads, Progress, Source
    from headstart.extraction.backbone import OpenedBackbone
    from headstart.extraction.plan import ExtractionPlan
    from headstart.extraction.samples import Samples
    from headstart.extraction.timings import Timings
    from headstart.types import Failure, Json, Modality, Payload

ENOUGH_PER_GPU = 1000  # samples, below which another worker's start takes longer than they do


@dataclass(frozen=True, slots=True)
class FillResult:
    """What was computed to fill the spaces of a plan."""

    plan: ExtractionPlan  # all samples, with the spaces that hold their features
    n_computed: int  # samples that this command computed
    failures: list[Failure]
    timings: Timings | None  # None if nothing was computed
    drift: Mapping[str, Json] = field(default_factory=dict)  # by space, where low precision was measured


class SpaceWriter:
    """Computes and commits what spaces lack; a plan with nothing to do loads no model.

    With ``keep_open``, shards grow from plan to plan, over the same spaces, until `finish`.
    """

    def __init__(
        self,
        open_backbone: Callable[[], OpenedBackbone],
        config: ComputeConfig,
        progress: Progress,
        limit: FailureLimit = NO_LIMIT,
        keep_open: bool = False,
    ) -> None:
        self._open_backbone = open_backbone
        self._config = config
        self._progress = progress
        self._limit = limit
        self._keep_open = keep_open
        self._opened: OpenedBackbone | None = None
        self._is_prepared = False
        self._model: FrozenModel | None = None
        self._shards: ShardWriter | None = None
        self._timings: Timings | None = None
        self._n_computed = 0
        self.failures: list[Failure] = []

    def fill(self, plan: ExtractionPlan) -> None:
        """Compute what the spaces of a plan lack."""
        if not len(plan.todo):
            return
        self._opened = self._opened or self._open_backbone()
        devices = [] if self._keep_open else worker_devices(self._config, len(plan.todo))
        size = self._config.batch_size
        engine: LocalEngine | WorkersEngine
        if len(devices) > 1:
            model = self._opened.model_recipe(plan.precision)
            engine = WorkersEngine(self._progress, model, devices, usable_cores(), size, self._limit)
        else:
            engine = LocalEngine(self._progress, size, self._limit)
        try:
            self._run(engine, plan, self._opened)
        finally:
            self._n_computed += engine.n_computed
            self.failures += engine.failures
            if (now := engine.timings) is not None:
                self._timings = now if self._timings is None else self._timings.joined(now)

    def _run(self, engine: LocalEngine | WorkersEngine, plan: ExtractionPlan, opened: OpenedBackbone) -> None:
        if isinstance(engine, WorkersEngine):
            self._prepare(plan, opened)
            engine.run(plan)
            return
        if self._model is None:
            self._model = load_model(opened, self._config.device, plan.precision)
        self._prepare(plan, opened)  # after the model: one that cannot be loaded leaves no empty spaces
        if self._shards is None:
            self._shards = ShardWriter(plan.spaces, plan.shard_format)
        for _ in engine.run(plan, self._model, self._shards, self._keep_open):
            pass

    def _prepare(self, plan: ExtractionPlan, opened: OpenedBackbone) -> None:
        """Make the folders of the spaces, once."""
        if self._is_prepared:
            return
        self._is_prepared = True
        opened.cache.prepare()
        for space in plan.spaces:
            space.prepare()
            record_known(space.path, opened.portable_spec, opened.info)

    def finish(self, plan: ExtractionPlan) -> None:
        """Commit what is still open, and keep the indexes of the spaces."""
        if self._shards is not None:
            self._shards.commit()
        for space in plan.spaces:
            space.save_index()

    def result(self, plan: ExtractionPlan, n_missing: int) -> FillResult:
        """What was computed, for all samples of a plan; beside each space it is noted how much it held."""
        n_missing = min(n_missing, plan.n_unique)  # a stream computes anew what comes again in a later block
        for space in plan.spaces:
            space.record_use(plan.n_unique - n_missing, n_missing)
        return FillResult(plan, self._n_computed, self.failures, self._timings)


def fill(
    plan: ExtractionPlan,
    opened: OpenedBackbone,
    config: ComputeConfig,
    progress: Progress,
    limit: FailureLimit = NO_LIMIT,
) -> FillResult:
    """Compute and commit what the spaces of a plan lack."""
    writer = SpaceWriter(lambda: opened, config, progress, limit)
    n_todo = len(plan.todo)
    if n_todo:
        progress.begin("extracting", n_todo)
    try:
        writer.fill(plan)
    finally:
        if n_todo:
            progress.end()
    writer.finish(plan)
    return writer.result(plan, n_todo)


def fill_stream(
    source: Source,
    memo: KeyMemo,
    plan_block: Callable[[Payloads, Samples], ExtractionPlan],
    open_backbone: Callable[[], OpenedBackbone],
    config: ComputeConfig,
    progress: Progress,
    limit: FailureLimit = NO_LIMIT,
) -> FillResult:
    """Key and extract a source that can be read only once, block by block; no block is ever held again.

    Shards grow across blocks. Memory holds one block of payloads, and the table of all samples.
    """
    writer = SpaceWriter(open_backbone, config, progress, keep_open=True)
    seen = SampleCollector()
    plan: ExtractionPlan | None = None
    n_read = n_missing = 0
    progress.begin("reading and extracting", None)
    try:
        for part, samples in _blocks(source, memo, seen):
            plan = plan_block(part, samples)
            writer.fill(plan)
            n_missing += len(plan.todo)
            n_read += len(samples)
            limit.so_far(n_read, [*seen.failures, *writer.failures])
            progress.advance(len(samples) - len(plan.todo))
    finally:
        progress.end()
        if plan is not None:
            writer.finish(plan)
    limit.of(n_read, [*seen.failures, *writer.failures])
    all_samples = seen.samples()
    assert plan is not None  # there is a sample, so there was a block with one
    return writer.result(_whole(source, all_samples, plan), n_missing)


class _Block:
    """The last block of a stream as a source whose rows count from 0."""

    rows_per_block = None

    def __init__(self, source: Source, start: int) -> None:
        self._source = source
        self._start = start

    @property
    def modality(self) -> Modality:
        return self._source.modality

    def payload(self, row: int) -> Payload:
        return self._source.payload(self._start + row)


def _blocks(source: Source, memo: KeyMemo, seen: SampleCollector) -> Iterator[tuple[Payloads, Samples]]:
    """Each block of a stream as a source of its own, to be used up before the next. Fills ``seen``."""
    start = 0
    for block in source.scan(memo):
        seen.append(block)
        if block.table.num_rows:
            yield _Block(source, start), samples_of([block])
        start += block.table.num_rows


def _whole(source: Source, samples: Samples, last: ExtractionPlan) -> ExtractionPlan:
    """All samples of a stream, with nothing left to do."""
    n = len(first_occurrences(samples.keys))
    nothing = {"todo": last.todo[:0], "units": last.units[:0], "wants": last.wants[:0]}
    return replace(last, source=source, samples=samples, n_unique=n, n_viewed=n, **nothing)


def worker_devices(config: ComputeConfig, n_todo: int) -> list[str]:
    """The device of each worker: those that were asked for, or every GPU where there are several.

    Raises `ConfigError` if there are more workers than GPUs.
    """
    import torch

    from headstart.backbones.freezing import resolve_device

    device = resolve_device(config.device)
    n_gpus = torch.cuda.device_count() if device == "cuda" else 1
    n_workers = config.workers
    if n_workers is None:
        n_workers = min(n_gpus, -(-n_todo // ENOUGH_PER_GPU))
    if device == "cuda" and n_workers > n_gpus:
        raise ConfigError(f"--workers {n_workers}, and there are {n_gpus} GPUs: one worker each is the most")
    return [f"cuda:{n}" for n in range(n_workers)] if device == "cuda" else [device] * n_workers
