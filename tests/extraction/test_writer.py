"""What was computed is written beside the computing, once, and is not lost when the disk is full."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from headstart.cache import shards
from headstart.cache.formats import shard_format
from headstart.cache.recipe import Recipe
from headstart.cache.space import Space
from headstart.cache.store import Cache
from headstart.errors import StorageError
from headstart.extraction import writer as writing
from headstart.extraction.backbone import load_model
from headstart.extraction.claimed import ClaimedExtraction
from headstart.extraction.writer import ShardWriter
from headstart.keys import key_of, pack

from .computing import compute, n_stored, plan, some_texts

WIDTH = 4


def keys(numbers: range) -> NDArray[np.uint8]:
    return pack([key_of("text", str(number)) for number in numbers])


def vectors(numbers: range) -> NDArray[np.float32]:
    return np.repeat(np.arange(numbers.start, numbers.stop, dtype=np.float32)[:, None], WIDTH, axis=1)


def space(root: Path, name: str = "a") -> Space:
    entries = {"weights": name, "tap": "final.mean", "compute": "fp32", "stored": "float32", "numerics": 1}
    made = Cache(root).space(Recipe(entries))
    made.prepare()
    return made


@pytest.fixture
def open_writers() -> Iterator[list[ShardWriter]]:
    """Those that a test leaves open are closed, whatever became of it."""
    made: list[ShardWriter] = []
    yield made
    for writer in made:
        writer.close()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """A disk that can be full."""
    state = {"full": False}
    write = shards.write_durably

    def write_durably(path: Path, content: Any) -> None:
        if state["full"]:
            raise StorageError(f"no space left to write {path}") from OSError(errno.ENOSPC, "full")
        write(path, content)

    monkeypatch.setattr(shards, "write_durably", write_durably)
    return state


def test_all_that_was_added_is_committed_once_and_under_its_key(cache_root: Path) -> None:
    target = space(cache_root)
    writer = ShardWriter([target], shard_format("hdf5"))
    assert writer.is_empty
    for start in range(0, 100, 10):
        writer.add(0, keys(range(start, start + 10)), vectors(range(start, start + 10)))
    writer.add(0, keys(range(5)), vectors(range(50, 55)))  # a stream may bring a sample twice
    committed = list(writer.commit())
    assert [shard.n_rows for shard in committed] == [100]
    assert not writer.is_empty
    np.testing.assert_array_equal(target.gather(keys(range(100))).values, vectors(range(100)))
    assert list(writer.commit()) == []


def test_what_another_writer_has_committed_meanwhile_is_left_out(cache_root: Path) -> None:
    first, second = (ShardWriter([space(cache_root)], shard_format("hdf5")) for _ in range(2))
    first.add(0, keys(range(10)), vectors(range(10)))
    second.add(0, keys(range(5, 15)), vectors(range(5, 15)))
    assert sum(shard.n_rows for writer in (first, second) for shard in writer.commit()) == 15


def test_token_features_of_several_batches_become_one_ragged_shard(cache_root: Path) -> None:
    target = space(cache_root)
    writer = ShardWriter([target], shard_format("hdf5"))
    writer.add(0, keys(range(2)), vectors(range(5)), np.array([2, 3]))
    writer.add(0, keys(range(2, 5)), vectors(range(5, 6)), np.array([0, 1, 0]))
    list(writer.commit())
    found = target.gather(keys(range(5)))
    assert found.offsets is not None
    assert found.offsets.tolist() == [0, 2, 5, 5, 6, 6]
    np.testing.assert_array_equal(found.values, vectors(range(6)))


def test_a_shard_is_committed_when_it_is_full_or_has_waited_long_enough(
    cache_root: Path, monkeypatch: pytest.MonkeyPatch, open_writers: list[ShardWriter]
) -> None:
    target = space(cache_root)
    monkeypatch.setattr(writing, "SHARD_BYTES", 2000)
    full = ShardWriter([target], shard_format("hdf5"))
    open_writers.append(full)
    for number in range(100):
        full.add(0, keys(range(number, number + 1)), vectors(range(number, number + 1)))
    full.close()
    assert len(list(full.committed())) == 1  # 62 rows of 32 bytes; the others wait
    monkeypatch.setattr(writing, "COMMIT_AFTER", 0.2)
    monkeypatch.setattr(writing, "LOOK_AROUND", 0.05)
    waiting = ShardWriter([space(cache_root, "b")], shard_format("hdf5"))
    open_writers.append(waiting)
    waiting.add(0, keys(range(3)), vectors(range(3)))
    deadline = time.monotonic() + 20
    while not (found := list(waiting.committed())):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert [shard.n_rows for shard in found] == [3]


def test_open_shards_of_many_spaces_stay_within_their_bound_together(
    cache_root: Path, monkeypatch: pytest.MonkeyPatch, open_writers: list[ShardWriter]
) -> None:
    monkeypatch.setattr(writing, "OPEN_BYTES", 4000)
    targets = [space(cache_root, name) for name in "abcd"]
    writer = ShardWriter(targets, shard_format("hdf5"))
    open_writers.append(writer)
    for number in range(200):
        rows = range(number, number + 1)
        for place in range(4):
            writer.add(place, keys(rows), vectors(rows))
    writer.close()
    committed = sum(shard.n_rows for shard in writer.committed())
    assert 4 * 200 - committed <= 4000 / 32
    assert sum(shard.n_rows for shard in writer.commit()) == 800 - committed


def test_a_full_disk_is_said_and_a_second_try_loses_nothing(cache_root: Path, disk: dict[str, bool]) -> None:
    target = space(cache_root)
    writer = ShardWriter([target], shard_format("hdf5"))
    writer.add(0, keys(range(10)), vectors(range(10)))
    disk["full"] = True
    with pytest.raises(StorageError, match="no space left"):
        list(writer.commit())
    assert len(target) == 0
    disk["full"] = False
    assert [shard.n_rows for shard in writer.commit()] == [10]


def test_a_disk_that_fills_up_on_the_way_stops_the_run(
    cache_root: Path, disk: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at its end only: hours of work would be computed for a disk that cannot take them."""
    texts = some_texts(400)
    compute(texts[:50], "py:odd_backbones:plain", cache_root)
    monkeypatch.setattr(writing, "SHARD_BYTES", 1000)
    disk["full"] = True
    task = plan(texts, "py:odd_backbones:plain", cache_root)
    with pytest.raises(StorageError, match="no space left"):
        task.run()
    assert sum(task.held()) == 50
    disk["full"] = False
    again = plan(texts, "py:odd_backbones:plain", cache_root)
    assert again.run().n_computed == 350
    assert n_stored(cache_root) == 400


def test_a_run_that_is_dropped_between_two_shards_keeps_what_it_has_finished(
    cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal may come while nobody is inside the run; its writer then kept the process from ending."""
    task = plan(some_texts(300), "py:odd_backbones:plain", cache_root)
    model = load_model(task.opened, "cpu", "fp32")
    spaces = task.work.spaces
    for each in spaces:
        each.prepare()
    monkeypatch.setattr(writing, "SHARD_BYTES", 2000)  # so that there is a shard to stop at
    writer = ShardWriter(spaces, task.work.shard_format)
    run = ClaimedExtraction(task.heard).run(task.work, model, writer)
    next(run)
    finished = task.heard.n_advanced
    run.close()
    assert sum(task.held()) >= finished > 0
    assert "headstart-write" not in {thread.name for thread in threading.enumerate()}
