"""The torch head: seeded, stopping early, and needing no torch to predict."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from headstart.errors import ConfigError
from headstart.heads.neural import LinearHead
from headstart.heads.predictor import save_head


def fit(problem, **params):
    head = LinearHead(**params)
    return head.fit(problem.X, problem.y, problem.X_val, problem.y_val)


def test_one_seed_gives_one_result_and_another_seed_another(problem):
    first, same, other = (fit(problem, epochs=5, random_state=seed) for seed in (1, 1, 2))
    assert first.coef_.tobytes() == same.coef_.tobytes()
    assert first.intercept_.tobytes() == same.intercept_.tobytes()
    assert first.history_ == same.history_
    assert first.coef_.tobytes() != other.coef_.tobytes()


def test_nobody_elses_random_numbers_change(problem):
    torch.manual_seed(11)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    fit(problem, epochs=2)
    fit(problem, epochs=2, random_state=None)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]


def test_what_was_drawn_before_does_not_matter(problem):
    torch.manual_seed(1)
    first = fit(problem, epochs=3)
    torch.manual_seed(2)
    assert fit(problem, epochs=3).coef_.tobytes() == first.coef_.tobytes()


def test_it_stops_early_and_keeps_the_best_epoch(problem):
    head = fit(problem, lr=0.05, weight_decay=0.0, epochs=200, patience=4)
    losses = [record["validation_loss"] for record in head.history_]
    assert head.n_iter_ == len(losses) < 200
    assert head.best_epoch_ == int(np.argmin(losses)) + 1 == head.n_iter_ - 4
    rows, codes = np.arange(len(problem.y_val)), np.searchsorted(head.classes_, problem.y_val)
    loss = -np.log(head.predict_proba(problem.X_val)[rows, codes]).mean()
    assert loss == pytest.approx(min(losses), rel=1e-4)
    accuracy = head.history_[head.best_epoch_ - 1]["validation_accuracy"]
    assert head.score(problem.X_val, problem.y_val) == pytest.approx(accuracy)


def test_without_validation_it_trains_all_epochs(problem):
    head = LinearHead(epochs=12, patience=1).fit(problem.X, problem.y)
    assert head.n_iter_ == head.best_epoch_ == 12
    assert head.history_[-1]["validation_loss"] is None
    assert head.history_[-1]["train_loss"] < head.history_[0]["train_loss"]


def test_the_validation_split_does_not_change_what_is_learnt_in_an_epoch(problem):
    with_it = fit(problem, epochs=5, patience=5)
    without = LinearHead(epochs=5).fit(problem.X, problem.y)
    assert with_it.best_epoch_ == 5
    assert with_it.coef_.tobytes() == without.coef_.tobytes()


def test_a_validation_label_that_training_lacks_is_wrong_and_has_no_loss(problem):
    plain = fit(problem, epochs=3)
    X_val = np.concatenate([problem.X_val, problem.X_val[:50]])
    y_val = np.concatenate([problem.y_val, np.full(50, "unicorn")])
    head = LinearHead(epochs=3).fit(problem.X, problem.y, X_val, y_val)
    for with_unseen, without in zip(head.history_, plain.history_, strict=True):
        assert with_unseen["validation_loss"] == pytest.approx(without["validation_loss"], rel=1e-5)
        assert with_unseen["validation_accuracy"] == pytest.approx(without["validation_accuracy"] * 150 / 200)


def test_validation_of_unseen_labels_alone_stops_nothing(problem):
    head = LinearHead(epochs=4, patience=1).fit(problem.X, problem.y, problem.X_val, np.full(150, "aardvark"))
    assert head.n_iter_ == 4
    assert head.history_[0]["validation_loss"] is None
    assert head.history_[0]["validation_accuracy"] == 0


def test_the_history_is_json_and_the_callback_sees_it_grow(problem):
    seen = []
    head = LinearHead(epochs=3).fit(
        problem.X, problem.y, problem.X_val, problem.y_val, callbacks=[seen.append]
    )
    assert json.loads(json.dumps(head.history_)) == seen == head.history_
    of_an_epoch = ["epoch", "train_loss", "validation_loss", "train_accuracy", "validation_accuracy", "lr"]
    assert list(seen[0]) == [*of_an_epoch, "gradient_norm", "moved", "gradients"]
    assert [record["epoch"] for record in seen] == [1, 2, 3]


def test_trained_long_enough_it_agrees_with_logistic_regression(problem):
    head = LinearHead(lr=0.05, weight_decay=0.0, epochs=400, batch_size=400, clip_norm=100.0)
    head.fit(problem.X, problem.y)
    plain = make_pipeline(StandardScaler(), LogisticRegression(C=1e4, max_iter=2000))
    plain.fit(problem.X.astype(np.float64), problem.y)
    assert np.mean(head.predict(problem.X_test) == plain.predict(problem.X_test)) > 0.97


def test_diverging_is_said_with_the_learning_rate(problem):
    with pytest.raises(ConfigError, match=r"diverged.*epoch 1.*smaller learning rate than lr=100000"):
        LinearHead(lr=1e5, weight_decay=1e5, warmup_share=0.0, batch_size=20).fit(problem.X, problem.y)


@pytest.mark.parametrize("device", ["quantum", "cuda:77", ""])
def test_a_device_that_is_not_here_is_named(problem, device):
    with pytest.raises(ConfigError, match=f"device '{device}' cannot be used here"):
        LinearHead(device=device).fit(problem.X, problem.y)


def test_validation_features_need_labels(problem):
    with pytest.raises(ConfigError, match="y_val"):
        LinearHead().fit(problem.X, problem.y, problem.X_val)


@pytest.mark.slow
def test_predicting_needs_no_torch(problem, tmp_path):
    head = fit(problem, epochs=3)
    save_head(head, tmp_path)
    np.save(tmp_path / "X.npy", problem.X_test)
    script = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from headstart.heads.predictor import load_head\n"
        "folder = Path(sys.argv[1]); X = np.load(folder / 'X.npy')\n"
        "np.save(folder / 'P.npy', load_head(folder).predict_proba(X))\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "P.npy"), head.predict_proba(problem.X_test))
