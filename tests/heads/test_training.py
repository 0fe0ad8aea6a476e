"""The training loop, on modules of its own."""

from __future__ import annotations

import copy
import itertools
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from headstart.errors import StorageError
from headstart.heads.networks import MLP, LinearNetwork, OwnNetwork, ResidualNetwork
from headstart.tasks import open_task
from headstart.training import optimizers
from headstart.training.checkpoint import Checkpoint
from headstart.training.examples import Rows, Stream, batches_of, generator_of
from headstart.training.settings import SCHEDULES, Member, Settings, rate_factor
from headstart.training.stack import MIXUP, HeadStack, train_stack
from headstart.training.trainee import Objective

from ..variants import variants

SETTINGS = Settings(epochs=4, batch_size=64, warmup_share=0.1, patience=10, clip_norm=1.0)
MEMBER = Member(lr=0.01, weight_decay=0.1)


def train(module, examples, validation, settings, member=MEMBER, callbacks=(), checkpoint=None, seed=0):
    """Train one module in place; its history and best epoch."""
    network = OwnNetwork(module)
    stream = Stream(examples, [member], validation, seed)
    [trained] = train_stack(
        network, [stream], settings, Objective(open_task("single")), callbacks, checkpoint
    )
    network.load_member(trained.weights)
    return trained.history, trained.best_epoch


@pytest.fixture
def examples():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(300, 8, generator=generator)
    return Rows(inputs, inputs[:, :3].argmax(dim=1))


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
    rates = [rate_factor(step, 100, SETTINGS) for step in range(100)]
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) * 0.1)
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[10:]))
    assert rates[-1] < 0.01
    assert rate_factor(0, 100, replace(SETTINGS, warmup_share=0.0)) == 1.0


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_no_schedule_is_ever_above_the_peak_or_below_nothing(schedule):
    rates = [rate_factor(step, 50, replace(SETTINGS, schedule=schedule)) for step in range(50)]
    assert 0 <= min(rates) <= max(rates) <= 1
    falls = {"constant": 1.0, "plateau": 1.0, "step": 0.01, "linear": 0.03, "cosine": 0.01, "one-cycle": 0.01}
    assert rates[-1] == pytest.approx(falls[schedule], abs=0.01)


def test_a_rate_falls_where_the_loss_stays_on_a_plateau(examples):
    wrong = Rows(examples.inputs, (examples.targets + 1) % 3)
    settings = replace(SETTINGS, schedule="plateau", epochs=12, patience=9, warmup_share=0.0)
    history, _ = train(network(), examples, wrong, settings)
    rates = [record["lr"] for record in history]
    assert rates[0] == 0.01
    assert rates[3] == 0.01
    assert rates[-1] == pytest.approx(1e-4)


def test_only_matrices_are_decayed(examples):
    """With no gradient to follow, what decay takes is all that changes."""
    for name in ("adamw", "sgd"):
        module = network()
        before = {n: p.detach().clone() for n, p in module.named_parameters()}
        settings = replace(SETTINGS, optimizer=name)
        stack = HeadStack(
            OwnNetwork(module), [Stream(examples, [MEMBER])], settings, Objective(open_task("single"))
        )
        optimizer = optimizers.open_optimizer(stack, settings)
        wrapped = {f"module.{n}": torch.zeros_like(p) for n, p in before.items()}
        optimizer.step(wrapped, [0.5])
        for n, parameter in module.named_parameters():
            kept = 1 - 0.5 * 0.1 if parameter.ndim > 1 else 1.0
            torch.testing.assert_close(parameter.detach(), before[n] * kept)


def test_gradients_are_clipped(examples):
    """SGD without momentum moves by the learning rate times the gradient's norm."""
    settings = replace(
        SETTINGS,
        optimizer="sgd",
        momentum=0.0,
        epochs=1,
        batch_size=300,
        schedule="constant",
        warmup_share=0.0,
    )
    moved = []
    for clip_norm in (1e9, 0.2):
        module = network()
        before = nn.utils.parameters_to_vector(module.parameters()).detach().clone()
        train(module, examples, None, replace(settings, clip_norm=clip_norm), Member(0.5, 0.0))
        after = nn.utils.parameters_to_vector(module.parameters()).detach()
        moved.append((after - before).norm().item() / 0.5)
    assert moved[0] > 0.3
    assert moved[1] == pytest.approx(0.2, rel=1e-3)


def test_gradients_are_watched(examples):
    module = network()
    module[0].weight.requires_grad_(False)
    history, _ = train(module, examples, None, SETTINGS)
    assert history[0]["gradient_norm"] > 0
    assert 0 < history[0]["moved"] <= 1
    assert "module.0.weight" not in history[0]["gradients"]
    assert history[0]["gradients"]["module.4.weight"]["norm"] > 0


def test_a_callback_may_end_the_training(examples):
    heard = []

    class Third:
        def on_fit_begin(self, about):
            heard.append(about["n_samples"])

        def on_epoch_end(self, record):
            return record["epoch"] == 3

        def on_fit_end(self, history):
            heard.append(len(history))

    history, _ = train(network(), examples, None, replace(SETTINGS, epochs=9), callbacks=[Third()])
    assert len(history) == 3
    assert heard == [300, 3]


class Cut(Exception):
    """The power went."""


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lbfgs"])
@pytest.mark.parametrize("cut_after", variants([1, 5], {5}))
def test_a_training_that_was_cut_off_ends_as_if_it_had_not_been(examples, tmp_path, optimizer, cut_after):
    settings = replace(SETTINGS, epochs=8, optimizer=optimizer, mixup=0.2, patience=8)
    whole = network(dropout=0.4)
    expected = train(whole, examples, examples, settings)

    def cut(record):
        if record["epoch"] == cut_after + 1:
            raise Cut

    checkpoint = Checkpoint(tmp_path / "state.safetensors", every=0)
    with pytest.raises(Cut):
        train(network(dropout=0.4), examples, examples, settings, callbacks=[cut], checkpoint=checkpoint)
    again, epochs = network(dropout=0.4), []
    assert (
        train(
            again, examples, examples, settings, callbacks=[lambda r: epochs.append(r["epoch"])],
            checkpoint=checkpoint,
        )
        == expected
    )  # fmt: skip
    assert epochs[0] == (1 if optimizer == "lbfgs" else cut_after + 1)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_the_state_of_another_training_is_not_taken_up(examples, tmp_path):
    path = tmp_path / "state.safetensors"

    def first_epoch(second, validation, settings=SETTINGS, member=MEMBER):
        def cut(record):
            if record["epoch"] == 2:
                raise Cut

        epochs = []
        with pytest.raises(Cut):
            train(
                network(), examples, examples, SETTINGS, callbacks=[cut], checkpoint=Checkpoint(path, every=0)
            )
        train(
            network(), second, validation, settings, member,
            [lambda record: epochs.append(record["epoch"])], Checkpoint(path, every=1e9),
        )  # fmt: skip
        return epochs[0]

    last_row = examples.inputs.clone()
    last_row[-1] += 1
    other = Rows(last_row, examples.targets)
    assert first_epoch(examples, examples) == 2
    assert first_epoch(examples, examples, replace(SETTINGS, batch_size=32)) == 1
    assert first_epoch(examples, examples, SETTINGS, Member(0.02, 0.1)) == 1
    assert first_epoch(other, examples) == 1
    assert first_epoch(examples, other) == 1


def test_a_state_that_cannot_be_read_is_named(examples, tmp_path):
    path = tmp_path / "state.safetensors"
    path.write_bytes(b"half of someth")
    with pytest.raises(StorageError, match="delete it"):
        train(network(), examples, None, SETTINGS, checkpoint=Checkpoint(path))


def test_a_state_may_be_read_by_whom_other_files_may_be_read_by(examples, tmp_path):
    path, other = tmp_path / "state.safetensors", tmp_path / "other"
    before = os.umask(0o027)
    try:
        train(network(), examples, None, replace(SETTINGS, epochs=1), checkpoint=Checkpoint(path, every=0))
        other.touch()
    finally:
        os.umask(before)
    assert path.stat().st_mode == other.stat().st_mode


def test_plateau_waits_for_a_loss_that_is_measured(examples):
    settings = replace(SETTINGS, epochs=8, schedule="plateau", patience=3, warmup_share=0.0)
    history, _ = train(network(), examples, None, settings)
    assert {record["lr"] for record in history} == {MEMBER.lr}


def test_lbfgs_is_watched_too(examples):
    history, _ = train(network(), examples, examples, replace(SETTINGS, epochs=2, optimizer="lbfgs"))
    assert history[0]["gradient_norm"] > 0


def test_dropout_follows_the_seed_and_leaves_the_global_state_alone(examples):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    weights = []
    for seed in (7, 7, 8):
        module = network(dropout=0.5)
        train(module, examples, None, SETTINGS, seed=seed)
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
        train(network(dropout=0.5), examples, None, SETTINGS, callbacks=[fail])
    assert torch.equal(torch.get_rng_state(), before)


def test_the_best_weights_come_back_with_their_buffers(examples):
    """Right labels first, then wrong ones: the first epochs are the best."""
    validation = Rows(examples.inputs, (examples.targets + 1) % 3)
    snapshots = []
    module = network()
    _, best_epoch = train(
        module,
        examples,
        validation,
        replace(SETTINGS, epochs=12, patience=3),
        callbacks=[lambda _: snapshots.append({k: v.clone() for k, v in module.state_dict().items()})],
    )
    assert best_epoch == 1
    assert len(snapshots) == 4
    for name, value in module.state_dict().items():
        assert torch.equal(value, snapshots[0][name]), name
    assert not torch.equal(module[0].weight, snapshots[-1]["0.weight"])


NETWORKS = {
    "linear": lambda dropouts: LinearNetwork(8, 3, dropouts),
    "linear with dropout": lambda dropouts: LinearNetwork(8, 3, [0.3] * len(dropouts)),
    "mlp": lambda dropouts: MLP(8, 3, 2, 16, "layer", dropouts),
    "residual": lambda dropouts: ResidualNetwork(8, 3, 2, 16, dropouts),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("n_members", [1, 3])
def test_a_stack_is_trained_as_torchs_own_optimizer_trains_it(examples, name, n_members):
    made = NETWORKS[name]([0.0] * n_members)
    made.draw(torch.Generator().manual_seed(1))
    plain = copy.deepcopy(made)
    members = [Member(0.01 / (number + 1), 0.1) for number in range(n_members)]
    settings = replace(SETTINGS, epochs=3, clip_norm=1e9)
    trained = train_stack(made, [Stream(examples, members)], settings, Objective(open_task("single")))

    n_batches = len(batches_of(300, 64, 0, 1, torch.device("cpu")))
    for number, member in enumerate(members):
        alone = copy.deepcopy(plain)
        alone.keep(torch.tensor([number]))
        parameters = dict(alone.named_parameters())
        groups = [
            {"params": [p for p in parameters.values() if p.ndim > 2], "weight_decay": member.weight_decay},
            {"params": [p for p in parameters.values() if p.ndim <= 2], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=member.lr, fused=False, foreach=False)
        alone.train()
        for epoch in range(1, 4):
            alone.seed_dropout([(generator_of(2 * MIXUP, epoch), 1)])
            for step, rows in enumerate(batches_of(300, 64, 0, epoch, torch.device("cpu"))):
                for group in optimizer.param_groups:
                    group["lr"] = member.lr * rate_factor(
                        (epoch - 1) * n_batches + step, 3 * n_batches, settings
                    )
                optimizer.zero_grad()
                logits = alone.logits(examples.take(rows))[:, 0]
                nn.functional.cross_entropy(logits, examples.targets[rows]).backward()
                optimizer.step()
        for parameter, value in trained[number].weights.items():
            torch.testing.assert_close(value, alone.state_dict()[parameter][0], rtol=1e-4, atol=1e-5)
