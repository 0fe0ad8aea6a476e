"""The loop of every engine: claim a unit of work, compute it, commit it, beside any number of other processes."""

from __future__ import annotations

import contextlib
import queue
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from headstart.errors import BackboneError
from headstart.extraction.extractor import Extractor
from headstart.extraction.inference import NOT_FINITE, Computed
from headstart.extraction.plan import N_UNITS, ExtractionPlan
from headstart.extraction.samples import NO_LIMIT, FailureLimit
from headstart.types import Failure
from headstart.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headstart.cache.claims import Claims
    from headstart.cache.index import Index
    from headstart.cache.shards import CommittedShard
    from headstart.contracts import ModelInputs, Progress
    from headstart.extraction.inference import SampleFailure
    from headstart.extraction.timings import Timings
    from headstart.extraction.writer import ShardWriter
    from headstart.runtimes.background import Conversion

SECONDS_A_CLAIM = 5.0  # of work; who joins finds the rest
SECONDS_ALONE = 20.0  # with nobody else at work: texts that are claimed together pad less, sorted by length
FIRST_ROWS, FIRST_PART = 64, 8  # before the rate is known: so many, or one part in so many of what is there
POLL = 0.5  # seconds between looks at what other writers have committed
SAY_EVERY = 10.0  # seconds between two words about whom we wait for
GIVE_UP_AFTER = 16  # samples without one finite feature, and nothing held yet


@dataclass
class ClaimedExtraction:
    """Computes plans with a loaded model in this process, beside any number of others.

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
            waiting = self._plan.units[outstanding]
            n_done, elapsed = self._n_finished, time.monotonic() - began
            has_company = n_done > 0 and any(board.has_company() for board in boards)
            if units := _claim(waiting, boards, rows_to_claim(len(waiting), n_done, elapsed, has_company)):
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
            now = [space.refresh(recent=True) for space in self._plan.spaces]
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
        with self._writer.looking:
            return self._plan.held(positions)

    def _wait(self, outstanding: NDArray[np.int64], boards: list[Claims]) -> None:
        """Wait until others have committed something, or have died."""
        said = time.monotonic() - SAY_EVERY
        units = np.unique(self._plan.units[outstanding])
        while not self._held(outstanding).any():
            claimed = [board.claimed() for board in boards]
            if any(_is_free(unit, boards, claimed) for unit in units):
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
                is_held = space.held(key, recent=True)[0]
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


def rows_to_claim(n_waiting: int, n_done: int, elapsed: float, has_company: bool) -> int:
    """How many rows to claim together.

    ``n_waiting``: rows that nobody has finished or begun here; ``n_done``: rows that this process has finished, in
    ``elapsed`` seconds; ``has_company``: whether another process is at work.

    Examples
    --------
    >>> rows_to_claim(1_500, 0, 0.0, has_company=False), rows_to_claim(80, 0, 0.0, has_company=False)
    (64, 10)
    >>> rows_to_claim(1_400, 100, 2.0, has_company=False), rows_to_claim(1_400, 100, 2.0, has_company=True)
    (1000, 250)
    """
    if not n_done:
        return min(FIRST_ROWS, n_waiting // FIRST_PART)
    return int(n_done / max(elapsed, 1e-6) * (SECONDS_A_CLAIM if has_company else SECONDS_ALONE))


def _claim(waiting: NDArray[np.uint8], boards: Sequence[Claims], rows_wanted: int) -> list[int]:
    """Claim one unit, or as many as take no longer, and on until they hold the rows wanted; unclaimed ones first."""
    counts = np.bincount(waiting, minlength=N_UNITS)
    candidates = [int(unit) for unit in np.flatnonzero(counts)]
    random.Random().shuffle(candidates)  # not the global generator: that one is the user's
    claimed: set[int] = set().union(*(board.claimed() for board in boards))
    candidates.sort(key=claimed.__contains__)
    taken: list[int] = []
    least = min(board.together for board in boards)
    while candidates:
        n = int(np.searchsorted(np.cumsum(counts[candidates]), rows_wanted - counts[taken].sum())) + 1
        n = max(n, least - len(taken))
        taken += _take_everywhere(candidates[:n], boards)
        candidates = candidates[n:]
        if taken and counts[taken].sum() >= rows_wanted:
            break
    return taken


def _is_free(unit: int, boards: Sequence[Claims], claimed: Sequence[set[int]]) -> bool:
    """Whether nobody alive has a claim on a unit in any space."""
    return all(
        unit not in taken or board.is_abandoned(unit) for board, taken in zip(boards, claimed, strict=True)
    )


def _take_everywhere(units: list[int], boards: Sequence[Claims]) -> list[int]:
    """Claim each unit in every space, or in none; those that are claimed."""
    for number, board in enumerate(boards):
        taken = board.take_all(units)
        for earlier in boards[:number]:
            earlier.release(set(units).difference(taken))
        units = taken
    return units
