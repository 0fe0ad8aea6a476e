"""Neighbours are exact, near-duplicates are found whole, outliers are what lies apart: whatever the block."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from headstart.heads import neighbours
from headstart.heads.neighbours import Neighbours, nearest, unit_rows, votes
from headstart.heads.rows import mean_of
from headstart.inspection.distances import (
    Pairs,
    crossing,
    groups_of,
    neighbour_distance,
    pairs_above,
    robust_z,
)
from headstart.samples import ChosenRows

from ..variants import variants

RNG = np.random.default_rng(0)
X = (RNG.normal(size=(230, 9)) + 3).astype(np.float32)


@pytest.fixture(params=[(7, 11), (2048, 4096)])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "QUERIES", request.param[0])
    monkeypatch.setattr(neighbours, "KEYS", request.param[1])


def by_brute_force(A: np.ndarray, B: np.ndarray, k: int, same: bool) -> tuple[np.ndarray, np.ndarray]:
    a, b = (M / np.linalg.norm(M, axis=1, keepdims=True) for M in (A.astype(float), B.astype(float)))
    cosines = a @ b.T
    if same:
        np.fill_diagonal(cosines, -np.inf)
    rows = np.argsort(-cosines, axis=1)[:, :k]
    return np.take_along_axis(cosines, rows, 1), rows


def test_no_square_of_all_pairs_is_held() -> None:
    rows = RNG.normal(size=(10_000, 8)).astype(np.float32)
    tracemalloc.start()
    nearest(rows, rows, 10, own=np.arange(len(rows)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200e6  # all pairs are 400 MB of cosines


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("k", [1, 5, 40])
@pytest.mark.parametrize("same", [True, False])
def test_neighbours_are_those_of_all_pairs(k: int, same: bool) -> None:
    A = X if same else X[:50]
    found = nearest(A, X, k, own=np.arange(len(X)) if same else None)
    cosine, rows = by_brute_force(A, X, k, same)
    assert np.array_equal(found.row, rows)
    np.testing.assert_allclose(found.cosine, cosine, atol=1e-6)


def test_the_centre_is_what_cosines_are_measured_from() -> None:
    centre = mean_of(X)
    np.testing.assert_allclose(centre, X.astype(float).mean(axis=0), rtol=1e-12)
    found = nearest(X, X, 3, centre, np.arange(len(X)))
    assert np.array_equal(found.row, by_brute_force(X - centre, X - centre, 3, True)[1])


def test_where_there_are_fewer_rows_than_neighbours_the_rest_is_empty() -> None:
    found = nearest(X[:3], X[:3], 5, own=np.arange(3))
    assert (found.row >= 0).sum(axis=1).tolist() == [2, 2, 2]
    assert np.isneginf(found.cosine[:, 2:]).all()
    assert np.isfinite(neighbour_distance(found)).all()


def test_a_row_of_zeros_is_near_to_nothing() -> None:
    rows = np.vstack([X[:5], np.zeros((1, 9))])
    assert not unit_rows(rows)[5].any()
    assert nearest(rows, rows, 1, own=np.arange(6)).cosine[5, 0] == 0


def test_rows_are_chosen_without_a_copy() -> None:
    chosen = ChosenRows(X, np.array([5, 1, 200]))
    assert chosen.shape == (3, 9)
    assert np.array_equal(chosen[1:3], X[[1, 200]])


def test_pairs_are_named_once_and_groups_follow_chains() -> None:
    twins = np.vstack([X[:20], X[:4], X[:2]])  # 0 and 1 three times, 2 and 3 twice
    pairs = pairs_above(nearest(twins, twins, 10, mean_of(X), np.arange(len(twins))), 0.9999)
    named = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    assert named == {(0, 20), (0, 24), (20, 24), (1, 21), (1, 25), (21, 25), (2, 22), (3, 23)}
    groups = groups_of(pairs, len(twins))
    assert groups[0] == groups[20] == groups[24] != groups[1]
    assert sorted(set(groups.tolist())) == [-1, 0, 1, 2, 3]
    assert (groups[4:20] == -1).all()


def test_every_row_of_a_large_group_is_in_one_group() -> None:
    many = np.repeat(X[:3], 60, axis=0)
    pairs = pairs_above(nearest(many, many, 10, mean_of(X), np.arange(len(many))), 0.9999)
    groups = groups_of(pairs, len(many))
    assert (groups >= 0).all()
    assert all(set(groups[start : start + 60]).isdisjoint(groups[start + 60 :]) for start in (0, 60))


def test_a_leak_is_found_even_where_its_own_split_has_more_copies() -> None:
    test, train = np.repeat(X[:1], 30, axis=0), X[:100]
    found = crossing(nearest(test, train, 1), 0.9999)
    assert len(found) == 30
    assert (found.second == 0).all()


def test_no_pairs_make_no_groups() -> None:
    pairs = pairs_above(nearest(X, X, 1, own=np.arange(len(X))), 2.0)
    assert len(pairs) == 0
    assert (groups_of(pairs, len(X)) == -1).all()


def test_the_row_that_lies_apart_is_the_outlier() -> None:
    cloud = RNG.normal(size=(300, 6)) * 0.1 + np.eye(6)[RNG.integers(2, size=300)] * 4
    cloud[17] = -np.ones(6) * 4
    z = robust_z(neighbour_distance(nearest(cloud, cloud, 10, cloud.mean(axis=0), np.arange(len(cloud)))))
    assert z.argmax() == 17
    assert z[17] > 8
    assert (z > 8).sum() == 1


def test_robust_deviations_are_those_of_a_normal_and_survive_equal_values() -> None:
    values = RNG.normal(loc=5, scale=3, size=20_000)
    np.testing.assert_allclose(robust_z(values), (values - 5) / 3, atol=0.1)
    assert not robust_z(np.ones(5)).any()
    assert robust_z(np.array([1.0, 1, 1, 1, 9, np.nan])).tolist() == [0, 0, 0, 0, 2.5, 0]


def test_the_nearest_have_the_loudest_vote() -> None:
    near = Neighbours(np.array([[0.9, 0.2, 0.1]]), np.array([[2, 0, 1]]))
    [voted] = votes(near, np.eye(2)[[1, 1, 0]], 2, [3])
    assert voted[0, 0] > 0.99
    np.testing.assert_allclose(voted.sum(axis=1), 1)
    [even] = votes(near, np.eye(2)[[1, 1, 0]], 2, [3], temperature=1e6)
    np.testing.assert_allclose(even, [[1 / 3, 2 / 3]], atol=1e-5)
    lonely = Neighbours(np.array([[0.9, -np.inf]]), np.array([[1, -1]]))
    [voted] = votes(lonely, np.eye(2), 2, [2])
    assert voted.tolist() == [[0.0, 1.0]]


def test_copies_come_in_the_order_of_their_rank() -> None:
    copies = np.repeat(RNG.normal(size=(2, 33)), 400, axis=0).astype(np.float32)
    rank = RNG.permutation(len(copies))
    found = nearest(copies[:3], copies, 20, own=np.arange(3), rank=rank)
    first = [row for row in np.argsort(rank) if row < 400]
    for query in range(3):
        assert found.row[query].tolist() == [row for row in first if row != query][:20]


@pytest.mark.parametrize("k", variants([1, 10, 60], {10}))
def test_the_order_is_that_of_one_sum_whatever_is_pending(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few distinct directions, each many times with a last digit changed: every block is crowded."""
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(5, 16))[rng.integers(5, size=300)].astype(np.float32)
    rows *= rng.choice([1, 1 + 2.0**-23], size=rows.shape).astype(np.float32)
    units = unit_rows(rows)
    cosine = (units[:, None] * units[None]).sum(axis=2)
    expected = np.lexsort((np.broadcast_to(np.arange(300), cosine.shape), -cosine), axis=1)[:, :k]
    for queries, keys, candidates in ((2048, 4096, 1 << 20), (7, 11, 50), (300, 64, 1000)):
        monkeypatch.setattr(neighbours, "QUERIES", queries)
        monkeypatch.setattr(neighbours, "KEYS", keys)
        monkeypatch.setattr(neighbours, "CANDIDATES", candidates)
        for dense in (1, 10**6):
            monkeypatch.setattr(neighbours, "DENSE", dense)
            found = nearest(rows, rows, k)
            assert np.array_equal(found.row, expected)
            np.testing.assert_allclose(found.cosine, np.take_along_axis(cosine, expected, 1), atol=1e-14)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 40), st.data())
def test_groups_are_the_connected_components_of_the_pairs(n: int, data: st.DataObject) -> None:
    ends = data.draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=60))
    first, second = np.array([end for end in ends if end[0] != end[1]], dtype=np.int64).reshape(-1, 2).T
    _, part = connected_components(
        coo_array((np.ones(len(first)), (first, second)), shape=(n, n)), directed=False
    )
    groups = groups_of(Pairs(first, second, np.ones(len(first), np.float32)), n)
    paired = np.zeros(n, bool)
    paired[first] = paired[second] = True
    np.testing.assert_array_equal(groups >= 0, paired)
    for row in np.flatnonzero(paired):
        np.testing.assert_array_equal(groups == groups[row], paired & (part == part[row]))


def test_a_long_chain_of_pairs_is_one_group() -> None:
    order = np.random.default_rng(0).permutation(20_000)
    groups = groups_of(Pairs(order[:-1], order[1:], np.ones(19_999, np.float32)), 20_000)
    assert (groups == 0).all()
