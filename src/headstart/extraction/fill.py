"""Filling spaces, for a scan, a stream, predict, the embedder and the cut cache: claim, compute, commit."""

from __future__ import annotations

import contextlib
import queue
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from headstart.cache.claims import Claims
from headstart.cache.memos import record_known
from headstart.devices import usable_cores
from headstart.errors import BackboneError, ConfigError
from headstart.extraction.disk import check_disk
from headstart.extraction.extractor import Extractor
from headstart.extraction.inference import NOT_FINITE, Computed
from headstart.extraction.model import OpenModel, open_model
from headstart.extraction.plan import N_UNITS, ExtractionPlan
from headstart.extraction.samples import NO_LIMIT, FailureLimit, SampleCollector, samples_of
from headstart.extraction.workers import WorkersEngine, worker_devices
from headstart.extraction.writer import ShardWriter
from headstart.keys import first_occurrences
from headstart.types import Failure
from headstart.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headstart.cache.index import Index
    from headstart.cache.shards import CommittedShard
    from headstart.config import ComputeConfig
    from headstart.contracts import KeyMemo, ModelInputs, Payloads, Progress, Source
    from headstart.extraction.backbone import OpenedBackbone
    from headstart.extraction.inference import SampleFailure
    from headstart.extraction.long_texts import LongTexts
    from headstart.extraction.samples import Samples
    from headstart.extraction.timings import Timings
    from headstart.runtimes.background import Conversion
    from headstart.types import Json, Modality, Payload

SECONDS_A_CLAIM = 5.0
POLL = 0.5  # seconds between looks at what other writers have committed
SAY_EVERY = 10.0  # seconds between two words about whom we wait for
GIVE_UP_AFTER = 16  # samples without one finite feature, and nothing held yet


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
    """Computes and commits what spaces lack; a plan with nothing to do loads no model.

    With ``keep_open``, shards grow from plan to plan, over the same spaces, until `finish`.
    """

    open_backbone: Callable[[], OpenedBackbone]
    config: ComputeConfig
    progress: Progress
    limit: FailureLimit = NO_LIMIT
    keep_open: bool = False
    load: OpenModel = open_model
    _opened: OpenedBackbone | None = None
    _is_prepared: bool = False
    _engine: LocalEngine | WorkersEngine | None = None
    _model: ModelInputs | None = None
    _shards: ShardWriter | None = None

    @property
    def failures(self) -> list[Failure]:
        """Of all plans so far."""
        return [] if self._engine is None else self._engine.failures

    def fill(self, plan: ExtractionPlan) -> None:
        """Compute what the spaces of a plan lack."""
        if not len(plan.todo):
            return
        opened = self._opened = self._opened or self.open_backbone()
        engine = self._engine = self._engine or self._choose_engine(plan, opened)
        if isinstance(engine, WorkersEngine):
            self._prepare(plan, opened)
            engine.run(plan)
            return
        if self._model is None:
            self._model, engine.conversion = self.load(opened, plan, self.config, self.progress)
        self._prepare(plan, opened)  # after the model: one that cannot be loaded leaves no empty spaces
        if self._shards is None:
            self._shards = ShardWriter(plan.spaces, plan.shard_format)
        for _ in engine.run(plan, self._model, self._shards, self.keep_open):
            pass

    def _choose_engine(self, plan: ExtractionPlan, opened: OpenedBackbone) -> LocalEngine | WorkersEngine:
        devices = [] if self.keep_open else worker_devices(self.config, len(plan.todo))
        if len(devices) <= 1:
            return LocalEngine(self.progress, self.config.batch_size, self.limit)
        if self.config.runs_with == "openvino":
            raise ConfigError("--runtime openvino uses all cores from one process; leave out --workers")
        model, size = opened.model_recipe(plan.precision), self.config.batch_size
        return WorkersEngine(self.progress, model, devices, usable_cores(), size, self.limit)

    def _prepare(self, plan: ExtractionPlan, opened: OpenedBackbone) -> None:
        """Make the folders of the spaces, once."""
        if self._is_prepared:
            return
        self._is_prepared = True
        opened.cache.prepare()
        for space in plan.spaces:
            space.prepare()
            record_known(space.path, opened.portable_spec, opened.info)
            space.home.publish_hint(space.path / "known")

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


@dataclass
class LocalEngine:
    """Extracts in this process, beside any number of others.

    ``n_computed``, ``failures`` and ``timings`` say afterwards what became of all its runs.
    """

    progress: Progress
    batch_size: int | None = None
    limit: FailureLimit = NO_LIMIT
    cores: int | None = None
    conversion: Conversion | None = None  # how the model can be converted beside the work
    counts_others: bool = True  # whether the progress also counts what other processes finish
    n_computed: int = 0
    failures: list[Failure] = field(default_factory=list)
    timings: Timings | None = None
    # Positions in ``todo`` that failed; whoever has told others of them may clear it.
    failed_rows: list[int] = field(default_factory=list)
    # The same of other processes that work on this plan: no space will ever hold them, and without this each
    # process would try them again.
    failed_elsewhere: queue.SimpleQueue[list[int]] = field(default_factory=queue.SimpleQueue)

    def run(
        self, plan: ExtractionPlan, model: ModelInputs, writer: ShardWriter, keeps_open: bool = False
    ) -> Iterator[CommittedShard]:
        """Compute all that is to do; yield each shard once it is committed.

        When it is interrupted, what is finished is committed first. With ``keeps_open`` the last shards stay
        open, for a caller who has more plans over the same spaces.
        """
        self._begin(plan, writer)
        start, written = time.monotonic(), writer.stopwatch.seconds("write")
        extractor = Extractor(
            plan, model, plan.stored, self.progress, self.batch_size, self.cores, self.conversion
        )
        try:
            with contextlib.ExitStack() as stack:
                stack.callback(extractor.close)
                # In one order for all writers, so that two never wait for each other crosswise.
                spaces = sorted(plan.spaces, key=lambda space: space.id)
                boards = [stack.enter_context(space.claims()) for space in spaces]
                try:
                    for computed in extractor.run(self._claimed(boards)):
                        self.progress.advance(self._take(computed), extractor.work_of(computed))
                        yield from writer.committed()
                    if not keeps_open:
                        yield from writer.commit()
                except BaseException:
                    # Whatever stopped the work: what it has finished is worth keeping. Not yielded, as it may
                    # be that nobody takes shards any more (GeneratorExit: a signal came between two of them).
                    with contextlib.suppress(Exception):
                        writer.commit()
                    raise
        finally:
            writing = writer.stopwatch.seconds("write") - written  # the writer may have served other runs
            timings = extractor.timings(time.monotonic() - start, writing)
            self.timings = timings if self.timings is None else self.timings.joined(timings)

    def _begin(self, plan: ExtractionPlan, writer: ShardWriter) -> None:
        self._plan, self._writer = plan, writer
        self._has_worked = not writer.is_empty
        self._n_finite = self._n_not_finite = self._n_finished = 0
        self._left = plan.wants.sum(axis=1, dtype=np.uint16)  # the views that each row still waits for
        self._failed = np.zeros(len(plan.todo), dtype=bool)
        self._under_way = np.zeros(len(plan.todo), dtype=bool)
        self._seen: list[Index] = []

    def _claimed(self, boards: list[Claims]) -> Iterator[NDArray[np.int64] | None]:
        """What to compute next, unit by unit, as it is claimed."""
        began = time.monotonic()
        while len(outstanding := self._outstanding()):
            rate = self._n_finished / max(time.monotonic() - began, 1e-6)
            waiting = self._plan.units[outstanding]
            if units := _claim(waiting, boards, rows_wanted=int(rate * SECONDS_A_CLAIM)):
                chosen = outstanding[np.isin(waiting, units)]
                # Listed again after claiming: whoever had a unit before may have committed it since.
                chosen = chosen[~self._held(chosen)]
                self._under_way[chosen] = True
                if len(chosen):
                    yield chosen
                continue
            yield None  # first what is under way: others may wait for it as we do for theirs
            self._writer.commit()
            for board in boards:
                board.release(list(board.mine))
            self._wait(outstanding, boards)

    def _outstanding(self) -> NDArray[np.int64]:
        """Positions in ``todo`` that neither we nor anybody else has finished or begun here."""
        while not self.failed_elsewhere.empty():
            self._under_way[self.failed_elsewhere.get()] = True
        left = np.flatnonzero(~self._under_way)
        with self._writer.looking:
            now = [space.refresh() for space in self._plan.spaces]
        # An index that is the same object covers the same shards; to look up a million keys takes a second.
        if len(self._seen) == len(now) and all(a is b for a, b in zip(self._seen, now, strict=True)):
            return left
        self._seen = now
        held = self._held(left)
        self._under_way[left[held]] = True
        if self.counts_others:
            self.progress.advance(int(held.sum()))
        return left[~held]

    def _held(self, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which rows of ``todo`` have all of the features that they lacked by now."""
        plan = self._plan
        keys = plan.samples.keys[plan.todo[positions]]
        held = np.ones(len(positions), dtype=bool)
        with self._writer.looking:
            for view in range(len(plan.views)):
                has = np.all([plan.spaces[number].held(keys) for number in plan.spaces_of(view)], axis=0)
                held &= has | ~plan.wants[positions, view]
        return held

    def _wait(self, outstanding: NDArray[np.int64], boards: list[Claims]) -> None:
        """Wait until others have committed something, or have died."""
        said = time.monotonic() - SAY_EVERY
        units = np.unique(self._plan.units[outstanding])
        while not self._held(outstanding).any():
            if any(all(not board.claimed(u) or board.is_abandoned(u) for board in boards) for u in units):
                time.sleep(POLL * random.Random().random())  # two that wait do not wake as one
                return
            if time.monotonic() - said >= SAY_EVERY:
                said = time.monotonic()
                owners = sorted({board.owner(u) or "?" for u in units for board in boards})
                self.progress.say(
                    f"waiting for {counted(len(outstanding), 'sample')} from {', '.join(owners)}"
                )
            time.sleep(POLL)

    def _take(self, computed: Computed) -> int:
        """Hand features to the writer, and count; how many rows are finished by it."""
        for part in computed.features:
            if len(part.positions):
                keys = self._plan.samples.keys[self._plan.todo[part.positions]]
                self._writer.add(part.space, keys, part.values, part.lengths, part.n_tokens)
        for failure in computed.failures:
            self._failed[failure.position] = True
            self._note(failure)
        finished = 0
        for position, n in Counter(item.position for item in computed.done).items():
            self._left[position] -= n
            if self._left[position] == 0:
                finished += 1
                self.n_computed += not self._failed[position]
                if self._failed[position]:
                    self.failed_rows.append(position)
        self._n_finished += finished
        self._check_finite(computed)
        if computed.failures:
            self.limit.check(self.failures)
        return finished

    def _note(self, failure: SampleFailure) -> None:
        """Keep a failure by the sample's names, for each space that has no feature of it from elsewhere."""
        row = int(self._plan.todo[failure.position])
        key, table = self._plan.samples.keys[row : row + 1], self._plan.samples.table
        for space in (self._plan.spaces[number] for number in failure.spaces):
            with self._writer.looking:
                is_held = space.held(key)[0]
            if not is_held:
                self.failures.append(
                    Failure(
                        id=table.column("id")[row].as_py(),
                        origin=table.column("origin")[row].as_py(),
                        reason=failure.reason,
                        kind="permanent" if failure.is_permanent else "transient",
                        key=key[0].tobytes().hex(),
                        space=space.id,
                    )
                )

    def _check_finite(self, computed: Computed) -> None:
        """Stop early when the backbone gives nothing but NaN, instead of computing all of it."""
        self._n_finite += sum(len(part.positions) for part in computed.features)
        self._n_not_finite += sum(failure.reason == NOT_FINITE for failure in computed.failures)
        if not self._n_finite and self._n_not_finite >= min(GIVE_UP_AFTER, len(self._plan.todo)):
            if self._has_worked or any(len(space) for space in self._plan.spaces):
                return
            raise BackboneError(
                f"the backbone gives NaN or infinity for all of the first {self._n_not_finite} samples; "
                "nothing was stored: try --precision fp32, and check its weights"
            )


def _claim(waiting: NDArray[np.uint8], boards: Sequence[Claims], rows_wanted: int) -> list[int]:
    """Claim one unit at first, then as many as hold the rows wanted; unclaimed ones first."""
    counts = np.bincount(waiting, minlength=N_UNITS)
    candidates = [int(unit) for unit in np.flatnonzero(counts)]
    random.Random().shuffle(candidates)  # not the global generator: that one is the user's
    candidates.sort(key=lambda unit: any(board.claimed(unit) for board in boards))
    taken: list[int] = []
    while candidates:
        n = int(np.searchsorted(np.cumsum(counts[candidates]), rows_wanted - counts[taken].sum())) + 1
        taken += _take_everywhere(candidates[:n], boards)
        candidates = candidates[n:]
        if taken and counts[taken].sum() >= rows_wanted:
            break
    return taken


def _take_everywhere(units: list[int], boards: Sequence[Claims]) -> list[int]:
    """Claim each unit in every space, or in none; those that are claimed."""
    for number, board in enumerate(boards):
        taken = board.take_all(units)
        for earlier in boards[:number]:
            earlier.release(set(units).difference(taken))
        units = taken
    return units
