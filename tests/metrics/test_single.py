"""The figures of a classification: scikit-learn's, and None where there is none."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from sklearn import metrics as oracle

from headstart.errors import DataError
from headstart.metrics.calibration import reliability
from headstart.metrics.single import evaluate_single


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def trial(n, n_classes, seed=0, decimals=9, dtype=np.float64):
    """Labels and probabilities with something to learn; few decimals give ties."""
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.arange(n) % n_classes)
    logits = rng.normal(size=(n, n_classes))
    logits[np.arange(n), codes] += 1
    p = np.exp(logits.round(decimals))
    classes = [f"class {i:03d}" for i in range(n_classes)]
    return np.array(classes)[codes], (p / p.sum(axis=1, keepdims=True)).astype(dtype), classes


@pytest.mark.parametrize("n_classes", [2, 3, 7, 77])
@pytest.mark.parametrize("decimals", [9, 0])
def test_every_figure_is_scikit_learns(n_classes, decimals):
    y, p, classes = trial(500, n_classes, decimals=decimals)
    report = evaluate_single(y, p, classes, classes, resamples=0)
    y_pred = np.array(classes)[p.argmax(axis=1)]
    expected = {
        "accuracy": oracle.accuracy_score(y, y_pred),
        "balanced_accuracy": oracle.balanced_accuracy_score(y, y_pred),
        "mcc": oracle.matthews_corrcoef(y, y_pred),
        "log_loss": oracle.log_loss(y, p, labels=classes),
        "brier": oracle.brier_score_loss(y, p, labels=classes),
    }
    for average in ("micro", "macro", "weighted"):
        figures = oracle.precision_recall_fscore_support(y, y_pred, average=average, zero_division=0)
        expected |= {
            f"{average}_{name}": value
            for name, value in zip(("precision", "recall", "f1"), figures, strict=False)
        }
    if n_classes == 2:
        expected["roc_auc"] = oracle.roc_auc_score(y, p[:, 1])
        expected["average_precision"] = oracle.average_precision_score(y == classes[1], p[:, 1])
    else:
        expected["roc_auc"] = oracle.roc_auc_score(y, p, multi_class="ovr", labels=classes)
        expected["average_precision"] = oracle.average_precision_score(y[:, None] == classes, p)
    assert {name: report[name] for name in expected} == pytest.approx(expected, rel=1e-9)


def test_top_5_accuracy_is_scikit_learns():
    y, p, classes = trial(300, 20)
    expected = oracle.top_k_accuracy_score(y, p, k=5, labels=classes)
    assert evaluate_single(y, p, classes, classes, resamples=0)["top5_accuracy"] == pytest.approx(expected)
    y, p, classes = trial(300, 5)
    assert "top5_accuracy" not in evaluate_single(y, p, classes, classes, resamples=0)


def test_of_classes_with_equal_probability_the_first_five_are_the_top_five():
    classes = list("abcdefgh")
    report = evaluate_single(np.array(classes), np.full((8, 8), 1 / 8), classes, classes, resamples=0)
    assert report["top5_accuracy"] == 5 / 8
    assert report["accuracy"] == 1 / 8


def test_the_figures_of_each_class_are_scikit_learns_one_versus_rest():
    y, p, classes = trial(200, 4, decimals=1)
    report = evaluate_single(y, p, classes, classes, resamples=0)
    for column, name in enumerate(classes):
        figures = report["per_class"][name]
        assert figures["roc_auc"] == pytest.approx(oracle.roc_auc_score(y == name, p[:, column]))
        expected = oracle.average_precision_score(y == name, p[:, column])
        assert figures["average_precision"] == pytest.approx(expected)
        assert figures["support"] == (y == name).sum()


def test_the_calibration_error_is_what_its_definition_says():
    y, p, classes = trial(400, 3)
    confidence, right = p.max(axis=1), y == np.array(classes)[p.argmax(axis=1)]
    expected = 0.0
    for low, high in zip(np.arange(15) / 15, np.arange(1, 16) / 15, strict=True):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            expected += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    assert evaluate_single(y, p, classes, classes, resamples=0)["ece"] == pytest.approx(expected)


def test_a_confidence_on_an_edge_is_in_the_lower_bin_and_0_and_1_are_in_the_outer_ones():
    bins = reliability(np.array([0.0, 0.5, 1.0]), np.array([True, True, True]), bins=2)
    assert bins.n.tolist() == [2, 1]


def test_a_label_that_training_lacks_counts_as_wrong_in_every_figure():
    y, p, classes = trial(100, 3)
    y = np.where(np.arange(100) < 20, "zebra", y)
    report = evaluate_single(y, p, classes, [*classes, "zebra"])
    with_column = np.column_stack([p, np.zeros(100)])
    assert report["log_loss"] == pytest.approx(
        oracle.log_loss(y, with_column, labels=[*classes, "zebra"]), rel=1e-9
    )
    assert report["brier"] == pytest.approx(
        oracle.brier_score_loss(y, with_column, labels=[*classes, "zebra"])
    )
    known = [oracle.roc_auc_score(y == name, p[:, column]) for column, name in enumerate(classes)]
    assert report["roc_auc"] == pytest.approx(np.mean(known))
    assert report["per_class"]["zebra"] == {
        "precision": 0, "recall": 0, "f1": 0, "support": 20, "roc_auc": None, "average_precision": None,
        "intervals": {"precision": None, "recall": pytest.approx([0.0, 0.168], abs=1e-3)},
    }  # fmt: skip
    assert report["confusion"]["labels"] == [*classes, "zebra"]
    assert np.sum(report["confusion"]["matrix"]) == 100
    json.dumps(report, allow_nan=False)


@pytest.mark.parametrize("n_classes", [1, 2, 3, 8])
def test_labels_that_are_all_unknown_or_all_the_same_leave_figures_empty_and_break_nothing(n_classes):
    _, p, classes = trial(10, n_classes)
    for name in ("zebra", classes[0]):
        report = evaluate_single(np.full(10, name), p, classes, classes)
        assert report["roc_auc"] is None
        json.dumps(report, allow_nan=False)


def test_a_class_that_the_split_lacks_is_left_out_of_the_means():
    y, p, classes = trial(60, 3)
    kept = y != classes[2]
    report = evaluate_single(y[kept], p[kept], classes, classes)
    scored = [
        oracle.roc_auc_score(y[kept] == name, p[kept][:, column]) for column, name in enumerate(classes[:2])
    ]
    assert report["roc_auc"] == pytest.approx(np.mean(scored))
    assert report["per_class"][classes[2]]["roc_auc"] is None


def test_permuting_the_classes_changes_no_figure():
    y, p, classes = trial(200, 6)
    order = np.random.default_rng(1).permutation(6)
    first = evaluate_single(y, p, classes, classes)
    second = evaluate_single(y, p[:, order], [classes[i] for i in order], classes)
    assert second["per_class"] == first["per_class"]
    assert second["confusion"] == first["confusion"]
    assert second["intervals"]["accuracy"] == first["intervals"]["accuracy"]
    assert second["log_loss"] == pytest.approx(first["log_loss"])


def test_probabilities_of_0_cost_what_their_precision_allows():
    report = evaluate_single(
        np.array(["a", "b"]), np.array([[1, 0], [1, 0]], np.float32), ["a", "b"], ["a", "b"], resamples=0
    )
    assert report["log_loss"] == pytest.approx(-np.log(np.finfo(np.float32).eps) / 2)


def test_a_head_that_diverged_is_named_as_such():
    y, p, classes = trial(9, 3)
    p[4] = np.nan
    with pytest.raises(DataError, match="1 of 9 samples: its training diverged"):
        evaluate_single(y, p, classes, classes)


def test_labels_and_probabilities_of_different_rows_are_refused():
    y, p, classes = trial(9, 3)
    with pytest.raises(DataError, match="9 labels and 8 rows"):
        evaluate_single(y, p[:8], classes, classes)


def test_evaluating_imports_neither_torch_nor_scikit_learn():
    import subprocess
    import sys

    script = (
        "import sys, numpy as np\n"
        "from headstart.metrics.single import evaluate_single\n"
        "evaluate_single(np.array(['a', 'b']), np.eye(2), ['a', 'b'], ['a', 'b'])\n"
        "assert not {'torch', 'sklearn', 'scipy.stats', 'scipy.optimize', 'pandas'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
