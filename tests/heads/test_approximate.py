"""Approximate neighbours: found by an index, scored and ordered exactly, and their recall is measured."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import ConfigError, MissingDependencyError, StorageError
from headstart.heads import approximate, graphs
from headstart.heads.approximate import Index, Lists, asks_for_an_index, recall_of
from headstart.heads.knn import KNNHead, KNNRegressor
from headstart.heads.neighbours import Neighbours, nearest
from headstart.heads.predictor import load_head, save_head
from headstart.heads.propagate import PropagateHead
from headstart.heads.rows import mean_of
from headstart.progress import Silence

pytest.importorskip("faiss")
RNG = np.random.default_rng(0)
CENTRES = RNG.normal(size=(40, 24))
Y = RNG.integers(40, size=4000)
X = (CENTRES[Y] + 0.7 * RNG.normal(size=(4000, 24))).astype(np.float32)
EVERYONE = np.arange(len(X))


@pytest.fixture
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index pays from 1,000 rows on: 200,000 would take the tests minutes."""
    monkeypatch.setattr(approximate, "EXACT_UP_TO", 1000)
    monkeypatch.setattr(graphs, "EXACT_UP_TO", 1000)


def test_what_is_found_has_the_scores_and_the_order_of_an_exact_search() -> None:
    centre = mean_of(X)
    found = nearest(X, X, 10, centre, EVERYONE, index=Index.made(X, 0, centre))
    exact = nearest(X, X, 10, centre, EVERYONE, is_comparable=True)
    same = (found.row == exact.row).all(axis=1)
    assert same.mean() > 0.9
    assert np.array_equal(found.cosine[same], exact.cosine[same])
    assert (np.diff(found.cosine, axis=1) <= 0).all()
    assert not (found.row == EVERYONE[:, None]).any()


def test_of_the_same_seed_the_index_is_the_same() -> None:
    one, two = (Index.made(X, seed=3).lists for _ in range(2))
    assert np.array_equal(one.centres, two.centres)
    assert np.array_equal(one.of_row, two.of_row)


def test_every_query_gets_as_many_neighbours_as_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those whose lists hold too few are searched exactly: lists of one row each are all looked at in vain."""
    monkeypatch.setattr(approximate, "PROBED", 1)
    monkeypatch.setattr(approximate, "LISTS_BY_ROOT", 50)
    some = X[:500]
    found = nearest(some, some, 30, own=np.arange(500), index=Index.made(some))
    assert (found.row >= 0).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 5))
def test_where_all_lists_are_looked_at_nothing_is_missed(n: int, k: int, n_copies: int) -> None:
    rows = np.concatenate([X[:n], np.repeat(X[:1], n_copies, axis=0)])
    centre, own = mean_of(rows), np.arange(len(rows))
    found = nearest(rows, rows, k, centre, own, index=Index.made(rows, 0, centre))
    exact = nearest(rows, rows, k, centre, own, is_comparable=True)
    assert np.array_equal(found.row, exact.row)
    assert np.array_equal(found.cosine, exact.cosine)


def test_recall_is_the_share_of_the_nearest_that_were_found_whichever_of_equals_it_is() -> None:
    exact = Neighbours(np.array([[0.9, 0.8], [0.9, 0.5]]), np.array([[1, 2], [3, 4]]))
    found = Neighbours(np.array([[0.9, 0.8], [0.9, 0.2]]), np.array([[1, 7], [3, 5]]))
    measured = recall_of(found.of, exact.of, 2)
    assert (measured.share, measured.k, measured.n_queries) == (0.75, 2, 2)


@pytest.mark.usefixtures("few_are_many")
@pytest.mark.parametrize("kind", [KNNHead, PropagateHead])
def test_a_head_predicts_as_well_and_after_loading_the_same(kind: type[KNNHead], tmp_path: Path) -> None:
    train, test = slice(0, 3000), slice(3000, None)
    exact, head = (kind(neighbours=how).fit(X[train], Y[train]) for how in ("exact", "approximate"))
    assert exact.search_ is None
    assert head.search_ is not None
    assert head.search_["recall"] > 0.95
    assert abs(head.score(X[test], Y[test]) - exact.score(X[test], Y[test])) < 0.02
    save_head(head, tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors", ".json"}
    loaded = load_head(tmp_path)
    assert np.array_equal(loaded.predict_proba(X[test]), head.predict_proba(X[test]))
    assert loaded.search_ == head.search_


@pytest.mark.usefixtures("few_are_many")
def test_numbers_are_predicted_by_the_same_index() -> None:
    numbers = X @ RNG.normal(size=24)
    exact, head = (KNNRegressor(neighbours=how).fit(X, numbers) for how in ("exact", "approximate"))
    assert np.allclose(exact.predict(X[:50]), head.predict(X[:50]), rtol=0.1)
    assert head.search_ is not None


@pytest.mark.usefixtures("few_are_many")
def test_a_sweep_along_k_shares_one_index() -> None:
    steps = KNNHead(neighbours="approximate").fit_path([1, 5, 10], X, Y)
    heads: list[KNNHead] = [step.head for step in steps]
    assert len({id(head.index_) for head in heads}) == 1
    assert [head.search_["k"] for head in heads if head.search_] == [1, 5, 10]


def test_with_few_rows_approximate_is_exact() -> None:
    head = KNNHead(neighbours="approximate").fit(X, Y)
    assert head.search_ is None
    assert "centres" not in head.tensors()


def test_rows_in_lists_that_are_not_there_are_refused() -> None:
    lists = Lists(np.eye(24, dtype=np.float32), np.full(len(X), 24, dtype=np.int32))
    with pytest.raises(StorageError, match="24 lists has a row in list 24"):
        Index(X, lists)


def test_without_faiss_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert not asks_for_an_index("approximate", 10, Silence())
    with pytest.raises(MissingDependencyError, match=r"headstart\[neighbours\]"):
        asks_for_an_index("approximate", 10**6, Silence())


def test_a_search_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigError, match="neighbours must be one of exact, approximate"):
        KNNHead(neighbours="faiss").fit(X, Y)
