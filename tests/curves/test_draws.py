"""Draws of train samples: nested, in their classes' shares, and refused where they cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.curves.draws import check_size, few_of_each, identity_of, protocols_of, share_of
from headstart.errors import ConfigError
from headstart.keys import key_of
from headstart.samples import LabelledSamples


def samples(counts: Sequence[int]) -> LabelledSamples:
    """So many of each class, in turn."""
    y = np.repeat(np.arange(len(counts)), counts)
    keys = pa.array([key_of("text", f"text {row}") for row in range(len(y))], pa.binary(16))
    table = pa.table({"id": [f"s{row}" for row in range(len(y))], "key": keys})
    names = tuple(f"class {number}" for number in range(len(counts)))
    return LabelledSamples(table, np.zeros((len(y), 2), np.float32), y, names)


@given(st.lists(st.integers(1, 30), min_size=2, max_size=6), st.integers(0, 99), st.data())
@settings(max_examples=80, deadline=None)
def test_a_larger_draw_of_a_seed_holds_the_smaller(counts: list[int], seed: int, data: Any) -> None:
    train = samples(counts)
    few, more = sorted(data.draw(st.tuples(st.integers(1, 30), st.integers(1, 30))))
    inner, outer = few_of_each(train.y, few, seed), few_of_each(train.y, more, seed)
    assert set(inner) <= set(outer)
    assert np.bincount(train.y[inner], minlength=len(counts)).tolist() == [min(n, few) for n in counts]
    n, larger = sorted(data.draw(st.tuples(*[st.integers(1, len(train))] * 2)))
    inner, outer = share_of(train.y, n, seed, True), share_of(train.y, larger, seed, True)
    assert set(inner) <= set(outer)
    assert (len(inner), len(outer)) == (n, larger)
    drawn = np.bincount(train.y[inner], minlength=len(counts))
    assert (np.abs(drawn - n * np.array(counts) / len(train)) < 1.01 + len(counts) / 2).all()


def test_another_seed_draws_others_and_the_same_seed_the_same() -> None:
    train = samples([20, 20])
    [protocol] = protocols_of([5], [], train)
    names = [identity_of(train, protocol.draw(5, seed)) for seed in (0, 1, 0)]
    assert names[0] == names[2] != names[1]


def test_sizes_may_be_numbers_and_shares_together() -> None:
    [protocol] = protocols_of([], ["10%", 30, "100%", 100, "10%"], samples([60, 40]))
    assert protocol.sizes == (10, 30, 100)
    assert protocol.shares == {10: "10%", 100: "100%"}
    assert [len(protocol.draw(size, 0).rows) for size in protocol.sizes] == [10, 30, 100]


def test_classes_with_fewer_are_named_with_their_number() -> None:
    [protocol] = protocols_of([2, 8], [], samples([20, 3, 8, 7]))
    assert protocol.rare(2) == {}
    assert protocol.rare(8) == {"class 1": 3, "class 3": 7}


@pytest.mark.parametrize(
    ("shots", "curve", "said"),
    [
        ([0], [], r"--shots takes numbers of samples in \[1, 20\].*got 0"),
        ([21], [], r"in \[1, 20\].*got 21"),
        ([], [1], r"--curve takes sizes in \[2, 24\].*got 1"),
        ([], [25, "10%"], r"got 25, 10%"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(shots: Any, curve: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        protocols_of(shots, curve, samples([20, 4]))
    assert "\n" not in str(caught.value)


def test_a_draw_of_one_class_alone_is_refused() -> None:
    [protocol] = protocols_of([], [2], samples([98, 2]))
    with pytest.raises(ConfigError, match="samples of one class alone; give larger sizes"):
        protocol.draw(2, 0)


@pytest.mark.parametrize("size", ["x", "0%", "101%", "-3", "1.5", "%", "0", ""])
def test_a_size_that_is_none_is_named(size: str) -> None:
    with pytest.raises(
        ConfigError, match="--curve takes numbers of train samples and shares of them in percent"
    ):
        check_size(size)
