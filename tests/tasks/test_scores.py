"""Targets of a regression for each meaning of a label, and how good its predictions are in one figure."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.errors import ConfigError
from headstart.tasks import open_task


def test_classes_are_right_where_the_largest_is() -> None:
    task = open_task("single")
    targets = task.indicators(np.array([0, 2, 1]), 3)
    assert task.score(targets, targets[[0, 1, 1]]) == pytest.approx(2 / 3)
    unknown = task.indicators(np.array([-1, 0]), 3)
    assert task.score(unknown, np.eye(3)[[0, 0]]) == 0.5


def test_labels_have_micro_f1() -> None:
    task = open_task("multi")
    Y = np.array([[1, 0], [1, 1], [0, 0]], dtype=np.int8)
    targets = task.indicators(Y, 2)
    assert task.score(targets, targets) == 1
    assert task.score(targets, np.ones((3, 2))) == pytest.approx(2 * 3 / (6 + 3))


def test_numbers_have_r2() -> None:
    task = open_task("regression")
    targets = task.indicators(np.array([1.0, 2.0, 3.0]), 0)
    assert task.score(targets, targets) == 1
    assert task.score(targets, np.full((3, 1), 2.0)) == 0
    assert task.score(targets, np.array([1.0, 2.0, 3.0])) == 1
    assert np.isnan(task.score(targets[:0], targets[:0]))


def test_a_kind_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="no label kind 'sinlge'; there are auto, single, multi"):
        open_task("sinlge")
    with pytest.raises(
        ConfigError, match="a kind of your own, whose code is needed here: py:no_such:Task cannot"
    ):
        open_task("py:no_such:Task")
