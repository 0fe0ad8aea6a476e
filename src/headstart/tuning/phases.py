"""Running the phases of a training, from wherever an interrupted one was left."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from safetensors.torch import load_model, save_model

from headstart.errors import DataError, DivergedError
from headstart.files import read_json, write_json
from headstart.memory import is_out_of_memory
from headstart.tuning.selection_scores import merit_of
from headstart.tuning.state import SETTINGS
from headstart.tuning.trainer import WEIGHTS, PhaseTrainer, Rules, latest_checkpoint

if TYPE_CHECKING:
    from headstart.contracts import Progress
    from headstart.training.objectives import Objective
    from headstart.tuning.inputs import RawSamples
    from headstart.tuning.network import TunedModel
    from headstart.tuning.strategies import Phase

DONE = "done.json"
Samples: TypeAlias = "Mapping[str, RawSamples]"
"""By split."""
ShortCut: TypeAlias = "Callable[[Phase, Samples], AbstractContextManager[Samples]]"


@contextmanager
def whole_way(phase: Phase, samples: Samples) -> Iterator[Samples]:
    """No short cut: every pass runs the whole network."""
    yield samples


@dataclass
class Trained:
    """What a training did.

    Parameters
    ----------
    history : list of dict
        A record an epoch: ``phase`` and ``epoch`` from 1, ``train_loss``, ``validation_loss``,
        ``validation_accuracy``, ``lr``, ``gradient_norm``, ``seconds`` since the beginning; None where there is
        no number.
    best_epoch : int
        The epoch, over all phases, whose weights were kept.
    seconds : float
        Of training, with what was done before an interruption.
    part_size : int
        Samples that went through the network at once in the end.
    """

    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    seconds: float = 0.0
    part_size: int = 0

    @property
    def seconds_to_best(self) -> float:
        """Of training, until the end of the best epoch."""
        return next((r["seconds"] for r in self.history if r["number"] == self.best_epoch), self.seconds)


class Training:
    """A training of several phases, whose state lies in a folder.

    Parameters
    ----------
    model : TunedModel
    samples : mapping of str to RawSamples
        ``train``, and where there are some ``validation``.
    objective : Objective
    phases : sequence of Phase
    rules : Rules
    folder : Path
        Of the state; `settings.json` in it says of which training.
    settings : mapping
        What the state must have been made with, as JSON.
    progress : Progress
    callbacks : sequence
        Told about epochs, see `headstart.training.callbacks`.
    trainer_callbacks : sequence of TrainerCallback
    short_cut : callable
        From a phase and samples to a context in which the model takes the samples that it gives instead.
    """

    def __init__(
        self,
        model: TunedModel,
        samples: Samples,
        objective: Objective,
        phases: Sequence[Phase],
        rules: Rules,
        folder: Path,
        settings: Mapping[str, Any],
        progress: Progress,
        callbacks: Sequence[Any] = (),
        trainer_callbacks: Sequence[Any] = (),
        short_cut: ShortCut = whole_way,
    ) -> None:
        self._model, self._samples = model, samples
        self._objective, self._phases, self._rules = objective, phases, rules
        self._folder, self._settings, self._progress = folder, settings, progress
        self._callbacks, self._trainer_callbacks = callbacks, trainer_callbacks
        self._short_cut = short_cut
        self._trained = Trained(part_size=rules.part_size)

    def run(self) -> Trained:
        """Train all phases that are not done yet; the model ends with the best weights of the last."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_json(self._folder / SETTINGS, dict(self._settings))
        self._restore()
        n_epochs = sum(phase.epochs for phase in self._phases)
        about = {
            "epochs": n_epochs,
            "n_done": len(self._trained.history),
            "n_samples": len(self._samples["train"]),
            "history": [dict(record) for record in self._trained.history],
        }
        for callback in self._callbacks:
            callback.on_fit_begin(about)
        try:
            for number, phase in enumerate(self._phases):
                self._run_phase(number, phase)
        finally:
            for callback in self._callbacks:
                callback.on_fit_end(self._trained.history)
        return self._trained

    def _run_phase(self, number: int, phase: Phase) -> None:
        folder = self._folder / f"phase-{number + 1}"
        self._model.train_from(phase.first_depth(self._model.depths.n_blocks))
        if (folder / DONE).exists():
            load_model(self._model, str(folder / WEIGHTS), strict=False)
            return
        with self._short_cut(phase, self._samples) as samples:
            self._train_phase(number, phase, folder, samples)
        records = [record for record in self._trained.history if record["phase"] == number + 1]
        self._check_numbers(records)
        self._trained.best_epoch = self._kept_of(records)
        save_model(self._model, str(folder / WEIGHTS))
        self._write_done(folder)
        for checkpoint in folder.glob("checkpoint-*"):
            shutil.rmtree(checkpoint, ignore_errors=True)

    def _check_numbers(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Refuse to keep weights that give no numbers."""
        losses = [record["validation_loss"] for record in records]
        if "validation" not in self._samples:
            losses = [record["train_loss"] for record in records[-1:]]
        if losses and all(loss is None for loss in losses):
            rates = "--lr, --head-lr"
            raise DivergedError(f"the training diverged: no epoch has a loss that is a number; lower {rates}")

    def _kept_of(self, records: Sequence[Mapping[str, Any]]) -> int:
        """The epoch whose weights a phase ends with: the best, and without validation samples the last."""
        if not records:
            return 0
        if "validation" not in self._samples:
            return int(records[-1]["number"])
        return int(max(records, key=lambda record: merit_of(record, self._rules.kept_by))["number"])

    def _train_phase(self, number: int, phase: Phase, folder: Path, samples: Samples) -> None:
        """One phase; where the memory does not suffice, with half as many samples at once."""
        while True:
            trainer = PhaseTrainer(
                self._model, samples["train"], samples.get("validation"), self._objective, phase, self._rules, folder,
                self._watch(number), self._trainer_callbacks,
            )  # fmt: skip
            self._started = time.perf_counter() - self._trained.seconds
            try:
                trainer.train(resume_from_checkpoint=latest_checkpoint(folder))
                return
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            self._halve()

    def _halve(self) -> None:
        """Let fewer samples through at once; a step stays what it is."""
        size = min(self._rules.part_size, self._rules.batch_size, len(self._samples["train"]))
        if size == 1:
            raise DataError(
                "the memory does not suffice for one sample; train fewer blocks (--strategy last:2), shorter texts "
                "(--max-length), or with --gradient-checkpointing"
            )
        self._rules = replace(self._rules, part_size=max(size // 2, 1))
        self._trained.part_size = self._rules.part_size
        self._model.zero_grad(set_to_none=True)
        self._progress.say(f"out of memory: going on with {self._rules.part_size} samples at once")

    def _watch(self, number: int) -> Callable[[dict[str, Any]], bool]:
        def on_epoch(record: dict[str, Any]) -> bool:
            self._trained.seconds = time.perf_counter() - self._started
            done = self._trained.history
            seconds = self._trained.seconds
            record |= {"phase": number + 1, "number": len(done) + 1, "seconds": seconds}
            record = {name: _number_or_none(value) for name, value in record.items()}
            done.append(record)
            write_json(self._folder / "history.json", {"history": done, "part_size": self._trained.part_size})
            says = [
                callback.on_epoch_end(dict(record)) for callback in self._callbacks
            ]  # all of them are told
            return any(one is True for one in says)

        return on_epoch

    def _write_done(self, folder: Path) -> None:
        write_json(folder / DONE, {"best_epoch": self._trained.best_epoch})

    def _restore(self) -> None:
        """What an interrupted training had behind it."""
        path = self._folder / "history.json"
        if not path.exists():
            return
        found = read_json(path)
        self._trained.part_size = int(found["part_size"])
        self._rules = replace(self._rules, part_size=self._trained.part_size)
        for number in range(len(self._phases)):
            folder = self._folder / f"phase-{number + 1}"
            records = [record for record in found["history"] if record["phase"] == number + 1]
            if (folder / DONE).exists():
                self._trained.history += records
                self._trained.best_epoch = int(read_json(folder / DONE)["best_epoch"])
                continue
            # An epoch is written down after its checkpoint; without one it is trained again.
            state = latest_checkpoint(folder)
            n_epochs = (
                round(json.loads((Path(state) / "trainer_state.json").read_text())["epoch"]) if state else 0
            )
            self._trained.history += records[:n_epochs]
            break
        if self._trained.history:
            self._trained.seconds = float(self._trained.history[-1]["seconds"])


def _number_or_none(value: Any) -> Any:
    """JSON knows no infinity, and no number that is none."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
