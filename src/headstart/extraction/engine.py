"""The engine of one process: claim units of work, compute them, commit shards."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from headstart.cache.claims import ClaimBoard
from headstart.extraction.forward import Computed, Extractor, failure_of
from headstart.extraction.limit import NO_LIMIT, FailureLimit
from headstart.extraction.plan import N_UNITS, ExtractionPlan
from headstart.extraction.writer import ShardWriter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.space import CommittedShard, Space
    from headstart.contracts import FrozenModel, Progress
    from headstart.types import Failure, StoredDtype

SECONDS_A_CLAIM = 5.0
POLL = 0.5  # seconds between looks at what other writers have committed
SAY_EVERY = 10.0  # seconds between two words about whom we wait for


class LocalEngine:
    """Extracts in this process, beside any number of others.

    Parameters
    ----------
    progress : Progress
    stored : {"float16", "float32"}
    batch_size : int, optional
    limit : FailureLimit
        Stops the work when too many samples fail.
    """

    def __init__(
        self,
        progress: Progress,
        stored: StoredDtype,
        batch_size: int | None = None,
        limit: FailureLimit = NO_LIMIT,
    ) -> None:
        self._progress = progress
        self._stored = stored
        self._batch_size = batch_size
        self._limit = limit
        self.failures: list[Failure] = []
        self.n_computed = 0

    def run(
        self, plan: ExtractionPlan, model: FrozenModel, writer: ShardWriter | None = None
    ) -> Iterator[CommittedShard]:
        """Compute all that is to do; yield each shard once it is committed.

        When it is interrupted, what is finished is committed first.

        Parameters
        ----------
        writer : ShardWriter, optional
            Shards that stay open after this plan, for a caller who has more plans over the same
            spaces, and commits them. None: this plan's own, committed when it is done.
        """
        keeps_open = writer is not None
        writer = writer or ShardWriter(plan.spaces, plan.shard_format)
        extractor = Extractor(plan, model, self._stored, self._batch_size, has_worked=not writer.is_empty)
        with contextlib.ExitStack() as stack:
            stack.callback(extractor.close)
            boards = [stack.enter_context(ClaimBoard(s.claims_dir)) for s in _by_id(plan)]
            done = np.zeros(len(plan.todo), dtype=bool)
            try:
                yield from self._rounds(plan, extractor, writer, boards, done)
                if not keeps_open:
                    yield from self._commit(writer, boards)
            except (KeyboardInterrupt, Exception):
                # Whatever stopped the work: what it has finished is worth keeping.
                with contextlib.suppress(Exception):
                    yield from writer.commit()
                raise

    def _rounds(
        self,
        plan: ExtractionPlan,
        extractor: Extractor,
        writer: ShardWriter,
        boards: list[ClaimBoard],
        done: NDArray[np.bool_],
    ) -> Iterator[CommittedShard]:
        rate = 0.0
        while len(outstanding := self._outstanding(plan, done)):
            units = _claim(plan, outstanding, boards, rows_wanted=int(rate * SECONDS_A_CLAIM))
            if not units:
                yield from self._commit(writer, boards)
                self._wait(plan, outstanding, boards)
                continue
            chosen = outstanding[np.isin(_units_of(plan, outstanding), units)]
            # Listed again after claiming: whoever had a unit before may have committed it since.
            chosen = chosen[~self._held(plan, chosen)]
            start = time.monotonic()
            for computed in extractor.run(plan.todo[chosen]):
                self._take(plan, writer, computed)
                if writer.is_due:
                    yield from writer.commit()
            done[chosen] = True
            rate = max(len(chosen), 1) / max(time.monotonic() - start, 1e-6)

    def _take(self, plan: ExtractionPlan, writer: ShardWriter, computed: Computed) -> None:
        for number, (rows, values) in enumerate(computed.features):
            if len(rows):
                writer.add(number, plan.samples.keys[rows], values)
        for row, reason, permanent, tap in computed.failures:
            spaces = plan.spaces if tap is None else [plan.spaces[tap]]
            for space in spaces:
                if not space.held(plan.samples.keys[row : row + 1])[0]:
                    self.failures.append(failure_of(plan, row, reason, permanent, space.id))
        self.n_computed += computed.n_rows - len({row for row, *_ in computed.failures})
        self._progress.advance(computed.n_rows)
        if computed.failures:
            self._limit.check(self.failures)

    def _commit(self, writer: ShardWriter, boards: list[ClaimBoard]) -> Iterator[CommittedShard]:
        yield from writer.commit()
        for board in boards:
            board.release(list(board.mine))

    def _outstanding(self, plan: ExtractionPlan, done: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Positions in ``todo`` that neither we nor anybody else has finished."""
        left = np.flatnonzero(~done)
        held = self._held(plan, left)
        done[left[held]] = True
        self._progress.advance(int(held.sum()))
        return left[~held]

    @staticmethod
    def _held(plan: ExtractionPlan, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
        keys = plan.samples.keys[plan.todo[positions]]
        held: NDArray[np.bool_] = np.all([space.held(keys) for space in plan.spaces], axis=0)
        return held

    def _wait(
        self,
        plan: ExtractionPlan,
        outstanding: NDArray[np.int64],
        boards: list[ClaimBoard],
    ) -> None:
        """Wait until others have committed something, or have died."""
        said = time.monotonic() - SAY_EVERY
        units = np.unique(_units_of(plan, outstanding))
        while not self._held(plan, outstanding).any():
            if any(all(not board.claimed(u) or board.is_abandoned(u) for board in boards) for u in units):
                time.sleep(POLL * random.Random().random())  # two that wait do not wake as one
                return
            if time.monotonic() - said >= SAY_EVERY:
                said = time.monotonic()
                owners = sorted({board.owner(u) or "?" for u in units for board in boards})
                self._progress.say(f"waiting for {len(outstanding):,} samples from {', '.join(owners)}")
            time.sleep(POLL)


def _by_id(plan: ExtractionPlan) -> list[Space]:
    """The spaces in one order for all writers, so that two never wait for each other crosswise."""
    return sorted(plan.spaces, key=lambda space: space.id)


def _units_of(plan: ExtractionPlan, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
    units: NDArray[np.uint8] = plan.units[positions]
    return units


def _claim(
    plan: ExtractionPlan, outstanding: NDArray[np.int64], boards: list[ClaimBoard], rows_wanted: int
) -> list[int]:
    """Claim one unit at first, then as many as hold the rows wanted; unclaimed ones first."""
    counts = np.bincount(_units_of(plan, outstanding), minlength=N_UNITS)
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
