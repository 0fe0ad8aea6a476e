"""What heads of one matrix promise, whatever fits it."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from headstart.errors import DataError
from headstart.heads import open_head
from headstart.heads.rows import BLOCK_NUMBERS, BLOCK_ROWS, blocks, moments, standardise

BRIEFLY = {"linear": {"epochs": 2}}
every_head = pytest.mark.parametrize("name", ["logistic", "ridge", "linear"])


def opened(name, **params):
    """A head with the parameters; one that is trained sees a quarter of the samples in a step."""
    return open_head(
        name,
        {**({"batch_size": 200, "epochs": 40, "lr": 0.02} if name == "linear" else {}), **params},
        seed=0,
    )


def fitted(name, problem, **params):
    return opened(name, **params).fit(problem.X, problem.y)


@every_head
def test_it_learns_names_and_says_how_sure_it_is(name, problem):
    head = fitted(name, problem)
    assert head.classes_.tolist() == ["cat", "dog", "eel", "fox"]
    assert head.coef_.shape == (4, 12)
    assert head.intercept_.shape == (4,)
    assert head.n_features_in_ == 12
    assert head.score(problem.X_test, problem.y_test) > 0.85
    probabilities = head.predict_proba(problem.X_test)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(head.classes_[probabilities.argmax(axis=1)], head.predict(problem.X_test))


@every_head
def test_two_classes_have_two_rows_and_one_decision_value(name, problem):
    X, y = problem.binary()
    head = opened(name).fit(X, y)
    assert head.coef_.shape == (2, 12)
    decision = head.decision_function(X)
    assert decision.shape == (len(X),)
    np.testing.assert_array_equal(head.predict(X), np.where(decision > 0, "dog", "cat"))
    np.testing.assert_allclose(head.predict_proba(X)[:, 1], 1 / (1 + np.exp(-decision)), rtol=1e-4)


@every_head
def test_the_unit_of_a_feature_does_not_matter(name, problem):
    factors = (2.0 ** np.arange(-6, 6)).astype(np.float32)  # powers of two: nothing is rounded
    head = fitted(name, problem)
    other = opened(name).fit(problem.X * factors, problem.y)
    np.testing.assert_array_equal(
        head.predict_proba(problem.X_test), other.predict_proba(problem.X_test * factors)
    )


@every_head
def test_renaming_the_classes_renames_the_predictions(name, problem):
    """Sorted names give the classes another order, and every prediction still follows its class."""
    renamed = {"cat": "zebra", "dog": "bat", "eel": "yak", "fox": "ant"}
    other = opened(name).fit(problem.X, np.array([renamed[label] for label in problem.y]))
    predicted = fitted(name, problem).predict(problem.X_test)
    same = [renamed[label] for label in predicted] == other.predict(problem.X_test)
    assert same.mean() > 0.99  # sums in another order may tip a sample on the border


@every_head
def test_shuffled_labels_cannot_be_learnt(name, problem):
    rng = np.random.default_rng(0)
    scores = []
    for _ in range(3):
        head = opened(name).fit(problem.X, rng.permutation(problem.y))
        scores.append(head.score(problem.X_test, problem.y_test))
    assert 0.12 < np.mean(scores) < 0.38


@every_head
def test_a_pipeline_and_a_grid_search_take_it(name, problem):
    parameter, values = {
        "logistic": ("C", [1e-4, 1.0]),
        "ridge": ("alpha", [1.0, 1e5]),
        "linear": ("lr", [1e-6, 1e-2]),
    }[name]
    pipeline = make_pipeline(FunctionTransformer(), opened(name))
    step = pipeline.steps[-1][0]
    search = GridSearchCV(pipeline, {f"{step}__{parameter}": values}, cv=2)
    search.fit(problem.X, problem.y)
    assert search.score(problem.X_test, problem.y_test) > 0.85


@every_head
def test_a_constant_feature_is_harmless(name, problem):
    head = fitted(name, problem)
    assert np.ptp(problem.X[:, 3]) == 0
    assert head.scale_[3] == 1
    assert np.isfinite(head.coef_).all()


@every_head
def test_one_class_is_refused_with_its_name(name, problem):
    message = "needs at least two classes; all 400 training samples are 'cat'"
    with pytest.raises(DataError, match=message):
        opened(name).fit(problem.X, np.full(400, "cat"))


@every_head
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(name, bad, problem):
    X = problem.X.copy()
    X[7, 2] = bad
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        opened(name).fit(X, problem.y)
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        fitted(name, problem, **BRIEFLY.get(name, {})).predict(X)


@every_head
def test_a_wrong_number_of_features_is_refused(name, problem):
    with pytest.raises(ValueError, match="12 features"):
        fitted(name, problem, **BRIEFLY.get(name, {})).predict(problem.X[:, :5])


@every_head
def test_fitting_again_with_the_same_seed_gives_the_same_numbers(name, problem):
    first, second = fitted(name, problem), fitted(name, problem)
    np.testing.assert_array_equal(first.coef_, second.coef_)
    np.testing.assert_array_equal(first.intercept_, second.intercept_)


def test_many_rows_predict_as_few_do(problem):
    head = fitted("logistic", problem)
    X = np.tile(problem.X_test, (BLOCK_ROWS // 100, 1))
    assert len(X) > 2 * BLOCK_ROWS
    np.testing.assert_allclose(
        head.predict_proba(X)[-300:], head.predict_proba(problem.X_test), rtol=1e-5, atol=1e-7
    )


def test_moments_are_those_of_all_rows_in_double_precision():
    rng = np.random.default_rng(0)
    X = rng.normal([1e4, 0, -3], size=(3 * BLOCK_ROWS + 17, 3)).astype(np.float32)
    mean, scale = moments(X)
    np.testing.assert_allclose(mean, X.astype(np.float64).mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(scale, X.astype(np.float64).std(axis=0), rtol=1e-9)


def test_standardising_makes_one_copy_of_the_features_and_no_more():
    X = np.ones((12 * BLOCK_ROWS, 32), dtype=np.float32)
    tracemalloc.start()
    Z = standardise(X, *moments(X))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert Z.dtype == np.float32
    assert peak < 1.6 * X.nbytes


def test_naming_the_heads_imports_neither_torch_nor_scikit_learn():
    check = "import sys, headstart.heads; print({'torch', 'sklearn', 'scipy'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


def test_rounding_noise_in_a_dead_dimension_is_not_fitted() -> None:
    """Two extractions of the same data differ in rounding only, and give the same head."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 6)).astype(np.float32)
    y = np.where(X[:, 0] > 0, "yes", "no")
    heads = []
    for seed in (1, 2):
        noisy = X.copy()
        noisy[:, 5] = np.random.default_rng(seed).normal(size=200) * 1e-9
        heads.append(open_head("ridge", {"alpha": 1.0}, seed=0).fit(noisy, y))
    np.testing.assert_allclose(heads[0].coef_, heads[1].coef_, atol=1e-6)


def test_blocks_of_wide_features_are_no_larger_than_those_of_narrow_ones():
    for shape in ((20_000, 3), (300, 50_000), (2, BLOCK_NUMBERS + 1)):
        X = np.broadcast_to(np.float32(0), shape)
        parts = list(blocks(X))
        assert sum(len(part) for part in parts) == len(X)
        assert max(part.size for part in parts) <= max(BLOCK_NUMBERS, shape[1])
