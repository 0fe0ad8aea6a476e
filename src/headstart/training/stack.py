"""Heads that are trained side by side: their networks as one stack, over features in memory or on disk."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from headstart.heads.networks import Network, Streams
from headstart.training.checkpoint import Checkpoint
from headstart.training.examples import Examples, Inputs, Stream, batches_of, generator_of, mixing
from headstart.training.loop import Loop, TrainingResult
from headstart.training.settings import Settings
from headstart.training.trainee import Group, Objective, RightCounter, Step, Trainee

VALIDATION_LOGITS = 1 << 17
"""Rows times members that are evaluated at once."""
MIXUP = 1 << 33
"""What is added to a seed to draw mixup's partners; dropout draws from twice as much."""
LOOKED_AT = 2048
"""Rows of inputs that tell one training from another."""
SMALL_STEP = 1 << 23
"""Multiplications of a step (rows times parameters) from which a second thread pays for its wake-up."""


class HeadStack(Trainee):
    """A stack of networks with the samples that each sees.

    The streams have the network's M members in all, in their order, and each has as many examples of one width.
    """

    def __init__(
        self, network: Network, streams: Sequence[Stream], settings: Settings, objective: Objective
    ) -> None:
        self._network, self._settings, self._objective = network, settings, objective
        self._streams = list(streams)
        self._members = [member for stream in streams for member in stream.members]
        self._stream_of = [number for number, stream in enumerate(streams) for _ in stream.members]
        self.rates = [member.lr for member in self._members]
        self.n_samples, self.device = len(streams[0].examples), streams[0].examples.targets.device
        self.seed = streams[0].seed
        self.is_stacked = network.is_stacked
        self.n_steps = -(-self.n_samples // settings.batch_size)
        self._epoch, self._right = 0, RightCounter()

    @property
    def n_members(self) -> int:
        """How many are still trained."""
        return self._network.n_members

    @property
    def module(self) -> nn.Module:
        """The network of all of them."""
        return self._network

    def groups(self) -> list[Group]:
        """Matrices, which are decayed, and vectors, which are not."""
        parameters = self.parameters()
        matrices = [n for n, p in parameters.items() if p.ndim - self.is_stacked > 1]
        vectors = [name for name in parameters if name not in matrices]
        decays = [member.weight_decay for member in self._members]
        groups = [Group(matrices, decays), Group(vectors, [0.0] * len(decays))]
        return [group for group in groups if group.names]

    def about(self) -> dict[str, Any]:
        """See `Trainee`."""
        n_parameters = sum(p.numel() for p in self._network.parameters()) // len(self._members)
        return {**asdict(self._members[0]), "n_parameters": n_parameters, "seed": self.seed}

    def _going(self) -> tuple[list[Stream], list[int]]:
        """The streams that still have members, and the number of these."""
        counts = Counter(self._stream_of)
        numbers = sorted(counts)
        return [self._streams[number] for number in numbers], [counts[number] for number in numbers]

    def begin(self, epoch: int) -> None:
        """See `Trainee`."""
        self._epoch, self._right = epoch, RightCounter()
        streams, counts = self._going()
        self.seed = streams[0].seed
        for stream in streams:
            stream.examples.begin(stream.seed, epoch)
        dropout = [generator_of(stream.seed + 2 * MIXUP, epoch) for stream in streams]
        self._network.seed_dropout(list(zip(dropout, counts, strict=True)))
        self._network.train()

    def steps(self, first: int) -> Iterator[Step]:
        """See `Trainee`; each is of one part: the rows of each stream, and who is mixed with whom."""
        self._seen_by = streams, _ = self._going()
        orders = [
            batches_of(self.n_samples, self._settings.batch_size, stream.seed, self._epoch, self.device)
            for stream in streams
        ]
        mixers = [np.random.default_rng([stream.seed + MIXUP, self._epoch]) for stream in streams]
        alpha = self._settings.mixup
        for rows in zip(*orders, strict=True):
            n = len(rows[0])
            mixes = [mixing(n, alpha, mixer, self.device) for mixer in mixers] if alpha else None
            yield Step([(rows, mixes)], n)

    def losses(self, part: tuple[Sequence[Tensor], Sequence[tuple[Tensor, float]] | None]) -> Tensor:
        """The mean loss of each member over a batch, shape (M,)."""
        (streams, counts), (rows, mixes) = self._seen_by, part
        taken = [stream.examples.take(own, True) for stream, own in zip(streams, rows, strict=True)]
        targets = [stream.examples.targets[own] for stream, own in zip(streams, rows, strict=True)]
        if mixes is None:
            logits = self._network.logits(side_by_side(taken, counts))
            self._right.add(self._objective.right(logits.detach(), repeated(targets, counts)))
            return self._mean_losses(logits, targets, counts)
        inputs = [mixed(own, *mix) for own, mix in zip(taken, mixes, strict=True)]
        others = [own[partners] for own, (partners, _) in zip(targets, mixes, strict=True)]
        logits = self._network.logits(side_by_side(inputs, counts))
        own, other = (self._mean_losses(logits, part, counts) for part in (targets, others))
        shares = [share for (_, share), count in zip(mixes, counts, strict=True) for _ in range(count)]
        share = torch.tensor(shares, device=self.device)
        return share * own + (1 - share) * other

    def _mean_losses(self, logits: Tensor, targets: Sequence[Tensor], counts: Sequence[int]) -> Tensor:
        return self._network.losses(self._objective, logits, repeated(targets, counts)).mean(dim=0)

    def train_accuracy(self) -> list[float | None]:
        """See `Trainee`; unknown of mixed samples."""
        return self._right.shares(self.n_members)

    def loss_of_all(self) -> Tensor:
        """See `Trainee`."""
        examples = self._streams[0].examples
        rows = torch.arange(self.n_samples, device=self.device)
        losses = [
            self._network.losses(
                self._objective, self._network.logits(examples.take(part, True)), targets
            ).sum()
            for part in torch.split(rows, min(VALIDATION_LOGITS, examples.rows_at_once))
            for targets in [examples.targets[part]]
        ]
        matrices = [p for p in self._network.parameters() if p.ndim - self.is_stacked > 1]
        penalty = sum((p.square().sum() for p in matrices), torch.zeros((), device=rows.device))
        return torch.stack(losses).sum() / len(rows) + 0.5 * self._members[0].weight_decay * penalty

    @torch.no_grad()
    def evaluate(self) -> list[tuple[float | None, float | None]]:
        """Mean loss over the rows that have one (None if none has) and accuracy over all, of each member."""
        streams, counts = self._going()
        held = [stream.validation for stream in streams if stream.validation is not None]
        if not held:
            return [(None, None)] * self.n_members
        self._network.eval()
        losses, right = torch.zeros(2, self.n_members, dtype=torch.float64, device=self.device)
        is_counted = True
        numbers = torch.arange(len(held[0]), device=self.device)
        most = max(VALIDATION_LOGITS // self.n_members, 256)
        for rows in torch.split(numbers, min(most, held[0].rows_at_once)):
            logits = self._network.logits(side_by_side([part.take(rows) for part in held], counts))
            targets = repeated([part.targets[rows] for part in held], counts)
            losses += self._network.losses(self._objective, logits, targets).sum(dim=0)
            found = self._objective.right(logits, targets)
            is_counted = found is not None
            right += found.sum(dim=0) if found is not None else 0
        seen = [self._objective.n_seen(part.targets) for part in held]
        n_seen = [n for n, count in zip(seen, counts, strict=True) for _ in range(count)]
        means = [loss / n if n else None for loss, n in zip(losses.tolist(), n_seen, strict=True)]
        shares = (right / len(numbers)).tolist() if is_counted else [None] * self.n_members
        return list(zip(means, shares, strict=True))

    def keep(self, members: Tensor) -> None:
        """See `Trainee`."""
        self._network.keep(members)
        places = members.tolist()
        self._stream_of = [self._stream_of[place] for place in places]
        self.rates = [self.rates[place] for place in places]


def train_stack(
    network: Network,
    streams: Sequence[Stream],
    settings: Settings,
    objective: Objective,
    callbacks: Sequence[Any] = (),
    checkpoint: Checkpoint | None = None,
    about: Mapping[str, Any] | None = None,
) -> list[TrainingResult]:
    """Train heads side by side, in place; one result for each. ``about`` tells this training from others, as JSON."""
    stack = HeadStack(network, streams, settings, objective)
    identity = ""
    if checkpoint:
        members = [asdict(member) for stream in streams for member in stream.members]
        identity = _identity({**settings.to_json(), "members": members, **(about or {})}, network, streams)
    n_parameters = sum(p.numel() for p in network.parameters())
    with threads_for(n_parameters * min(settings.batch_size, stack.n_samples)):
        trained = Loop(stack, settings, callbacks, checkpoint, identity).run()
    network.eval()
    return trained


def _identity(said: Mapping[str, Any], network: Network, streams: Sequence[Stream]) -> str:
    """Says what is trained on what: the settings, first weights, all targets, and inputs throughout the rows."""
    said = {**said, "seeds": [stream.seed for stream in streams]}
    digest = hashlib.blake2b(json.dumps(said, sort_keys=True, default=str).encode(), digest_size=16)
    tensors = list(network.state_dict().values())
    for each in (part for stream in streams for part in (stream.examples, stream.validation)):
        if each is not None:
            tensors += [*_spread_inputs(each), each.targets]
    for tensor in tensors:
        digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
    return digest.hexdigest()


def _spread_inputs(examples: Examples) -> list[Tensor]:
    """Inputs of rows from the first to the last."""
    n_looked_at = min(len(examples), LOOKED_AT)
    spread = torch.linspace(0, len(examples) - 1, n_looked_at, device=examples.targets.device).long()
    inputs = [examples.take(rows) for rows in torch.split(spread, examples.rows_at_once)]
    return [part[0] if isinstance(part, tuple) else part for part in inputs]


@contextmanager
def threads_for(n_products: int) -> Iterator[None]:
    """One thread where a step is small; afterwards as many as before."""
    before = torch.get_num_threads()
    if n_products < SMALL_STEP:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def side_by_side(parts: Sequence[Inputs], counts: Sequence[int]) -> Inputs | Streams:
    """The inputs of each stream, for its members; of one stream they are for all."""
    return parts[0] if len(parts) == 1 else Streams(cast("list[Tensor]", parts), counts)


def repeated(targets: Sequence[Tensor], counts: Sequence[int]) -> Tensor:
    """Targets for all members, (B, ...), or with several streams of each, (B, M, ...)."""
    if len(targets) == 1:
        return targets[0]
    of_member = [part for part, count in zip(targets, counts, strict=True) for _ in range(count)]
    return torch.stack(of_member, dim=1)


def mixed(inputs: Inputs, partners: Tensor, share: float) -> Inputs:
    """Inputs mixed with those of their partners."""
    if isinstance(inputs, tuple):
        values, there = inputs
        return share * values + (1 - share) * values[partners], there | there[partners]
    return share * inputs + (1 - share) * inputs[partners]
