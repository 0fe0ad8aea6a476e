"""One training from its first weights to its last, in phases, from wherever an interrupted one was left."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import ConfigError, DivergedError
from headstart.registry.machine import EnergyMeter, MemoryWatch
from headstart.training.callbacks import Callbacks, Record
from headstart.training.checkpoint import Checkpoint
from headstart.training.loop import Loop, TrainingResult
from headstart.training.trainee import load_state
from headstart.tuning.setup import TrainingSetup
from headstart.tuning.state import write_settings
from headstart.tuning.strategies import plan_phases, plan_rules
from headstart.tuning.trainee import WholeNetwork
from headstart.tuning.whole_model import counts_of

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.config import TuneConfig
    from headstart.contracts import Progress
    from headstart.fitting.data import Splits
    from headstart.samples import LabelledSamples
    from headstart.tuning.strategies import Phase, Rules
    from headstart.tuning.whole_model import WholeModel
    from headstart.types import Json


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
    setup = TrainingSetup.open(config, features, raw, progress)
    phases = plan_phases(config, setup.model.depths.n_blocks)
    check_read(setup.model, phases, config.strategy, str(setup.described["tap"]))
    rules = plan_rules(config, len(raw["train"]), str(setup.model.frozen.device), setup.needs_whole_steps)
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


def check_read(model: WholeModel, phases: Sequence[Phase], strategy: str, tap: str) -> None:
    """Refuse a phase that would train blocks of which none is read: the tap lies before them."""
    total = model.depths.n_blocks
    for phase in phases:
        if not phase.n_blocks or _trains(model, phase.n_blocks):
            continue
        enough = next((n for n in range(phase.n_blocks + 1, total + 1) if _trains(model, n)), None)
        remedy = "take full" if enough is None else f"train {enough} or more of its {total} blocks"
        raise ConfigError(
            f"{strategy} would train nothing but the head: {tap} is read before the last {phase.n_blocks} of {total} "
            f"blocks; {remedy}, or choose another --tap"
        )


def _trains(model: WholeModel, n_blocks: int) -> bool:
    """Whether a weight of the last blocks, so many, takes part in what the head reads."""
    model.train_from(model.depths.n_blocks + 1 - n_blocks)
    return any(parameter.requires_grad for parameter in model.backbone.parameters())


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

    setup: TrainingSetup
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
            model.train_from(phase.first_depth(model.depths.n_blocks))
            for name, part, lr in (
                ("backbone", model.backbone, phase.lr),
                ("head", model.head, phase.head_lr),
            ):
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
        setup.model.train_from(phase.first_depth(setup.model.depths.n_blocks))
        checkpoint, identity = self._checkpoint(number)
        plain = checkpoint.read_plain(identity)
        is_over = plain is not None and not plain.get("active")
        with nullcontext(setup.samples) if is_over else setup.short_cut(phase, setup.samples) as samples:
            trainee = WholeNetwork(
                setup.model, samples, setup.objective, phase, rules, self.part_size, self.progress.say
            )
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
