"""The engine of a Ray cluster: actors read, compute and commit what the spaces lack; only names and counts travel."""

from __future__ import annotations

import queue
import random
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.errors import BackboneError
from headstart.extraction.messages import Advanced, ExitMessage, Failed, Said, decode
from headstart.extraction.ray_rows import RowPlan, reader_of, tables_of
from headstart.extraction.ray_worker import MESSAGE, WORKER, RayTask, RayWorker, reason_against
from headstart.extraction.samples import NO_LIMIT, FailureLimit
from headstart.keys import contains, pack
from headstart.ray_cluster import LOOK_AROUND, open_cluster, pool_for, refuse
from headstart.ray_workplace import Workplace
from headstart.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.config import ClusterConfig, ComputeConfig
    from headstart.contracts import Progress
    from headstart.extraction.backbone import OpenedBackbone
    from headstart.extraction.plan import ExtractionPlan
    from headstart.extraction.timings import Timings
    from headstart.ray_cluster import Pool, RayCluster
    from headstart.types import Failure

STOP_SECONDS = 60.0  # a worker that is told to stop finishes its batches and commits


@dataclass
class RayEngine:
    """Extracts on a cluster that all see the cache; the cluster is started and stopped where none is named.

    ``n_computed``, ``failures`` and ``timings`` say afterwards what became of it.
    """

    opened: OpenedBackbone
    config: ComputeConfig
    cluster: ClusterConfig
    progress: Progress
    limit: FailureLimit = NO_LIMIT
    n_computed: int = 0
    failures: list[Failure] = field(default_factory=list)
    timings: Timings | None = None
    _by_worker: dict[str, Timings] = field(default_factory=dict)

    def run(self, plan: ExtractionPlan) -> None:
        """Compute and commit all that is to do."""
        begun = time.monotonic()
        reader = reader_of(plan.source)
        try:
            with open_cluster(self.cluster.address, self.cluster.most or 1) as cluster:
                pool = pool_for(self.cluster, cluster.nodes())
                for said in cluster.describe(pool):
                    self.progress.say(said)
                self.opened.prepare(plan.spaces)
                self._run(cluster, plan, reader, pool)
        finally:
            self._sum_up(time.monotonic() - begun)
            self._by_worker.clear()

    def finish(self) -> None:
        """Nothing is left open: workers commit each table of rows."""

    def _task(self, plan: ExtractionPlan, reader: bytes, driver: str, pool: Pool) -> RayTask:
        rows = RowPlan(plan.spaces, plan.taps, plan.shard_format, plan.views, plan.source.modality)
        return RayTask(
            rows,
            reader,
            self.opened.model_recipe(plan.precision),
            self.opened.info,
            Workplace.here(pool, self.config.offline),
            driver,
            self.config.batch_size,
        )

    def _run(self, cluster: RayCluster, plan: ExtractionPlan, reader: bytes, pool: Pool) -> None:
        """Give out what is missing, and again what workers lost that died."""
        left, is_checked = np.arange(len(plan.todo)), False
        while len(left):
            tables = tables_of(plan, left, pool.most)
            random.Random().shuffle(tables)  # two commands do not begin with the same samples
            with ExitStack() as stack:
                driver = stack.enter_context(plan.spaces[0].claims())
                shared = cluster.share(self._task(plan, reader, driver.name, pool))
                if not is_checked:
                    refuse(cluster.ask(reason_against, cluster.nodes(), shared, tables[0].slice(0, 1)))
                n_reported = self._listen(cluster.map_tables(tables, RayWorker, [shared], pool), stack)
            still, is_checked = self._outstanding(plan, left), True
            self.progress.advance(max(len(left) - len(still) - n_reported, 0))
            if len(still) == len(left):
                raise BackboneError(
                    "all workers died before they finished anything; what was committed before is kept: look at the "
                    "nodes' memory, or try fewer --workers or a smaller --batch-size"
                )
            if len(still):
                self.progress.say(f"{counted(len(still), 'sample')} of workers that died are given out again")
            left = still

    def _outstanding(self, plan: ExtractionPlan, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those that are neither held nor failed."""
        left = positions[~plan.held(positions)]
        failed = pack(bytes.fromhex(key) for key in {failure.key for failure in self.failures})
        return left[~contains(failed, plan.samples.keys[plan.todo[left]])]

    def _listen(self, answers: Iterator[pa.Table], stack: ExitStack) -> int:
        """Take what workers answer; how many samples they are done with.

        Where it has to end early the workers hear of it, commit what they have finished, and are waited for.
        """
        answered = _Answers(answers)
        n = 0
        try:
            while (table := answered.next()) is not None:
                n += self._take(table)
                self.limit.check(self.failures)
        except BaseException:
            stack.close()  # the driver has left the cache: nothing is wanted any more
            deadline = time.monotonic() + STOP_SECONDS
            while (table := answered.next(deadline)) is not None:
                self._take(table, is_over=True)
            raise
        return n

    def _take(self, table: pa.Table, is_over: bool = False) -> int:
        n = 0
        for worker, line in zip(
            table.column(WORKER).to_pylist(), table.column(MESSAGE).to_pylist(), strict=True
        ):
            match decode(line):
                case Said(text):
                    self.progress.say(text)
                case Advanced(advanced):
                    n += advanced
                    self.progress.advance(advanced)
                case Failed(failures):
                    self.failures += failures
                case ExitMessage() as done:
                    self._note(worker, done)
                    if done.error is not None and not is_over:
                        raise done.error
        return n

    def _note(self, worker: str, done: ExitMessage) -> None:
        self.n_computed += done.n_computed
        if done.timings is not None:
            before = self._by_worker.get(worker)
            self._by_worker[worker] = done.timings if before is None else before.joined(done.timings)

    def _sum_up(self, seconds: float) -> None:
        for timings in self._by_worker.values():
            together = timings if self.timings is None else self.timings.beside(timings)
            self.timings = replace(together, seconds=seconds)


class _Answers:
    """Answers that a thread waits for, so that a signal reaches the thread that decides."""

    def __init__(self, answers: Iterator[pa.Table]) -> None:
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._pull, args=(answers,), name="headstart-ray", daemon=True).start()

    def _pull(self, answers: Iterator[pa.Table]) -> None:
        try:
            for table in answers:
                self._queue.put(table)
        except BaseException as error:
            self._queue.put(BackboneError(f"the Ray cluster failed ({type(error).__name__}: {error})"))
        self._queue.put(None)

    def next(self, deadline: float | None = None) -> pa.Table | None:
        """The next answer; None when there are no more, or the deadline is over."""
        while deadline is None or time.monotonic() < deadline:
            try:
                found = self._queue.get(timeout=LOOK_AROUND)
            except queue.Empty:
                continue
            if isinstance(found, Exception):
                if deadline is not None:
                    return None
                raise found
            return found
        return None
