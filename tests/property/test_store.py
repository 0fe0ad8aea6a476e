"""A space gives back what it got, bit for bit, however it came in and whoever asks."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headstart.cache.formats import FormatName, shard_format, take
from headstart.cache.maintenance.compact import compact_space
from headstart.cache.recipe import Recipe
from headstart.cache.space import Space
from headstart.keys import KEY_BYTES
from headstart.testing.shard_format import assert_equal
from headstart.types import Features
from tests.variants import examples

RECIPE = Recipe({"tap": "final.mean"})
FORMATS: tuple[FormatName, ...] = ("hdf5", "parquet")


@st.composite
def some_features(draw: st.DrawFn) -> Features:
    """Different keys, many of which share their first bytes; dense, or ragged down to no vector at all."""
    n, width = draw(st.integers(1, 30)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    keys = rng.integers(0, draw(st.sampled_from([2, 256])), (n, KEY_BYTES), dtype=np.uint8)
    keys[:, -2:] = np.arange(n, dtype=">u2").view(np.uint8).reshape(-1, 2)
    dtype = draw(st.sampled_from([np.float16, np.float32]))
    if draw(st.booleans()):
        return Features(keys, rng.standard_normal((n, width)).astype(dtype))
    lengths = rng.integers(0, draw(st.sampled_from([1, 5])), n)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Features(keys, rng.standard_normal((int(offsets[-1]), width)).astype(dtype), offsets)


@settings(
    max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(features=some_features(), data=st.data())
def test_it_gives_back_what_it_got(
    features: Features, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path: Path = tmp_path_factory.mktemp("space") / RECIPE.id
    space = Space(path, RECIPE)
    space.prepare()
    cuts = sorted(data.draw(st.sets(st.integers(0, len(features)), max_size=3)) | {0, len(features)})
    for start, stop in pairwise(cuts):
        part = take(features, np.arange(start, stop))
        space.commit(part, shard_format(data.draw(st.sampled_from(FORMATS))))
    asked = np.array(data.draw(st.lists(st.integers(0, len(features) - 1), max_size=40)), dtype=np.int64)
    expected = take(features, asked)
    assert_equal(space.gather(features.keys[asked]), expected)
    compact_space(space, data.draw(st.sampled_from([None, *FORMATS])))
    assert len(space.shard_names()) == 1
    assert_equal(space.gather(features.keys[asked]), expected)
    assert_equal(Space(path, RECIPE).gather(features.keys), features)
