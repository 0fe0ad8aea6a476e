"""Extracting a stream: each block is keyed and extracted in one read, and never held again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from headstart.extraction.commit import Extracted
from headstart.extraction.fill import Filled, Filler, record_use
from headstart.extraction.plan import Work, describe_work, plan_extraction, plan_work
from headstart.extraction.samples import FailureLimit, SampleCollector, samples_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headstart.config import ExtractConfig
    from headstart.contracts import KeyMemo, Payloads, Progress, Source
    from headstart.extraction.fill import OpenedBackbone
    from headstart.extraction.plan import ExtractionPlan
    from headstart.extraction.samples import Samples
    from headstart.types import Failure, Modality, Payload, SampleBlock


class _Block:
    """The last block of a stream as a source whose rows count from 0."""

    rows_a_block = None

    def __init__(self, source: Source, start: int) -> None:
        self._source = source
        self._start = start

    @property
    def modality(self) -> Modality:
        return self._source.modality

    def payload(self, row: int) -> Payload:
        return self._source.payload(self._start + row)


def extract_stream(
    config: ExtractConfig,
    source: Source,
    opened: OpenedBackbone,
    given_up: frozenset[tuple[str, str]],
    progress: Progress,
) -> Extracted:
    """Compute block by block what is missing of a source that can be read only once, in order.

    Shards grow across blocks. Memory holds one block of payloads, and the table of all samples.
    """
    if config.workers is not None and config.workers > 1:
        progress.say(
            f"a stream is read once, in order: one process extracts it, and --workers {config.workers} "
            "is left aside"
        )
    limit = FailureLimit.parse(config.max_failures)
    filler = Filler(opened, config, progress, keep_open=True)
    blocks = SampleCollector()
    work: Work | None = None
    n_read = n_missing = 0
    progress.begin("reading and extracting", None)
    try:
        for work, samples in _works(config, source, opened, given_up, progress, blocks):
            filler.fill(work)
            n_missing += len(work.plan.todo)
            n_read += len(samples)
            limit.so_far(n_read, _failures(blocks, filler))
            progress.advance(len(samples) - len(work.plan.todo))
    finally:
        progress.end()
        if work is not None:
            filler.finish(work.plan.spaces)
    limit.of(n_read, _failures(blocks, filler))
    plan = _whole(source, blocks, work)
    record_use(plan, n_missing)
    return Extracted(source, plan, opened.info, Filled(filler.n_computed, filler.failures, filler.timings))


def _failures(blocks: SampleCollector, filler: Filler) -> list[Failure]:
    """What the scan refused so far, and what no feature could be computed of."""
    return [*blocks.failures, *filler.failures]


class Blocks(Protocol):
    """What takes the blocks of a stream as they pass."""

    def append(self, block: SampleBlock, /) -> None:
        """Take the next block."""


def read_blocks(source: Source, memo: KeyMemo, blocks: Blocks) -> Iterator[tuple[Payloads, Samples]]:
    """Each block of a stream as a source of its own, to be used up before the next. Fills ``blocks``."""
    start = 0
    for block in source.scan(memo):
        blocks.append(block)
        if block.table.num_rows:
            yield _Block(source, start), samples_of([block])
        start += block.table.num_rows


def _works(
    config: ExtractConfig,
    source: Source,
    opened: OpenedBackbone,
    given_up: frozenset[tuple[str, str]],
    progress: Progress,
    blocks: Blocks,
) -> Iterator[tuple[Work, Samples]]:
    """The work of each block; the first one chooses precision and spaces for all. Fills ``blocks``."""
    work: Work | None = None
    for part, samples in read_blocks(source, opened.cache.keys, blocks):
        if work is None:
            work = plan_work(opened.cache, config, opened.info, part, samples, given_up)
            progress.say(f"a stream, extracted block by block ({describe_work(config.backbone, work)})")
        else:  # the same spaces: opened anew, each would read its whole index again for every block
            first = work.plan
            plan = plan_extraction(
                part, samples, first.spaces, first.taps, first.shard_format, given_up, first.views
            )
            work = replace(work, plan=plan)
        yield work, samples


def _whole(source: Source, blocks: SampleCollector, work: Work | None) -> ExtractionPlan:
    """All samples of the stream, with nothing left to do."""
    samples = blocks.samples()
    assert work is not None  # there is a sample, so there was a block with one
    last = work.plan
    plan = plan_extraction(source, samples, last.spaces, last.taps, last.shard_format, views=last.views)
    nothing = np.empty((0, len(last.views)), dtype=bool)
    return replace(plan, todo=np.empty(0, np.int64), units=np.empty(0, np.uint8), wants=nothing)
