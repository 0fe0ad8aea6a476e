"""An open shard gives what was added to it, sorted and once, where it lies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from headstart.extraction import writer
from headstart.extraction.writer import OpenShard
from headstart.keys import key_of, pack

from ..variants import examples

WIDTH = 3
PARTS = st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=9), min_size=1, max_size=6)


def keys(numbers: list[int]) -> NDArray[np.uint8]:
    return pack([key_of("text", str(number)) for number in numbers])


def vectors(numbers: list[int]) -> NDArray[np.float32]:
    return np.repeat(np.array(numbers, dtype=np.float32)[:, None], WIDTH, axis=1) + np.arange(WIDTH) / 8


def in_order(numbers: list[int]) -> list[int]:
    return sorted(set(numbers), key=lambda number: key_of("text", str(number)))


@settings(deadline=None, max_examples=examples(60))
@given(PARTS, st.integers(0, 400), st.sampled_from([1, 64, 1 << 20]))
def test_rows_are_sorted_by_key_and_none_is_there_twice(
    parts: list[list[int]], limit: int, slab: int
) -> None:
    """However much it was said to hold, and however little is moved at a time."""
    shard = OpenShard(limit)
    added: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "SLAB_BYTES", slab)
        for number, part in enumerate(parts):
            shard.add(keys(part), vectors(part), None)
            added += part
            if number % 2:  # a commit that failed, after which more is added
                shard.features()
        found = shard.features()
    expected = in_order(added)
    np.testing.assert_array_equal(found.keys, keys(expected))
    np.testing.assert_array_equal(found.values, vectors(expected))
    assert found.offsets is None
    assert shard.n_bytes == found.keys.nbytes + found.values.nbytes


@settings(deadline=None, max_examples=examples(60))
@given(PARTS)
def test_token_features_stay_with_their_sample(parts: list[list[int]]) -> None:
    """Sample n has n modulo 4 positions."""
    shard = OpenShard(100)
    added: list[int] = []
    for number, part in enumerate(parts):
        lengths = np.array([each % 4 for each in part], dtype=np.int64)
        shard.add(keys(part), vectors([each for each in part for _ in range(each % 4)]), lengths)
        added += part
        if number % 2:
            shard.features()
    found = shard.features()
    expected = in_order(added)
    assert found.offsets is not None
    assert np.diff(found.offsets).tolist() == [each % 4 for each in expected]
    np.testing.assert_array_equal(found.keys, keys(expected))
    np.testing.assert_array_equal(found.values, vectors([each for each in expected for _ in range(each % 4)]))


def test_an_empty_shard_takes_nothing() -> None:
    assert OpenShard(1 << 20).n_bytes == 0
