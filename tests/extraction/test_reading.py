"""Samples that cannot be read, or not in time, are skipped by name; the others are computed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headstart.data.memory import MemorySource
from headstart.devices import usable_cores
from headstart.errors import DataError, SampleError
from headstart.extraction import batches as readers
from headstart.extraction.extractor import TEXTS_A_JOB
from headstart.extraction.samples import FailureLimit

from .computing import plan, some_texts

PLAIN = "py:odd_backbones:plain"
TEXTS = some_texts(40)


class Mount:
    """Rows of a source that hang until the mount comes back, or cannot be read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hanging: set[int] = set()
        self.broken: dict[int, Exception] = {}
        self.changed: set[int] = set()
        self.back = threading.Event()
        self.pause = 0.0
        self.gone_after = -1
        self.n_reads: dict[int, int] = {}
        self.counting = threading.Lock()
        read = MemorySource.payload

        def payload(source: MemorySource, row: int) -> Any:
            with self.counting:
                self.n_reads[row] = self.n_reads.get(row, 0) + 1
                is_last = sum(self.n_reads.values()) == self.gone_after
            time.sleep(self.pause)
            if is_last:
                raise DataError("the archive is gone")
            if row in self.hanging:
                self.back.wait(60)
            if row in self.broken:
                raise self.broken[row]
            return "another text" if row in self.changed else read(source, row)

        monkeypatch.setattr(MemorySource, "payload", payload)


@pytest.fixture
def mount(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mount]:
    monkeypatch.setattr(readers, "READ_TIMEOUT", 0.5)
    monkeypatch.setattr(readers, "STOP_SECONDS", 0.2)
    mount = Mount(monkeypatch)
    yield mount
    mount.back.set()


@pytest.mark.parametrize("hanging", [{7}, {0, 1, 2, 39}])
def test_a_read_that_hangs_costs_that_sample_alone(cache_root: Path, mount: Mount, hanging: set[int]) -> None:
    """There are two readers: four rows that hang would stop both, were they not replaced."""
    mount.hanging = hanging
    task = plan(TEXTS, PLAIN, cache_root)
    filled = task.run()
    assert task.held() == [row not in hanging for row in range(40)]
    assert (filled.n_computed, task.heard.n_advanced) == (40 - len(hanging), 40)
    assert {int(failure.id) for failure in filled.failures} == hanging
    assert {(failure.kind, failure.reason) for failure in filled.failures} == {
        ("transient", "reading it took more than 0 s")
    }
    mount.hanging = set()
    mount.back.set()
    assert plan(TEXTS, PLAIN, cache_root).run().n_computed == len(hanging)


def test_what_hung_and_comes_back_late_is_not_counted_twice(cache_root: Path, mount: Mount) -> None:
    mount.hanging = {3}
    task = plan(TEXTS, PLAIN, cache_root)
    threading.Timer(0.8, mount.back.set).start()
    filled = task.run()
    assert filled.n_computed + len(filled.failures) == 40
    assert task.heard.n_advanced == 40


def test_a_sample_that_cannot_be_read_any_more_is_tried_again_by_the_next_run(
    cache_root: Path, mount: Mount
) -> None:
    mount.broken = {5: SampleError("stale file handle")}
    mount.changed = {6}
    filled = plan(TEXTS, PLAIN, cache_root).run()
    assert {(failure.id, failure.kind, failure.reason) for failure in filled.failures} == {
        ("5", "transient", "stale file handle"),
        ("6", "transient", "it changed while it was being read"),
    }
    mount.broken, mount.changed = {}, set()
    assert plan(TEXTS, PLAIN, cache_root).run().n_computed == 2


def test_an_error_of_the_source_itself_ends_the_run_and_keeps_what_was_computed(
    cache_root: Path, mount: Mount
) -> None:
    plan(TEXTS[:20], PLAIN, cache_root).run()
    mount.broken = {30: DataError("the archive is gone")}
    task = plan(TEXTS, PLAIN, cache_root)
    with pytest.raises(DataError, match="the archive is gone"):
        task.run()
    assert sum(task.held()) >= 20


def test_samples_that_all_fail_leave_nothing_and_say_so(cache_root: Path, mount: Mount) -> None:
    mount.broken = {row: SampleError("gone") for row in range(40)}
    task = plan(TEXTS, PLAIN, cache_root)
    filled = task.run()
    assert (filled.n_computed, len(filled.failures), task.heard.n_advanced) == (0, 40, 40)
    assert not any(task.held())


def test_too_many_failures_stop_the_run_at_once(cache_root: Path, mount: Mount) -> None:
    mount.broken = {row: SampleError("gone") for row in range(40)}
    task = plan(TEXTS, PLAIN, cache_root, batch_size=1)
    with pytest.raises(DataError, match=r"more than --max-failures allows \(3\): .* gone \(such as"):
        task.run(FailureLimit(3))
    assert task.heard.n_advanced < 40


def test_the_end_of_a_run_does_not_read_what_nobody_waits_for(
    cache_root: Path, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupt used to wait until all that was queued had been read."""
    monkeypatch.setattr(readers, "STOP_SECONDS", 30.0)
    mount.pause, mount.gone_after = 0.0005, 2000  # by then thousands of rows are queued
    with pytest.raises(DataError):
        plan(some_texts(8000), PLAIN, cache_root).run()
    jobs_under_way = usable_cores() * TEXTS_A_JOB
    assert sum(mount.n_reads.values()) <= 2000 + jobs_under_way
    assert not [thread for thread in threading.enumerate() if thread.name == "headstart-read"]
