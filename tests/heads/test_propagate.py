"""Labels spread to neighbours that nobody labelled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies

import headstart as hs
from headstart.cache.sets import FeatureSet
from headstart.errors import ConfigError
from headstart.heads.graphs import graph_of, shared_graphs
from headstart.heads.knn import KNNHead
from headstart.heads.neighbours import nearest, unit_rows
from headstart.heads.predictor import Predictor
from headstart.heads.propagate import PropagateHead

from ..made_sets import make_set


def two_arcs(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Samples along two arcs of a sphere, each of one class, that end side by side."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    angle = np.linspace(0, np.pi / 2, n)
    X = np.stack([np.cos(angle), np.sin(angle), np.where(y, 0.35, -0.35)], axis=1)
    return (X + rng.normal(size=X.shape) / 100).astype(np.float32), np.array(["left", "right"])[y]


@given(seed=strategies.integers(0, 1000), alpha=strategies.floats(0.05, 0.98), k=strategies.integers(1, 8))
@settings(max_examples=15)
def test_it_comes_to_what_inverting_the_whole_matrix_gives(seed: int, alpha: float, k: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(40, 5)).astype(np.float32)
    y = np.array(["a", "b", "c"])[np.arange(9) % 3]
    head = PropagateHead(alpha=alpha, k=k, temperature=0.2).fit(X[:9], y, unlabelled=X[9:])
    near = nearest(head.rows_, head.rows_, k, own=np.arange(40), is_unit=True)
    W = np.zeros((40, 40))
    W[np.repeat(np.arange(40), k), near.row.ravel()] = np.exp((near.cosine.ravel() - 1) / 0.2)
    W = np.maximum(W, W.T)
    S = W / np.sqrt(np.outer(W.sum(axis=0), W.sum(axis=0)))
    Y = np.zeros((40, 3))
    Y[np.arange(9), np.arange(9) % 3] = 1
    F = (1 - alpha) * np.linalg.inv(np.eye(40) - alpha * S) @ Y
    came = F.sum(axis=1) > 1e-4  # what is far from all labels gets next to nothing, and its shares are noise
    np.testing.assert_allclose(head.answers_[came], F[came] / F[came].sum(axis=1, keepdims=True), atol=2e-3)


def test_labels_go_along_samples_that_nobody_labelled() -> None:
    """One label at the end of each arc: the nearest labelled sample is of the wrong class at the other end."""
    X, y = two_arcs(200)
    few, rest = np.array([0, 1, 2, 3]), np.arange(4, 200)
    head = PropagateHead(k=5, scaling="none").fit(X[few], y[few], unlabelled=X[rest])
    assert (head.n_labelled_, head.n_unlabelled_) == (4, 196)
    fresh, truth = two_arcs(100, seed=1)
    alone = KNNHead(k=1, scaling="none").fit(X[few], y[few])
    assert head.score(fresh, truth) > 0.97
    assert head.score(fresh, truth) >= alone.score(fresh, truth)
    assert (head.classes_[head.answers_[4:].argmax(axis=1)] == y[rest]).mean() > 0.97


def test_without_others_it_is_a_vote_of_neighbours() -> None:
    X, y = two_arcs(60)
    head = PropagateHead(k=3).fit(X, y)
    assert head.n_unlabelled_ == 0
    assert head.score(X, y) > 0.95


def test_more_neighbours_than_samples_are_all_of_them() -> None:
    X, y = two_arcs(6)
    head = PropagateHead(k=50).fit(X, y)
    assert head.k_ == 5
    assert head.predict(X).shape == (6,)


def test_it_is_kept_and_comes_back(tmp_path: Path) -> None:
    X, y = two_arcs(60)
    predictor = Predictor(PropagateHead(k=3).fit(X[:10], y[:10], unlabelled=X[10:]))
    predictor.save(tmp_path)
    again = Predictor.load(tmp_path)
    assert again.outputs(X).tobytes() == predictor.outputs(X).tobytes()
    assert again.head.n_unlabelled_ == 50  # type: ignore[attr-defined]


@pytest.fixture
def few(cache_root: Path) -> FeatureSet:
    """Two arcs of which every seventh train sample is labelled, and all others outside train are."""
    X, y = two_arcs(300)
    splits = [("train", "train", "train", "validation", "test")[row % 5] for row in range(300)]
    seen = [row for row in range(300) if splits[row] == "train"][::7]
    labels = [str(y[row]) if row in seen or splits[row] != "train" else None for row in range(300)]
    return make_set(cache_root, X, {"side": labels}, splits)


def test_the_samples_of_train_without_a_label_reach_the_head(
    few: FeatureSet, capsys: pytest.CaptureFixture[str]
) -> None:
    run = hs.fit_head(few, "propagate", params={"k": 5, "scaling": "none"}, plots="none", quiet=False)
    head = run.head
    assert (head.n_labelled_, head.n_unlabelled_) == (26, 154)  # type: ignore[attr-defined]
    assert "labels spread from 26 train samples to 154 without one" in capsys.readouterr().err
    assert run.report["metrics"]["test"]["accuracy"] > 0.95
    assert run.report["data"]["n_train"] == 26


def test_it_is_swept_beside_others_and_refitted(few: FeatureSet) -> None:
    run = hs.fit_head(
        few,
        sweep={"head": ["ridge", "propagate"], "alpha": [0.5, 0.95], "k": [3, 8]},
        refit=True,
        plots="none",
    )
    tried = run.report["sweep"]["trials"]
    assert {trial["params"]["head"] for trial in tried} == {"ridge", "propagate"}
    assert {trial["params"].get("k") for trial in tried if trial["params"]["head"] == "propagate"} == {3, 8}


def test_with_few_shots_the_rest_of_train_counts_as_unlabelled(few: FeatureSet) -> None:
    alone, spread = (
        hs.fit_head(few, head, params={"k": k, "scaling": "none"}, shots=[1], seeds=5, plots="none").report[
            "shots"
        ]
        for head, k in (("knn", 1), ("propagate", 5))
    )
    assert spread[0]["n_train"] == 2
    assert spread[0]["mean"]["accuracy"] > alone[0]["mean"]["accuracy"]


def test_it_is_for_one_class_a_sample(cache_root: Path) -> None:
    X, _ = two_arcs(30)
    made = make_set(cache_root, X, {"tags": [["a"], ["a", "b"]] * 15}, kinds={"tags": "multi"})
    with pytest.raises(ConfigError, match="the head 'propagate' is not for several labels a sample"):
        hs.fit_head(made, "propagate")
    made = make_set(cache_root, X, {"side": ["left", "right"] * 15})
    with pytest.raises(ConfigError, match=r"alpha must be a number in \(0, 1\)"):
        hs.fit_head(made, "propagate", params={"alpha": 1.5})


def test_heads_of_one_search_share_the_neighbours_of_their_rows_and_no_others_do() -> None:
    rows = unit_rows(np.random.default_rng(0).normal(size=(200, 8))).astype(np.float32)
    alone = graph_of(rows, 5, None)
    with shared_graphs():
        first, again, fewer = (
            graph_of(each, k, None) for each, k in ((rows, 5), (rows.copy(), 5), (rows, 3))
        )
        other = graph_of(rows[::-1].copy(), 5, None)
    assert again.row.base is first.row.base
    assert fewer.row.base is first.row.base
    assert other.row.base is not first.row.base
    for found in (first, other.numbered(np.arange(200)[::-1]).of(np.arange(200)[::-1])):
        assert np.array_equal(found.row, alone.row)
        assert np.array_equal(found.cosine, alone.cosine)


def test_a_head_that_shares_its_graph_is_the_same_as_one_that_does_not() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(120, 6)), rng.integers(3, size=120)
    alone = [PropagateHead(k=k, alpha=alpha).fit(X, y) for k in (3, 7) for alpha in (0.5, 0.9)]
    with shared_graphs():
        together = [PropagateHead(k=k, alpha=alpha).fit(X, y) for k in (3, 7) for alpha in (0.5, 0.9)]
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one.answers_, other.answers_)
