"""`cache compact` makes few shards of many, and changes no vector at any moment."""

from __future__ import annotations

import itertools
import os
import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from caches import (
    RECIPE,
    TOKENS,
    WIDTH,
    commit,
    features_of,
    flip,
    keys_of,
    put,
    shards,
    space_of,
    vectors,
)

from headstart.cache.claims import ClaimBoard
from headstart.cache.formats import FormatName, format_of, shard_format
from headstart.cache.maintenance import compact as compacting
from headstart.cache.maintenance.compact import Compacted, compact, find_components
from headstart.cache.maintenance.verify import verify
from headstart.cache.recipe import Recipe
from headstart.cache.space import Space
from headstart.cache.store import Cache
from headstart.errors import CorruptShardError, StorageError
from headstart.progress import Silence
from tests.variants import variants

ALL = range(60)


@pytest.fixture
def cache(cache_root: Path) -> Cache:
    """Twelve shards of dense and twelve of ragged features; every sample is in two, in two versions."""
    cache = Cache(cache_root)
    cache.prepare()
    rng = np.random.default_rng(0)
    for recipe in (RECIPE, TOKENS):
        for version, order in enumerate((rng.permutation(60), rng.permutation(60))):
            for start in range(0, 60, 10):
                name: FormatName = "hdf5" if start % 20 else "parquet"
                put(cache, order[start : start + 10].tolist(), version, name, recipe)
    commit(cache, ALL)
    return cache


def run(cache: Cache, format_name: FormatName | None = None) -> list[Compacted]:
    return compact(Cache(cache.root), Silence(), format_name)


@pytest.mark.parametrize("recipe", [RECIPE, TOKENS], ids=["dense", "ragged"])
@pytest.mark.parametrize("format_name", variants([None, "hdf5", "parquet"], [None, "parquet"]))
def test_many_shards_become_one_and_every_vector_stays(
    cache: Cache, recipe: Recipe, format_name: FormatName | None
) -> None:
    before = vectors(cache, ALL, recipe)
    reader = space_of(cache, recipe)  # a process that has the old shards open
    assert len(reader.gather(keys_of(ALL))) == 60
    for done in run(cache, format_name):
        assert (done.n_before, done.n_after, done.problem) == (12, 1, None)
        assert done.bytes_after < done.bytes_before
    (name,) = shards(cache, recipe)
    assert format_of(Path(name)) == (format_name or format_of(Path(name)))
    assert vectors(cache, ALL, recipe) == before
    assert len(reader.gather(keys_of(ALL))) == 60
    assert len(reader) == 60
    assert verify(cache, Silence()).findings == ()
    again = {path: path.stat().st_mtime_ns for path in cache.root.rglob("*.h5")}
    run(cache, format_name)
    assert {path: path.stat().st_mtime_ns for path in cache.root.rglob("*.h5")} == again


def test_the_index_is_ready_for_the_next_process(cache: Cache) -> None:
    run(cache)
    space = space_of(cache)
    assert space.held(keys_of(ALL)).all()
    assert not space._readers


def test_most_of_the_bytes_decide_about_the_format(cache_root: Path) -> None:
    cache = Cache(cache_root)
    cache.prepare()
    put(cache, range(400), format_name="parquet")
    put(cache, range(400, 405), format_name="hdf5")
    run(cache)
    assert [name[-8:] for name in shards(cache)] == [".parquet"]


def interrupted_at(cache: Cache, monkeypatch: pytest.MonkeyPatch, step: int) -> bool:
    """Stop a compaction at its n-th change of the folder; whether it came that far."""
    count = itertools.count()

    class Killed(BaseException):
        pass

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def act(*arguments: object, **named: object) -> object:
            if next(count) == step:
                raise Killed
            return real(*arguments, **named)

        return act

    with monkeypatch.context() as patch:
        patch.setattr(compacting, "_delete", counted(compacting._delete))
        patch.setattr(Space, "commit", counted(Space.commit))
        try:
            run(cache)
        except Killed:
            return True
    return False


@pytest.mark.parametrize(
    "recipe", [RECIPE, pytest.param(TOKENS, marks=pytest.mark.slow)], ids=["dense", "ragged"]
)
def test_stopped_at_any_step_it_has_changed_no_vector(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, recipe: Recipe
) -> None:
    before = vectors(cache, ALL, recipe)
    for step in itertools.count():
        stopped = interrupted_at(cache, monkeypatch, step)
        assert vectors(cache, ALL, recipe) == before, step
        if not stopped:
            break
    assert step > 3
    assert len(shards(cache, recipe)) == 1


def test_inputs_go_in_descending_order(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    gone: list[Path] = []
    delete = compacting._delete
    monkeypatch.setattr(compacting, "_delete", lambda path: (gone.append(path), delete(path)))
    run(cache)
    names = [path.name for path in gone if RECIPE.id in str(path)]
    assert names == sorted(names, reverse=True)


def test_shards_that_share_a_key_are_merged_together_or_not_at_all(cache_root: Path) -> None:
    cache = Cache(cache_root)
    cache.prepare()
    for numbers in ([0, 1, 2], [2, 3], [3, 4], [7, 8], [9], [8, 10]):
        put(cache, numbers)
    space = space_of(cache)
    found = find_components(space, space.refresh())
    held = [
        sorted({key.tobytes() for name in one.names for key in np.array(space.reader(name).keys())})
        for one in found
    ]
    expected = [
        sorted(key.tobytes() for key in keys_of(numbers)) for numbers in ([0, 1, 2, 3, 4], [7, 8, 10], [9])
    ]
    assert sorted(held) == sorted(expected)


def test_a_newcomer_that_shares_a_key_keeps_the_inputs_in_place(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, names = vectors(cache, ALL), shards(cache)
    commit_merged = Space.commit

    def commit_and_be_raced(space: Space, *arguments: object) -> object:
        done = commit_merged(space, *arguments)  # type: ignore[arg-type]
        if space.id == RECIPE.id and len(shards(cache)) == len(names) + 1:
            commit_merged(space, features_of([5], version=9.0), shard_format("hdf5"))
        return done

    with monkeypatch.context() as patch:
        patch.setattr(Space, "commit", commit_and_be_raced)
        run(cache)
    assert set(names) < set(shards(cache))
    after = vectors(cache, ALL)
    assert [after[n] for n in ALL if n != 5] == [before[n] for n in ALL if n != 5]
    run(cache)
    assert len(shards(cache)) == 1
    assert vectors(cache, ALL) == after


def test_what_a_live_writer_may_still_be_doubling_is_left_alone(cache: Cache) -> None:
    names = shards(cache)
    with ClaimBoard(space_of(cache).claims_dir):
        run(cache)
        assert shards(cache) == names
        for name in names:
            os.utime(space_of(cache).shards_dir / name, (0, 0))
        run(cache)
        assert len(shards(cache)) == 1


def test_shards_from_the_future_are_no_obstacle(cache: Cache) -> None:
    before = vectors(cache, ALL)
    for name in shards(cache):
        os.utime(space_of(cache).shards_dir / name, (4e9, 4e9))
    run(cache)
    assert len(shards(cache)) == 1
    assert vectors(cache, ALL) == before
    assert verify(cache, Silence()).findings == ()


def test_a_corrupt_shard_is_never_given_a_digest_that_fits(cache: Cache) -> None:
    path = space_of(cache).shards_dir / shards(cache)[3]
    names = shards(cache)
    flip(path)
    dense = next(done for done in run(cache) if done.space == RECIPE.id)
    assert path.name in str(dense.problem)
    assert shards(cache) == names
    assert len(shards(cache, TOKENS)) == 1


def test_a_bit_that_rots_after_the_check_is_found(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """No time of the file says that it changed, so only reading it does."""
    space = space_of(cache)
    index = space.refresh()
    monkeypatch.setattr(space.digests, "_remembered", lambda stat: None)
    flip(space.shards_dir / index.shards[0], 900)
    with pytest.raises(CorruptShardError):
        compacting.replace(space, index, index.shards, shard_format("hdf5"), os.unlink)
    assert shards(cache) == list(index.shards)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> int:
    """As if a full shard were of 40 dense rows."""
    n_bytes = 40 * (16 + WIDTH * 4)
    monkeypatch.setattr(compacting, "SHARD_BYTES", n_bytes)
    return n_bytes


def test_a_component_larger_than_a_shard_becomes_several(cache: Cache, small_shards: int) -> None:
    before = vectors(cache, ALL)
    run(cache)
    assert len(shards(cache)) == 2
    assert vectors(cache, ALL) == before
    rows = [len(space_of(cache).reader(name).keys()) for name in shards(cache)]
    assert sorted(rows) == [20, 40]


def test_a_full_disk_gives_one_line_and_leaves_everything(cache: Cache) -> None:
    before, names = vectors(cache, ALL), shards(cache)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, limit[1]))
    try:
        with pytest.raises(StorageError, match="no space left"):
            run(cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert shards(cache) == names
    assert not list(cache.root.rglob("*.partial"))
    assert vectors(cache, ALL) == before


def test_readers_and_compactors_at_once(cache: Cache) -> None:
    before = [vectors(cache, ALL, recipe) for recipe in (RECIPE, TOKENS)]
    stop, errors = threading.Event(), []

    def watched(work: Callable[[], None]) -> Iterator[threading.Thread]:
        def loop() -> None:
            try:
                while not stop.is_set():
                    work()
            except BaseException as error:
                errors.append(error)

        yield threading.Thread(target=loop)

    def read() -> None:
        for recipe, expected in zip((RECIPE, TOKENS), before, strict=True):
            assert vectors(cache, ALL, recipe) == expected

    def hold() -> None:
        assert space_of(cache).held(keys_of(ALL)).all()

    threads = [next(watched(work)) for work in (read, read, hold, lambda: run(cache))]
    for thread in threads:
        thread.start()
    try:
        for turn in range(4):
            for start in range(60, 100, 10):
                put(cache, range(start, start + 10), version=turn)
            run(cache)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert errors == []
    read()
    run(cache)  # two at once leave each other's work in place; one alone cleans up
    read()
    assert len(shards(cache)) == 1
