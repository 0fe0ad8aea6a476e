"""Filling spaces by an engine: for a scan, a stream, predict, the embedder and the cut cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from headstart.extraction.disk import check_disk
from headstart.extraction.engines import open_engine
from headstart.extraction.model import OpenModel, open_model
from headstart.extraction.samples import NO_LIMIT, FailureLimit, SampleCollector, samples_of
from headstart.keys import first_occurrences

if TYPE_CHECKING:
    from headstart.config import ComputeConfig
    from headstart.contracts import Engine, KeyMemo, Payloads, Progress, Source
    from headstart.extraction.backbone import OpenedBackbone
    from headstart.extraction.long_texts import LongTexts
    from headstart.extraction.plan import ExtractionPlan
    from headstart.extraction.samples import Samples
    from headstart.extraction.timings import Timings
    from headstart.types import Failure, Json, Modality, Payload


@dataclass(frozen=True, slots=True)
class FillResult:
    """What was computed to fill the spaces of a plan."""

    plan: ExtractionPlan  # all samples, with the spaces that hold their features
    n_computed: int  # samples that this command computed
    failures: list[Failure]
    timings: Timings | None  # None if nothing was computed
    drift: Mapping[str, Json] = field(default_factory=dict)  # by space, where low precision was measured
    long: LongTexts | None = None  # None: not counted, or they are no texts


@dataclass
class SpaceWriter:
    """Computes and commits what spaces lack by one engine; a plan with nothing to do loads no model.

    With ``keep_open``, shards grow from plan to plan, over the same spaces, until `finish`.
    """

    open_backbone: Callable[[], OpenedBackbone]
    config: ComputeConfig
    progress: Progress
    limit: FailureLimit = NO_LIMIT
    keep_open: bool = False
    load: OpenModel = open_model
    _engine: Engine[ExtractionPlan] | None = None

    @property
    def failures(self) -> list[Failure]:
        """Of all plans so far."""
        return [] if self._engine is None else self._engine.failures

    def fill(self, plan: ExtractionPlan) -> None:
        """Compute what the spaces of a plan lack."""
        if not len(plan.todo):
            return
        if self._engine is None:
            opened, n_todo = self.open_backbone(), len(plan.todo)
            self._engine = open_engine(
                n_todo, opened, self.config, self.progress, self.limit, self.keep_open, self.load
            )
        self._engine.run(plan)

    def finish(self, plan: ExtractionPlan) -> None:
        """Commit what is still open, and keep the indexes of the spaces."""
        if self._engine is not None:
            self._engine.finish()
        for space in plan.spaces:
            space.save_index()

    def result(self, plan: ExtractionPlan, n_missing: int) -> FillResult:
        """What was computed, for all samples of a plan; beside each space it is noted how much it held."""
        n_missing = min(n_missing, plan.n_unique)  # a stream computes anew what comes again in a later block
        for space in plan.spaces:
            space.record_use(plan.n_unique - n_missing, n_missing)
        if self._engine is None:
            return FillResult(plan, 0, [], None)
        return FillResult(plan, self._engine.n_computed, self._engine.failures, self._engine.timings)


def fill(
    plan: ExtractionPlan,
    opened: OpenedBackbone,
    config: ComputeConfig,
    progress: Progress,
    limit: FailureLimit = NO_LIMIT,
    load: OpenModel = open_model,
) -> FillResult:
    """Compute and commit what the spaces of a plan lack; ``load`` opens the model, or has it."""
    writer = SpaceWriter(lambda: opened, config, progress, limit, load=load)
    n_todo = len(plan.todo)
    check_disk(plan, opened, progress)
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

    def read_ahead(self, row: int) -> None:
        self._source.read_ahead(self._start + row)

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
    nothing = replace(last, todo=last.todo[:0], units=last.units[:0], wants=last.wants[:0])
    return replace(nothing, source=source, samples=samples, n_unique=n, n_viewed=n)
