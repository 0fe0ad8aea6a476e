"""The logistic head minimises what scikit-learn minimises, and chooses its penalty by validation."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from headstart.devices import pick_gpu
from headstart.heads import open_head
from headstart.heads.estimators import held_out
from headstart.heads.logistic import LogisticHead


def objective(model, X, y, C):
    """In double precision, whatever the model computes in."""
    coef = np.asarray(model.coef_, dtype=np.float64)
    logits = X.astype(np.float64) @ coef.T + model.intercept_
    losses = -log_softmax(logits, axis=1)[np.arange(len(y)), np.searchsorted(model.classes_, y)]
    return C * losses.sum() + 0.5 * np.square(coef).sum()


@pytest.mark.parametrize("weight", [None, "balanced"])
@pytest.mark.parametrize("binary", [False, True])
def test_it_converges_to_what_scikit_learn_gives(problem, binary, weight):
    X, y = problem.binary() if binary else (problem.X, problem.y)
    X, X_test = X.astype(np.float64), problem.X_test.astype(np.float64)
    X, y = X[30:], y[30:]
    head = LogisticHead(C=0.5, tol=1e-13, class_weight=weight or "none").fit(X, y)
    model = LogisticRegression(C=0.5, max_iter=10_000, tol=1e-10, class_weight=weight)
    plain = make_pipeline(StandardScaler(), model).fit(X, y)
    ours, theirs = head.decision_function(X_test), plain.decision_function(X_test)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(head.predict_proba(X_test), plain.predict_proba(X_test), atol=1e-4)


@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
def test_single_precision_gives_the_same_objective_and_predictions_on_unscaled_features(C):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(8, 32))
    y, y_test = rng.integers(8, size=600), rng.integers(8, size=600)
    X = (centres[y] + 3 * rng.normal(size=(600, 32)) + 5).astype(np.float32)
    X_test = (centres[y_test] + 3 * rng.normal(size=(600, 32)) + 5).astype(np.float32)
    head = LogisticHead(C=C, scaling="none").fit(X, y)
    with threadpool_limits(1):  # threads of two kinds on a busy machine take minutes
        model = LogisticRegression(C=C, max_iter=1000, tol=1e-6).fit(X.astype(np.float64), y)
    best = objective(model, X, y, C)
    assert objective(head, X, y, C) == pytest.approx(best, rel=1e-3)
    assert head.objective_ == pytest.approx(objective(head, X, y, C), rel=1e-4)
    assert head.score(X_test, y_test) == pytest.approx(model.score(X_test, y_test), abs=0.005)


def test_labels_are_binary_regressions_side_by_side(problem):
    Y = np.stack([problem.y == name for name in ("cat", "dog", "eel")], axis=1).astype(int)
    X = problem.X.astype(np.float64)
    head = LogisticHead(C=0.2, tol=1e-12).fit(X, Y)
    for column in range(3):
        model = LogisticRegression(C=0.2, max_iter=10_000, tol=1e-10)
        plain = make_pipeline(StandardScaler(), model).fit(X, Y[:, column])
        np.testing.assert_allclose(
            head.decision_function(X)[:, column], plain.decision_function(X), rtol=1e-3, atol=1e-3
        )


def test_it_says_whether_it_converged_and_warns_of_nothing(problem):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = open_head("logistic", {"C": 0.03}, seed=0).fit(problem.X, problem.y)
        cut_short = open_head("logistic", {"C": 0.03, "max_iter": 2}, seed=0).fit(problem.X, problem.y)
    assert done.converged_
    assert done.n_iter_ > 2
    assert not cut_short.converged_
    assert cut_short.n_iter_ == 2


def test_auto_takes_the_c_with_the_least_validation_loss(problem):
    head = LogisticHead().fit(problem.X, problem.y, problem.X_val, problem.y_val)
    losses = [entry["validation_loss"] for entry in head.path_]
    assert head.path_[int(np.argmin(losses))]["C"] == head.C_
    alone = LogisticHead(C=head.C_).fit(problem.X, problem.y)
    assert head.objective_ == pytest.approx(alone.objective_, rel=1e-3)
    likely = head.predict_proba(problem.X_val)
    codes = np.searchsorted(head.classes_, problem.y_val)
    assert -np.log(likely[np.arange(len(codes)), codes]).mean() == pytest.approx(min(losses), rel=1e-4)


def test_without_validation_data_a_fifth_chooses_and_all_rows_are_fitted(problem):
    head = LogisticHead(random_state=1).fit(problem.X, problem.y)
    alone = LogisticHead(C=head.C_).fit(problem.X, problem.y)
    assert len(head.path_) > 3
    assert head.objective_ == pytest.approx(alone.objective_, rel=1e-3)


def test_the_path_ends_where_the_loss_only_rises():
    """Labels that features say nothing about: the strongest penalty is best."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 60)).astype(np.float32), rng.integers(3, size=200)
    head = LogisticHead(Cs=[0.0001, 0.01, 1, 10, 100, 1000]).fit(X[:100], y[:100], X[100:], y[100:])
    assert head.C_ == 0.0001
    assert len(head.path_) < 6


def test_the_grid_follows_the_unit_of_the_features(problem):
    """On features of another size the path goes over other values of C, to the same predictions."""
    X = StandardScaler().fit_transform(problem.X.astype(np.float64))
    heads = [LogisticHead(scaling="none").fit(X * factor, problem.y) for factor in (1.0, 0.01)]
    assert pytest.approx(1e4 * heads[0].C_, rel=1e-6) == heads[1].C_
    assert (heads[0].predict(X) == heads[1].predict(X * 0.01)).mean() > 0.99


def test_smoothed_labels_make_it_less_sure(problem):
    plain, smooth = (
        LogisticHead(C=1.0, label_smoothing=share).fit(problem.X, problem.y).predict_proba(problem.X_test)
        for share in (0.0, 0.2)
    )
    assert smooth.max(axis=1).mean() < plain.max(axis=1).mean() - 0.05


def test_what_is_held_out_has_a_fifth_of_every_class():
    codes = np.repeat([0, 1, 2, 3], [50, 10, 2, 1])
    train, held = held_out(codes, seed=0)
    assert np.bincount(codes[held], minlength=4).tolist() == [10, 2, 1, 0]
    assert sorted([*train, *held]) == list(range(63))
    assert held.tolist() != held_out(codes, seed=1)[1].tolist()


@pytest.mark.parametrize("params", [{}, {"C": 0.3, "class_weight": "balanced", "label_smoothing": 0.1}])
@pytest.mark.parametrize("labels", ["classes", "two classes", "labels"])
def test_tensors_give_what_arrays_give(problem, monkeypatch, labels, params):
    X, y = problem.X.astype(np.float64), problem.y
    if labels == "two classes":
        X, y = problem.binary()
        X = X.astype(np.float64)
    elif labels == "labels":
        y = np.stack([y == name for name in ("cat", "dog")], axis=1).astype(int)
    on_arrays = LogisticHead(device="cpu", tol=1e-10, **params).fit(X[40:], y[40:], X[:40], y[:40])
    monkeypatch.setattr("headstart.heads.logistic.pick_gpu", lambda _: torch.device("cpu"))
    on_tensors = LogisticHead(tol=1e-10, **params).fit(X[40:], y[40:], X[:40], y[:40])
    assert pytest.approx(on_arrays.C_, rel=1e-12) == on_tensors.C_
    assert on_tensors.path_ == [pytest.approx(step, rel=1e-4) for step in on_arrays.path_]
    np.testing.assert_allclose(on_tensors.coef_, on_arrays.coef_, atol=1e-3)
    assert on_tensors.objective_ == pytest.approx(on_arrays.objective_, rel=1e-7)


def test_torch_is_asked_for_a_gpu_only_where_a_driver_is(monkeypatch, tmp_path):
    monkeypatch.setattr("headstart.devices.GPU_NODES", (str(tmp_path / "none"),))
    monkeypatch.setattr("headstart.devices.pick_device", pytest.fail)
    assert pick_gpu("auto") is None
    monkeypatch.setattr("headstart.devices.GPU_NODES", (str(tmp_path),))
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("headstart.devices.pick_device", lambda name: torch.device("meta"))
    assert pick_gpu("auto") == torch.device("meta")


def test_a_step_into_the_infinite_is_shortened_without_a_warning():
    X = np.array([[1e20], [-1e20], [2e20], [-3e20]], dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        head = LogisticHead(C=1e3, scaling="none").fit(X, [0, 1, 0, 1])
    assert np.isfinite(head.coef_).all()
