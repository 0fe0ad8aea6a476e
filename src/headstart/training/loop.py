"""The one training loop: of heads, one or many side by side, and of whole networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from headstart.memory import is_out_of_memory
from headstart.training.best import BestWeights, selection_score
from headstart.training.callbacks import Callbacks, Record
from headstart.training.checkpoint import Checkpoint
from headstart.training.gradients import GradientMonitor
from headstart.training.optimizers import LBFGS, open_optimizer
from headstart.training.schedules import rate_factor
from headstart.training.seeds import generator_of, seed_global, seeded
from headstart.training.settings import Settings
from headstart.training.trainee import Step, Trainee, load_state


@dataclass
class Trained:
    """What became of a member.

    Parameters
    ----------
    weights : dict of str to Tensor
        What training changed, of its best epoch.
    history : list of dict
        A record for each epoch.
    best_epoch : int
        The epoch, from 1, that the weights are of.
    diverged_at : int
        The epoch in which its loss was not finite any more; 0 if it did not diverge.
    """

    weights: dict[str, Tensor] = field(default_factory=dict)
    history: list[Record] = field(default_factory=list)
    best_epoch: int = 0
    diverged_at: int = 0


class Loop:
    """Trains M members in place. The global random state is as before when it returns.

    Parameters
    ----------
    trainee : Trainee
        With validation samples each member stops by itself and ends with the weights of its best epoch.
    settings : Settings
    callbacks : sequence of Callback
        They watch the first member; what they end ends for all.
    checkpoint : Checkpoint, optional
        Taken up where there is one of the same training; L-BFGS begins anew, and ends with the same.
    identity : str
        Tells this training from others.
    note : callable
        Adds to the record of an epoch.
    precision : {"fp32", "bf16", "fp16"}
        In which the trainee computes its losses: gradients of fp16 are scaled, since small ones would be zero.
    """

    def __init__(
        self,
        trainee: Trainee,
        settings: Settings,
        callbacks: Sequence[Any] = (),
        checkpoint: Checkpoint | None = None,
        identity: str = "",
        note: Callable[[Record], Record] = dict,
        precision: str = "fp32",
    ) -> None:
        self._trainee, self._settings = trainee, settings
        self._parameters = trainee.parameters()
        self._callbacks = Callbacks(callbacks)
        self._checkpoint = None if settings.optimizer == "lbfgs" else checkpoint
        self._identity, self._note = identity, note
        self._optimizer = open_optimizer(trainee, settings)
        self._scaler = torch.amp.GradScaler(trainee.device.type, enabled=precision == "fp16")
        self._best = BestWeights(trainee, settings.patience)
        self._active = list(range(trainee.n_members))
        self._trained = [Trained() for _ in self._active]
        self._epoch = 0

    def run(self) -> list[Trained]:
        """Train all members to their end; one result for each, in their order."""
        self._restore()
        self._callbacks.on_fit_begin(self._about())
        with seeded(self._trainee.seed, self._trainee.device):
            while self._active:
                self._one_epoch()
                if self._checkpoint and self._checkpoint.is_due:
                    self._save(self._checkpoint)
        self._callbacks.on_fit_end(self._trained[0].history)
        return self._trained

    def _about(self) -> dict[str, Any]:
        history = [dict(record) for record in self._trained[0].history]
        counts = {"n_samples": self._trainee.n_samples, "n_done": self._epoch, "history": history}
        return {**self._settings.to_json(), **self._trainee.about(), **counts}

    def _one_epoch(self) -> None:
        self._epoch += 1
        self._trainee.begin(self._epoch)
        seed_global(generator_of(self._trainee.seed, self._epoch).initial_seed(), self._trainee.device)
        monitor = GradientMonitor(self._trainee)
        run = self._lbfgs_epoch if self._settings.optimizer == "lbfgs" else self._descend
        losses, rates = run(monitor)
        found = self._evaluate()
        diverged = []
        for place, watched in enumerate(monitor.report()):
            validation_loss, accuracy = found[place]
            record = {
                "epoch": self._epoch, "train_loss": losses[place], "validation_loss": validation_loss,
                "validation_accuracy": accuracy, "lr": rates[place], **watched,
            }  # fmt: skip
            diverged.append(not math.isfinite(losses[place]))
            self._take(self._trained[self._active[place]], record, diverged[place])
        self._best.update(self._epoch, [self._score(*figures) for figures in found])
        waited = [self._best.has_waited(place, self._epoch) for place in range(len(self._active))]
        is_over = self._active[0] == 0 and not diverged[0] and self._is_ended()
        is_over = is_over or self._epoch == self._settings.epochs
        self._stop([is_over or any(each) for each in zip(diverged, waited, strict=True)])

    def _take(self, trained: Trained, record: Record, has_diverged: bool) -> None:
        if has_diverged:
            trained.diverged_at = self._epoch
        else:
            trained.history.append(self._note(record))

    def _score(self, loss: float | None, accuracy: float | None) -> float | None:
        return None if loss is None else selection_score(loss, accuracy, self._settings.kept_by)

    def _is_ended(self) -> bool:
        """Tell the callbacks of the first member's epoch; whether one of them ends the training."""
        return self._callbacks.on_epoch_end(self._trained[0].history[-1])

    def _descend(self, monitor: GradientMonitor) -> tuple[list[float], list[float]]:
        """All samples once; the mean loss and the last learning rate of each member."""
        total = torch.zeros(len(self._active), device=self._trainee.device)
        rates = self._trainee.rates
        n_steps = self._trainee.n_steps
        done = 0
        while done < n_steps:
            try:
                for step in self._trainee.steps(done):
                    rates = self._rates((self._epoch - 1) * n_steps + done)
                    total += step.n_samples * self._take_step(step, rates, monitor)
                    done += 1
            except RuntimeError as error:
                if not (is_out_of_memory(error) and self._trainee.halve()):
                    raise
        return (total / self._trainee.n_samples).tolist(), rates

    def _rates(self, step: int) -> list[float]:
        """The learning rate of each member in a step, counted over all epochs."""
        settings = self._settings
        factor = rate_factor(step, settings.epochs * self._trainee.n_steps, settings)
        falls = self._best.factors if settings.schedule == "plateau" else [1.0] * len(self._active)
        return [rate * factor * fall for rate, fall in zip(self._trainee.rates, falls, strict=True)]

    def _take_step(self, step: Step, rates: Sequence[float], monitor: GradientMonitor) -> Tensor:
        """Update the weights once; the mean loss of each member before, shape (M,)."""
        for parameter in self._parameters.values():
            parameter.grad = None
        total: Tensor | None = None
        for part in step.parts:
            losses = self._trainee.losses(part)
            torch.autograd.backward(self._scaler.scale(losses.sum()))
            total = losses.detach() if total is None else total + losses.detach()
        self._scaler.unscale_(self._optimizer)  # type: ignore[arg-type]
        gradients = {
            name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in self._parameters.items()
        }
        monitor.clip(gradients, self._settings.clip_norm)
        self._scaler.step(self._optimizer, gradients, rates)  # type: ignore[arg-type]
        self._scaler.update()
        assert total is not None
        return total

    def _lbfgs_epoch(self, monitor: GradientMonitor) -> tuple[list[float], list[float]]:
        """A few iterations over all rows; there is nothing to clip."""
        if self._epoch == 1:
            self._lbfgs = LBFGS(list(self._parameters.values()), self._trainee.rates[0])
        before = self._lbfgs.epoch(self._trainee.loss_of_all)
        monitor.see({name: p.grad for name, p in self._parameters.items() if p.grad is not None})
        return [before], [self._trainee.rates[0]]

    def _evaluate(self) -> list[tuple[float | None, float | None]]:
        while True:
            try:
                return self._trainee.evaluate()
            except RuntimeError as error:
                if not (is_out_of_memory(error) and self._trainee.halve()):
                    raise

    def _stop(self, done: Sequence[bool]) -> None:
        """Let go of members that are done."""
        if not any(done):
            return
        for place, is_done in enumerate(done):
            if is_done:
                trained = self._trained[self._active[place]]
                trained.weights = self._best.weights_of(place)
                trained.best_epoch = self._best.epochs[place] or len(trained.history)
        going = [place for place, is_done in enumerate(done) if not is_done]
        self._active = [self._active[place] for place in going]
        if going:
            self._keep(going)

    def _keep(self, places: list[int]) -> None:
        members = torch.tensor(places, device=self._trainee.device)
        for part in (self._trainee, self._optimizer, self._best):
            part.keep(members)

    def _save(self, checkpoint: Checkpoint) -> None:
        parts = {f"done.{number}": trained.weights for number, trained in enumerate(self._trained)}
        is_now = not self._trainee.is_stacked and self._best.epochs[:1] == [self._epoch]
        if self._active:
            best = {} if is_now else self._best.weights
            parts |= {"network": self._trainee.state(), "optimizer": self._optimizer.state(), "best": best}
        tensors = {f"{part}/{name}": t for part, named in parts.items() for name, t in named.items()}
        outcomes = [[t.history, t.best_epoch, t.diverged_at] for t in self._trained]
        plain = {
            "identity": self._identity, "epoch": self._epoch, "active": self._active, "best": self._best.state(),
            "is_best": is_now, "outcomes": outcomes, "scaler": self._scaler.state_dict(),
        }  # fmt: skip
        checkpoint.write(tensors, plain)

    def _restore(self) -> None:
        found = self._checkpoint.read(self._identity) if self._checkpoint else None
        if found and self._checkpoint:
            with self._checkpoint.readable():
                self._take_up(*found)

    def _take_up(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        n_members = len(self._active)
        self._epoch, self._active = plain["epoch"], plain["active"]
        for number, (history, best_epoch, diverged_at) in enumerate(plain["outcomes"]):
            weights = _part(tensors, f"done.{number}")
            self._trained[number] = Trained(weights, history, best_epoch, diverged_at)
        if not self._active:
            return
        if len(self._active) < n_members:
            self._keep(self._active)
        weights = _part(tensors, "network")
        load_state(self._trainee, weights)
        self._optimizer.restore(_part(tensors, "optimizer"))
        self._best.restore(weights if plain["is_best"] else _part(tensors, "best"), plain["best"])
        self._scaler.load_state_dict(plain["scaler"])


def _part(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    prefix = f"{part}/"
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
