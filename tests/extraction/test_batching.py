"""Every sample is in exactly one batch, and no batch is mostly padding."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from headstart.extraction.batches import WASTE, Item, ReadyItems, batch_end, longest_first

from ..variants import examples

LENGTHS = st.lists(st.integers(1, 600), min_size=1, max_size=80)
BUDGETS = st.integers(1, 3000)
MOST = st.one_of(st.none(), st.integers(1, 9))


@dataclass(frozen=True)
class Text:
    """A prepared text, as far as batches know it."""

    length: int


def items(lengths: list[int], first: int = 0) -> list[Item]:
    return [Item(position, 0, Text(length)) for position, length in enumerate(lengths, first)]


def ready() -> ReadyItems:
    return ReadyItems(lambda text: text.length)


def cut_all(lengths: list[int], budget: int, most: int | None) -> list[NDArray[np.int64]]:
    """All batches, each as the lengths of its samples."""
    falling = np.array(lengths)[longest_first(np.array(lengths))]
    batches, start = [], 0
    while start < len(falling):
        end = batch_end(falling, start, budget, most)
        batches.append(falling[start:end])
        start = end
    return batches


@settings(deadline=None)
@given(LENGTHS)
def test_the_longest_come_first_and_equals_keep_their_order(lengths: list[int]) -> None:
    order = longest_first(np.array(lengths))
    assert [(-lengths[i], i) for i in order] == sorted((-length, i) for i, length in enumerate(lengths))


@settings(deadline=None)
@given(LENGTHS, BUDGETS, MOST)
def test_every_sample_is_in_one_batch_that_is_neither_too_large_nor_mostly_padding(
    lengths: list[int], budget: int, most: int | None
) -> None:
    batches = cut_all(lengths, budget, most)
    assert np.concatenate(batches).tolist() == sorted(lengths, reverse=True)
    for batch in batches:
        n, longest = len(batch), batch[0]
        assert n == 1 or n * longest <= budget
        assert n <= (most or n)
        assert n * longest**2 <= WASTE * (batch.astype(float) ** 2).sum()


@settings(deadline=None)
@given(LENGTHS, BUDGETS, MOST)
def test_no_batch_is_cut_before_it_has_to_be(lengths: list[int], budget: int, most: int | None) -> None:
    """The sample that comes next would have broken the budget, the limit or the bound on padding."""
    batches = cut_all(lengths, budget, most)
    for batch, following in pairwise(batches):
        more = np.append(batch, following[0])
        n, longest = len(more), more[0]
        padded = n * longest**2 > WASTE * (more.astype(float) ** 2).sum()
        assert n * longest > budget or n > (most or n) or padded


def test_samples_without_a_length_are_batched_as_well() -> None:
    assert [len(batch) for batch in cut_all([0] * 5, budget=3, most=None)] == [3, 2]


@settings(deadline=None, max_examples=examples(60))
@given(st.lists(LENGTHS, min_size=1, max_size=4), st.lists(BUDGETS, min_size=1), MOST)
def test_samples_that_arrive_in_parts_leave_in_batches_once_each(
    parts: list[list[int]], budgets: list[int], most: int | None
) -> None:
    waiting, n = ready(), 0
    given_out: list[list[int]] = []
    for number, part in enumerate(parts):
        waiting.add(items(part, first=n))
        n += len(part)
        waiting.sort()
        while (found := waiting.cut(budgets[len(given_out) % len(budgets)], most, or_less=True)) is not None:
            batch, cost = found
            assert cost == sum(item.prepared.length for item in batch)
            given_out.append([item.position for item in batch])
            if number < len(parts) - 1 and len(given_out) % 3 == 0:
                break  # the next part arrives in between
        assert len(waiting) == n - sum(map(len, given_out))
    assert sorted(position for batch in given_out for position in batch) == list(range(n))


def test_what_was_not_sorted_yet_takes_no_part() -> None:
    waiting = ready()
    waiting.add(items([3, 4]))
    assert (len(waiting), waiting.cost, waiting.cut(100, None, or_less=True)) == (2, 0, None)
    waiting.sort()
    assert waiting.cost == 7
    found = waiting.cut(100, None, or_less=True)
    assert found is not None
    assert [item.position for item in found[0]] == [1, 0]


def test_a_batch_that_more_samples_could_fill_waits_for_them() -> None:
    waiting = ready()
    waiting.add(items([1, 1, 1]))
    waiting.sort()
    assert waiting.cut(4, None, or_less=False) is None
    waiting.add(items([1, 1], first=3))
    waiting.sort()
    found = waiting.cut(4, None, or_less=False)
    assert found is not None
    assert found[1] == 4
    assert waiting.cut(4, None, or_less=False) is None
    last = waiting.cut(4, None, or_less=True)
    assert last is not None
    assert len(last[0]) == 1
    assert len(waiting) == 0
