"""A run over several features side by side says how much each of them carries."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from headstart.errors import DataError
from headstart.fitting.evaluation import block_report, blocks_of
from headstart.heads import open_head
from headstart.heads.predictor import Predictor
from headstart.tasks import open_task
from headstart.types import FeatureRef

RNG = np.random.default_rng(0)
X = RNG.normal(size=(900, 12))
BLOCKS = {"noise": slice(8, 12), "little": slice(4, 8), "much": slice(0, 4)}
ORDER = ["much", "little", "noise"]
CARRIED = X[:, 0] + X[:, 1] + 0.4 * X[:, 4]
FIT, REST = slice(0, 600), slice(600, None)


def names(report: list[dict]) -> list[str]:
    return [one["name"] for one in report]


SINGLE, MULTI, NUMBERS = map(open_task, ("single", "multi", "regression"))


def of_classes(head, y: np.ndarray, seed: int = 0, rows: slice = REST) -> list[dict]:
    wanted = SINGLE.indicators(y[rows], len(head.classes_))
    return block_report(head.predict_proba, X[rows], wanted, BLOCKS, seed, SINGLE)


def test_classes_have_the_accuracy_of_the_likeliest() -> None:
    y = np.digitize(CARRIED, [-0.5, 0.5])
    head = LogisticRegression().fit(X[FIT], y[FIT])
    first = of_classes(head, y, seed=1)
    assert names(first) == ORDER
    assert first[0]["score"] == pytest.approx((head.predict(X[REST]) == y[REST]).mean())
    assert first[0]["drop"] > 0.2 > first[1]["drop"] > 0.01
    assert abs(first[2]["drop"]) < 0.02
    assert {one["metric"] for one in first} == {"accuracy"}
    assert all(one["repeats"] == 10 and one["n_columns"] == 4 for one in first)
    assert first[0]["deviation"] > 0
    assert of_classes(head, y, seed=2) != first
    assert json.loads(json.dumps(first)) == first


def test_several_labels_and_numbers_have_their_own_metric() -> None:
    Y = np.stack([CARRIED > 0, CARRIED > 1], axis=1).astype(np.int8)
    heads = [LogisticRegression().fit(X[FIT], Y[FIT, label]) for label in range(2)]

    def probabilities(rows: np.ndarray) -> np.ndarray:
        return np.stack([head.predict_proba(rows)[:, 1] for head in heads], axis=1)

    report = block_report(probabilities, X[REST], MULTI.indicators(Y[REST], 2), BLOCKS, 0, MULTI)
    assert names(report) == ORDER
    assert report[0]["metric"] == "micro_f1"
    for y in (CARRIED, np.stack([CARRIED, -CARRIED], axis=1)):
        report = block_report(
            Ridge().fit(X[FIT], y[FIT]).predict, X[REST], NUMBERS.indicators(y[REST], 0), BLOCKS, 0, NUMBERS
        )
        assert names(report) == ORDER
        assert report[0]["metric"] == "r2"
        assert report[0]["score"] > 0.99


def test_a_fitted_predictor_is_asked_as_it_is() -> None:
    y = (CARRIED > 0).astype(int)
    head = open_head("ridge", {}, seed=0).fit(X[FIT].astype(np.float32), y[FIT])
    wanted = SINGLE.indicators(y[REST], 2)
    report = block_report(Predictor(head).outputs, X[REST].astype(np.float32), wanted, BLOCKS, 0, SINGLE)
    assert names(report) == ORDER
    assert report[0]["score"] > 0.9


def test_a_class_that_training_lacked_is_wrong_whatever_is_shuffled() -> None:
    y = (CARRIED > 0).astype(int)
    head = LogisticRegression().fit(X[FIT], y[FIT])
    unknown = y.copy()
    unknown[600:750] = -1
    report = of_classes(head, unknown)
    assert report[0]["score"] <= 0.5


def test_where_there_is_nothing_to_compare_it_is_empty() -> None:
    y = (CARRIED > 0).astype(int)
    head = LogisticRegression().fit(X, y)
    assert block_report(head.predict_proba, X, y, {"all": slice(0, 12)}, 0, SINGLE) == []
    assert of_classes(head, y, rows=slice(0, 0)) == []
    with pytest.raises(DataError, match="24 columns are not those of rows of 12"):
        block_report(head.predict_proba, X, y, {"one": slice(0, 12), "two": slice(12, 24)}, 0, SINGLE)


def test_blocks_are_named_by_what_tells_them_apart() -> None:
    def ref(backbone: str, tap: str) -> FeatureRef:
        return FeatureRef(backbone, tap, "space")

    def of(*refs: FeatureRef) -> list[str]:
        blocks = blocks_of(refs, [3] * len(refs))
        assert list(blocks.values()) == [slice(3 * n, 3 * n + 3) for n in range(len(refs))]
        return list(blocks)

    assert of(ref("a", "final.mean"), ref("a", "pooler")) == ["last.mean", "pooler"]
    assert of(ref("a", "pooler"), ref("b", "pooler")) == ["a", "b"]
    assert of(ref("a", "pooler"), ref("b", "final.max")) == ["a pooler", "b last.max"]
    assert of(ref("a", "pooler"), ref("a", "pooler")) == ["pooler 1", "pooler 2"]
