"""The one way to fill spaces: for a scan, a stream, predict, the embedder and the cut cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from headstart.cache.memos import record_known
from headstart.errors import ConfigError
from headstart.extraction.backbone import load_model
from headstart.extraction.engine import LocalEngine
from headstart.extraction.samples import NO_LIMIT, FailureLimit, SampleCollector, samples_of
from headstart.extraction.workers import WorkersEngine
from headstart.extraction.writer import ShardWriter
from headstart.keys import first_occurrences

if TYPE_CHECKING:
    from headstart.cache.space import Space
    from headstart.config import ComputeConfig
    from headstart.contracts import FrozenModel, KeyMemo, Payloads, Progress, Source
    from headstart.extraction.backbone import OpenedBackbone
    from headstart.extraction.plan import ExtractionJob, ExtractionPlan
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
        opened: Callable[[], OpenedBackbone],
        config: ComputeConfig,
        progress: Progress,
        limit: FailureLimit = NO_LIMIT,
        keep_open: bool = False,
    ) -> None:
        self._open_backbone = opened
        self._config = config
        self._progress = progress
        self._limit = limit
        self._keep_open = keep_open
        self._opened: OpenedBackbone | None = None
        self._is_prepared = False
        self._model: FrozenModel | None = None
        self._shards: ShardWriter | None = None
        self.timings: Timings | None = None
        self.n_computed = 0
        self.failures: list[Failure] = []

    def fill(self, job: ExtractionJob) -> None:
        """Compute what the spaces of a plan lack."""
        if not len(job.plan.todo):
            return
        if self._opened is None:
            self._opened = self._open_backbone()
        devices = [] if self._keep_open else worker_devices(self._config, len(job.plan.todo))
        if len(devices) > 1:
            self._run_workers(job, self._opened, devices)
        else:
            self._run_here(job, self._opened)

    def _run_here(self, job: ExtractionJob, opened: OpenedBackbone) -> None:
        engine = LocalEngine(self._progress, job.stored, self._config.batch_size, self._limit)
        try:
            if self._model is None:
                self._model = load_model(opened, self._config.device, job.precision)
            self._prepare(job, opened)  # after the model: one that cannot be loaded leaves no empty spaces
            if self._shards is None:
                self._shards = ShardWriter(job.plan.spaces, job.plan.shard_format)
            for _ in engine.run(job.plan, self._model, self._shards, self._keep_open):
                pass
        finally:
            self._count(engine)

    def _run_workers(self, job: ExtractionJob, opened: OpenedBackbone, devices: Sequence[str]) -> None:
        from headstart.extraction.inference import usable_cores

        model, cores, size = opened.model_recipe(job.precision), usable_cores(), self._config.batch_size
        engine = WorkersEngine(self._progress, model, devices, cores, job.stored, size, self._limit)
        try:
            self._prepare(job, opened)
            engine.run(job.plan)
        finally:
            self._count(engine)

    def _count(self, engine: LocalEngine | WorkersEngine) -> None:
        self.n_computed += engine.n_computed
        self.failures += engine.failures
        if engine.timings is not None:
            self.timings = engine.timings if self.timings is None else self.timings.joined(engine.timings)

    def _prepare(self, job: ExtractionJob, opened: OpenedBackbone) -> None:
        """Make the folders of the spaces, once."""
        if self._is_prepared:
            return
        self._is_prepared = True
        opened.cache.prepare()
        for space in job.plan.spaces:
            space.prepare()
            record_known(space.path, opened.portable_spec, opened.info)

    def finish(self, spaces: Sequence[Space]) -> None:
        """Commit what is still open, and keep the indexes of the spaces."""
        if self._shards is not None:
            for _ in self._shards.commit():
                pass
        for space in spaces:
            space.save_index()

    def result(self, plan: ExtractionPlan) -> FillResult:
        """What was computed so far, for all samples of a plan."""
        return FillResult(plan, self.n_computed, self.failures, self.timings)


def fill(
    job: ExtractionJob,
    opened: OpenedBackbone,
    config: ComputeConfig,
    progress: Progress,
    limit: FailureLimit = NO_LIMIT,
) -> FillResult:
    """Compute and commit what the spaces of a plan lack."""
    writer = SpaceWriter(lambda: opened, config, progress, limit)
    n_todo = len(job.plan.todo)
    if n_todo:
        progress.begin("extracting", n_todo)
    try:
        writer.fill(job)
    finally:
        if n_todo:
            progress.end()
    writer.finish(job.plan.spaces)
    record_use(job.plan, n_todo)
    return writer.result(job.plan)


def fill_stream(
    source: Source,
    memo: KeyMemo,
    plan_block: Callable[[Payloads, Samples], ExtractionJob],
    opened: Callable[[], OpenedBackbone],
    config: ComputeConfig,
    progress: Progress,
    limit: FailureLimit = NO_LIMIT,
) -> FillResult:
    """Key and extract a source that can be read only once, block by block; no block is ever held again.

    Shards grow across blocks. Memory holds one block of payloads, and the table of all samples.
    """
    writer = SpaceWriter(opened, config, progress, keep_open=True)
    blocks = SampleCollector()
    job: ExtractionJob | None = None
    n_read = n_missing = 0
    progress.begin("reading and extracting", None)
    try:
        for part, samples in _blocks(source, memo, blocks):
            job = plan_block(part, samples)
            writer.fill(job)
            n_missing += len(job.plan.todo)
            n_read += len(samples)
            limit.so_far(n_read, [*blocks.failures, *writer.failures])
            progress.advance(len(samples) - len(job.plan.todo))
    finally:
        progress.end()
        if job is not None:
            writer.finish(job.plan.spaces)
    limit.of(n_read, [*blocks.failures, *writer.failures])
    all_samples = blocks.samples()
    assert job is not None  # there is a sample, so there was a block with one
    plan = _whole(source, all_samples, job.plan)
    record_use(plan, n_missing)
    return writer.result(plan)


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
    return replace(
        last,
        source=source,
        samples=samples,
        n_unique=n,
        n_viewed=n,
        todo=np.empty(0, np.int64),
        units=np.empty(0, np.uint8),
        wants=np.empty((0, len(last.views)), dtype=bool),
    )


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
        n_workers = min(n_gpus, -(-n_todo // ENOUGH_PER_GPU))
    if device == "cuda" and n_workers > n_gpus:
        raise ConfigError(f"--workers {n_workers}, and there are {n_gpus} GPUs: one worker each is the most")
    return [f"cuda:{n}" for n in range(n_workers)] if device == "cuda" else [device] * n_workers


def record_use(plan: ExtractionPlan, n_missing: int) -> None:
    """Note beside each space how much of a run it held, for ``cache ls``."""
    n_missing = min(n_missing, plan.n_unique)  # a stream computes anew what comes again in a later block
    for space in plan.spaces:
        space.record_use(plan.n_unique - n_missing, n_missing)
