"""The engine of one process: claim units of work, compute them, commit shards."""

from __future__ import annotations

import contextlib
import queue
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.cache.claims import ClaimBoard
from headstart.errors import BackboneError
from headstart.extraction.extractor import Computed, Extractor
from headstart.extraction.inference import NOT_FINITE
from headstart.extraction.plan import N_UNITS, ExtractionPlan
from headstart.extraction.samples import NO_LIMIT, FailureLimit
from headstart.types import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from headstart.cache.index import Index
    from headstart.cache.shards import CommittedShard
    from headstart.cache.space import Space
    from headstart.contracts import FrozenModel, Progress
    from headstart.extraction.inference import SampleFailure
    from headstart.extraction.timings import Timings
    from headstart.extraction.writer import ShardWriter
    from headstart.types import StoredDtype

SECONDS_A_CLAIM = 5.0
POLL = 0.5  # seconds between looks at what other writers have committed
SAY_EVERY = 10.0  # seconds between two words about whom we wait for
GIVE_UP_AFTER = 16  # samples without one finite feature, and nothing held yet


class LocalEngine:
    """Extracts in this process, beside any number of others.

    Parameters
    ----------
    progress : Progress
    stored : {"float16", "float32"}
    batch_size : int, optional
    limit : FailureLimit
        Stops the work when too many samples fail.
    cores : int, optional
        To use; None: all that the process may.
    counts_others : bool
        Whether the progress also counts what other processes finish.

    Attributes
    ----------
    n_computed : int
        The samples that this process computed.
    failures : list of Failure
    failed_rows : list of int
        Positions in the plan's ``todo`` that failed; whoever has told others of them may clear it.
    failed_elsewhere : queue of list of int
        The same of other processes that work on this plan: no space will ever hold them, and without this
        each process would try them again.
    timings : Timings, optional
        Of the last run.
    """

    def __init__(
        self,
        progress: Progress,
        stored: StoredDtype,
        batch_size: int | None = None,
        limit: FailureLimit = NO_LIMIT,
        cores: int | None = None,
        counts_others: bool = True,
    ) -> None:
        self._counts_others = counts_others
        self._progress = progress
        self._stored = stored
        self._batch_size = batch_size
        self._limit = limit
        self._cores = cores
        self.failures: list[Failure] = []
        self.failed_rows: list[int] = []
        self.failed_elsewhere: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
        self.n_computed = 0
        self.timings: Timings | None = None

    def run(
        self, plan: ExtractionPlan, model: FrozenModel, writer: ShardWriter, keeps_open: bool = False
    ) -> Iterator[CommittedShard]:
        """Compute all that is to do; yield each shard once it is committed.

        When it is interrupted, what is finished is committed first.

        Parameters
        ----------
        keeps_open : bool
            Leave the last shards open, for a caller who has more plans over the same spaces.
        """
        work = _Work(plan, writer, self._limit, self.failures, self.failed_rows)
        start, written = time.monotonic(), writer.stopwatch.seconds("write")
        extractor = Extractor(plan, model, self._stored, self._progress, self._batch_size, self._cores)
        try:
            with contextlib.ExitStack() as stack:
                stack.callback(extractor.close)
                boards = [stack.enter_context(ClaimBoard(s.claims_dir)) for s in _by_id(plan)]
                try:
                    for computed in extractor.run(self._claimed(plan, work, boards)):
                        self._progress.advance(work.take(computed))
                        yield from writer.committed()
                    if not keeps_open:
                        yield from writer.commit()
                except BaseException:
                    # Whatever stopped the work: what it has finished is worth keeping. Not yielded, as it may
                    # be that nobody takes shards any more (GeneratorExit: a signal came between two of them).
                    with contextlib.suppress(Exception):
                        _use_up(writer.commit())
                    raise
        finally:
            self.n_computed += work.n_computed
            writing = writer.stopwatch.seconds("write") - written  # the writer may have served other runs
            self.timings = extractor.timings(time.monotonic() - start, writing)

    def _claimed(
        self, plan: ExtractionPlan, work: _Work, boards: list[ClaimBoard]
    ) -> Iterator[NDArray[np.int64] | None]:
        """What to compute next, unit by unit, as it is claimed."""
        began = time.monotonic()
        while len(outstanding := self._outstanding(work)):
            rate = work.n_finished / max(time.monotonic() - began, 1e-6)
            units = _claim(plan, outstanding, boards, rows_wanted=int(rate * SECONDS_A_CLAIM))
            if units:
                chosen = outstanding[np.isin(plan.units[outstanding], units)]
                # Listed again after claiming: whoever had a unit before may have committed it since.
                chosen = chosen[~work.held(chosen)]
                work.under_way[chosen] = True
                if len(chosen):
                    yield chosen
                continue
            yield None  # first what is under way: others may wait for it as we do for theirs
            _use_up(work.commit())
            for board in boards:
                board.release(list(board.mine))
            self._wait(plan, work, outstanding, boards)

    def _outstanding(self, work: _Work) -> NDArray[np.int64]:
        """Positions in ``todo`` that neither we nor anybody else has finished or begun here."""
        while not self.failed_elsewhere.empty():
            work.under_way[self.failed_elsewhere.get()] = True
        left = np.flatnonzero(~work.under_way)
        if not work.has_news():
            return left
        held = work.held(left)
        work.under_way[left[held]] = True
        if self._counts_others:
            self._progress.advance(int(held.sum()))
        return left[~held]

    def _wait(
        self,
        plan: ExtractionPlan,
        work: _Work,
        outstanding: NDArray[np.int64],
        boards: list[ClaimBoard],
    ) -> None:
        """Wait until others have committed something, or have died."""
        said = time.monotonic() - SAY_EVERY
        units = np.unique(plan.units[outstanding])
        while not work.held(outstanding).any():
            if any(all(not board.claimed(u) or board.is_abandoned(u) for board in boards) for u in units):
                time.sleep(POLL * random.Random().random())  # two that wait do not wake as one
                return
            if time.monotonic() - said >= SAY_EVERY:
                said = time.monotonic()
                owners = sorted({board.owner(u) or "?" for u in units for board in boards})
                self._progress.say(f"waiting for {len(outstanding):,} samples from {', '.join(owners)}")
            time.sleep(POLL)


class _Work:
    """How far the work on a plan is.

    Parameters
    ----------
    plan : ExtractionPlan
    writer : ShardWriter
    limit : FailureLimit
    failures : list of Failure
        Where those that are found are added.
    failed_rows : list of int
        Where the positions are added that failed.
    """

    def __init__(
        self,
        plan: ExtractionPlan,
        writer: ShardWriter,
        limit: FailureLimit,
        failures: list[Failure],
        failed_rows: list[int],
    ) -> None:
        self._plan = plan
        self._writer = writer
        self._limit = limit
        self._has_worked = not writer.is_empty
        self._n_finite = self._n_not_finite = 0
        self._left = plan.wants.sum(axis=1, dtype=np.uint16)  # the views that each row still waits for
        self._seen: list[Index] = []
        self._failed = np.zeros(len(plan.todo), dtype=bool)
        self.under_way = np.zeros(len(plan.todo), dtype=bool)
        self.n_finished = 0
        self.n_computed = 0
        self.failures = failures
        self._failed_rows = failed_rows

    def held(self, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which rows of ``todo`` have all of the features that they lacked by now."""
        plan = self._plan
        keys = plan.samples.keys[plan.todo[positions]]
        held = np.ones(len(positions), dtype=bool)
        with self._writer.looking:
            for view in range(len(plan.views)):
                has = np.all([plan.spaces[number].held(keys) for number in plan.spaces_of(view)], axis=0)
                held &= has | ~plan.wants[positions, view]
        return held

    def has_news(self) -> bool:
        """Whether any space holds more, or less, than when this was asked last."""
        with self._writer.looking:
            now = [space.refresh() for space in self._plan.spaces]
        # An index that is the same object covers the same shards; to look up a million keys takes a second.
        news = len(self._seen) != len(now) or any(a is not b for a, b in zip(self._seen, now, strict=True))
        self._seen = now
        return news

    def commit(self) -> Iterator[CommittedShard]:
        """Commit what is open."""
        yield from self._writer.commit()

    def take(self, computed: Computed) -> int:
        """Hand features to the writer, and count; how many rows are finished by it."""
        for part in computed.features:
            if len(part.positions):
                keys = self._plan.samples.keys[self._plan.todo[part.positions]]
                self._writer.add(part.space, keys, part.values, part.lengths)
        for failure in computed.failures:
            self._failed[failure.position] = True
            self._note(failure)
        counts = Counter(item.position for item in computed.items)
        finished = 0
        for position, n in counts.items():
            self._left[position] -= n
            if self._left[position] == 0:
                finished += 1
                self.n_computed += not self._failed[position]
                if self._failed[position]:
                    self._failed_rows.append(position)
        self.n_finished += finished
        self._check_finite(computed)
        if computed.failures:
            self._limit.check(self.failures)
        return finished

    def _note(self, failure: SampleFailure) -> None:
        plan, row = self._plan, int(self._plan.todo[failure.position])
        key = plan.samples.keys[row : row + 1]
        for number in failure.spaces:
            space = plan.spaces[number]
            with self._writer.looking:
                is_held = space.held(key)[0]
            if not is_held:
                self.failures.append(_failure_of(plan, row, failure, space.id))

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


def _use_up(shards: Iterator[CommittedShard]) -> None:
    for _ in shards:
        pass


def _failure_of(plan: ExtractionPlan, row: int, failure: SampleFailure, space: str) -> Failure:
    """A failure with the sample's names."""
    table: Any = plan.samples.table
    return Failure(
        id=table.column("id")[row].as_py(),
        origin=table.column("origin")[row].as_py(),
        reason=failure.reason,
        kind="permanent" if failure.is_permanent else "transient",
        key=plan.samples.keys[row].tobytes().hex(),
        space=space,
    )


def _by_id(plan: ExtractionPlan) -> list[Space]:
    """The spaces in one order for all writers, so that two never wait for each other crosswise."""
    return sorted(plan.spaces, key=lambda space: space.id)


def _claim(
    plan: ExtractionPlan, outstanding: NDArray[np.int64], boards: list[ClaimBoard], rows_wanted: int
) -> list[int]:
    """Claim one unit at first, then as many as hold the rows wanted; unclaimed ones first."""
    counts = np.bincount(plan.units[outstanding], minlength=N_UNITS)
    candidates = [int(unit) for unit in np.flatnonzero(counts)]
    random.Random().shuffle(candidates)  # not the global generator: that one is the user's
    candidates.sort(key=lambda unit: any(board.claimed(unit) for board in boards))
    taken: list[int] = []
    n_rows = 0
    for unit in candidates:
        if _take_everywhere(unit, boards):
            taken.append(unit)
            n_rows += int(counts[unit])
            if n_rows >= rows_wanted:
                break
    return taken


def _take_everywhere(unit: int, boards: list[ClaimBoard]) -> bool:
    """Claim a unit in every space, or in none."""
    for number, board in enumerate(boards):
        if not board.take(unit):
            for earlier in boards[:number]:
                earlier.release([unit])
            return False
    return True
