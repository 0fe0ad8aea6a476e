"""Token features: every vector of a sample, where it lies, padded only when asked."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caches import RECIPE, TOKENS, WIDTH, commit, features_of, keys_of, put, space_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import headstart as hs
from headstart.cache.formats import FormatName, shard_format
from headstart.cache.maintenance.compact import compact_space
from headstart.cache.mapped import TokenFeatures
from headstart.cache.recipe import Recipe
from headstart.cache.sets import FeatureSet
from headstart.cache.store import Cache
from headstart.errors import ConfigError
from headstart.types import Features
from tests.variants import examples

N = 60


def vectors_of(number: int) -> NDArray[np.float32]:
    """Text ``i`` has ``i % 4`` vectors, so every fourth has none."""
    return features_of([number], ragged=True).values


@pytest.fixture
def cache(cache_root: Path) -> Cache:
    cache = Cache(cache_root)
    cache.prepare()
    return cache


@pytest.fixture(params=["hdf5", "parquet"])
def written_as(request: pytest.FixtureRequest) -> FormatName:
    name: FormatName = request.param
    return name


@pytest.fixture
def made(cache: Cache, written_as: FormatName) -> FeatureSet:
    """60 samples in three shards, pooled and token by token."""
    for start in (40, 0, 20):
        put(cache, range(start, start + 20), format_name=written_as, recipe=TOKENS)
    put(cache, range(N))
    return commit(cache, range(N), recipes=[RECIPE, TOKENS])


@pytest.fixture
def tokens(made: FeatureSet) -> TokenFeatures:
    return made.tokens(tap="last.tokens")


def test_each_sample_has_its_own_vectors(tokens: TokenFeatures) -> None:
    assert len(tokens) == N
    assert (tokens.width, tokens.dtype) == (WIDTH, np.float32)
    assert tokens.lengths.tolist() == [number % 4 for number in range(N)]
    for number, vectors in enumerate(tokens):
        assert vectors.tobytes() == vectors_of(number).tobytes()
        assert vectors.shape == (number % 4, WIDTH)
    assert np.array_equal(tokens[-1], vectors_of(N - 1))
    for wrong in (N, -N - 1):
        with pytest.raises(IndexError, match="there are 60"):
            tokens[wrong]
    assert "60 samples" in repr(tokens)


def test_labels_and_columns_are_beside_them(made: FeatureSet, tokens: TokenFeatures) -> None:
    assert tokens.y.tolist() == [number % 2 for number in range(N)]
    assert tokens.names == ("0", "1")
    assert tokens.table.column("id").to_pylist() == [f"row {number}" for number in range(N)]
    assert tokens.feature == made.feature("last.tokens")
    assert len(made.tokens("test")) == 0


def test_without_a_tap_it_is_the_one_that_keeps_all_positions(made: FeatureSet) -> None:
    assert made.tokens().feature.tap == "final.tokens"
    assert made.arrays()[0].shape == (N, WIDTH)


def test_vectors_are_mapped_and_not_copied(cache: Cache) -> None:
    put(cache, range(N), recipe=TOKENS)
    tokens = commit(cache, range(N), recipes=[TOKENS]).tokens()
    (name,) = space_of(cache, TOKENS).shard_names()
    stored = tokens._rows._shards[0].values
    for number in (3, 6, 59):
        assert isinstance(tokens[number], np.memmap)
        assert np.shares_memory(tokens[number], stored)
    with pytest.raises(ValueError, match="read-only"):
        tokens[3][:] = 0
    with pytest.raises(ValueError, match="read-only"):
        tokens.lengths[:] = 0
    tracemalloc.start()
    for vectors in tokens:
        assert vectors.base is not None
    assert tracemalloc.get_traced_memory()[1] < 20_000
    tracemalloc.stop()
    (space_of(cache, TOKENS).shards_dir / name).unlink()
    assert np.array_equal(tokens[3], vectors_of(3))


@pytest.mark.parametrize("rows", [[5, 2, 2, 0], [0, 4], [], slice(10, 14), np.arange(N) > 50], ids=repr)
def test_padded_rows_with_a_mask_of_what_is_there(rows: Any, tokens: TokenFeatures) -> None:
    chosen = np.arange(N)[np.array(rows, dtype=int) if isinstance(rows, list) else rows].tolist()
    X, mask = tokens.padded(rows)
    longest = max((number % 4 for number in chosen), default=0)
    assert (X.dtype, X.shape) == (np.float32, (len(chosen), longest, WIDTH))
    assert (mask.dtype, mask.shape) == (np.bool_, (len(chosen), longest))
    for row, number in enumerate(chosen):
        assert mask[row].tolist() == [place < number % 4 for place in range(longest)]
        assert np.array_equal(X[row][mask[row]], vectors_of(number))
        assert not X[row][~mask[row]].any()


@settings(
    max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(lengths=st.lists(st.integers(0, 9), min_size=1, max_size=40), data=st.data())
def test_padding_adds_nothing_and_loses_nothing(
    lengths: list[int], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cache = Cache(tmp_path_factory.mktemp("c"))
    cache.prepare()
    recipe = Recipe({**TOKENS.entries, "stored": "float16"})
    space = cache.space(recipe)
    space.prepare()
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    values = np.random.default_rng(0).standard_normal((int(offsets[-1]), 5)).astype(np.float16)
    space.commit(Features(keys_of(range(len(lengths))), values, offsets), shard_format("hdf5"))
    tokens = commit(cache, range(len(lengths)), recipes=[recipe]).tokens()
    rows = data.draw(st.lists(st.integers(0, len(lengths) - 1), max_size=30))
    X, mask = tokens.padded(rows)
    expected = [values[offsets[row] : offsets[row + 1]] for row in rows]
    assert np.array_equal(X[mask], np.concatenate([*expected, values[:0]]).astype(np.float32))
    assert mask.sum(axis=1).tolist() == [lengths[row] for row in rows]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_an_epoch_has_every_sample_once_with_its_label(
    shuffle: bool, batch_size: int, tokens: TokenFeatures
) -> None:
    seen = []
    for X, mask, y in tokens.batches(batch_size, shuffle, seed=1, buffer_rows=20):
        assert len(X) == len(mask) == len(y) <= batch_size
        for vectors, there, label in zip(X, mask, y, strict=True):
            numbers = {int(number) for number in vectors[there][:, 0]}
            assert len(numbers) == (1 if there.any() else 0)
            assert all(number % 2 == label for number in numbers)
            seen.append((numbers.pop() if numbers else None, int(there.sum())))
    expected = [(number if number % 4 else None, number % 4) for number in range(N)]
    assert sorted(seen, key=str) == sorted(expected, key=str)
    assert (seen == expected) != shuffle


def test_seed_and_epoch_decide_the_order(made: FeatureSet) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        batches = made.tokens().batches(8, seed=seed, epoch=epoch)
        return [int(length) for _, mask, _ in batches for length in mask.sum(axis=1)]

    assert order(1, 2) == order(1, 2)
    assert len({tuple(order(*one)) for one in ((1, 2), (2, 1), (1, 3))}) == 3


def test_what_is_open_stays_when_shards_are_compacted(cache: Cache, made: FeatureSet) -> None:
    before = made.tokens()
    compact_space(space_of(cache, TOKENS), None)
    for tokens in (before, made.tokens()):
        assert all(np.array_equal(tokens[number], vectors_of(number)) for number in range(N))


READERS: dict[str, Callable[[FeatureSet], object]] = {
    "arrays": lambda made: made.arrays("test", tap="last.tokens"),
    "rows": lambda made: made.rows(tap="last.tokens"),
    "table": lambda made: made.table(tap="last.tokens"),
    "torch_dataset": lambda made: made.torch_dataset(tap="last.tokens"),
    "mapped": lambda made: made.mapped(tap="last.tokens"),
}


@pytest.mark.parametrize("name", READERS)
def test_what_takes_one_vector_a_sample_says_where_to_go(name: str, made: FeatureSet) -> None:
    with pytest.raises(
        ConfigError, match=r"py:some:texts at last\.tokens .* features\.tokens\(\).* pooled tap"
    ):
        READERS[name](made)


def test_tokens_of_a_pooled_tap_say_where_to_go(made: FeatureSet) -> None:
    with pytest.raises(ConfigError, match=r"last\.mean has one vector a sample.*arrays\(\).*last\.tokens"):
        made.tokens(tap="last.mean")


def test_a_head_over_tokens_is_an_error_that_says_so(made: FeatureSet) -> None:
    with pytest.raises(ConfigError, match=r"--head attention.*pooled tap"):
        hs.fit_head(made, head="ridge", tap="last.tokens")
