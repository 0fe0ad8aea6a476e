"""A space gives each key its own vector, whatever happened to its files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from headstart.cache.formats import FormatName, shard_format
from headstart.cache.index import Index, load_index
from headstart.cache.layout import SHARD_NAME
from headstart.cache.recipe import Recipe
from headstart.cache.space import Space, open_space
from headstart.cache.store import Cache
from headstart.contracts import ShardFormat
from headstart.errors import CorruptShardError, DataError, HeadstartError, MismatchError, StorageError
from headstart.files import CLOCK_TICK_NS
from headstart.keys import KEY_BYTES, ROWS_AT_ONCE, pack, words
from headstart.types import Features
from tests.variants import examples

RECIPE = Recipe(
    {"weights": "0" * 32, "tap": "final.mean", "compute": "fp32", "stored": "float32", "numerics": 1}
)


def keys_from(seed: int, n: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, KEY_BYTES), dtype=np.uint8)


def vectors_of(keys: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A vector that says which key it belongs to."""
    return keys.astype(np.float32)


def features_of(keys: NDArray[np.uint8]) -> Features:
    return Features(keys, vectors_of(keys))


def assert_right(space: Space, keys: NDArray[np.uint8]) -> None:
    assert np.array_equal(space.gather(keys).values, vectors_of(keys))


@pytest.fixture(params=["hdf5", "parquet"])
def written_as(request: pytest.FixtureRequest) -> ShardFormat:
    name: FormatName = request.param
    return shard_format(name)


@pytest.fixture
def fresh(cache_root: Path) -> Callable[[], Space]:
    """Opens the one space of these tests as a new process would."""
    cache = Cache(cache_root)
    cache.prepare()
    cache.space(RECIPE).prepare()
    return lambda: Cache(cache_root).open_space(RECIPE.id)


def test_rows_never_shift(fresh: Callable[[], Space], written_as: ShardFormat) -> None:
    space, keys = fresh(), keys_from(0, 500)
    for start in range(0, 500, 90):
        space.commit(features_of(keys[start : start + 90]), written_as)
    order = np.random.default_rng(1).integers(0, 500, 2000)
    assert_right(space, keys[order])
    assert_right(fresh(), keys[order])
    assert len(fresh()) == 500


@settings(
    max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    parts=st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=12, unique=True), max_size=5),
    data=st.data(),
)
def test_any_commits_and_any_question(
    parts: list[list[int]], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    space = Space(tmp_path_factory.mktemp("s") / RECIPE.id, RECIPE)
    space.prepare()
    universe = keys_from(3, 31)
    for part in parts:
        space.commit(features_of(universe[part]), shard_format("hdf5"))
    there = sorted({row for part in parts for row in part})
    assert np.flatnonzero(space.held(universe)).tolist() == there
    if there:
        asked = data.draw(st.lists(st.sampled_from(there), min_size=1))
        assert_right(space, universe[asked])


def test_a_shard_is_sorted_by_key_and_named_after_bucket_and_digest(fresh: Callable[[], Space]) -> None:
    keys = keys_from(0, 50)
    shard = fresh().commit(features_of(keys), shard_format("hdf5"))
    match = SHARD_NAME.fullmatch(shard.path.name)
    assert match is not None
    assert int(match["bucket"], 16) == keys[:, 0].min()
    stored = fresh().reader(shard.path.name).keys()
    assert [key.tobytes() for key in stored] == sorted(key.tobytes() for key in keys)
    assert shard.n_bytes == shard.path.stat().st_size


def test_a_second_commit_of_the_same_rows_makes_no_second_shard(
    fresh: Callable[[], Space], written_as: ShardFormat
) -> None:
    keys = keys_from(0, 20)
    for order in (slice(None), slice(None, None, -1)):
        fresh().commit(features_of(keys[order]), written_as)
    assert len(fresh().shard_names()) == 1


def test_of_two_shards_with_one_key_the_first_name_wins(fresh: Callable[[], Space]) -> None:
    keys = keys_from(0, 20)
    for factor in (1, 2, 3):
        values = vectors_of(keys) * np.float32(factor)
        fresh().commit(Features(keys, values), shard_format("hdf5"))
    names = fresh().shard_names()
    assert len(names) == 3
    winner = fresh().reader(names[0]).features()
    expected = winner.values[[[k.tobytes() for k in winner.keys].index(key.tobytes()) for key in keys]]
    assert np.array_equal(fresh().gather(keys).values, expected)
    late = fresh()  # one that has seen the shards come one after the other, the winner last
    (late.shards_dir / names[0]).rename(late.path / "aside")
    late.refresh()
    (late.path / "aside").rename(late.shards_dir / names[0])
    assert np.array_equal(late.gather(keys).values, expected)


def test_held_says_no_before_anything_is_there(cache_root: Path) -> None:
    space = Cache(cache_root).space(RECIPE)
    assert not space.held(keys_from(0, 3)).any()
    assert len(space) == 0
    assert not cache_root.exists()


def test_a_missing_key_is_an_error_and_not_a_vector(fresh: Callable[[], Space]) -> None:
    keys = keys_from(0, 20)
    fresh().commit(features_of(keys[:19]), shard_format("hdf5"))
    with pytest.raises(MismatchError, match="lacks 1 of 20"):
        fresh().gather(keys)


def test_what_others_commit_is_seen_and_what_they_remove_is_gone(fresh: Callable[[], Space]) -> None:
    reader, keys = fresh(), keys_from(0, 20)
    shard = fresh().commit(features_of(keys), shard_format("hdf5"))
    assert reader.held(keys).all()
    shard.path.unlink()
    assert not reader.held(keys).any()


class Compacted(Space):
    """A space whose shards somebody merges right after they were listed."""

    merged = False

    def refresh(self) -> Index:
        index = super().refresh()
        if not self.merged:
            self.merged = True
            listed = [self.shards_dir / name for name in index.shards]
            self.close_shards()
            keys = np.concatenate([shard_format("hdf5").open(path).keys() for path in listed])
            self.commit(features_of(keys), shard_format("hdf5"))
            for path in listed:
                path.unlink()
        return index


def test_a_shard_that_is_compacted_away_while_it_is_read_is_no_error(fresh: Callable[[], Space]) -> None:
    keys = keys_from(0, 20)
    for part in (slice(0, 10), slice(10, 20)):
        fresh().commit(features_of(keys[part]), shard_format("hdf5"))
    racing = Compacted(fresh().path, RECIPE)
    assert_right(racing, keys)
    assert len(racing.shard_names()) == 1


def test_partial_files_are_not_shards(fresh: Callable[[], Space]) -> None:
    shard = fresh().commit(features_of(keys_from(0, 5)), shard_format("hdf5"))
    shard.path.rename(shard.path.with_name(f"{shard.path.name}.12-ab.partial"))
    assert fresh().shard_names() == []


@pytest.fixture
def indexed(fresh: Callable[[], Space]) -> Space:
    """A space of 3 shards with a saved index."""
    space = fresh()
    for seed in range(3):
        space.commit(features_of(keys_from(seed, 30)), shard_format("hdf5"))
    space.refresh()
    space.save_index()
    assert (space.path / "index.npz").exists()
    return space


ALL = np.concatenate([keys_from(seed, 30) for seed in range(3)])


def test_a_saved_index_spares_reading_the_shards(indexed: Space, fresh: Callable[[], Space]) -> None:
    space = fresh()
    assert space.held(ALL).all()
    assert not space._readers
    assert_right(space, ALL)


def test_a_saved_index_grows_with_the_space(indexed: Space, fresh: Callable[[], Space]) -> None:
    more = keys_from(9, 10)
    fresh().commit(features_of(more), shard_format("parquet"))
    assert_right(fresh(), np.concatenate([more, ALL]))


def test_a_deleted_index_is_made_again(indexed: Space, fresh: Callable[[], Space]) -> None:
    (indexed.path / "index.npz").unlink()
    assert_right(fresh(), ALL)


def test_a_damaged_index_never_gives_a_wrong_vector(indexed: Space, fresh: Callable[[], Space]) -> None:
    path = indexed.path / "index.npz"
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [content[:cut] for cut in range(0, len(content), 97)]
    for position in rng.integers(0, len(content), 150):
        one = bytearray(content)
        one[position] ^= 1 << int(rng.integers(8))
        damaged.append(bytes(one))
    for bad in [b"", b"garbage", *damaged]:
        path.write_bytes(bad)
        try:
            found = fresh().gather(ALL).values
        except HeadstartError:
            continue
        assert np.array_equal(found, vectors_of(ALL))


@pytest.mark.parametrize("lie", ["rows", "rows past the end", "shards", "keys"])
def test_a_foreign_index_never_gives_a_wrong_vector_and_is_deleted(
    lie: str, indexed: Space, fresh: Callable[[], Space]
) -> None:
    true = indexed.refresh()
    hi, lo = words(keys_from(77, len(true)))
    order = np.lexsort((lo, hi))
    lies = {
        "rows": Index(true.shards, true.hi, true.lo, true.shard, np.roll(true.row, 1)),
        "rows past the end": Index(true.shards, true.hi, true.lo, true.shard, true.row + np.uint32(99)),
        "shards": Index(true.shards, true.hi, true.lo, np.roll(true.shard, 1), true.row),
        "keys": Index(true.shards, hi[order], lo[order], true.shard, true.row),
    }
    lies[lie].save(indexed.path / "index.npz")
    asked = keys_from(77, len(true)) if lie == "keys" else ALL
    space = fresh()
    if lie == "keys":
        with pytest.raises(MismatchError, match="lacks 90"):
            space.gather(asked)
    else:
        assert_right(space, asked)
    assert not (indexed.path / "index.npz").exists()
    assert_right(space, ALL)


def test_an_index_of_unsound_columns_is_not_used(indexed: Space) -> None:
    path, index = indexed.path / "index.npz", indexed.refresh()
    Index(index.shards, index.hi, index.lo[1:], index.shard, index.row).save(path)
    assert not len(load_index(path, index.shards))
    Index(index.shards, index.hi, index.lo, index.shard + np.uint32(3), index.row).save(path)
    assert not len(load_index(path, index.shards))
    index.save(path)
    assert not len(load_index(path, index.shards[1:]))
    assert len(load_index(path, index.shards)) == len(ALL)


def flip(path: Path, position: int = -40) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 4
    path.write_bytes(content)


def test_a_flipped_bit_is_found_and_named(fresh: Callable[[], Space], written_as: ShardFormat) -> None:
    keys = keys_from(0, 30)
    shard = fresh().commit(features_of(keys), written_as)
    flip(shard.path)
    with pytest.raises(CorruptShardError, match=shard.path.name):
        fresh().gather(keys)


def test_a_checked_shard_is_checked_again_once_it_changed(fresh: Callable[[], Space]) -> None:
    keys = keys_from(0, 30)
    path = fresh().commit(features_of(keys), shard_format("hdf5")).path
    assert_right(fresh(), keys)
    flip(path)
    old = path.stat().st_mtime_ns - 60 * 10**9
    os.utime(path, ns=(old, old))  # even one that hides when it was changed
    with pytest.raises(CorruptShardError, match=path.name):
        fresh().gather(keys)


def test_only_an_old_shard_is_remembered_as_checked(
    fresh: Callable[[], Space], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = keys_from(0, 30)
    fresh().commit(features_of(keys), shard_format("hdf5"))
    fresh().gather(keys)
    assert not (fresh().digests.memo.folder).exists()
    monkeypatch.setattr("headstart.cache.shards.CLOCK_TICK_NS", -CLOCK_TICK_NS)
    fresh().gather(keys)
    assert (fresh().digests.memo.folder).exists()
    assert_right(fresh(), keys)


def test_a_shard_of_another_recipe_is_refused(fresh: Callable[[], Space], cache_root: Path) -> None:
    other = Cache(cache_root).space(Recipe({**RECIPE.entries, "tap": "final.cls"}))
    other.prepare()
    keys = keys_from(0, 5)
    shard = other.commit(features_of(keys), shard_format("hdf5"))
    shard.path.rename(fresh().shards_dir / shard.path.name)
    with pytest.raises(CorruptShardError, match="another recipe"):
        fresh().gather(keys)


def test_a_space_must_be_what_its_folder_says(fresh: Callable[[], Space], cache_root: Path) -> None:
    space = fresh()
    moved = space.path.with_name("0" * 16)
    space.path.rename(moved)
    with pytest.raises(CorruptShardError, match="does not belong to its folder"):
        open_space(moved)
    (moved / "recipe.json").write_text("{broken")
    with pytest.raises(StorageError, match="not valid JSON"):
        open_space(moved)
    (moved / "recipe.json").write_text("[1, 2]")
    with pytest.raises(CorruptShardError, match="not a recipe"):
        open_space(moved)
    (moved / "recipe.json").unlink()
    with pytest.raises(CorruptShardError, match=r"no recipe\.json"):
        open_space(moved)
    with pytest.raises(DataError, match="no space"):
        Cache(cache_root).open_space("../spaces")


def test_a_read_only_cache_can_be_read(fresh: Callable[[], Space], monkeypatch: pytest.MonkeyPatch) -> None:
    keys = keys_from(0, 30)
    space = fresh()
    space.commit(features_of(keys), shard_format("hdf5"))
    for folder in (space.shards_dir, space.path):
        folder.chmod(0o555)

    def refuse(*arguments: object, **named: object) -> None:
        raise PermissionError(13, "Permission denied")

    try:
        monkeypatch.setattr(os, "replace", refuse)  # root may write anywhere, so modes say nothing to it
        reader = fresh()
        assert_right(reader, keys)
        reader.save_index()
        assert not (reader.path / "index.npz").exists()
    finally:
        for folder in (space.path, space.shards_dir):
            folder.chmod(0o755)


def test_asking_for_nothing_gives_nothing_of_the_right_width(fresh: Callable[[], Space]) -> None:
    fresh().commit(features_of(keys_from(0, 3)), shard_format("hdf5"))
    assert fresh().gather(pack([])).values.shape == (0, KEY_BYTES)


def test_a_space_that_is_asked_again_knows_what_came_and_what_went(fresh: Callable[[], Space]) -> None:
    """Of keys so many that it remembers its answer."""
    keys = keys_from(0, ROWS_AT_ONCE + 100)
    space, other = fresh(), fresh()
    half = len(keys) // 2
    path = other.commit(features_of(keys[:half]), shard_format("hdf5")).path
    for _ in range(2):
        assert np.flatnonzero(space.held(keys)).tolist() == list(range(half))
    other.commit(features_of(keys[half:-1]), shard_format("hdf5"))
    found = space.held(keys)
    assert found[:-1].all()
    found[:] = True  # whoever asked may write into it
    assert not space.held(keys)[-1]
    path.unlink()
    assert np.flatnonzero(space.held(keys)).tolist() == list(range(half, len(keys) - 1))
