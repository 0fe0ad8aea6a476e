"""Where a head is wrong: the mistakes it is surest of, and the accuracy by any column."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import binomtest

from headstart.metrics.intervals import wilson
from headstart.metrics.tables import errors_by, most_confident_mistakes


def test_the_mistakes_come_with_the_surest_first():
    p = np.array([[0.9, 0.1], [0.4, 0.6], [0.05, 0.95], [0.7, 0.3]], dtype=np.float32)
    table = most_confident_mistakes(list("wxyz"), np.array(["cat", "cat", "cow", "dog"]), p, ["cat", "dog"])
    assert [row["id"] for row in table] == ["y", "z", "x"]
    assert table[0] == {
        "id": "y", "label": "cow", "prediction": "dog",
        "confidence": pytest.approx(0.95), "label_confidence": 0.0,
    }  # fmt: skip
    assert table[2]["label_confidence"] == pytest.approx(0.4)
    assert json.loads(json.dumps(table)) == table


def test_at_most_n_mistakes_are_listed_and_none_is_fine():
    p = np.random.default_rng(0).dirichlet(np.ones(3), size=200)
    y = np.random.default_rng(1).choice(list("abc"), 200)
    table = most_confident_mistakes(np.arange(200), y, p, list("abc"), n=7)
    wrong = y != np.array(list("abc"))[p.argmax(axis=1)]
    assert [row["confidence"] for row in table] == sorted(p.max(axis=1)[wrong], reverse=True)[:7]
    assert most_confident_mistakes(["a"], np.array(["a"]), np.array([[1.0, 0.0]]), ["a", "b"]) == []


def test_accuracy_by_value_has_the_most_frequent_first():
    tables = errors_by(
        {"camera": np.array(["a", "b", "b", "b", ""])}, np.array([True, True, False, True, False])
    )
    assert [(row["value"], row["n"]) for row in tables["camera"]] == [("b", 3), ("(missing)", 1), ("a", 1)]
    assert tables["camera"][0]["accuracy"] == pytest.approx(2 / 3)
    assert tables["camera"][0]["interval"] == list(wilson(2, 3))


def test_numbers_are_put_in_bins_of_equal_size_and_keep_their_order():
    rng = np.random.default_rng(0)
    width = rng.lognormal(5, 1, 1000)
    right = width > np.median(width)
    for values in (width, width.astype(str)):
        table = errors_by({"width": values}, right)["width"]
        assert [row["n"] for row in table] == [100] * 10
        assert [row["accuracy"] for row in table] == [0] * 5 + [1] * 5
    width[:50] = np.nan
    table = errors_by({"width": width}, right)["width"]
    assert table[-1]["value"] == "(missing)"
    assert sum(row["n"] for row in table) == 1000


def test_few_different_numbers_and_booleans_are_values():
    columns = {"year": np.array([2020, 2021, 2021]), "flash": np.array([True, False, True])}
    tables = errors_by(columns, np.array([1, 0, 1]))
    assert [row["value"] for row in tables["year"]] == ["2021", "2020"]
    assert {row["value"] for row in tables["flash"]} == {"True", "False"}


def test_more_than_50_values_end_in_the_others_and_ids_are_left_out():
    values = np.repeat([f"city {i:02d}" for i in range(60)], 10)
    tables = errors_by({"city": values, "id": np.array([f"id {i}" for i in range(600)])}, np.ones(600))
    assert list(tables) == ["city"]
    assert len(tables["city"]) == 51
    assert tables["city"][-1] == {
        "value": "(others)",
        "n": 100,
        "accuracy": 1,
        "interval": list(wilson(100, 100)),
    }


def test_wilsons_interval_is_scipys():
    for hits, n in ((0, 5), (3, 7), (50, 50), (812, 1000)):
        expected = binomtest(hits, n).proportion_ci(method="wilson")
        assert wilson(hits, n) == pytest.approx([expected.low, expected.high], abs=1e-12)
