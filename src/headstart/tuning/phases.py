"""Running the phases of a training, from wherever an interrupted one was left."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from headstart.errors import DivergedError
from headstart.files import write_json
from headstart.training.callbacks import Callbacks, Record
from headstart.training.checkpoint import Checkpoint
from headstart.training.loop import Loop, Trained
from headstart.training.trainee import load_state
from headstart.tuning.state import SETTINGS
from headstart.tuning.trainee import WholeNetwork

if TYPE_CHECKING:
    from headstart.contracts import Progress
    from headstart.training.objectives import Objective
    from headstart.tuning.defaults import Rules
    from headstart.tuning.inputs import RawSamples
    from headstart.tuning.network import TunedModel
    from headstart.tuning.strategies import Phase

Samples: TypeAlias = "Mapping[str, RawSamples]"
"""By split."""
ShortCut: TypeAlias = "Callable[[Phase, Samples], AbstractContextManager[Samples]]"
"""From a phase and samples to a context in which the model takes the samples that it gives instead."""


@dataclass
class PhasedTraining:
    """A training of several phases, whose state lies in a folder.

    Parameters
    ----------
    samples : mapping of str to RawSamples
        ``train``, and where there are some ``validation``.
    folder : Path
        Of the state; `settings.json` in it says of which training.
    settings : mapping
        What the state must have been made with, as JSON.

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
    """

    model: TunedModel
    samples: Samples
    objective: Objective
    phases: Sequence[Phase]
    rules: Rules
    folder: Path
    settings: Mapping[str, Any]
    progress: Progress
    short_cut: ShortCut
    history: list[Record] = field(default_factory=list)
    best_epoch: int = 0
    seconds: float = 0.0
    part_size: int = 0

    @property
    def seconds_to_best(self) -> float:
        """Of training, until the end of the best epoch."""
        return next((r["seconds"] for r in self.history if r["number"] == self.best_epoch), self.seconds)

    def run(self, callbacks: Sequence[Any]) -> None:
        """Train all phases that are not done yet; the model ends with the best weights of the last."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / SETTINGS, dict(self.settings))
        self.part_size = self.rules.part_size
        told = Callbacks(callbacks)
        done = self._done_before()
        self.seconds = done[-1]["seconds"] if done else 0.0
        told.on_fit_begin({
            "epochs": sum(phase.epochs for phase in self.phases), "n_samples": len(self.samples["train"]),
            "n_parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "n_done": len(done), "history": done,
        })  # fmt: skip
        for number, phase in enumerate(self.phases, 1):
            self._run_phase(number, phase, told)
        told.on_fit_end(self.history)

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
        return history

    def _run_phase(self, number: int, phase: Phase, told: Callbacks) -> None:
        self.model.train_from(phase.first_depth(self.model.depths.n_blocks))
        checkpoint, identity = self._checkpoint(number)
        plain = checkpoint.read_plain(identity)
        is_over = plain is not None and not plain.get("active")
        with nullcontext(self.samples) if is_over else self.short_cut(phase, self.samples) as samples:
            trainee = WholeNetwork(
                self.model, samples["train"], samples.get("validation"), self.objective, phase, self.rules,
                self.part_size, self.progress.say,
            )  # fmt: skip
            note = self._note(number, len(self.history), time.perf_counter() - self.seconds)
            loop = Loop(
                trainee, self.rules.settings(phase), [told.on_epoch_end], checkpoint, identity, note,
                self.rules.precision,
            )  # fmt: skip
            asked = trainee.part_size
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

    def _take(self, trained: Trained) -> None:
        """Keep what a phase did, unless its weights give no numbers."""
        losses = [record["validation_loss"] for record in trained.history]
        if "validation" not in self.samples:
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
