"""An index says of every key what a walk through the shards, in the order of their names, would find."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from headstart.cache.index import Index, empty_index
from headstart.keys import KEY_BYTES, pack
from tests.variants import examples

# Few different bytes, so that shards share keys, and keys their first half.
KEYS = st.builds(
    lambda hi, lo: bytes([hi] * 8 + [lo] * 8), st.sampled_from([0, 1, 128, 255]), st.integers(0, 5)
)
SHARDS = st.dictionaries(
    st.sampled_from([f"{bucket:02x}-{bucket:016x}.h5" for bucket in range(12)]),
    st.lists(KEYS, min_size=1, max_size=20, unique=True).map(sorted),
    min_size=1,
)


def found(index: Index, keys: list[bytes]) -> list[tuple[str, int] | None]:
    shard, row, is_there = index.locate(pack(keys))
    return [
        (index.shards[s], int(r)) if there else None for s, r, there in zip(shard, row, is_there, strict=True)
    ]


def walked(shards: dict[str, list[bytes]], keys: list[bytes]) -> list[tuple[str, int] | None]:
    return [
        next(((name, shards[name].index(key)) for name in sorted(shards) if key in shards[name]), None)
        for key in keys
    ]


@settings(deadline=None, max_examples=examples(200))
@given(SHARDS, st.integers(1, 5), st.lists(KEYS, max_size=20), st.randoms(use_true_random=False))
def test_it_finds_the_first_shard_in_whatever_order_shards_came(
    shards: dict[str, list[bytes]], together: int, asked: list[bytes], random: object
) -> None:
    names = list(shards)
    random.shuffle(names)  # type: ignore[attr-defined]
    index = empty_index()
    for start in range(0, len(names), together):
        index = index.extended({name: pack(shards[name]) for name in names[start : start + together]})
    everything = sorted({key for keys in shards.values() for key in keys})
    assert index.shards == tuple(sorted(shards))
    assert index.keys(np.arange(len(index))).tobytes() == b"".join(everything)
    for keys in (asked, everything):
        assert found(index, keys) == walked(shards, keys)
        assert index.locate(pack(keys))[2].tolist() == [key in everything for key in keys]


def test_more_keys_than_are_looked_up_at_once_are_found() -> None:
    keys: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (200_000, KEY_BYTES), dtype=np.uint8)
    index = empty_index().extended({"00-a.h5": keys[:150_000:2]}).extended({"00-b.h5": keys[1:150_000:2]})
    shard, row, is_there = index.locate(keys)
    assert is_there.tolist() == [True] * 150_000 + [False] * 50_000
    assert np.array_equal(shard[:150_000], np.arange(150_000) % 2)
    assert np.array_equal(row[:150_000], np.arange(150_000) // 2)
