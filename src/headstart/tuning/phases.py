"""One training from its first weights to its last, in phases, from wherever an interrupted one was left."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from headstart.errors import DivergedError
from headstart.registry.machine import EnergyMeter, MemoryWatch
from headstart.tasks import open_task
from headstart.training.callbacks import Callbacks, Record
from headstart.training.checkpoint import Checkpoint
from headstart.training.loop import Loop, TrainingResult
from headstart.training.trainee import load_state
from headstart.tuning.contrastive import ContrastiveSetup, check_contrastive
from headstart.tuning.setup import TrainingSetup
from headstart.tuning.state import write_settings
from headstart.tuning.strategies import CONTRASTIVE, plan_rules
from headstart.tuning.whole_model import counts_of
from headstart.tuning.writing import WritingSetup

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.config import TuneConfig
    from headstart.contracts import Progress
    from headstart.fitting.data import Splits
    from headstart.samples import LabelledSamples
    from headstart.tuning.strategies import Phase, Rules
    from headstart.types import Json

Setup: TypeAlias = Any
"""A `TrainingSetup` or a `WritingSetup`: what is trained, with its samples, and how it goes about a phase."""


def train(
    config: TuneConfig,
    features: FeatureSet,
    raw: Splits,
    progress: Progress,
    state: Path,
    callbacks: Sequence[Any],
) -> PhasedTraining:
    """Put a network together and train it; what lies in ``state`` of the same training is taken up."""
    raw = {**raw, "train": _weighted(config, raw["train"].trained_on)}
    setup = open_setup(config, features, raw, progress)
    phases = setup.plan(config)
    device = str(setup.model.frozen.device)
    rules = plan_rules(config, len(raw["train"]), device, setup.needs_whole_steps, setup.defaults(config))
    training = PhasedTraining(setup, phases, rules, state, progress)
    for line in training.describe(config.strategy):
        progress.say(line)
    write_settings(state, config)
    training.run(callbacks)
    return training


def _weighted(config: TuneConfig, train: LabelledSamples) -> LabelledSamples:
    """The samples with what their teacher counts here: trials of a search may differ in it."""
    if train.soft is None:
        return train
    soft = replace(
        train.soft,
        temperature=config.distill_temperature,
        alpha=config.distill_alpha,
        feature_weight=config.feature_weight,
    )
    return replace(train, soft=soft)


def open_setup(config: TuneConfig, features: FeatureSet, raw: Splits, progress: Progress) -> Setup:
    """What the labels and the strategy need: a head on a backbone, one fitted behind it, or a model that writes."""
    if config.strategy == CONTRASTIVE:
        check_contrastive(config, raw["train"])
    if open_task(raw["train"].kind).form == "texts":
        return WritingSetup.open(config, features, raw, progress)
    kind = ContrastiveSetup if config.strategy == CONTRASTIVE else TrainingSetup
    return kind.open(config, features, raw, progress)


@dataclass
class PhasedTraining:
    """A training of several phases, whose state lies in a folder.

    Attributes
    ----------
    history : list of dict
        A record for each epoch, see `headstart.training.callbacks`; None where there is no number.
    best_epoch : int
        The epoch, over all phases, whose weights were kept.
    seconds : float
        Of training, with what was done before an interruption.
    part_size : int
        Samples that went through the network at once in the end.
    n_trained : int
        Parameters that trained in the last phase, adapters among them.
    held : mapping
        Bytes of memory, and joules where they are counted.
    began, ended : float
        By `time.perf_counter`.
    """

    setup: Setup
    phases: Sequence[Phase]
    rules: Rules
    folder: Path
    progress: Progress
    history: list[Record] = field(default_factory=list)
    best_epoch: int = 0
    seconds: float = 0.0
    part_size: int = 0
    n_trained: int = 0
    held: Mapping[str, Json] = field(default_factory=dict)
    began: float = 0.0
    ended: float = 0.0

    def describe(self, strategy: str) -> Iterator[str]:
        """What will train, for the user: lines of a table, one for each phase and part of the network."""
        model, rules = self.setup.model, self.rules
        yield (
            f"{strategy}: {len(self.setup.samples['train']):,} samples in batches of {rules.settings.batch_size}, "
            f"{rules.part_size} at once, in {rules.precision}"
        )
        yield f"{'':>10}{'epochs':>8}{'lr':>9}{'total':>14}{'trainable':>14}{'frozen':>14}"
        for number, phase in enumerate(self.phases, 1):
            model.train_phase(phase)
            for name, part, lr in model.parts(phase):
                counts = counts_of(part.parameters())
                rate = f"{lr:.2g}" if counts["trainable"] else "-"
                title = f"{number} {name}" if len(self.phases) > 1 else name
                columns = "".join(f"{counts[column]:>14,}" for column in ("total", "trainable", "frozen"))
                yield f"{title:>10}{phase.epochs:>8}{rate:>9}{columns}"

    @property
    def seconds_to_best(self) -> float:
        """Of training, until the end of the best epoch."""
        return next((r["seconds"] for r in self.history if r["number"] == self.best_epoch), self.seconds)

    def run(self, callbacks: Sequence[Any]) -> None:
        """Train all phases that are not done yet; the model ends with the best weights of the last."""
        parameters = list(self.setup.model.parameters())
        watch, meter = MemoryWatch(self.setup.model.frozen.device.type), EnergyMeter()
        self.began, self.part_size = time.perf_counter(), self.rules.part_size
        told, done = Callbacks(callbacks), self._done_before()
        self.seconds = done[-1]["seconds"] if done else 0.0
        told.on_fit_begin({
            "epochs": sum(phase.epochs for phase in self.phases), "n_samples": len(self.setup.samples["train"]),
            "n_parameters": sum(parameter.numel() for parameter in parameters), "n_done": len(done), "history": done,
        })  # fmt: skip
        for number, phase in enumerate(self.phases, 1):
            self._run_phase(number, phase, told)
        told.on_fit_end(self.history)
        self.held, self.ended = {**watch.report(), **meter.joules}, time.perf_counter()
        self.n_trained = counts_of(parameters)["trainable"]

    def _checkpoint(self, number: int) -> tuple[Checkpoint, str]:
        path = self.folder / f"phase-{number}.safetensors"
        return Checkpoint(path, every=0, remedy="begin anew with --overwrite"), f"phase {number}"

    def _done_before(self) -> list[Record]:
        """The epochs that an interrupted training had behind it."""
        history: list[Record] = []
        for number in range(1, len(self.phases) + 1):
            checkpoint, identity = self._checkpoint(number)
            if plain := checkpoint.read_plain(identity):
                with checkpoint.readable():
                    history += plain["outcomes"][0][0]
                    if not all({"seconds", "number"} <= record.keys() for record in history):
                        raise ValueError("its records lack their number and seconds")
        return history

    def _run_phase(self, number: int, phase: Phase, told: Callbacks) -> None:
        setup, rules = self.setup, self.rules
        setup.model.train_phase(phase)
        checkpoint, identity = self._checkpoint(number)
        plain = checkpoint.read_plain(identity)
        is_over = plain is not None and not plain.get("active")
        with nullcontext(setup.samples) if is_over else setup.short_cut(phase, setup.samples) as samples:
            trainee = setup.trainee(samples, phase, rules, self.part_size, self.progress.say)
            note = self._note(number, len(self.history), time.perf_counter() - self.seconds)
            settings = replace(rules.settings, epochs=phase.epochs)
            asked = trainee.part_size
            loop = Loop(trainee, settings, [told.on_epoch_end], checkpoint, identity, note, rules.precision)
            [trained] = loop.run()
            if trainee.part_size < asked:
                self.part_size = trainee.part_size
            self._take(trained)
            with checkpoint.readable():
                load_state(trainee, trained.weights)

    def _note(self, number: int, n_before: int, started: float) -> Callable[[Record], Record]:
        def note(record: Record) -> Record:
            self.seconds = time.perf_counter() - started
            own = {name: _number_or_none(value) for name, value in record.items() if name != "gradients"}
            return {**own, "phase": number, "number": n_before + record["epoch"], "seconds": self.seconds}

        return note

    def _take(self, trained: TrainingResult) -> None:
        """Keep what a phase did, unless its weights give no numbers."""
        losses = [record["validation_loss"] for record in trained.history]
        if "validation" not in self.setup.samples:
            losses = [None] if trained.diverged_at else [record["train_loss"] for record in trained.history]
        if all(loss is None for loss in losses):
            raise DivergedError(
                "the training diverged: no epoch has a loss that is a number; lower --lr, --head-lr"
            )
        self.best_epoch = len(self.history) + trained.best_epoch
        self.history += trained.history
        if trained.diverged_at:
            self.progress.say(
                f"the loss is not finite any more in epoch {trained.diverged_at} of the phase, which ends; epoch "
                f"{trained.best_epoch} is kept"
            )


def _number_or_none(value: Any) -> Any:
    """JSON knows no infinity, and no number that is none."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
