"""Confident learning finds what cleanlab finds, but for counts that are halves: which of them is rounded up is open."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from headstart.inspection.confident_learning import wrong_indicators, wrong_labels

ROUNDS = 60


def drawn(seed: int) -> tuple[Any, Any]:
    """Labels, some of them wrong, and probabilities that know more or less."""
    rng = np.random.default_rng(seed)
    n_classes, n = int(rng.integers(2, 12)), int(rng.integers(30, 400))
    true = np.append(np.arange(n_classes), rng.integers(n_classes, size=n - n_classes))
    y = np.where(rng.random(n) < rng.random() / 2, rng.integers(n_classes, size=n), true)
    y[:n_classes] = np.arange(n_classes)
    logits = rng.normal(size=(n, n_classes)) * rng.uniform(0.1, 3)
    logits[np.arange(n), true] += rng.uniform(0, 6)
    probabilities = np.exp(logits)
    return y, probabilities / probabilities.sum(axis=1, keepdims=True)


def test_classes_are_judged_as_cleanlab_judges_them() -> None:
    theirs = pytest.importorskip("cleanlab.filter")
    n_found = n_other = n_same = 0
    for seed in range(ROUNDS):
        y, probabilities = drawn(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = theirs.find_label_issues(y, probabilities, n_jobs=1)
        found = wrong_labels(y, probabilities)
        n_found, n_other = n_found + expected.sum(), n_other + (found != expected).sum()
        n_same += np.array_equal(found, expected)
    assert n_found > 30 * ROUNDS
    assert n_other <= 0.005 * n_found
    assert n_same >= 0.8 * ROUNDS


def test_labels_are_judged_one_by_one_as_cleanlab_judges_them() -> None:
    theirs = pytest.importorskip("cleanlab.multilabel_classification.filter")
    n_same = 0
    for seed in range(ROUNDS):
        rng = np.random.default_rng(seed)
        Y = rng.random((200, 4)) < rng.uniform(0.2, 0.8, 4)
        drawn_ones = rng.random(Y.shape)
        probabilities = np.where(Y, np.sqrt(drawn_ones), np.square(drawn_ones))
        labels = [np.flatnonzero(row).tolist() for row in Y]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = theirs.find_label_issues(labels, probabilities, n_jobs=1)
        n_same += np.array_equal(wrong_indicators(Y, probabilities), expected)
    assert n_same >= 0.9 * ROUNDS


def test_of_equal_samples_those_of_the_lowest_rank_are_found_whatever_their_order() -> None:
    y = np.array([0] * 6 + [1] * 6)
    of_one = np.array([0.1, 0.1, 0.1, 0.9, 0.9, 0.9] + [0.8] * 6)
    rank = np.array([5, 4, 3, 2, 1, 0, 6, 7, 8, 9, 10, 11])
    found = wrong_labels(y, np.column_stack([1 - of_one, of_one]), rank)
    order = np.random.default_rng(0).permutation(12)
    again = wrong_labels(y[order], np.column_stack([1 - of_one, of_one])[order], rank[order])
    np.testing.assert_array_equal(again, found[order])


def test_the_only_sample_of_a_class_stays_in_it() -> None:
    probabilities = np.tile([0.99, 0.01], (5, 1))
    assert wrong_labels(np.array([0, 0, 0, 0, 1]), probabilities).tolist() == [False] * 5


def test_what_cannot_be_judged_is_not() -> None:
    probabilities = np.full((4, 2), 0.5)
    Y = np.array([[True, False]] * 4)
    assert not wrong_indicators(Y, probabilities).any()
    assert not wrong_indicators(np.zeros((4, 0), dtype=bool), np.zeros((4, 0))).any()
