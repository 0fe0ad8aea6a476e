"""The training loop, on modules of its own."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from headstart.heads.training import Examples, Settings, learning_rate, make_optimizer, train

SETTINGS = Settings(
    lr=0.01,
    weight_decay=0.1,
    epochs=4,
    batch_size=64,
    warmup_share=0.1,
    patience=10,
    clip_norm=1.0,
    seed=0,
)


@pytest.fixture
def examples():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(300, 8, generator=generator)
    return Examples(inputs, inputs[:, :3].argmax(dim=1))


def network(dropout=0.0):
    """A module with matrices, biases, a norm, buffers and, maybe, dropout; always the same start."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return nn.Sequential(
            nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3)
        )


def test_any_module_with_logits_learns(examples):
    module = network()
    history, best_epoch = train(module, examples, examples, replace(SETTINGS, epochs=20))
    assert history[-1]["validation_accuracy"] > 0.9
    assert history[best_epoch - 1]["validation_loss"] == min(each["validation_loss"] for each in history)
    assert not module.training


def test_looking_at_validation_changes_nothing_about_training(examples):
    """After it the module trains on in training mode, and no random number was used up."""
    losses = []
    for validation in (None, examples):
        history, _ = train(network(dropout=0.5), examples, validation, SETTINGS)
        losses.append([record["train_loss"] for record in history])
    assert losses[0] == losses[1]


def test_the_learning_rate_rises_to_its_peak_and_falls_to_nothing():
    settings = replace(SETTINGS, lr=2.0, warmup_share=0.1)
    rates = [learning_rate(step, 100, settings) for step in range(100)]
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) * 0.2)
    assert max(rates) == rates[9] == rates[10] == 2.0
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[10:]))
    assert rates[-1] < 0.01
    assert learning_rate(0, 100, replace(settings, warmup_share=0.0)) == 2.0


def test_only_matrices_are_decayed():
    module = network()
    decayed, spared = make_optimizer(module, SETTINGS).param_groups
    assert {id(weight) for weight in decayed["params"]} == {id(module[0].weight), id(module[4].weight)}
    assert decayed["weight_decay"] == 0.1
    assert spared["weight_decay"] == 0
    assert len(spared["params"]) == 4


def gradient_norms(examples, clip_norm):
    """The norm of the gradients that the optimizer was given, step by step."""
    norms = []

    def note(optimizer, *_):
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        norms.append(torch.cat([weight.grad.flatten() for weight in weights]).norm().item())

    hook = register_optimizer_step_pre_hook(note)
    try:
        train(network(), examples, None, replace(SETTINGS, clip_norm=clip_norm))
    finally:
        hook.remove()
    return norms


def test_gradients_are_clipped(examples):
    free, clipped = gradient_norms(examples, 1e9), gradient_norms(examples, 0.2)
    assert len(clipped) == 4 * 5
    assert max(free) > 0.3
    assert max(clipped) <= 0.2 * (1 + 1e-5)


def test_dropout_follows_the_seed_and_leaves_the_global_state_alone(examples):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    weights = []
    for seed in (7, 7, 8):
        module = network(dropout=0.5)
        train(module, examples, None, replace(SETTINGS, seed=seed))
        weights.append(module[0].weight.detach().clone())
        assert torch.equal(torch.get_rng_state(), before)
        torch.rand(3)
        before = torch.get_rng_state()
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_an_error_in_the_callback_leaves_the_global_state_alone(examples):
    before = torch.get_rng_state()

    def fail(record):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(network(dropout=0.5), examples, None, SETTINGS, callback=fail)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_best_weights_come_back_with_their_buffers(examples):
    """Right labels first, then wrong ones: the first epochs are the best."""
    validation = Examples(examples.inputs, (examples.targets + 1) % 3)
    snapshots = []
    module = network()
    _, best_epoch = train(
        module,
        examples,
        validation,
        replace(SETTINGS, epochs=12, patience=3),
        callback=lambda record: snapshots.append({k: v.clone() for k, v in module.state_dict().items()}),
    )
    assert best_epoch == 1
    assert len(snapshots) == 4
    for name, value in module.state_dict().items():
        assert torch.equal(value, snapshots[0][name]), name
    assert not torch.equal(module[0].weight, snapshots[-1]["0.weight"])
