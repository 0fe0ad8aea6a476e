"""The nearest rows are those of all pairs, by cosine and by product, whatever the numbers are stored as."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from headstart.heads import neighbours, scores
from headstart.heads.neighbours import nearest, nearest_of, nearest_within, unit_rows

By = Literal["cosine", "product"]


def of_all_pairs(queries: np.ndarray, among: np.ndarray, by: By) -> np.ndarray:
    a, b = queries.astype(np.float64), among.astype(np.float64)
    if by == "cosine":
        a, b = (X / np.where((n := np.linalg.norm(X, axis=1)) > 0, n, 1)[:, None] for X in (a, b))
    found: np.ndarray = (a[:, None] * b[None]).sum(axis=2)
    return found


def check(queries: np.ndarray, among: np.ndarray, k: int, by: By, rank: Any = None) -> None:
    """As brute force has it: the scores, and the rows but for those that are equal to the last bits."""
    every = of_all_pairs(queries, among, by)
    found = nearest(queries, among, k, by=by, rank=rank)
    n = min(k, len(among))
    assert (found.row[:, :n] >= 0).all()
    assert (found.row[:, n:] == -1).all()
    assert np.isneginf(found.cosine[:, n:]).all()
    scale = np.maximum(1, np.abs(every).max())
    best = -np.sort(-every, axis=1)[:, :n]
    np.testing.assert_allclose(found.cosine[:, :n] / scale, best / scale, atol=1e-12)
    own = np.take_along_axis(every, found.row[:, :n], 1)
    np.testing.assert_allclose(own / scale, best / scale, atol=1e-12)
    assert all(len(set(row)) == n for row in found.row[:, :n].tolist())


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    """Few rows of few values: zeros, copies and ties are many, and k may be more than there are."""
    dtype = draw(st.sampled_from([np.float16, np.float32]))
    width = draw(st.integers(1, 5))
    numbers = st.one_of(
        st.sampled_from([0.0, 1.0, -1.0, 0.5, 3e-5, 6e4]),
        st.floats(-8, 8, width=16),
    )
    rows = draw(arrays(dtype, (draw(st.integers(1, 40)), width), elements=numbers))
    queries = draw(arrays(np.float32, (draw(st.integers(1, 3)), width), elements=numbers))
    return queries, rows, draw(st.integers(1, 45))


@settings(max_examples=150, deadline=None)
@given(problems(), st.sampled_from(["cosine", "product"]), st.booleans())
def test_nothing_nearer_is_missed(problem: Any, by: By, is_dense: bool) -> None:
    queries, rows, k = problem
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "DENSE", 10**6 if is_dense else 0)
        patch.setattr(scores, "BLOCK_ROWS", 7)
        patch.setattr(scores, "PIECE_NUMBERS", 12)
        check(queries, rows, k, by)


@pytest.mark.parametrize("by", ["cosine", "product"])
def test_many_stored_halves_are_met_as_brute_force_in_single_precision_meets_them(by: By) -> None:
    draw = np.random.default_rng(0)
    rows = (draw.normal(size=(30_000, 48)) * draw.uniform(0.1, 30, size=(30_000, 1))).astype(np.float16)
    rows[5_000:5_100] = rows[0]
    queries = draw.normal(size=(3, 48)).astype(np.float32)
    check(queries, rows, 20, by)
    singles, units = rows.astype(np.float32), queries
    if by == "cosine":
        singles = singles / np.linalg.norm(singles, axis=1, keepdims=True)
        units = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    expected = -np.sort(-(units @ singles.T), axis=1)[:, :20]
    np.testing.assert_allclose(nearest(queries, rows, 20, by=by).cosine, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("by", ["cosine", "product"])
@pytest.mark.parametrize("scale", [1e-30, 1e25, 3e37])
def test_rows_that_single_precision_cannot_square_are_compared_all_the_same(by: By, scale: float) -> None:
    draw = np.random.default_rng(1)
    rows = draw.normal(size=(500, 6)).astype(np.float32)
    rows[::3] *= np.float32(scale)
    check(draw.normal(size=(2, 6)), rows, 4, by)


@pytest.mark.parametrize("by", ["cosine", "product"])
def test_equal_scores_come_in_the_order_that_is_asked_for_only_among_them(by: By) -> None:
    """The order may be dear to find out, so it is not asked for rows that differ."""
    rows = np.repeat(np.random.default_rng(2).normal(size=(300, 8)), 4, axis=0).astype(np.float16)
    places = np.random.default_rng(3).permutation(len(rows))
    asked: list[int] = []

    class Order:
        def __getitem__(self, wanted: np.ndarray) -> np.ndarray:
            asked.append(len(wanted))
            found: np.ndarray = places[wanted]
            return found

    found = nearest(rows[:1], rows, 6, by=by, rank=Order(), own=np.array([0]))
    expected = np.lexsort((places, -of_all_pairs(rows[:1], rows, by)[0]))
    assert found.row[0].tolist() == [row for row in expected.tolist() if row != 0][:6]
    assert max(asked) <= 20


@settings(max_examples=60, deadline=None)
@given(problems(), st.randoms(use_true_random=False))
def test_the_nearest_of_two_parts_are_those_of_the_whole(problem: Any, random: Any) -> None:
    queries, rows, k = problem
    rank = np.array(random.sample(range(len(rows)), len(rows)))
    is_first = np.array([random.random() < 0.5 for _ in rows])
    found = [
        nearest(queries, rows[part], k, rank=rank[part], is_comparable=True).numbered(np.flatnonzero(part))
        for part in (is_first, ~is_first)
        if part.any()
    ]
    both, whole = nearest_of(found, k, rank), nearest(queries, rows, k, rank=rank, is_comparable=True)
    np.testing.assert_array_equal(both.row, whole.row)
    np.testing.assert_array_equal(both.cosine, whole.cosine)


@pytest.mark.parametrize("is_held", [False, True])
def test_many_queries_without_a_centre_are_met_block_by_block(
    is_held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(0)
    rows = (draw.standard_normal((700, 6)) + 3).astype(np.float16)
    rows[100:150] = rows[:50]  # copies
    centre = rows.mean(axis=0, dtype=np.float64)
    monkeypatch.setattr(neighbours, "QUERIES", 64)
    if not is_held:
        monkeypatch.setattr(neighbours, "MOST_CENTRED", 0)
    found = nearest(rows, rows, 3, centre, np.arange(700))
    units = unit_rows(rows, centre)
    every = (units[:, None] * units[None]).sum(axis=2)
    np.fill_diagonal(every, -np.inf)
    best = -np.sort(-every, axis=1)[:, :3]
    np.testing.assert_allclose(found.cosine, best, atol=1e-12)
    np.testing.assert_allclose(np.take_along_axis(every, found.row, 1), best, atol=1e-12)
    assert found.row[120, 0] == 20


@st.composite
def parted(draw: st.DrawFn) -> tuple[np.ndarray, list[slice], int]:
    """Rows with many ties, in one to three parts, and a k that may be more than a part has."""
    width = draw(st.integers(1, 4))
    numbers = st.one_of(st.sampled_from([0.0, 1.0, -1.0, 0.5]), st.floats(-8, 8, width=16))
    dtype = draw(st.sampled_from([np.float16, np.float32]))
    rows = draw(arrays(dtype, (draw(st.integers(2, 40)), width), elements=numbers))
    ends = sorted(draw(st.sets(st.integers(1, len(rows) - 1), max_size=2)))
    return rows, [slice(*pair) for pair in pairwise([0, *ends, len(rows)])], draw(st.integers(1, 20))


@settings(max_examples=150, deadline=None)
@given(parted(), st.booleans(), st.booleans(), st.booleans())
def test_comparing_each_pair_once_finds_what_comparing_it_twice_finds(
    problem: Any, is_centred: bool, is_ranked: bool, is_short_of_room: bool
) -> None:
    rows, parts, k = problem
    centre = rows.mean(axis=0, dtype=np.float64) if is_centred else None
    rank = np.random.default_rng(0).permutation(len(rows)) if is_ranked else None
    expected = nearest_within(rows, k, parts, centre, rank)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "QUERIES", 6)
        patch.setattr(neighbours, "PIECE_NUMBERS", 8)
        if is_short_of_room:
            patch.setattr(neighbours, "CANDIDATES_OF_ALL", 0)
        patch.setattr(neighbours, "nearest", None)  # which compares it twice
        found = nearest_within(rows, k, parts, centre, rank) if len(rows) > 6 else expected
    for near, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(near.row, wanted.row)
        np.testing.assert_array_equal(near.cosine, wanted.cosine)


def test_rows_that_do_not_fit_are_compared_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    monkeypatch.setattr(neighbours, "QUERIES", 8)
    once = nearest_within(rows, 3)
    monkeypatch.setattr(neighbours, "MOST_HELD", 100)
    monkeypatch.setattr(neighbours, "_compare", None)
    [twice] = nearest_within(rows, 3)
    np.testing.assert_array_equal(once[0].row, twice.row)
