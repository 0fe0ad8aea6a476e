"""The one training loop: of heads, one or many side by side, and of whole networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from headstart.memory import is_out_of_memory
from headstart.training.callbacks import Callbacks, Record
from headstart.training.checkpoint import Checkpoint
from headstart.training.examples import generator_of, seed_global, seeded
from headstart.training.optimizers import GradientMonitor, open_optimizer
from headstart.training.settings import STEP_FACTOR, Criterion, Settings, rate_factor
from headstart.training.trainee import Step, Trainee, load_state

LBFGS_STEPS = 20
"""Iterations of L-BFGS that count as an epoch."""
TIE = 1e-6
"""The weight of the loss beside the accuracy: less than one sample of a million."""


def selection_score(loss: float, accuracy: float | None, by: Criterion) -> float:
    """How well an epoch does, the larger the better.

    A network that has learnt its training samples by heart goes on gaining accuracy while it grows too sure of
    itself, and its loss rises; the temperature that is fitted to the validation samples afterwards mends that.

    Examples
    --------
    >>> selection_score(0.5, 0.90, "accuracy") > selection_score(0.4, 0.90 - 1e-5, "accuracy")
    True
    >>> selection_score(0.4, 0.90, "accuracy") > selection_score(0.5, 0.90, "accuracy")
    True
    >>> selection_score(0.4, 0.89, "loss") > selection_score(0.5, 0.90, "loss")
    True
    """
    if not math.isfinite(loss):  # it diverged, and an accuracy is chance
        return -math.inf
    if accuracy is None or by == "loss":
        return -loss
    return accuracy + TIE / (1 + loss)


@dataclass
class TrainingResult:
    """What became of a member: what training changed, as it was in the best epoch (from 1), and all epochs' records.

    ``diverged_at`` is the epoch in which its loss was not finite any more; 0 if it did not diverge.
    """

    weights: dict[str, Tensor] = field(default_factory=dict)
    history: list[Record] = field(default_factory=list)
    best_epoch: int = 0
    diverged_at: int = 0


class BestWeights:
    """Remembers the weights of each member's best epoch, and how long ago that was.

    After a third of its patience, at least one epoch, a member's learning rate falls where the schedule is ``plateau``.
    """

    def __init__(self, trainee: Trainee, patience: int | None) -> None:
        self._trainee = trainee
        self._patience = patience
        self.epochs = [0] * trainee.n_members
        """The best epoch of each, from 1; 0 if there is none yet."""
        self.scores = [-math.inf] * trainee.n_members
        self.factors = [1.0] * trainee.n_members
        """What ``plateau`` multiplies the learning rates by."""
        self.weights: dict[str, Tensor] = {}
        self._since_fall = [0] * trainee.n_members

    def update(self, epoch: int, scores: list[float | None]) -> None:
        """Take an epoch into account; a score is None where nothing could be measured."""
        better = [score is not None and score > best for score, best in zip(scores, self.scores, strict=True)]
        for place, is_better in enumerate(better):
            if is_better:
                self.epochs[place], self.scores[place] = epoch, float(scores[place] or 0.0)
        if self._patience and any(score is not None for score in scores):
            self._fall(better, max(self._patience // 3, 1))
        if any(better):
            self._remember(torch.tensor(better))

    def has_waited(self, place: int, epoch: int) -> bool:
        """Whether a member's best epoch is so long ago that it stops; never without a best one."""
        best = self.epochs[place]
        return bool(self._patience and best and epoch - best >= self._patience)

    def _remember(self, better: Tensor) -> None:
        for name, value in self._trainee.state().items():
            # Without the copies these would be the live weights, which training goes on changing.
            if name not in self.weights:
                self.weights[name] = _copied(value, self._trainee)
            elif self._trainee.is_stacked:
                self.weights[name][better] = value[better]
            else:
                self.weights[name].copy_(value)

    def _fall(self, better: list[bool], wait: int) -> None:
        for place, is_better in enumerate(better):
            self._since_fall[place] = 0 if is_better else self._since_fall[place] + 1
            if self._since_fall[place] >= wait:
                self._since_fall[place] = 0
                self.factors[place] *= STEP_FACTOR

    def weights_of(self, place: int) -> dict[str, Tensor]:
        """The best weights of a member, or those that it has now where no epoch was the best."""
        if not self._trainee.is_stacked:
            return self.weights or {n: _copied(t, self._trainee) for n, t in self._trainee.state().items()}
        tensors = self.weights if self.epochs[place] else self._trainee.state()
        return {name: tensor[place].clone() for name, tensor in tensors.items()}

    def keep(self, members: Tensor) -> None:
        """Go on with some members, after the trainee does."""
        places = members.tolist()
        for name in ("epochs", "scores", "factors", "_since_fall"):
            values = getattr(self, name)
            setattr(self, name, [values[place] for place in places])
        self.weights = {name: value[members].clone() for name, value in self.weights.items()}

    def state(self) -> dict[str, Any]:
        """What a training that is taken up again needs beside the weights."""
        scores = [None if math.isinf(score) else score for score in self.scores]
        return {
            "epochs": self.epochs, "scores": scores, "factors": self.factors, "since_fall": self._since_fall,
        }  # fmt: skip

    def restore(self, weights: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """Take over what `state` gave."""
        live = self._trainee.state()
        self.weights = {name: _copied(t.to(live[name].device), self._trainee) for name, t in weights.items()}
        self.epochs, self.factors = plain["epochs"], plain["factors"]
        self.scores = [-math.inf if score is None else score for score in plain["scores"]]
        self._since_fall = plain["since_fall"]


def _copied(tensor: Tensor, trainee: Trainee) -> Tensor:
    """A copy; of a network, which may fill a GPU, in main memory."""
    return tensor.detach().to(tensor.device if trainee.is_stacked else "cpu", copy=True)


class Loop:
    """Trains M members in place. The global random state is as before when it returns.

    With validation samples each member stops by itself and ends with the weights of its best epoch. Callbacks watch
    the first member; what they end ends for all. A checkpoint of the same ``identity`` is taken up, but for L-BFGS,
    which begins anew and ends with the same. ``note`` adds to the record of an epoch. Gradients of ``precision`` fp16
    are scaled, since small ones would be zero.
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
        self._trained = [TrainingResult() for _ in self._active]
        self._epoch = 0

    def run(self) -> list[TrainingResult]:
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
        train_accuracy = self._trainee.train_accuracy()
        found = self._within_memory(self._trainee.evaluate)
        diverged = []
        for place, watched in enumerate(monitor.report()):
            validation_loss, accuracy = found[place]
            record = {
                "epoch": self._epoch, "train_loss": losses[place], "validation_loss": validation_loss,
                "train_accuracy": train_accuracy[place], "validation_accuracy": accuracy, "lr": rates[place],
                **watched,
            }  # fmt: skip
            diverged.append(not math.isfinite(losses[place]))
            if diverged[place]:
                self._trained[self._active[place]].diverged_at = self._epoch
            else:
                self._trained[self._active[place]].history.append(self._note(record))
        by = self._settings.kept_by
        self._best.update(
            self._epoch,
            [None if loss is None else selection_score(loss, accuracy, by) for loss, accuracy in found],
        )
        waited = [self._best.has_waited(place, self._epoch) for place in range(len(self._active))]
        watched_is_on = self._active[0] == 0 and not diverged[0]
        is_over = watched_is_on and self._callbacks.on_epoch_end(self._trained[0].history[-1])
        is_over = is_over or self._epoch == self._settings.epochs
        self._stop([is_over or any(each) for each in zip(diverged, waited, strict=True)])

    def _descend(self, monitor: GradientMonitor) -> tuple[list[float], list[float]]:
        """All samples once; the mean loss and the last learning rate of each member."""
        total = torch.zeros(len(self._active), device=self._trainee.device)
        rates, n_steps, done = self._trainee.rates, self._trainee.n_steps, 0

        def rest() -> None:
            nonlocal rates, total, done
            for step in self._trainee.steps(done):
                rates = self._rates((self._epoch - 1) * n_steps + done)
                total += step.n_samples * self._take_step(step, rates, monitor)
                done += 1

        self._within_memory(rest)
        return (total / self._trainee.n_samples).tolist(), rates

    def _within_memory(self, work: Callable[[], Any]) -> Any:
        """Do it, again with fewer samples at once where the memory does not suffice."""
        while True:
            try:
                return work()
            except RuntimeError as error:
                if not (is_out_of_memory(error) and self._trainee.halve()):
                    raise

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
        """A few iterations over all rows, with strong Wolfe line search; there is nothing to clip."""
        rate = self._trainee.rates[0]
        if self._epoch == 1:
            self._lbfgs = torch.optim.LBFGS(
                list(self._parameters.values()), lr=rate, max_iter=LBFGS_STEPS, line_search_fn="strong_wolfe"
            )

        def closure() -> Any:
            self._lbfgs.zero_grad()
            value = self._trainee.loss_of_all()
            torch.autograd.backward(value)
            return value.detach()

        before = float(self._lbfgs.step(closure))  # type: ignore[no-untyped-call]
        monitor.see({name: p.grad for name, p in self._parameters.items() if p.grad is not None})
        return [before], [rate]

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
        _check_state(plain, n_members)
        self._epoch, self._active = plain["epoch"], plain["active"]
        for number, (history, best_epoch, diverged_at) in enumerate(plain["outcomes"]):
            weights = _part(tensors, f"done.{number}")
            self._trained[number] = TrainingResult(weights, history, best_epoch, diverged_at)
        if not self._active:
            return
        if len(self._active) < n_members:
            self._keep(self._active)
        weights = _part(tensors, "network")
        load_state(self._trainee, weights)
        self._optimizer.restore(_part(tensors, "optimizer"))
        self._best.restore(weights if plain["is_best"] else _part(tensors, "best"), plain["best"])
        self._scaler.load_state_dict(plain["scaler"])


def _check_state(plain: Mapping[str, Any], n_members: int) -> None:
    """A ValueError says that a state is not of so many members, each with the records of its epochs."""
    histories = [history for history, _, _ in plain["outcomes"]]
    records = [record for history in histories for record in history]
    if len(histories) != n_members or not all({"epoch", "train_loss"} <= record.keys() for record in records):
        raise ValueError(f"it has no records of {n_members} trainings")
    if not {*plain["active"]} <= {*range(n_members)} or not isinstance(plain["epoch"], int):
        raise ValueError(
            f"it goes on with {plain['active']!r} of {n_members} trainings at {plain['epoch']!r}"
        )


def _part(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    prefix = f"{part}/"
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
