"""A set that is larger than memory: rows when they are asked for, and mini-batches that are well mixed."""

from __future__ import annotations

import shutil
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caches import RECIPE, TOKENS, commit, features_of, keys_of, put
from hypothesis import given
from hypothesis import strategies as st

from headstart.cache.epochs import BUFFER_ROWS, Epoch
from headstart.cache.formats import shard_format
from headstart.cache.mapped import MappedFeatures
from headstart.cache.recipe import Recipe
from headstart.cache.sets import FeatureSet
from headstart.cache.store import Cache
from headstart.errors import ConfigError, DataError
from headstart.types import Features
from tests.variants import variants

N = 300
HALF = Recipe({**RECIPE.entries, "compute": "bf16", "stored": "float16"})


@pytest.fixture
def cache(cache_root: Path) -> Cache:
    cache = Cache(cache_root)
    cache.prepare()
    return cache


@pytest.fixture
def made(cache: Cache) -> FeatureSet:
    """300 samples in three shards, one of them Parquet."""
    for start, written_as in ((0, "hdf5"), (100, "parquet"), (200, "hdf5")):
        put(cache, range(start, start + 100), format_name=written_as)  # type: ignore[arg-type]
    return commit(cache, range(N))


@pytest.fixture
def mapped(made: FeatureSet) -> MappedFeatures:
    return made.mapped()


def test_it_looks_like_the_arrays(made: FeatureSet, mapped: MappedFeatures) -> None:
    X, y = made.arrays()
    assert (mapped.shape, mapped.dtype, len(mapped)) == (X.shape, X.dtype, N)
    assert np.array_equal(mapped.y, y)
    assert mapped.names == ("0", "1")
    assert mapped.kind == "single"
    assert mapped.feature == made.feature()
    assert mapped.table.column("id").to_pylist() == [f"row {number}" for number in range(N)]
    assert "shape=(300, 6)" in repr(mapped)
    assert len(made.mapped("test")) == len(list(made.mapped("test").batches())) == 0


@pytest.mark.parametrize(
    "rows",
    [
        0,
        -1,
        np.int64(7),
        slice(None),
        slice(250, 10, -3),
        [5, 5, 299, -300],
        [],
        np.array([3, 1, 2], dtype=np.uint8),
        np.arange(N) % 7 == 0,
    ],
    ids=repr,
)
def test_rows_by_number_slice_numbers_or_mask(rows: Any, made: FeatureSet, mapped: MappedFeatures) -> None:
    X, _ = made.arrays()
    expected = X[np.array(rows, dtype=int)] if isinstance(rows, list) else X[rows]
    found = mapped[rows]
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    assert np.array_equal(found, expected)


def test_rows_that_are_not_there_are_an_error(mapped: MappedFeatures) -> None:
    for rows in (N, -N - 1, [0, N], [-N - 1]):
        with pytest.raises(IndexError, match="there are 300"):
            mapped[rows]
    for rows in ([0.5], [[1]], np.ones(5, dtype=bool)):
        with pytest.raises(ConfigError, match="give numbers, or a mask"):
            mapped[rows]


def test_rows_as_they_are_stored(cache: Cache) -> None:
    space = cache.space(HALF)
    space.prepare()
    features = features_of(range(50), version=0.3)
    halves = features.values.astype(np.float16)
    space.commit(Features(features.keys, halves), shard_format("hdf5"))
    made = commit(cache, range(50), recipes=[HALF])
    stored = made.mapped(dtype="stored")
    assert stored.dtype == stored[3:5].dtype == next(stored.batches(7))[0].dtype == np.float16
    assert stored[:].tobytes() == halves.tobytes()
    assert made.mapped()[:].tobytes() == halves.astype(np.float32).tobytes()


def test_it_outlives_the_cache(cache: Cache) -> None:
    put(cache, range(N))
    mapped = commit(cache, range(N)).mapped()
    shutil.rmtree(cache.root)
    assert np.array_equal(mapped[:], features_of(range(N)).values)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("batch_size", [1, 32, 50, 64, 1000])
@pytest.mark.parametrize("buffer_rows", variants([1, 40, BUFFER_ROWS], {40, BUFFER_ROWS}))
def test_an_epoch_has_every_row_once_with_its_label(
    shuffle: bool, batch_size: int, buffer_rows: int, mapped: MappedFeatures
) -> None:
    batches = list(mapped.batches(batch_size, shuffle, buffer_rows=buffer_rows))
    assert [len(X) for X, _ in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert all(len(X) == len(y) > 0 for X, y in batches)
    X = np.concatenate([X for X, _ in batches])
    y = np.concatenate([y for _, y in batches])
    numbers = X[:, 0].astype(int)
    assert sorted(numbers) == list(range(N))
    assert np.array_equal(X, features_of(numbers.tolist()).values)
    assert y.tolist() == (numbers % 2).tolist()
    if not shuffle:
        assert numbers.tolist() == list(range(N))


def order_of(mapped: MappedFeatures, **options: Any) -> list[int]:
    return [int(number) for X, _ in mapped.batches(32, **options) for number in X[:, 0]]


def test_seed_and_epoch_decide_the_order(made: FeatureSet, mapped: MappedFeatures) -> None:
    one = order_of(mapped, seed=3, epoch=5, buffer_rows=64)
    assert order_of(made.mapped(), seed=3, epoch=5, buffer_rows=64) == one
    others = [
        order_of(mapped, seed=seed, epoch=epoch, buffer_rows=64) for seed, epoch in ((3, 6), (4, 5), (5, 3))
    ]
    assert len({tuple(order) for order in [one, *others, list(range(N))]}) == 5


@given(
    n=st.integers(0, 700),
    batch_size=st.integers(1, 90),
    buffer_rows=st.integers(1, 300),
    shuffle=st.booleans(),
    seed=st.integers(0, 2**70),
)
def test_windows_are_whole_batches_that_fit_the_buffer(
    n: int, batch_size: int, buffer_rows: int, shuffle: bool, seed: int
) -> None:
    stored = np.random.default_rng(0).permutation(n)
    epoch = Epoch(batch_size, shuffle, seed, 1, buffer_rows)
    windows = [window.samples(stored) for window in epoch.windows(np.argsort(stored))]
    assert sorted(np.concatenate([*windows, np.empty(0, int)]).tolist()) == list(range(n))
    size = max(buffer_rows // batch_size, 1) * batch_size
    assert [len(window) for window in windows[:-1]] == [size] * (len(windows) - 1)
    assert all(0 < len(window) <= size for window in windows)
    if not shuffle:
        assert np.concatenate([*windows, np.empty(0, int)]).tolist() == list(range(n))


@pytest.mark.parametrize(
    "wrong",
    [{"batch_size": 0}, {"buffer_rows": 0}, {"seed": -1}, {"epoch": -1}],
    ids=lambda one: next(iter(one)),
)
def test_an_epoch_that_cannot_be_is_said_at_once(wrong: dict[str, int], mapped: MappedFeatures) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        mapped.batches(**wrong)


def test_batches_that_are_kept_stay_as_they_were(mapped: MappedFeatures) -> None:
    kept = [(X, X.copy()) for X, _ in mapped.batches(16, buffer_rows=32)]
    assert all(np.array_equal(X, copy) for X, copy in kept)
    kept[0][0][:] = -1  # and are the caller's to change
    assert sorted(order_of(mapped)) == list(range(N))


def test_an_epoch_that_is_left_early_leaves_no_thread_behind(mapped: MappedFeatures) -> None:
    before = threading.active_count()
    batches = mapped.batches(8, buffer_rows=16)
    next(batches)
    assert threading.active_count() > before  # the next buffer is being read
    del batches
    assert threading.active_count() == before


def test_what_goes_wrong_while_reading_ahead_is_raised(cache: Cache) -> None:
    space = cache.space(RECIPE)
    space.prepare()
    features = features_of(range(100))
    features.values[-1, 0] = 1e9
    space.commit(features, shard_format("hdf5"))
    mapped = commit(cache, range(100)).mapped(dtype="float16")
    with pytest.raises(DataError, match="float16 cannot hold 1e"):
        list(mapped.batches(10, shuffle=False, buffer_rows=10))


def test_memory_holds_the_buffer_whatever_the_number_of_rows(cache: Cache) -> None:
    """40,000 × 256 float16 would be 41 MB as float32; a buffer of 1,024 rows is 1 MB."""
    space = cache.space(HALF)
    space.prepare()
    for start in range(0, 40_000, 10_000):
        values = np.full((10_000, 256), start, dtype=np.float16)
        space.commit(Features(keys_of(range(start, start + 10_000)), values), shard_format("hdf5"))
    mapped = commit(cache, range(40_000), recipes=[HALF]).mapped()
    next(mapped.batches(256, buffer_rows=1024))
    tracemalloc.start()
    n = sum(len(X) for X, _ in mapped.batches(256, buffer_rows=1024))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n == 40_000
    assert peak < 6 << 20  # two buffers or three, and a block of each thread


def test_a_batch_is_mixed_as_the_docstring_says() -> None:
    """Rows that are stored class by class: 50 of them, each of 2,000 rows."""
    n, batch_size = 100_000, 256
    stored = np.arange(n)

    def spread(buffer_rows: int) -> float:
        """The standard deviation of the share of a class in a batch, against a full shuffle."""
        shares = [
            np.bincount(window.samples(stored)[batch] // 2000, minlength=50)
            for epoch in (Epoch(batch_size, epoch=number, buffer_rows=buffer_rows) for number in range(3))
            for window in epoch.windows(stored)
            for batch in epoch.batches(window)
        ]
        full = np.sqrt(batch_size * 0.02 * 0.98)
        return float(np.std(np.array(shares[:-1]), axis=0).mean() / full)

    assert spread(BUFFER_ROWS) == pytest.approx(2.2, abs=0.2)
    assert spread(8 * BUFFER_ROWS) == pytest.approx(1.2, abs=0.2)
    in_order = np.bincount(next(Epoch(256, shuffle=False).windows(stored)).ranks[:batch_size] // 2000)
    assert len(in_order) == 1


def test_token_features_are_refused_with_what_to_do(cache: Cache) -> None:
    put(cache, range(20), recipe=TOKENS)
    with pytest.raises(ConfigError, match=r"last\.tokens.*features\.tokens\(\)"):
        commit(cache, range(20), recipes=[TOKENS]).mapped()
