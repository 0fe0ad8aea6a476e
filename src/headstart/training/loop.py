"""The one training loop of the torch heads: a stack of networks, side by side."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.errors import ConfigError
from headstart.heads.networks.networks import Network
from headstart.training.best import BestWeights
from headstart.training.callbacks import Callbacks, EarlyStopping, Record
from headstart.training.checkpoint import Checkpoint
from headstart.training.examples import Stream, batches_of, generator_of, mixing
from headstart.training.joining import mixed, repeated, side_by_side
from headstart.training.monitoring import Monitor
from headstart.training.objectives import Objective
from headstart.training.optimizers import LBFGS, open_optimizer
from headstart.training.schedules import rate_factor
from headstart.training.settings import Settings
from headstart.training.surroundings import identity_of, seeded, threads_for

VALIDATION_LOGITS = 1 << 17
"""Rows times members that are evaluated at once."""
MIXUP = 1 << 33
"""What is added to a seed to draw mixup's partners; dropout draws from twice as much."""


@dataclass
class Trained:
    """What became of a member.

    Parameters
    ----------
    weights : dict of str to Tensor
        Its state dict, of its best epoch.
    history : list of dict
        A record an epoch.
    best_epoch : int
        The epoch, from 1, that the weights are of.
    diverged_at : int
        The epoch in which its loss was not finite any more; 0: it did not diverge.
    """

    weights: dict[str, Tensor] = field(default_factory=dict)
    history: list[Record] = field(default_factory=list)
    best_epoch: int = 0
    diverged_at: int = 0


class Trainer:
    """Trains a stack in place. The global random state is as before when it returns.

    Parameters
    ----------
    network : Network
        M members on their device.
    streams : sequence of Stream
        With M members in all, in their order; all with as many examples of one width. With validation samples
        each member stops by itself and ends with the weights of its best epoch.
    settings : Settings
    objective : Objective
    callbacks : sequence of Callback
        They watch the first member; what they end ends for all. Besides them each member has an `EarlyStopping` of
        its own.
    checkpoint : Checkpoint, optional
        Taken up where there is one of the same training; L-BFGS begins anew, and ends with the same.
    about : mapping, optional
        What else makes a training another one, as JSON.
    """

    def __init__(
        self,
        network: Network,
        streams: Sequence[Stream],
        settings: Settings,
        objective: Objective,
        callbacks: Sequence[Any] = (),
        checkpoint: Checkpoint | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self._network = network
        self._streams = list(streams)
        self._n, self._device = len(streams[0].examples), streams[0].examples.targets.device
        self._members = members = [member for stream in streams for member in stream.members]
        self._stream_of = [number for number, stream in enumerate(streams) for _ in stream.members]
        self._settings = settings
        self._objective = objective
        self._callbacks = Callbacks(callbacks)
        self._checkpoint = None if settings.optimizer == "lbfgs" else checkpoint
        self._identity = ""
        if self._checkpoint:
            said = {**settings.to_json(), "members": [asdict(member) for member in members], **(about or {})}
            self._identity = identity_of(said, network, streams)
        self._rates = [member.lr for member in members]
        self._optimizer = open_optimizer(network, members, settings)
        self._best = BestWeights(network, settings.patience)
        self._stoppers = [EarlyStopping(settings.patience) for _ in members]
        self._active = list(range(len(members)))
        self._trained = [Trained() for _ in members]
        self._epoch = 0

    def run(self) -> list[Trained]:
        """Train all members to their end.

        Returns
        -------
        list of Trained
            One a member, in their order.
        """
        self._restore()
        self._callbacks.on_fit_begin(self._about())
        with seeded(self._streams[0].seed, self._device), threads_for(self._n_products()):
            while self._epoch < self._settings.epochs and self._active:
                self._one_epoch()
                if self._checkpoint and self._active and self._checkpoint.is_due:
                    self._save(self._checkpoint)
        for place in range(len(self._active)):
            self._finish(place)
        self._network.eval()
        self._callbacks.on_fit_end(self._trained[0].history)
        return self._trained

    def _n_products(self) -> int:
        n_parameters = sum(p.numel() for p in self._network.parameters())
        return n_parameters * min(self._settings.batch_size, self._n)

    def _about(self) -> dict[str, Any]:
        n_parameters = sum(p.numel() for p in self._network.parameters()) // len(self._members)
        counts = {"n_samples": self._n, "n_parameters": n_parameters, "n_done": self._epoch}
        counts["seed"] = self._streams[0].seed
        return {**self._settings.to_json(), **asdict(self._members[0]), **counts}

    def _one_epoch(self) -> None:
        self._epoch += 1
        going = self._going()
        for stream, _ in going:
            stream.examples.begin(stream.seed, self._epoch)
        self._network.seed_dropout(
            [(generator_of(stream.seed + 2 * MIXUP, self._epoch), count) for stream, count in going]
        )
        torch.default_generator.manual_seed(generator_of(going[0][0].seed, self._epoch).initial_seed())
        watch = Monitor(self._network)
        run = self._lbfgs_epoch if self._settings.optimizer == "lbfgs" else self._descend
        losses, rates = run(watch)
        scores = self._evaluate()
        done = []
        for place, watched in enumerate(watch.report()):
            validation_loss, accuracy = scores[place]
            record = {
                "epoch": self._epoch, "train_loss": losses[place], "validation_loss": validation_loss,
                "validation_accuracy": accuracy, "lr": rates[place], **watched,
            }  # fmt: skip
            done.append(self._take(self._active[place], record))
        self._best.update(self._epoch, [score[0] for score in scores])
        is_over = self._active[0] == 0 and not self._trained[0].diverged_at and self._is_ended()
        self._stop([True] * len(done) if is_over else done)

    def _take(self, member: int, record: Record) -> bool:
        """Keep a record; whether the member is done."""
        trained = self._trained[member]
        if not math.isfinite(record["train_loss"]):
            trained.diverged_at = self._epoch
            return True
        trained.history.append(record)
        return self._stoppers[member].on_epoch_end(record)

    def _is_ended(self) -> bool:
        """Tell the callbacks of the first member's epoch; whether one of them ends the training."""
        return self._callbacks.on_epoch_end(self._trained[0].history[-1])

    def _going(self) -> list[tuple[Stream, int]]:
        """The streams that still have members, with the number of these."""
        counts = Counter(self._stream_of[member] for member in self._active)
        return [(self._streams[number], counts[number]) for number in sorted(counts)]

    def _descend(self, watch: Monitor) -> tuple[list[float], list[float]]:
        """All batches once; the mean loss and the last learning rate of each member."""
        settings, n, going = self._settings, self._n, self._going()
        total = torch.zeros(len(self._active), device=self._device)
        orders = [
            batches_of(n, settings.batch_size, stream.seed, self._epoch, self._device) for stream, _ in going
        ]
        mixers = [np.random.default_rng([stream.seed + MIXUP, self._epoch]) for stream, _ in going]
        n_steps, start = settings.epochs * len(orders[0]), (self._epoch - 1) * len(orders[0])
        self._network.train()
        for number, rows in enumerate(zip(*orders, strict=True)):
            factor = rate_factor(start + number, n_steps, settings)
            rates = [rate * factor * falls for rate, falls in zip(self._rates, self._falls, strict=True)]
            losses = self._losses(going, rows, mixers)
            parameters = {n: p for n, p in self._network.named_parameters() if p.requires_grad}
            found = torch.autograd.grad(losses.sum(), list(parameters.values()), materialize_grads=True)
            # Fused optimizers read memory as it lies, and gradients of batched products lie transposed.
            gradients = {
                name: gradient.contiguous() for name, gradient in zip(parameters, found, strict=True)
            }
            watch.clip(gradients, settings.clip_norm)
            self._optimizer.step(gradients, rates)
            total += len(rows[0]) * losses.detach()
        return (total / n).tolist(), rates

    @property
    def _falls(self) -> list[float]:
        return self._best.factors if self._settings.schedule == "plateau" else [1.0] * len(self._active)

    def _losses(
        self,
        going: Sequence[tuple[Stream, int]],
        rows: Sequence[Tensor],
        mixers: Sequence[np.random.Generator],
    ) -> Tensor:
        """The mean loss of each member over a batch, shape (M,)."""
        counts = [count for _, count in going]
        taken = [stream.examples.take(part, True) for (stream, _), part in zip(going, rows, strict=True)]
        targets = [stream.examples.targets[part] for (stream, _), part in zip(going, rows, strict=True)]
        if not self._settings.mixup:
            logits = self._network.logits(side_by_side(taken, counts))
            return self._objective.losses(logits, repeated(targets, counts)).mean(dim=0)
        mixes = [mixing(len(rows[0]), self._settings.mixup, mixer, self._device) for mixer in mixers]
        inputs = [mixed(part, *mix) for part, mix in zip(taken, mixes, strict=True)]
        others = [part[partners] for part, (partners, _) in zip(targets, mixes, strict=True)]
        logits = self._network.logits(side_by_side(inputs, counts))
        own, other = (
            self._objective.losses(logits, repeated(part, counts)).mean(dim=0) for part in (targets, others)
        )
        shares = [share for (_, share), count in zip(mixes, counts, strict=True) for _ in range(count)]
        share = torch.tensor(shares, device=self._device)
        return share * own + (1 - share) * other

    def _lbfgs_epoch(self, watch: Monitor) -> tuple[list[float], list[float]]:
        """A few iterations over all rows; there is nothing to clip."""
        if self._epoch == 1:
            self._lbfgs = LBFGS(self._network, self._rates[0])
        self._network.train()
        [(stream, _)] = self._going()  # it is one member
        examples = stream.examples
        rows = torch.arange(self._n, device=self._device)
        decay = self._members[0].weight_decay

        def loss() -> Tensor:
            losses = [
                self._objective.losses(self._network.logits(examples.take(part, True)), targets).sum()
                for part in torch.split(rows, min(VALIDATION_LOGITS, examples.rows_at_once))
                for targets in [examples.targets[part]]
            ]
            matrices = [p for p in self._network.parameters() if p.ndim - self._network.is_stacked > 1]
            penalty = sum((p.square().sum() for p in matrices), torch.zeros((), device=rows.device))
            return torch.stack(losses).sum() / len(rows) + 0.5 * decay * penalty

        before = self._lbfgs.epoch(loss)
        named = self._network.named_parameters()
        watch.see({name: p.grad for name, p in named if p.grad is not None})
        return [before], [self._rates[0]]

    @torch.no_grad()
    def _evaluate(self) -> list[tuple[float | None, float | None]]:
        """For each member mean loss over the rows that have one (None: none has) and accuracy over all."""
        n_members, going = len(self._active), self._going()
        held = [stream.validation for stream, _ in going if stream.validation is not None]
        if not held:
            return [(None, None)] * n_members
        self._network.eval()
        counts = [count for _, count in going]
        losses, right = torch.zeros(2, n_members, dtype=torch.float64, device=self._device)
        is_counted = True
        numbers = torch.arange(len(held[0]), device=self._device)
        most = max(VALIDATION_LOGITS // n_members, 256)
        for rows in torch.split(numbers, min(most, held[0].rows_at_once)):
            logits = self._network.logits(side_by_side([part.take(rows) for part in held], counts))
            targets = repeated([part.targets[rows] for part in held], counts)
            losses += self._objective.losses(logits, targets).sum(dim=0)
            found = self._objective.right(logits, targets)
            is_counted = found is not None
            right += found.sum(dim=0) if found is not None else 0
        seen = [
            n
            for part, count in zip(held, counts, strict=True)
            for n in [self._objective.n_seen(part.targets)] * count
        ]
        means = [loss / n if n else None for loss, n in zip(losses.tolist(), seen, strict=True)]
        shares = (right / len(numbers)).tolist() if is_counted else [None] * n_members
        return list(zip(means, shares, strict=True))

    def _stop(self, done: Sequence[bool]) -> None:
        """Let go of members that are done."""
        if not any(done):
            return
        for place, is_done in enumerate(done):
            if is_done:
                self._finish(place)
        going = [place for place, is_done in enumerate(done) if not is_done]
        self._active = [self._active[place] for place in going]
        if going:
            members = torch.tensor(going, device=self._device)
            self._network.keep(members)
            self._optimizer.keep(members)
            self._best.keep(members)
            self._rates = [self._rates[place] for place in going]

    def _finish(self, place: int) -> None:
        trained = self._trained[self._active[place]]
        trained.weights = self._best.weights_of(place)
        trained.best_epoch = self._best.epochs[place] or len(trained.history)

    def _save(self, checkpoint: Checkpoint) -> None:
        best, plain = self._best.state()
        parts = {"network": self._network.state_dict(), "optimizer": self._optimizer.state(), "best": best}
        parts |= {f"done.{number}": trained.weights for number, trained in enumerate(self._trained)}
        tensors = {f"{part}/{name}": t for part, named in parts.items() for name, t in named.items()}
        outcomes = [[t.history, t.best_epoch, t.diverged_at] for t in self._trained]
        state = {"epoch": self._epoch, "active": self._active, "best": plain, "outcomes": outcomes}
        checkpoint.write(tensors, {"identity": self._identity, **state})

    def _restore(self) -> None:
        found = self._checkpoint.read(self._identity) if self._checkpoint else None
        if found is None:
            return
        tensors, plain = found
        self._epoch, self._active = plain["epoch"], plain["active"]
        members = torch.tensor(self._active, device=self._device)
        if len(self._active) < len(self._members):
            self._network.keep(members)
            self._optimizer.keep(members)
            self._best.keep(members)
            self._rates = [self._rates[number] for number in self._active]
        self._network.load_state_dict(_part(tensors, "network"))
        self._optimizer.restore(_part(tensors, "optimizer"))
        self._best.restore(_part(tensors, "best"), plain["best"])
        for number, (history, best_epoch, diverged_at) in enumerate(plain["outcomes"]):
            weights = _part(tensors, f"done.{number}")
            self._trained[number] = Trained(weights, history, best_epoch, diverged_at)
            for record in history:
                self._stoppers[number].on_epoch_end(record)


def only(trained: Trained, lr: float) -> Trained:
    """A member that was trained alone.

    Raises
    ------
    ConfigError
        It diverged.
    """
    if trained.diverged_at:
        raise ConfigError(
            f"training diverged: the loss is not finite any more in epoch {trained.diverged_at}; give a smaller "
            f"learning rate than lr={lr:g}"
        )
    return trained


def _part(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    prefix = f"{part}/"
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
