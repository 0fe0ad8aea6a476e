"""A block matters as much as the head loses without it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from headstart.metrics.permutation import block_importance, equal_blocks

RNG = np.random.default_rng(0)
X = RNG.normal(size=(900, 9))
Y = (X[:, 0] + X[:, 1] + 0.3 * X[:, 3] > 0).astype(int)
BLOCKS = {"noise": slice(6, 9), "little": slice(3, 6), "much": slice(0, 3)}
HEAD = LogisticRegression().fit(X[:600], Y[:600])
REST = X[600:], Y[600:]


def test_blocks_are_ordered_by_what_they_carry() -> None:
    found = block_importance(HEAD, *REST, BLOCKS)
    assert [one.name for one in found] == ["much", "little", "noise"]
    assert [one.n_columns for one in found] == [3, 3, 3]
    assert found[0].drop > 0.3
    assert abs(found[2].drop) < 0.03
    assert all(one.deviation > 0 for one in found[:2])


def test_a_block_alone_gives_the_same_as_among_others() -> None:
    among = {one.name: one for one in block_importance(HEAD, *REST, BLOCKS, seed=3)}
    for name, columns in BLOCKS.items():
        assert block_importance(HEAD, *REST, {name: columns}, seed=3) == [among[name]]
    assert block_importance(HEAD, *REST, BLOCKS, seed=4)[0] != among["much"]


def test_copies_of_a_column_matter_together() -> None:
    twice = np.hstack([X, X[:, :2]])
    head = LogisticRegression().fit(twice[:600], Y[:600])
    both = np.array([0, 1, 9, 10])
    found = block_importance(head, twice[600:], Y[600:], {"both": both, "one": np.array([0, 1])})
    assert found[0].name == "both"
    assert found[0].drop > 1.5 * found[1].drop


def test_rows_are_left_as_they_were_and_all_columns_make_it_chance() -> None:
    rows = REST[0].copy()
    rows.setflags(write=False)
    (all_of_it,) = block_importance(HEAD, rows, REST[1], {"all": slice(None)}, repeats=20)
    accuracy = (HEAD.predict(rows) == REST[1]).mean()
    assert accuracy - all_of_it.drop == pytest.approx(0.5, abs=0.04)
    assert np.array_equal(rows, REST[0])


def test_another_score_may_judge() -> None:
    y = 3 * X[:, 2]
    head = LinearRegression().fit(X, y)
    found = block_importance(
        head, X, y, equal_blocks(9, 9), repeats=1, score=lambda true, said: -float(np.abs(true - said).max())
    )
    assert found[0].name == "2-2"
    assert found[0].deviation == 0
