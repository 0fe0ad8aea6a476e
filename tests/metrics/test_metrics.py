"""The report of a classification, against numbers worked out by hand."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from sklearn.metrics import f1_score

from headstart.errors import DataError
from headstart.metrics.single import evaluate_single


def evaluate(y_true, y_pred, classes):
    """The report of predictions by name, each held for certain."""
    certain = (y_pred[:, None] == np.array(classes)).astype(np.float64)
    return evaluate_single(y_true, certain, classes, classes, resamples=0)


def figures(report, name):
    return {figure: report["per_class"][name][figure] for figure in ("precision", "recall", "f1", "support")}


def names(text):
    return np.array(text.split())


def test_the_figures_are_right():
    report = evaluate(names("a a a b b c"), names("a a b b c c"), classes=["c", "b", "a"])
    assert report["n"] == 6
    assert report["accuracy"] == pytest.approx(4 / 6)
    assert figures(report, "a") == {
        "precision": 1.0,
        "recall": pytest.approx(2 / 3),
        "f1": pytest.approx(0.8),
        "support": 3,
    }
    assert report["per_class"]["c"]["precision"] == 0.5
    assert report["confusion"] == {"labels": ["c", "b", "a"], "matrix": [[1, 0, 0], [1, 1, 0], [0, 1, 2]]}
    assert report["macro_f1"] == pytest.approx((0.8 + 0.5 + 2 / 3) / 3)


def test_a_label_that_training_lacks_counts_as_wrong():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = evaluate(names("a b zebra zebra"), names("a b a b"), classes=["b", "a"])
    assert report["accuracy"] == 0.5
    assert report["confusion"]["labels"] == ["b", "a", "zebra"]
    assert figures(report, "zebra") == {"precision": 0, "recall": 0, "f1": 0, "support": 2}
    assert report["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)


def test_macro_f1_is_scikit_learns_over_the_classes_that_occur():
    rng = np.random.default_rng(0)
    y_true, y_pred = rng.choice(names("a b c d"), 50), rng.choice(names("a b e"), 50)
    report = evaluate(y_true, y_pred, classes=["never", *"abcde"])
    assert report["macro_f1"] == pytest.approx(f1_score(y_true, y_pred, average="macro", zero_division=0))
    assert report["per_class"]["never"]["support"] == 0


def test_one_class_alone_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = evaluate(names("a a"), names("a a"), classes=["a"])
    assert report["accuracy"] == report["macro_f1"] == 1
    assert report["confusion"]["matrix"] == [[2]]


def test_it_is_json_and_names_of_any_kind_work():
    y_true = np.array(["zèbre", "zèbre", "", "$x$"], dtype=object)
    report = evaluate(y_true, np.array(["zèbre", "", "", "$x$"]), classes=["", "zèbre", "$x$"])
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["accuracy"] == 0.75


def test_no_samples_are_no_report():
    with pytest.raises(DataError, match="no samples"):
        evaluate(np.array([], dtype=str), np.array([], dtype=str), classes=["a", "b"])
