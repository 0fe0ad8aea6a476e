"""Choosing how to fine-tune on validation data: a grid, or optuna, which gives up on what does not do well."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Mapping
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
    from headstart.training.settings import Criterion
    from headstart.types import Json

LISTS = ("epochs", "lr", "head_lr")
WHOLE = ("epochs", "batch_size", "patience", "lora_rank", "part_size")
FIRST_TRIALS = 4
"""Of optuna: none of them is given up."""


@dataclass
class TuneTrial:
    """One training of a search, whose weights lie in ``state``."""

    params: Mapping[str, Any]
    state: Path
    scores: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    is_pruned: bool = False

    @property
    def rank(self) -> tuple[float, float]:
        """Accuracy and then the loss, of the best epoch; the larger the better."""
        return self.scores.get("accuracy", 0.0), -self.scores.get("loss", float("inf"))

    @property
    def value(self) -> float:
        """What optuna makes as large as it can: the accuracy, for numbers minus the loss."""
        return self.scores.get("accuracy", -self.scores.get("loss", float("inf")))

    def to_json(self) -> dict[str, Json]:
        """A row of the table of a search."""
        figures = {name: {"mean": value, "deviation": None} for name, value in self.scores.items()}
        return {
            "params": dict(self.params), "validation": figures, "n": 1, "diverged": not self.scores,
            "pruned": self.is_pruned, "seconds": self.seconds,
        }  # fmt: skip


class _Pruned(Exception):
    """What was seen of a trial does not promise enough."""


class _Watch:
    """Follows a trial, and ends it where ``gives_up`` says so."""

    def __init__(self, trial: TuneTrial, by: Criterion, gives_up: Callable[[int, float], bool]) -> None:
        self._trial, self._by, self._gives_up = trial, by, gives_up
        self._phase, self._reached = 0, -math.inf

    def on_fit_begin(self, about: Mapping[str, Any]) -> None:
        """See what an interrupted training had behind it, as it was then."""
        for record in about["history"]:
            self.on_epoch_end(record)

    def on_epoch_end(self, record: Mapping[str, Any]) -> None:
        """Keep the figures of the best epoch so far of the phase: no other phase's weights are kept."""
        trial, loss, accuracy = self._trial, record["validation_loss"], record["validation_accuracy"]
        reached = -math.inf if loss is None else selection_score(loss, accuracy, self._by)
        trial.seconds = record["seconds"]
        if record["phase"] != self._phase:
            self._phase, self._reached, trial.scores = record["phase"], -math.inf, {}
        if reached > self._reached:
            self._reached = reached
            trial.scores = {"loss": loss} if accuracy is None else {"accuracy": accuracy, "loss": loss}
        if self._gives_up(record["number"], trial.value):
            raise _Pruned


def search(
    config: TuneConfig, features: FeatureSet, raw: Splits, progress: Progress, state: Path
) -> tuple[TuneConfig, Path, dict[str, Json]]:
    """Try what the configuration asks for, and choose by validation data.

    Returns
    -------
    config : TuneConfig
        With the best parameters.
    state : Path
        Of the best training, which goes on from there without being done again.
    report : dict
        See `search_report`.
    """
    if not len(raw["validation"]):
        raise ConfigError("there are no validation samples to choose by; extract with some")
    grid = as_grid(config.sweep)
    known = set(TuneConfig.model_fields) - {"data", "set", "sweep", "search", "trials", "plots"}
    if wrong := set(grid) - known:
        raise ConfigError(
            f"--sweep is over options of fine-tune, such as lr, batch_size and strategy (got {min(wrong)!r})"
        )
    tried: list[TuneTrial] = []
    for number, (params, gives_up, tell) in enumerate(_proposals(config, grid)):
        trial = TuneTrial(params, state / f"trial-{number + 1}")
        progress.say(f"trial {number + 1}: " + ", ".join(f"{name}={value}" for name, value in params.items()))
        chosen = _with(config, params)
        try:
            check_resumable(trial.state, chosen)
        except ConfigError:  # another search left it in this trial's place; what this one left is taken up
            shutil.rmtree(trial.state)
        try:
            watch = _Watch(trial, defaults_of(chosen.strategy).kept_by, gives_up)
            train(chosen, features, raw, progress, trial.state, [watch])
        except _Pruned:
            trial.is_pruned = True
        except DivergedError:
            trial.scores = {}
        tell(trial)
        tried.append(trial)
        said = ", ".join(f"{name} {value:.4f}" for name, value in trial.scores.items())
        progress.say(f"trial {number + 1}: {said or 'diverged'}{' (given up)' if trial.is_pruned else ''}")
    whole = [trial for trial in tried if trial.scores and not trial.is_pruned]
    if not whole:
        raise ConfigError(f"all {len(tried)} trainings diverged; sweep over smaller learning rates")
    best = max(whole, key=lambda trial: trial.rank)
    rows, selected_by = [trial.to_json() for trial in tried], "accuracy on validation, then the loss"
    return _with(config, best.params), best.state, search_report(best.to_json(), rows, None, selected_by)


def _with(config: TuneConfig, params: Mapping[str, Any]) -> TuneConfig:
    values = config.model_dump(exclude={"sweep", "search", "trials"})
    return TuneConfig(**{**values, **{n: [v] if n in LISTS else v for n, v in params.items()}})


def _proposals(
    config: TuneConfig, grid: Mapping[str, list[Any]]
) -> Iterator[tuple[dict[str, Any], Callable[[int, float], bool], Callable[[TuneTrial], None]]]:
    """Parameters, what says whether a trial is given up, and what is told how it went."""
    if config.search == "grid":
        for params in combinations(grid):
            yield params, lambda epoch, value: False, lambda trial: None
        return
    import optuna

    study = open_study(
        config.seed, optuna.pruners.MedianPruner(n_startup_trials=FIRST_TRIALS, n_warmup_steps=1)
    )
    for _ in range(config.trials):
        asked = study.ask()
        params = {name: suggest(asked, name, values, name in WHOLE) for name, values in grid.items()}

        def gives_up(epoch: int, value: float, asked: Any = asked) -> bool:
            asked.report(value, epoch)
            return bool(asked.should_prune())

        def tell(trial: TuneTrial, asked: Any = asked) -> None:
            states = optuna.trial.TrialState
            how = states.PRUNED if trial.is_pruned else states.COMPLETE if trial.scores else states.FAIL
            study.tell(asked, trial.value if how == states.COMPLETE else None, state=how)

        yield params, gives_up, tell
