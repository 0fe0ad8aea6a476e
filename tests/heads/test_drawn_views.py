"""Views in training: in each epoch each sample shows its own features or one of its views."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from headstart.errors import ConfigError
from headstart.heads.networks import OwnNetwork
from headstart.heads.neural import LinearHead
from headstart.tasks import open_task
from headstart.training.examples import Rows, Stream
from headstart.training.settings import Member, Settings
from headstart.training.stack import train_stack
from headstart.training.trainee import Objective

N, V, EPOCHS = 300, 4, 30
SETTINGS = Settings(epochs=EPOCHS, batch_size=64, warmup_share=0.1, patience=99, clip_norm=1.0)


class Witness(nn.Module):
    """Notes what it is shown in training: each sample's inputs are its row and the number of the view."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 3)
        self.seen: list[torch.Tensor] = []
        self.looked: list[torch.Tensor] = []

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        (self.seen if self.training else self.looked).append(inputs.clone())
        return self.layer(inputs / N)


def shown(seed: int = 0) -> tuple[torch.Tensor, Witness]:
    """Which view each sample showed in each epoch, shape (EPOCHS, N)."""

    rows = torch.arange(N, dtype=torch.float32)
    inputs = torch.stack([torch.stack([rows, torch.full((N,), float(view))], dim=1) for view in range(V + 1)])
    targets = torch.arange(N) % 3
    examples = Rows(inputs[0], targets, inputs[1:])
    module = Witness()
    train_stack(
        OwnNetwork(module),
        [Stream(examples, [Member(0.01, 0.1)], Rows(inputs[0], targets), seed)],
        SETTINGS,
        Objective(open_task("single")),
    )
    seen = torch.cat(module.seen).reshape(EPOCHS, N, 2)
    assert all(epoch[:, 0].sort().values.equal(rows) for epoch in seen)  # every sample once an epoch
    drawn = torch.stack([epoch[epoch[:, 0].argsort(), 1] for epoch in seen])
    return drawn, module


def test_each_sample_shows_all_of_them_about_as_often() -> None:
    drawn, _ = shown()
    for view in range(V + 1):
        share = (drawn == view).float().mean().item()
        assert share == pytest.approx(1 / (V + 1), abs=0.02)
    assert (drawn[1:] != drawn[:-1]).float().mean() > 0.7  # another one from epoch to epoch
    assert all(len(sample.unique()) == V + 1 for sample in drawn.T)


def test_one_seed_draws_one_sequence_and_another_seed_another() -> None:
    assert shown(1)[0].equal(shown(1)[0])
    assert not shown(1)[0].equal(shown(2)[0])


def test_validation_is_always_the_plain_feature() -> None:
    _, module = shown()
    assert all((inputs[:, 1] == 0).all() for inputs in module.looked)
    assert len(module.looked) == EPOCHS


def test_drawing_takes_no_targets_from_other_samples() -> None:
    rows = torch.arange(10.0)[:, None]
    examples = Rows(rows, torch.arange(10), torch.stack([rows + 100, rows + 200]))
    picked, which = torch.tensor([7, 2, 9]), torch.tensor([0] * 2 + [2] + [0] * 4 + [1] + [0] * 2)
    examples.shown = which
    assert examples.take(picked, training=True).flatten().tolist() == [107, 202, 9]
    assert examples.take(picked).flatten().tolist() == [7, 2, 9]
    assert examples.inputs.flatten().tolist() == list(range(10))


def test_views_that_are_the_plain_features_change_nothing(problem) -> None:
    """The order of the samples is the same with views as without."""
    plain = LinearHead(epochs=5).fit(problem.X, problem.y, problem.X_val, problem.y_val)
    viewed = LinearHead(epochs=5).fit(
        problem.X, problem.y, problem.X_val, problem.y_val, views=[problem.X, problem.X]
    )
    assert viewed.coef_.tobytes() == plain.coef_.tobytes()
    assert viewed.history_ == plain.history_


def test_a_head_with_views_is_reproducible(problem) -> None:
    views = [problem.X + 1, problem.X * 1.1]
    first, same, other = (
        LinearHead(epochs=5, random_state=seed).fit(problem.X, problem.y, views=views) for seed in (1, 1, 2)
    )
    assert first.coef_.tobytes() == same.coef_.tobytes() != other.coef_.tobytes()
    assert (
        first.coef_.tobytes()
        != LinearHead(epochs=5, random_state=1).fit(problem.X, problem.y).coef_.tobytes()
    )


def test_the_scale_is_that_of_the_plain_features(problem) -> None:
    head = LinearHead(epochs=2).fit(problem.X, problem.y, views=[problem.X + 1000])
    np.testing.assert_array_equal(head.mean_, LinearHead(epochs=2).fit(problem.X, problem.y).mean_)


def test_a_view_of_other_rows_is_refused(problem) -> None:
    with pytest.raises(ConfigError, match="399 rows, and X has 400"):
        LinearHead(epochs=2).fit(problem.X, problem.y, views=[problem.X[1:]])


def test_it_learns_what_the_views_show() -> None:
    """Digits moved by a pixel: seen as views in training, they are known in the test; else by half."""
    digits = load_digits()
    images, labels = digits.images.astype(np.float32), digits.target
    moves = ((0, 1), (0, -1), (1, 0), (-1, 0))

    def moved(rows: slice, move: tuple[int, int]) -> np.ndarray:
        return np.roll(images[rows], move, (1, 2)).reshape(-1, 64)

    train_rows, test_rows = slice(400), slice(800, None)
    scores = []
    for views in ([], [moved(train_rows, move) for move in moves]):
        head = LinearHead(lr=0.02, epochs=40, batch_size=100).fit(
            moved(train_rows, (0, 0)), labels[train_rows], views=views
        )
        scores.append(np.mean([head.score(moved(test_rows, move), labels[test_rows]) for move in moves]))
    assert scores[0] < 0.5
    assert scores[1] > 0.65
