"""A whole network as the training loop sees it: one member, whose steps go through it in parts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from headstart.errors import DataError
from headstart.training.trainee import Group, Objective, RightCounter, Step, Trainee
from headstart.tuning.samples import EVALUATED_AT_ONCE, LABELS, RawSamples, Windows, stacked
from headstart.tuning.strategies import Phase, Rules
from headstart.tuning.whole_model import WholeModel

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class WholeNetwork(Trainee):
    """A network with its samples by split, in one phase of a training, of which it is set what trains.

    Without validation samples all epochs are trained, and the last weights kept. ``part_size`` samples go through the
    network at once; ``say`` is told a line where that changes.
    """

    is_stacked = False

    def __init__(
        self,
        model: WholeModel,
        samples: Mapping[str, RawSamples],
        objective: Objective,
        phase: Phase,
        rules: Rules,
        part_size: int,
        say: Callable[[str], None],
    ) -> None:
        self.model, self._say, self._rules = model, say, rules
        self._train, self._validation = samples["train"], samples.get("validation")
        device = model.frozen.device
        self._objective, self._on_device = objective.to(torch.device("cpu")), objective.to(device)
        self.n_samples, self.device, self.seed = len(self._train), device, rules.seed
        self._batch_size = min(rules.settings.batch_size, self.n_samples)
        self.part_size = min(part_size, self._batch_size)
        self.n_steps = -(-self.n_samples // self._batch_size)
        self._evaluated_at_once = EVALUATED_AT_ONCE
        groups = model.groups(phase.lr, phase.head_lr, rules.layer_decay, rules.weight_decay)
        peak = groups[0]["lr"] or 1.0
        self.rates = [peak]
        self._groups = [
            Group(group["names"], [group["weight_decay"]], group["lr"] / peak) for group in groups
        ]
        self._epoch, self._right = 0, RightCounter()

    @property
    def module(self) -> nn.Module:
        """The network."""
        return self.model

    def state(self) -> dict[str, Tensor]:
        """What trains, and the statistics of norms; what is frozen is as it was."""
        known = {name for name, _ in self.model.named_parameters(remove_duplicate=False)}
        buffers = {n: b for n, b in self.model.state_dict().items() if n not in known}
        return {**self.parameters(), **buffers}

    def groups(self) -> list[Group]:
        """See `Trainee`."""
        return self._groups

    def begin(self, epoch: int) -> None:
        """See `Trainee`."""
        self._epoch = self._train.epoch = epoch
        self._right = RightCounter()
        self.model.train()

    def steps(self, first: int) -> Iterator[Step]:
        """Windows of a batch each; a part is inputs with what the losses of its window are divided by."""
        windows = self._windows()[first:]
        loader = DataLoader(
            cast("Any", range(len(self._train))),
            batch_sampler=[part for window in windows for part in window],
            collate_fn=self._train.batch,
            num_workers=self._rules.n_workers,
            pin_memory=self.device.type == "cuda",
        )
        batches = iter(loader)
        for window in windows:
            weight = self._weight(window)
            yield Step(((next(batches), weight) for _ in window), sum(map(len, window)))

    def _windows(self) -> list[list[list[int]]]:
        """The rows of each part of each step of the epoch."""
        windows = Windows(
            self.n_samples, self._batch_size, self.part_size, self.seed, self._train.lengths(), self._epoch
        )
        parts, n_parts = list(windows), windows.n_parts
        return [parts[start : start + n_parts] for start in range(0, len(parts), n_parts)]

    def _weight(self, window: Sequence[Sequence[int]]) -> int:
        """What the losses of a window's rows are divided by, so that they make a mean."""
        return sum(map(len, window))

    def losses(self, part: tuple[dict[str, Tensor], int]) -> Tensor:
        """See `Trainee`."""
        batch, n_samples = part
        inputs, targets = self._moved(batch)
        logits = self._logits(inputs)
        self._right.add(self._on_device.right(logits.detach()[:, None].float(), targets))
        return self._on_device.losses(logits[:, None].float(), targets).sum(dim=0) / n_samples

    def _moved(self, batch: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        """The inputs and the targets of a batch, on the device."""
        inputs = {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}
        return inputs, inputs.pop(LABELS)

    def _logits(self, inputs: dict[str, Tensor]) -> Tensor:
        with self._autocast():
            logits: Tensor = self.model(inputs)
        return logits

    def _autocast(self) -> torch.autocast:
        """Activations of the precision that was asked for."""
        precision = AUTOCAST.get(self._rules.precision)
        return torch.autocast(self.device.type, precision, enabled=precision is not None)

    def train_accuracy(self) -> list[float | None]:
        """See `Trainee`."""
        return self._right.shares(self.n_members)

    def evaluate(self) -> list[tuple[float | None, float | None]]:
        """See `Trainee`."""
        if self._validation is None:
            return [(None, None)]
        outputs = self._validation.outputs(self._logits, self._evaluated_at_once)
        logits = torch.from_numpy(stacked(outputs))[:, None]
        targets, objective = self._validation.targets, self._objective
        loss = float(objective.losses(logits, targets).sum()) / objective.n_seen(targets)
        right = objective.right(logits, targets)
        return [(loss, None if right is None else float(right.double().mean()))]

    def halve(self) -> bool:
        """Let half as many samples through at once; a step stays what it is."""
        if self.part_size == 1:
            raise DataError(
                "the memory does not suffice for one sample; train fewer blocks (--strategy last:2), shorter texts "
                "(--max-length), or with --gradient-checkpointing"
            )
        self.part_size //= 2
        self._evaluated_at_once = self.part_size
        self._say(f"out of memory: going on with {self.part_size} samples at once")
        return True


os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
