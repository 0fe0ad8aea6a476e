"""Rows come out under their own keys, at once or some of them, from however many shards."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from caches import RECIPE, commit, features_of, keys_of, put, space_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from headstart.cache import rows as stored
from headstart.cache.commit import commit_set
from headstart.cache.formats import FormatName, shard_format
from headstart.cache.index import Index
from headstart.cache.maintenance.compact import compact_space
from headstart.cache.recipe import Recipe
from headstart.cache.rows import locate
from headstart.cache.sets import FeatureSet
from headstart.cache.space import Space
from headstart.cache.store import Cache
from headstart.errors import ConfigError, CorruptShardError, DataError, MismatchError
from headstart.types import Features
from tests.variants import examples

FORMATS: tuple[FormatName, ...] = ("hdf5", "parquet")


@pytest.fixture
def cache(cache_root: Path) -> Cache:
    cache = Cache(cache_root)
    cache.prepare()
    return cache


@pytest.fixture
def in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many pieces, several threads and tiny blocks, however little there is to read."""
    monkeypatch.setattr(stored, "PIECE_BYTES", 600)
    monkeypatch.setattr(stored, "BLOCK_BYTES", 300)
    monkeypatch.setattr(stored, "WORTH_BYTES", 0)
    monkeypatch.setattr(stored, "_n_cores", lambda: 3)


def values_of(keys: NDArray[np.uint8], dtype: Any) -> NDArray[Any]:
    """A vector that says which key it belongs to."""
    return (keys.astype(np.float32) - 100).astype(dtype)


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    parts=st.lists(
        st.tuples(
            st.lists(st.integers(0, 60), min_size=1, max_size=30, unique=True), st.sampled_from(FORMATS)
        ),
        min_size=1,
        max_size=5,
    ),
    stored=st.sampled_from([np.float16, np.float32]),
    asked=st.sampled_from(["stored", "float32", "float16", None]),
    small_prefix=st.booleans(),
    data=st.data(),
)
def test_any_rows_in_any_order_are_what_a_naive_reader_gets(
    in_small_steps: None,
    tmp_path_factory: pytest.TempPathFactory,
    parts: list[tuple[list[int], FormatName]],
    stored: Any,
    asked: str | None,
    small_prefix: bool,
    data: st.DataObject,
) -> None:
    universe = np.random.default_rng(1).integers(0, 256, (61, 16), dtype=np.uint8)
    if small_prefix:  # keys that agree in the bytes by which they are brought into order
        universe[:, :6] = 7
    space = Space(tmp_path_factory.mktemp("s") / RECIPE.id, RECIPE)
    space.prepare()
    for numbers, written_as in parts:
        keys = universe[numbers]
        space.commit(Features(keys, values_of(keys, stored)), shard_format(written_as))
    there = sorted({number for numbers, _ in parts for number in numbers})
    keys = universe[data.draw(st.lists(st.sampled_from(there), max_size=90))].reshape(-1, 16)
    dtype = {"stored": stored, "float32": np.float32, "float16": np.float16, None: np.float32}[asked]
    rows = space.rows(keys)
    whole = rows.matrix(asked)
    assert whole.dtype == dtype
    assert np.array_equal(whole, values_of(keys, dtype))
    if len(keys):
        chosen = np.array(data.draw(st.lists(st.integers(0, len(keys) - 1), max_size=40)), dtype=np.int64)
        assert np.array_equal(rows.take(chosen, asked), values_of(keys, dtype)[chosen].reshape(-1, 16))


@pytest.mark.parametrize("dtype", ["stored", "float32"])
@pytest.mark.parametrize("pattern", [[0, 1, 1, 3], [0, 0, 2, 2], [5, 4, 3, 2], [2, 3, 4, 5], [7] * 5])
def test_rows_that_almost_follow_each_other(pattern: list[int], dtype: str, half: FeatureSet) -> None:
    """Copied as a stretch, the first would give row 2 for the second copy of row 1."""
    stored = half.held().places.samples[:30]
    numbers = [89 - int(stored[place]) for place in pattern]
    found = half.mapped(dtype=dtype)[[89 - number for number in numbers]]  # type: ignore[arg-type]
    assert found[:, 0].tolist() == numbers
    again = half.held().space.rows(keys_of(numbers)).matrix(dtype)
    assert again[:, 0].tolist() == numbers


def test_places_are_in_the_order_in_which_rows_are_stored(cache: Cache) -> None:
    for start in (0, 40, 80):
        put(cache, range(start, start + 40))
    places = locate(space_of(cache).refresh(), keys_of([*range(120), 999]))
    assert sorted(places.samples) == list(range(120))
    assert places.shard.tolist() == sorted(places.shard.tolist())
    for shard in range(3):
        rows = places.row[places.shard == shard].tolist()
        assert rows == list(range(40))
    chosen = np.arange(121) % 3 == 0
    some = places.only(chosen)
    assert sorted(some.samples) == list(range(40))
    at = {sample: place for place, sample in enumerate(places.samples.tolist())}
    for sample, shard, row in zip(some.samples, some.shard, some.row, strict=True):
        place = at[int(sample) * 3]
        assert (shard, row) == (places.shard[place], places.row[place])


def a_split_set(cache: Cache, numbers: Sequence[int]) -> FeatureSet:
    table = pa.table(
        {
            "id": [f"row {number}" for number in numbers],
            "key": pa.array([key.tobytes() for key in keys_of(numbers)], pa.binary(16)),
            "split": [("train", "validation", "test")[number % 3] for number in numbers],
            "origin": [""] * len(numbers),
            "label:parity": [str(number % 2) for number in numbers],
        }
    )
    info = {
        "source": {},
        "labels": {"parity": ["0", "1"]},
        "features": [
            {"backbone": "py:some:texts", "tap": RECIPE.entries["tap"], "view": None, "space": RECIPE.id}
        ],
        "counts": {"samples": len(numbers)},
        "split": {"seed": 0, "made": None},
    }
    made = commit_set(cache, "some", table, info, [])
    assert made is not None
    return made


@pytest.fixture
def half(cache: Cache) -> FeatureSet:
    """A set of 90 samples whose features are stored as float16 in three shards of both formats."""
    space = cache.space(RECIPE)
    space.prepare()
    for start, written_as in ((0, "hdf5"), (30, "parquet"), (60, "hdf5")):
        features = features_of(range(start, start + 30), version=0.1)
        space.commit(Features(features.keys, features.values.astype(np.float16)), shard_format(written_as))
    return a_split_set(cache, range(89, -1, -1))


@pytest.mark.parametrize("split", [None, "train", "validation", "test"])
def test_a_split_as_it_is_stored_or_in_another_dtype(split: str | None, half: FeatureSet) -> None:
    numbers = [n for n in range(89, -1, -1) if split in (None, ("train", "validation", "test")[n % 3])]
    expected = features_of(numbers, version=0.1).values.astype(np.float16)
    for dtype in ("stored", "float16"):
        X, y = half.arrays(split, dtype=dtype)
        assert X.dtype == np.float16
        assert X.tobytes() == expected.tobytes()
        assert y.tolist() == [number % 2 for number in numbers]
    rows = half.rows(split)
    assert rows.X.dtype == np.float32
    assert rows.X.tobytes() == expected.astype(np.float32).tobytes()
    assert rows.table.column("id").to_pylist() == [f"row {number}" for number in numbers]
    with pytest.raises(ConfigError, match="float64"):
        half.arrays(split, dtype="float64")  # type: ignore[arg-type]


def test_what_was_handed_out_is_the_callers_own(half: FeatureSet) -> None:
    X, y = half.arrays(dtype="stored")
    X[:], y[:] = 0, 0
    again = half.arrays(dtype="stored")
    assert again[0][:, 0].tolist() == list(range(89, -1, -1))
    assert again[1].tolist() == [number % 2 for number in range(89, -1, -1)]


def test_float32_that_float16_cannot_hold_is_refused(cache: Cache) -> None:
    space = cache.space(RECIPE)
    space.prepare()
    values = features_of(range(5)).values
    values[3, 2] = 1e6
    space.commit(Features(keys_of(range(5)), values), shard_format("hdf5"))
    made = commit(cache, range(5))
    assert made.arrays()[0].max() == 1e6
    with pytest.raises(DataError, match="float16 cannot hold 1e"):
        made.arrays(dtype="float16")


def lying(space: Space) -> None:
    """Leave an index that says other rows than the shards have."""
    true = space.refresh()
    Index(true.shards, true.hi, true.lo, true.shard, np.roll(true.row, 1)).save(space.index_path)


READERS: list[Callable[[FeatureSet], NDArray[Any]]] = [
    lambda made: made.arrays()[0],
    lambda made: made.mapped()[:],
    lambda made: np.concatenate([X for X, _ in made.mapped().batches(7, shuffle=False)]),
]


@pytest.mark.parametrize("read", READERS, ids=["arrays", "mapped", "batches"])
def test_a_lying_index_is_found_out_whoever_reads(
    read: Callable[[FeatureSet], NDArray[Any]], cache: Cache
) -> None:
    for start in (0, 20):
        put(cache, range(start, start + 20))
    made = commit(cache, range(40))
    lying(space_of(cache))
    assert np.array_equal(read(Cache(cache.root).open_set("some")), features_of(range(40)).values)
    assert not space_of(cache).index_path.exists()
    assert np.array_equal(read(made), features_of(range(40)).values)


@pytest.mark.parametrize("written_as", FORMATS)
@pytest.mark.parametrize("was_read", [False, True])
def test_a_set_that_was_opened_before_its_shards_were_compacted(
    written_as: FormatName, was_read: bool, cache: Cache
) -> None:
    for start in (0, 20):
        put(cache, range(start, start + 20), format_name=written_as)
    made = commit(cache, range(40))
    if was_read:
        made.arrays()
    else:
        made.held()
    before = made.mapped()
    compact_space(space_of(cache), None)
    assert len(space_of(cache).shard_names()) == 1
    expected = features_of(range(40)).values
    assert np.array_equal(before[:], expected)  # what is mapped stays
    for _ in range(2):
        assert np.array_equal(made.arrays()[0], expected)


def test_what_was_missing_is_looked_for_again(cache: Cache) -> None:
    put(cache, range(20))
    made = commit(cache, range(22))
    with pytest.raises(MismatchError, match="2 of 22"):
        made.arrays()
    put(cache, [20, 21])
    assert np.array_equal(made.arrays()[0], features_of(range(22)).values)


def test_shards_of_different_kinds_are_no_matrix(cache: Cache) -> None:
    put(cache, range(5))
    space = cache.space(RECIPE)
    narrow = features_of(range(5, 9))
    space.commit(Features(narrow.keys, narrow.values[:, :3]), shard_format("hdf5"))
    with pytest.raises(CorruptShardError, match="different kinds"):
        commit(cache, range(9)).arrays()


@pytest.fixture
def wide(cache: Cache) -> FeatureSet:
    """20,000 × 256 float16 in four shards: 10 MB."""
    space = cache.space(Recipe({**RECIPE.entries, "stored": "float16"}))
    space.prepare()
    for start in range(0, 20_000, 5_000):
        keys = keys_of(range(start, start + 5_000))
        values = np.resize(np.arange(997, dtype=np.float16), (5_000, 256))
        space.commit(Features(keys, values), shard_format("hdf5"))
    return commit(cache, range(20_000), recipes=[space.recipe])


@pytest.mark.parametrize("dtype", ["stored", "float32"])
def test_reading_holds_the_matrix_once(dtype: Any, wide: FeatureSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "_n_cores", lambda: 2)  # each has a block of its own beside the matrix
    wide.arrays(dtype=dtype)
    tracemalloc.start()
    X, _ = wide.arrays(dtype=dtype)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < X.nbytes + (8 << 20)
