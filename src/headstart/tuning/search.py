"""Choosing how to fine-tune on validation data: a grid, or optuna, which gives up on what does not do well."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.config import TuneConfig
from headstart.errors import ConfigError, DivergedError
from headstart.fitting.grids import as_grid, combinations
from headstart.fitting.search import open_study, search_report, suggest
from headstart.training.loop import selection_score
from headstart.tuning.phases import train
from headstart.tuning.state import check_resumable
from headstart.tuning.strategies import defaults_of

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Progress
    from headstart.fitting.data import Splits
    from headstart.types import Json

LISTS = ("epochs", "lr", "head_lr")
WHOLE = ("epochs", "batch_size", "patience", "lora_rank", "part_size")
ONCE = ("teacher", "teacher_folds", "teacher_features")
"""A teacher is asked once, before the trials."""
FIRST_TRIALS = 4
"""Of optuna: none of them is given up."""


class _Pruned(Exception):
    """What was seen of a trial does not promise enough."""


@dataclass
class TuneTrial:
    """One training of a search, which it watches; its weights lie in ``state``.

    What optuna asked for is told of each epoch, and ends where it does not promise enough.
    """

    params: Mapping[str, Any]
    config: TuneConfig
    state: Path
    asked: Any = None
    scores: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    is_pruned: bool = False
    _phase: int = 0
    _reached: float = -math.inf

    @property
    def rank(self) -> tuple[float, float]:
        """Accuracy and then the loss, of the best epoch; the larger the better."""
        return self.scores.get("accuracy", 0.0), -self.scores.get("loss", math.inf)

    @property
    def value(self) -> float:
        """What optuna makes as large as it can: the accuracy, for numbers minus the loss."""
        return self.scores.get("accuracy", -self.scores.get("loss", math.inf))

    def on_fit_begin(self, about: Mapping[str, Any]) -> None:
        """See what an interrupted training had behind it, as it was then."""
        for record in about["history"]:
            self.on_epoch_end(record)

    def on_epoch_end(self, record: Mapping[str, Any]) -> None:
        """Keep the figures of the best epoch so far of the phase: no other phase's weights are kept."""
        loss, accuracy = record["validation_loss"], record["validation_accuracy"]
        by = defaults_of(self.config.strategy).kept_by
        reached = -math.inf if loss is None else selection_score(loss, accuracy, by)
        self.seconds = record["seconds"]
        if record["phase"] != self._phase:
            self._phase, self._reached, self.scores = record["phase"], -math.inf, {}
        if reached > self._reached:
            self._reached = reached
            self.scores = {"loss": loss} if accuracy is None else {"accuracy": accuracy, "loss": loss}
        if self.asked is not None:
            self.asked.report(self.value, record["number"])
            if self.asked.should_prune():
                raise _Pruned

    def to_json(self) -> dict[str, Json]:
        """A row of the table of a search."""
        figures = {name: {"mean": value, "deviation": None} for name, value in self.scores.items()}
        return {
            "params": dict(self.params), "validation": figures, "n": 1, "diverged": not self.scores,
            "pruned": self.is_pruned, "seconds": self.seconds,
        }  # fmt: skip


def search(
    config: TuneConfig, features: FeatureSet, raw: Splits, progress: Progress, state: Path
) -> tuple[TuneTrial, dict[str, Json]]:
    """Try what the configuration asks for, and choose by validation data.

    Returns
    -------
    best : TuneTrial
        Its training goes on from where it is without being done again.
    report : dict
        See `search_report`.
    """
    if not len(raw["validation"]):
        raise ConfigError("there are no validation samples to choose by; extract with some")
    grid = as_grid(config.sweep)
    known = set(TuneConfig.model_fields) - {*ONCE, "data", "set", "sweep", "search", "trials", "plots"}
    if wrong := set(grid) - known:
        raise ConfigError(
            f"--sweep is over options of fine-tune, such as lr, batch_size and strategy (got {min(wrong)!r})"
        )
    study = open_study(config.seed, FIRST_TRIALS) if config.search == "optuna" else None
    tried: list[TuneTrial] = []
    for number, (params, asked) in enumerate(_proposals(config, grid, study), 1):
        trial = TuneTrial(params, _with(config, params), state / f"trial-{number}", asked)
        progress.say(f"trial {number}: " + ", ".join(f"{name}={value}" for name, value in params.items()))
        _run(trial, features, raw, progress)
        if study is not None:
            _tell(study, trial)
        tried.append(trial)
        said = ", ".join(f"{name} {value:.4f}" for name, value in trial.scores.items())
        progress.say(f"trial {number}: {said or 'diverged'}{' (given up)' if trial.is_pruned else ''}")
    whole = [trial for trial in tried if trial.scores and not trial.is_pruned]
    if not whole:
        raise ConfigError(f"all {len(tried)} trainings diverged; sweep over smaller learning rates")
    best = max(whole, key=lambda trial: trial.rank)
    rows, selected_by = [trial.to_json() for trial in tried], "accuracy on validation, then the loss"
    return best, search_report(best.to_json(), rows, None, selected_by, config.search)


def _with(config: TuneConfig, params: Mapping[str, Any]) -> TuneConfig:
    values = config.model_dump(exclude={"sweep", "search", "trials"})
    return TuneConfig(**{**values, **{n: [v] if n in LISTS else v for n, v in params.items()}})


def _proposals(
    config: TuneConfig, grid: Mapping[str, list[Any]], study: Any
) -> Iterator[tuple[dict[str, Any], Any]]:
    """Parameters, and what optuna asked for them by."""
    if study is None:
        yield from ((params, None) for params in combinations(grid))
        return
    for _ in range(config.trials):
        asked = study.ask()
        yield {name: suggest(asked, name, values, name in WHOLE) for name, values in grid.items()}, asked


def _run(trial: TuneTrial, features: FeatureSet, raw: Splits, progress: Progress) -> None:
    try:
        check_resumable(trial.state, trial.config)
    except ConfigError:  # another search left it in this trial's place; what this one left is taken up
        shutil.rmtree(trial.state)
    try:
        train(trial.config, features, raw, progress, trial.state, [trial])
    except _Pruned:
        trial.is_pruned = True
    except DivergedError:
        trial.scores = {}


def _tell(study: Any, trial: TuneTrial) -> None:
    from optuna.trial import TrialState

    if trial.is_pruned or not trial.scores:
        study.tell(trial.asked, state=TrialState.PRUNED if trial.is_pruned else TrialState.FAIL)
    else:
        study.tell(trial.asked, trial.value)
