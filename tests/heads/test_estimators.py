"""Heads that are fitted in one go are scikit-learn estimators, and are kept bit for bit."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from headstart.errors import ConfigError, DataError
from headstart.heads import head_class, open_head
from headstart.heads.centroid import CentroidHead
from headstart.heads.knn import KNNHead, KNNRegressor
from headstart.heads.logistic import LogisticHead
from headstart.heads.predictor import load_head, save_head
from headstart.heads.propagate import PropagateHead
from headstart.heads.ridge import RidgeHead, RidgeRegressor
from headstart.heads.svm import SVMHead, SVMRegressor

from .sklearn_checks import checked

CLASSIFIERS = ("logistic", "ridge", "knn", "centroid", "svm", "propagate")
WITH_LABELS = ("logistic", "ridge", "knn", "svm")
REGRESSORS = ("ridge", "knn", "svm")

every_classifier = pytest.mark.parametrize("name", CLASSIFIERS)
every_multi = pytest.mark.parametrize("name", WITH_LABELS)
every_regressor = pytest.mark.parametrize("name", REGRESSORS)


def not_for(head):
    """Checks that do not apply, each with its reason."""
    if not hasattr(head, "class_weight"):
        return {}
    return {"check_class_weight_classifiers": "class weights are none or balanced; there is no dictionary"}


@checked(
    [
        LogisticHead(),
        LogisticHead(C=1.0),
        RidgeHead(),
        RidgeRegressor(),
        KNNHead(),
        KNNRegressor(),
        CentroidHead(),
        CentroidHead(metric="euclidean"),
        PropagateHead(),
        SVMHead(),
        SVMRegressor(),
    ],
    whole=[RidgeHead, RidgeRegressor],
    expected=not_for,
)
def test_it_is_a_scikit_learn_estimator(estimator, check):
    check(estimator)


def labels_of(problem, y):
    """Several labels a sample: is it a cat, is it a cat or an eel, is it neither."""
    return np.stack([y == "cat", (y == "cat") | (y == "eel"), (y == "dog") | (y == "fox")], axis=1).astype(
        int
    )


def numbers_of(X):
    """Two targets in units of their own, that the features decide."""
    Z = (X - X.mean(axis=0)) / np.where(np.ptp(X, axis=0) > 0, X.std(axis=0), 1)
    return np.stack([Z[:, 0] - 2 * Z[:, 5], 1000 + 50 * Z[:, 1]], axis=1)


@every_classifier
@pytest.mark.parametrize("scaling", ["standard", "none"])
def test_it_learns_names_and_says_how_sure_it_is(name, scaling, problem):
    X, X_test = problem.X, problem.X_test
    if scaling == "none":  # of one unit, as features of a backbone are
        spread = np.where(problem.X.std(axis=0) > 0, problem.X.std(axis=0), 1)
        X, X_test = X / spread - 1, X_test / spread - 1
        if name in ("knn", "centroid", "propagate"):
            X, X_test = X - X.mean(axis=0), X_test - X.mean(axis=0)
    head = open_head(name, {"scaling": scaling}, seed=0).fit(X, problem.y)
    assert head.classes_.tolist() == ["cat", "dog", "eel", "fox"]
    assert head.score(X_test, problem.y_test) > 0.85
    probabilities = head.predict_proba(X_test)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(head.classes_[probabilities.argmax(axis=1)], head.predict(X_test))


@every_multi
def test_several_labels_are_each_by_itself(name, problem):
    Y, Y_test = labels_of(problem, problem.y), labels_of(problem, problem.y_test)
    head = open_head(name, {}, seed=0, task="multi").fit(problem.X, Y)
    assert head.is_multi_
    assert head.classes_.tolist() == [0, 1, 2]
    predicted, likely = head.predict(problem.X_test), head.predict_proba(problem.X_test)
    assert predicted.shape == likely.shape == head.decision_function(problem.X_test).shape == Y_test.shape
    np.testing.assert_array_equal(predicted, likely > 0.5)
    assert (predicted == Y_test).mean() > 0.85
    alone = open_head(name, {}, seed=0, task="multi").fit(problem.X, Y[:, [1, 0, 2]])
    assert (alone.predict(problem.X_test)[:, [1, 0, 2]] == predicted).mean() > 0.99


@every_multi
def test_a_label_that_nobody_has_is_never_predicted(name, problem):
    Y = np.column_stack([labels_of(problem, problem.y), np.zeros(len(problem.y), dtype=int)])
    head = open_head(name, {}, seed=0, task="multi").fit(problem.X, Y)
    assert np.isfinite(head.predict_proba(problem.X_test)).all()
    assert not head.predict(problem.X_test)[:, 3].any()


@every_regressor
@pytest.mark.parametrize("flat", [True, False])
def test_numbers_are_predicted_in_their_own_units(name, flat, problem):
    both = numbers_of(np.concatenate([problem.X, problem.X_test]))
    both = both[:, 0] if flat else both
    y, y_test = both[: len(problem.X)], both[len(problem.X) :]
    head = open_head(name, {}, seed=0, task="regression").fit(problem.X, y)
    predicted = head.predict(problem.X_test)
    assert predicted.shape == y_test.shape
    assert head.score(problem.X_test, y_test) > (0.3 if name == "knn" else 0.95)


@every_classifier
def test_renaming_the_classes_renames_the_predictions_and_nothing_else(name, problem):
    """Sorted names give the classes another order, and every prediction still follows its class."""
    renamed = {"cat": "zebra", "dog": "bat", "eel": "yak", "fox": "ant"}
    params = {} if name != "logistic" else {"C": 0.1}
    head = open_head(name, params, seed=0).fit(problem.X, problem.y)
    other = open_head(name, params, seed=0).fit(problem.X, np.array([renamed[label] for label in problem.y]))
    order = np.argsort([renamed[label] for label in head.classes_])
    likely = head.predict_proba(problem.X_test)[:, order]
    np.testing.assert_allclose(other.predict_proba(problem.X_test), likely, atol=2e-3)
    predicted = [renamed[label] for label in head.predict(problem.X_test)]
    assert (np.array(predicted) == other.predict(problem.X_test)).mean() > 0.99


@every_classifier
def test_the_order_of_the_rows_does_not_matter(name, problem):
    order = np.random.default_rng(0).permutation(len(problem.X))
    params = {} if name != "logistic" else {"C": 0.1}
    head = open_head(name, params, seed=0).fit(problem.X, problem.y)
    other = open_head(name, params, seed=0).fit(problem.X[order], problem.y[order])
    likely, same = head.predict_proba(problem.X_test), other.predict_proba(problem.X_test)
    np.testing.assert_allclose(likely, same, atol=2e-3)


@every_classifier
def test_shuffled_labels_cannot_be_learnt(name, problem):
    rng = np.random.default_rng(0)
    scores = []
    for _ in range(3):
        head = open_head(name, {}, seed=0).fit(problem.X, rng.permutation(problem.y))
        scores.append(head.score(problem.X_test, problem.y_test))
    assert 0.12 < np.mean(scores) < 0.38


TASKS = [
    *((name, "single") for name in CLASSIFIERS),
    *((name, "multi") for name in WITH_LABELS),
    *((name, "regression") for name in REGRESSORS),
]


@pytest.mark.parametrize(("name", "task"), TASKS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_saved_head_predicts_bit_for_bit_as_before(name, task, dtype, problem, tmp_path):
    X, X_test = problem.X.astype(dtype), problem.X_test.astype(dtype)
    y = {"single": problem.y, "multi": labels_of(problem, problem.y), "regression": numbers_of(X)}[task]
    head = open_head(name, {}, seed=0, task=task).fit(X, y)
    save_head(head, tmp_path)
    loaded = load_head(tmp_path)
    assert type(loaded) is type(head)
    np.testing.assert_array_equal(loaded.predict(X_test), head.predict(X_test))
    if task != "regression":
        np.testing.assert_array_equal(loaded.predict_proba(X_test), head.predict_proba(X_test))
    described = json.loads((tmp_path / "head.json").read_text())
    for attribute in head.fitted:
        assert getattr(loaded, attribute) == getattr(head, attribute)
        assert attribute.rstrip("_") in described["fitted"]
    shapes = head.shapes(head.tensors(), len(getattr(head, "classes_", ())), X.shape[1])
    assert {key: tuple(shape) for key, shape in shapes.items()} == {
        key: tensor.shape for key, tensor in head.tensors().items()
    }


@every_classifier
def test_a_pipeline_and_a_grid_search_take_it(name, problem):
    parameter, values = {
        "logistic": ("C", [1e-4, 1.0, "auto"]),
        "ridge": ("alpha", [1.0, 1e5, "auto"]),
        "knn": ("k", [1, 10, "auto"]),
        "centroid": ("metric", ["cosine", "euclidean"]),
        "svm": ("C", [1e-4, 1e-2]),
        "propagate": ("alpha", [0.5, 0.9]),
    }[name]
    pipeline = make_pipeline(FunctionTransformer(), open_head(name, {}, seed=0))
    step = pipeline.steps[-1][0]
    search = GridSearchCV(pipeline, {f"{step}__{parameter}": values}, cv=2)
    search.fit(problem.X, problem.y)
    assert search.score(problem.X_test, problem.y_test) > 0.85


@every_classifier
def test_fitting_again_with_the_same_seed_gives_the_same_numbers(name, problem):
    first, second = (open_head(name, {}, seed=3).fit(problem.X, problem.y).tensors() for _ in range(2))
    for key, tensor in first.items():
        np.testing.assert_array_equal(tensor, second[key])


@pytest.mark.parametrize("name", ["logistic", "knn"])
def test_only_validation_data_chooses(name, problem):
    """A label that only validation has is no error, and counts as wrong."""
    y_val = problem.y_val.copy()
    y_val[:3] = "gnu"
    head = open_head(name, {}, seed=0).fit(problem.X, problem.y, problem.X_val, y_val)
    assert head.path_
    assert accuracy_score(problem.y_test, head.predict(problem.X_test)) > 0.85
    assert "gnu" not in head.classes_


@every_classifier
def test_a_word_that_a_parameter_cannot_have_is_refused(name, problem):
    with pytest.raises(ConfigError, match="scaling must be one of standard, none, got 'min-max'"):
        open_head(name, {"scaling": "min-max"}, seed=0).fit(problem.X, problem.y)


@pytest.mark.parametrize(("name", "word"), [("logistic", "C"), ("ridge", "alpha"), ("knn", "k")])
def test_auto_or_a_number_will_do_and_other_words_will_not(name, word):
    assert getattr(open_head(name, {word: "3"}, seed=0), word) == 3
    assert getattr(open_head(name, {word: "auto"}, seed=0), word) == "auto"
    with pytest.raises(ConfigError, match=f"{word} must be auto or a"):
        open_head(name, {word: "best"}, seed=0)
    with pytest.raises(ConfigError, match=f"{word} must be auto or a"):
        open_head(name, {word: -1}, seed=0)


@pytest.mark.parametrize(
    ("name", "params"), [("logistic", {"Cs": "0,1"}), ("ridge", {"alphas": "1;2"}), ("knn", {"ks": "1.5"})]
)
def test_a_grid_of_what_cannot_be_is_refused(name, params, problem):
    with pytest.raises(ConfigError, match=f"{next(iter(params))} must be"):
        open_head(name, params, seed=0).fit(problem.X, problem.y)


def test_the_centroid_takes_one_class_a_sample(problem):
    with pytest.raises(DataError, match="'centroid' gives one class a sample"):
        CentroidHead().fit(problem.X, labels_of(problem, problem.y))


def test_heads_are_fitted_and_read_again_without_torch(problem, tmp_path):
    save_head(LogisticHead(C=1.0).fit(problem.X, problem.y), tmp_path)
    heads = {"logistic": {"device": "cpu"}, "ridge": {}, "knn": {}, "centroid": {}, "svm": {}}
    check = (
        "import sys, numpy as np; from pathlib import Path; from headstart.heads import open_head\n"
        "from headstart.heads.predictor import load_head; X = np.eye(6) + np.arange(6.); seen = []\n"
        f"for name, params in {heads}.items():\n"
        "    open_head(name, params, seed=0).fit(X, [0, 1, 0, 1, 0, 1]).predict(X)\n"
        "    seen.append(name + ' fitted') if 'torch' in sys.modules else None\n"
        f"load_head(Path({str(tmp_path)!r})).predict(np.zeros((2, 12)))\n"
        "print(seen, 'torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[] False"


def test_every_head_is_found_by_its_name():
    for name, task in TASKS:
        assert head_class(name, task).kind == name
