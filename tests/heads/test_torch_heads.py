"""Heads that are trained by epochs: estimators for classes, labels and numbers, alone and side by side."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from headstart.errors import ConfigError, DataError
from headstart.heads import open_head
from headstart.heads.neural import (
    AttentionHead,
    AttentionRegressor,
    CustomHead,
    CustomRegressor,
    LinearHead,
    LinearRegressor,
    MLPHead,
    MLPRegressor,
    ResidualHead,
    ResidualRegressor,
)
from headstart.heads.predictor import load_head, save_head
from headstart.heads.sequences import Sequences
from headstart.heads.torch_heads import Labelled, fit_stack
from headstart.samples import ChosenRows, take_rows

from ..variants import cases, variants
from .sklearn_checks import checked

OWN_LINEAR = f"py:{__name__}:own_linear"
ON_VECTORS = (
    "check_class_weight_classifiers",
    "check_classifier_data_not_an_array",
    "check_classifiers_classes",
    "check_classifiers_multilabel_output_format_decision_function",
    "check_classifiers_multilabel_output_format_predict",
    "check_classifiers_multilabel_output_format_predict_proba",
    "check_classifiers_multilabel_representation_invariance",
    "check_classifiers_one_label",
    "check_classifiers_regression_target",
    "check_classifiers_train",
    "check_complex_data",
    "check_decision_proba_consistency",
    "check_dict_unchanged",
    "check_dont_overwrite_parameters",
    "check_dtype_object",
    "check_estimator_sparse_array",
    "check_estimator_sparse_matrix",
    "check_estimator_sparse_tag",
    "check_estimators_dtypes",
    "check_estimators_empty_data_messages",
    "check_estimators_fit_returns_self",
    "check_estimators_nan_inf",
    "check_estimators_overwrite_params",
    "check_estimators_pickle",
    "check_f_contiguous_array_estimator",
    "check_fit1d",
    "check_fit2d_1feature",
    "check_fit2d_1sample",
    "check_fit2d_predict1d",
    "check_fit_check_is_fitted",
    "check_fit_idempotent",
    "check_fit_score_takes_y",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_n_features_in",
    "check_n_features_in_after_fitting",
    "check_pipeline_consistency",
    "check_positive_only_tag_during_fit",
    "check_readonly_memmap_input",
    "check_regressor_data_not_an_array",
    "check_regressors_int",
    "check_regressors_no_decision_function",
    "check_regressors_train",
    "check_requires_y_none",
    "check_supervised_y_2d",
    "check_supervised_y_no_nan",
)
"""Checks that fit on one vector a sample."""
SMALL = {"epochs": 8, "lr": 0.1, "weight_decay": 0.0}
NETWORKS = ("linear", "mlp", "residual")

every_network = pytest.mark.parametrize("name", NETWORKS)
two_networks = pytest.mark.parametrize("name", variants(NETWORKS, {"linear", "mlp"}))


def small(name, **params):
    """Parameters of a network as narrow as four classes need; `test_it_learns` has the defaults."""
    narrow = {"linear": {}, "mlp": {"width": 64}, "residual": {"width": 32}}
    return {"batch_size": 100, **narrow[name], **params}


def own_linear(n_features, n_outputs):
    """A module of a user's own."""
    return torch.nn.Linear(n_features, n_outputs)


def not_for(head):
    """Checks that do not apply, each with its reason."""
    if head.takes_sequences:
        return dict.fromkeys(ON_VECTORS, "attends over several vectors a sample; the check gives one")
    if not hasattr(head, "predict_proba"):
        single = "numbers are computed in single precision: the last bit goes with the number of rows"
        return dict.fromkeys(
            ("check_methods_sample_order_invariance", "check_methods_subset_invariance"), single
        )
    return {"check_class_weight_classifiers": "class weights are none or balanced; there is no dictionary"}


@checked(
    [
        LinearHead(**SMALL),
        LinearRegressor(**SMALL),
        MLPHead(width=32, epochs=15, batch_size=100, lr=0.02, dropout=0.0),
        MLPRegressor(width=16, epochs=15, batch_size=100, lr=0.02, dropout=0.0),
        ResidualHead(width=8, epochs=15, batch_size=100, lr=0.02, dropout=0.0),
        ResidualRegressor(width=8, epochs=15, batch_size=100, lr=0.02, dropout=0.0),
        CustomHead(spec=OWN_LINEAR, **SMALL),
        CustomRegressor(spec=OWN_LINEAR, **SMALL),
        AttentionHead(epochs=2),
        AttentionRegressor(epochs=2),
    ],
    whole=[LinearHead],
    expected=not_for,
)
def test_it_is_a_scikit_learn_estimator(estimator, check):
    check(estimator)


class Stored:
    """Rows that are read when they are asked for, as those of a set that is larger than memory."""

    def __init__(self, X):
        self.X, self.shape, self.most_at_once = X, X.shape, 0

    def __len__(self):
        return len(self.X)

    def __getitem__(self, rows):
        found = self.X[rows]
        self.most_at_once = max(self.most_at_once, len(found))
        return found

    def batches(self):
        """As sets have it."""


def sequences_of(problem, n=300):
    """Several noisy vectors a sample, of different numbers; one of them, at a random place, tells the class."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 6, n)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = rng.normal(size=(offsets[-1], 12)).astype(np.float32)
    telling = offsets[:-1] + rng.integers(0, lengths)
    Z = (problem.X - problem.X.mean(0)) / np.where(np.ptp(problem.X, axis=0) > 0, problem.X.std(0), 1)
    values[telling] = 3 * Z[:n]
    return Sequences(values, offsets), problem.y[:n]


@two_networks
def test_it_learns(name, problem):
    head = open_head(name, {}, seed=0).fit(problem.X, problem.y, problem.X_val, problem.y_val)
    assert head.score(problem.X_test, problem.y_test) > 0.85
    np.testing.assert_allclose(head.predict_proba(problem.X_test).sum(axis=1), 1, rtol=1e-5)


@two_networks
def test_several_labels_are_each_by_itself(name, problem):
    Y, Y_test = (np.stack([y == "cat", y != "dog"], axis=1).astype(int) for y in (problem.y, problem.y_test))
    plain = small(name, weight_decay=0.0, lr=0.01)
    head = open_head(name, plain, seed=0, task="multi").fit(problem.X, Y)
    assert head.is_multi_
    assert (head.predict(problem.X_test) == Y_test).mean() > 0.9
    assert head.predict_proba(problem.X_test).shape == (300, 2)
    assert not np.allclose(head.predict_proba(problem.X_test).sum(axis=1), 1)


@pytest.mark.parametrize(
    ("name", "flat"), cases(product(NETWORKS, (True, False)), [("linear", True), ("mlp", False)])
)
def test_numbers_are_predicted_in_their_own_units(name, flat, problem):
    def numbers(X):
        Z = (X - problem.X.mean(0)) / np.where(np.ptp(problem.X, axis=0) > 0, problem.X.std(0), 1)
        both = np.stack([1000 + 50 * Z[:, 0], Z[:, 5]], axis=1)
        return both[:, 0] if flat else both

    params = small(name, dropout=0.0, weight_decay=0.0, lr=0.01)
    head = open_head(name, params, seed=0, task="regression").fit(problem.X, numbers(problem.X))
    assert head.predict(problem.X_test).shape == numbers(problem.X_test).shape
    assert head.score(problem.X_test, numbers(problem.X_test)) > 0.8


@pytest.mark.parametrize("task", ["single", "multi", "regression"])
@pytest.mark.parametrize("name", [*NETWORKS, "attention"])
def test_a_loaded_head_predicts_bit_for_bit_the_same(name, task, problem, tmp_path):
    X, y = sequences_of(problem) if name == "attention" else (problem.X[:300], problem.y[:300])
    codes = np.searchsorted(np.unique(y), y)
    targets = {
        "single": y,
        "multi": np.stack([codes == 1, codes > 1], 1).astype(int),
        "regression": codes * 1.5,
    }
    head = open_head(name, {"epochs": 2}, seed=1, task=task).fit(X, targets[task])
    save_head(head, tmp_path)
    loaded = load_head(tmp_path)
    assert type(loaded) is type(head)
    assert loaded.predict(X).tobytes() == head.predict(X).tobytes()
    if task != "regression":
        assert loaded.predict_proba(X).tobytes() == head.predict_proba(X).tobytes()


@pytest.mark.parametrize(
    "params",
    variants(
        [{"pooling": "mean"}, {"pooling": "query"}, {"depth": 2, "n_heads": 8}],
        [{"pooling": "mean"}, {"pooling": "query"}],
    ),
)
def test_attention_finds_the_vector_that_tells(params, problem):
    sequences, y = sequences_of(problem, 400)
    train, test = np.arange(300), np.arange(300, 400)
    plain = {"dropout": 0.0, "epochs": 40, "width": 32, "lr": 0.003}
    head = open_head("attention", {**plain, **params}, seed=0).fit(take_rows(sequences, train), y[train])
    assert head.score(take_rows(sequences, test), y[test]) > 0.6
    array = np.stack([sequences.values[:50], sequences.values[50:100]], axis=1)
    assert head.predict(array).shape == (50,)


def test_what_is_padded_is_not_attended_to(problem):
    sequences, y = sequences_of(problem)
    head = open_head("attention", {"epochs": 2}, seed=0).fit(sequences, y)
    together = head.predict_proba(sequences)
    alone = np.concatenate([head.predict_proba(take_rows(sequences, np.array([row]))) for row in range(20)])
    np.testing.assert_allclose(together[:20], alone, rtol=1e-4, atol=1e-6)


def test_a_pooled_vector_has_nothing_to_attend_to(problem):
    with pytest.raises(
        DataError, match=r"nothing to attend to: features have one vector a sample.*last\.tokens"
    ):
        open_head("attention", {}, seed=0).fit(problem.X, problem.y)


@two_networks
def test_heads_side_by_side_are_what_each_is_alone(name, problem):
    X, y = problem.X, problem.y.copy()
    if name == "linear":  # which does not overfit otherwise, and would go on to the end
        y[::2] = np.random.default_rng(0).permutation(y[::2])
    heads = [
        open_head(
            name,
            small(name, lr=lr, weight_decay=decay, epochs=20, batch_size=64, patience=2),
            seed=3,
        )
        for lr, decay in ((1e-4, 0.5), (1e-3, 0.0), (1e-2, 0.0), (1e-2, 0.5))
    ]
    alone = [clone(h).fit(X, y, problem.X_val, problem.y_val) for h in heads]
    fit_stack(heads, Labelled(X, y, problem.X_val, problem.y_val))
    assert len({head.n_iter_ for head in heads}) > 1  # some stopped before others
    for one, other in zip(heads, alone, strict=True):
        assert (one.n_iter_, one.best_epoch_) == (other.n_iter_, other.best_epoch_)
        np.testing.assert_allclose(
            one.decision_function(problem.X_test), other.decision_function(problem.X_test), atol=1e-4,
            rtol=0 if name == "linear" else 1e-3,
        )  # fmt: skip


def test_a_member_that_diverges_takes_nobody_with_it(problem):
    def members(*rates):
        return [
            LinearHead(lr=lr, epochs=5, batch_size=20, warmup_share=0.0, weight_decay=w) for lr, w in rates
        ]

    good, bad = (1e-3, 0.1), (9e5, 9e5)
    heads = members(good, bad, (1e-2, 0.1))
    outcomes = fit_stack(heads, Labelled(problem.X, problem.y, problem.X_val, problem.y_val))
    assert [out.diverged_at > 0 for out in outcomes] == [False, True, False]
    assert not hasattr(heads[1], "weights_")
    [alone] = members(good)
    alone.fit(problem.X, problem.y, problem.X_val, problem.y_val)
    np.testing.assert_allclose(heads[0].coef_, alone.coef_, atol=1e-5)


def test_dropout_is_each_members_own(problem):
    heads = [MLPHead(dropout=share, epochs=6, width=32, batch_size=50) for share in (0.1, 0.5, 0.9)]
    alone = [clone(head).fit(problem.X, problem.y) for head in heads]
    fit_stack(heads, Labelled(problem.X, problem.y))
    losses = [head.history_[-1]["train_loss"] for head in heads]
    assert losses == sorted(losses)
    for one, other in zip(heads, alone, strict=True):
        np.testing.assert_allclose(one.predict_proba(problem.X), other.predict_proba(problem.X), atol=1e-4)


@every_network
def test_rows_that_stay_on_disk_give_the_same_head(name, problem):
    params = small(name, epochs=4, batch_size=50)
    stored = Stored(problem.X)
    inside = open_head(name, params, seed=0).fit(problem.X, problem.y, problem.X_val, problem.y_val)
    outside = open_head(name, params, seed=0).fit(stored, problem.y, Stored(problem.X_val), problem.y_val)
    np.testing.assert_allclose(
        inside.predict_proba(problem.X_test), outside.predict_proba(Stored(problem.X_test)), atol=1e-5
    )
    assert inside.best_epoch_ == outside.best_epoch_


def test_some_of_the_rows_on_disk_are_read_alone(problem):
    rows = np.array([5, 3, 300])
    chosen = take_rows(Stored(problem.X), rows)
    assert isinstance(chosen, ChosenRows)
    assert chosen.shape == (3, 12)
    np.testing.assert_array_equal(chosen[np.array([2, 0])], problem.X[[300, 5]])


def test_rare_classes_count_as_much_as_others_where_they_are_balanced(problem):
    rare = np.concatenate([np.flatnonzero(problem.y != "cat"), np.flatnonzero(problem.y == "cat")[:5]])
    recalls = []
    for weight in ("none", "balanced"):
        head = LinearHead(class_weight=weight, epochs=30, batch_size=50).fit(problem.X[rare], problem.y[rare])
        cats = problem.y_test == "cat"
        recalls.append((head.predict(problem.X_test[cats]) == "cat").mean())
    assert recalls[1] > recalls[0] + 0.2


def test_smooth_labels_and_mixed_samples_make_a_humbler_head(problem):
    sure, smooth, mixed = (
        LinearHead(epochs=60, weight_decay=0.0, lr=0.05, batch_size=100, **extra).fit(problem.X, problem.y)
        for extra in ({}, {"label_smoothing": 0.2}, {"mixup": 1.0})
    )
    confidence = [head.predict_proba(problem.X_test).max(axis=1).mean() for head in (sure, smooth, mixed)]
    assert confidence[1] < confidence[0] - 0.02
    assert confidence[2] < confidence[0]
    assert min(head.score(problem.X_test, problem.y_test) for head in (smooth, mixed)) > 0.8


@pytest.mark.parametrize("optimizer", ["sgd", "lbfgs"])
def test_other_optimizers_learn_too(optimizer, problem):
    params = {
        "sgd": {"lr": 0.05, "weight_decay": 0.01, "epochs": 30},
        "lbfgs": {"lr": 1.0, "weight_decay": 0.01, "epochs": 5},
    }
    head = LinearHead(optimizer=optimizer, **params[optimizer]).fit(problem.X, problem.y)
    assert head.score(problem.X_test, problem.y_test) > 0.85


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"optimizer": "adam"}, "optimizer must be one of adamw, sgd, lbfgs"),
        ({"schedule": "sine"}, "schedule must be one of constant"),
        ({"dropout": 1.0}, r"dropout must be a number in \[0, 1\)"),
        ({"momentum": -1}, "momentum must be"),
    ],
)
def test_a_parameter_that_cannot_be_is_named(params, message, problem):
    with pytest.raises(ConfigError, match=message):
        LinearHead(**params).fit(problem.X, problem.y)


def test_targets_that_are_no_numbers_are_refused(problem):
    with pytest.raises(ValueError, match=r"NaN|finite"):
        LinearRegressor().fit(problem.X, np.full(400, np.nan))


@two_networks
def test_a_pipeline_and_a_grid_search_take_it(name, problem):
    pipeline = make_pipeline(FunctionTransformer(), open_head(name, small(name, epochs=20), seed=0))
    step = pipeline.steps[-1][0]
    search = GridSearchCV(pipeline, {f"{step}__lr": [1e-6, 1e-2]}, cv=2).fit(problem.X, problem.y)
    assert search.best_params_ == {f"{step}__lr": 1e-2}
    assert search.score(problem.X_test, problem.y_test) > 0.85


OWN = """
import torch


def net(n_features, n_outputs, dropout):
    return torch.nn.Sequential(torch.nn.Linear(n_features, 16), torch.nn.BatchNorm1d(16), torch.nn.ReLU(),
                               torch.nn.Linear(16, n_outputs))


def nothing():
    return 3
"""


def test_a_module_of_the_users_own_is_a_head(problem, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_heads_of_a_test.py").write_text(OWN)
    head = open_head("py:own_heads_of_a_test:net", {"lr": 0.01}, seed=0)
    head.fit(problem.X, problem.y, problem.X_val, problem.y_val)
    assert head.score(problem.X_test, problem.y_test) > 0.8
    again = open_head("py:own_heads_of_a_test:net", {"lr": 0.01}, seed=0)
    again.fit(problem.X, problem.y, problem.X_val, problem.y_val)
    assert again.predict_proba(problem.X).tobytes() == head.predict_proba(problem.X).tobytes()
    (tmp_path / "run").mkdir()
    save_head(head, tmp_path / "run")
    loaded = load_head(tmp_path / "run")
    assert loaded.predict_proba(problem.X).tobytes() == head.predict_proba(problem.X).tobytes()
    (tmp_path / "own_heads_of_a_test.py").write_text(OWN + "\n# changed\n")
    with pytest.raises(ConfigError, match="has changed since this head was fitted"):
        load_head(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"gave a int; it must give a torch\.nn\.Module"):
        open_head("py:own_heads_of_a_test:nothing", {}, seed=0).fit(problem.X, problem.y)
    with pytest.raises(ConfigError, match="cannot be imported"):
        open_head("py:own_heads_of_a_test:gone", {}, seed=0).fit(problem.X, problem.y)


@pytest.mark.parametrize(
    ("name", "task"),
    [
        *(("linear", "single"), ("mlp", "single"), ("residual", "multi"), ("mlp", "regression")),
        *(
            pytest.param(*both, marks=pytest.mark.slow)
            for both in (
                *(("linear", "multi"), ("linear", "regression"), ("mlp", "multi")),
                *(("residual", "single"), ("residual", "regression")),
            )
        ),
    ],
)
def test_other_seeds_and_other_features_side_by_side_are_what_each_is_alone(name, task, problem):
    X, X_val, X_test = problem.X, problem.X_val, problem.X_test
    codes, codes_val = (np.searchsorted(np.unique(problem.y), y) for y in (problem.y, problem.y_val))
    as_task = {
        "single": lambda y: y,
        "multi": lambda y: np.stack([y == 0, y != 1], axis=1).astype(np.int64),
        "regression": lambda y: y * 2.5 - 1,
    }[task]
    y, y_val = as_task(codes), as_task(codes_val)
    changed = np.random.default_rng(1).permutation(X.shape[1])
    taps = [
        Labelled(X, y, X_val, y_val, [X * 1.1, X - 0.1]),
        Labelled(2 * X[:, changed] + 1, y, 2 * X_val[:, changed] + 1, y_val, [X, X * 0.9]),
    ]
    params = small(name, epochs=4, batch_size=50, patience=2, mixup=0.2, dropout=0.1)
    chosen = ((0, 0, 1e-3), (0, 7, 1e-3), (1, 0, 3e-3), (1, 7, 1e-3), (0, 7, 3e-3))
    choices = [(taps[tap], seed, lr) for tap, seed, lr in chosen]
    heads = [open_head(name, {**params, "lr": lr}, seed=seed, task=task) for _, seed, lr in choices]
    alone = [clone(head) for head in heads]
    fit_stack(heads, [tap for tap, _, _ in choices])
    for head, other, (tap, _, _) in zip(heads, alone, choices, strict=True):
        other.fit(tap.X, tap.y, tap.X_val, tap.y_val, views=tap.views)
        assert (head.n_iter_, head.best_epoch_) == (other.n_iter_, other.best_epoch_)
        np.testing.assert_allclose(head._scores(X_test), other._scores(X_test), atol=1e-3, rtol=0)
    seeds_differ = np.abs(heads[0]._scores(X_test) - heads[1]._scores(X_test)).max()
    assert seeds_differ > 5e-3  # each has an order, a dropout and views of its own


def test_attention_over_tokens_is_tried_at_several_rates_side_by_side():
    lengths = np.random.default_rng(0).integers(2, 6, 60)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = np.random.default_rng(1).normal(size=(offsets[-1], 16)).astype(np.float32)
    samples = Labelled(
        Sequences(values, offsets), np.array(["a", "b", "c"])[np.arange(60) % 3], None, None, ()
    )
    heads = [AttentionHead(lr=lr, epochs=2, n_heads=2, random_state=0) for lr in (1e-3, 1e-2)]
    assert [len(trained.history) for trained in fit_stack(heads, samples, (), None)] == [2, 2]
