"""Choosing how to fine-tune on validation data: a grid, or optuna, which gives up on what does not do well."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from headstart.config import TrialsConfig, TuneConfig
from headstart.errors import ConfigError, DivergedError
from headstart.fitting.grids import as_grid, combinations
from headstart.fitting.search import import_optuna, open_study, search_report, suggest
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


class Study:
    """What optuna proposes within a grid, and is told; processes of a cluster may share one."""

    def __init__(self, seed: int, grid: Mapping[str, list[Any]]) -> None:
        self._study = open_study(seed, FIRST_TRIALS)
        self._grid = grid
        self._asked: dict[int, Any] = {}

    def ask(self, number: int) -> dict[str, Any]:
        """Parameters of the next trial, which is called ``number`` from then on."""
        asked = self._asked[number] = self._study.ask()
        return {name: suggest(asked, name, values, name in WHOLE) for name, values in self._grid.items()}

    def gives_up(self, number: int, value: float, epoch: int) -> bool:
        """Whether a trial whose value after an epoch this is does not promise enough."""
        self._asked[number].report(value, epoch)
        return bool(self._asked[number].should_prune())

    def tell(self, number: int, value: float | None, is_pruned: bool) -> None:
        """What became of a trial; None if it gave no numbers."""
        from optuna.trial import TrialState

        if is_pruned or value is None:
            self._study.tell(self._asked[number], state=TrialState.PRUNED if is_pruned else TrialState.FAIL)
        else:
            self._study.tell(self._asked[number], value)


@dataclass
class TuneTrial:
    """One training of a search, which it watches; its weights lie in ``state``.

    A study is told of each epoch, and the training ends where it does not promise enough.
    """

    number: int
    params: Mapping[str, Any]
    config: TuneConfig
    state: Path
    study: Study | None = None
    scores: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    is_pruned: bool = False
    _phase: int = 0
    _reached: float = -math.inf
    _is_retold: bool = False

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
        self._is_retold = True  # what was not given up then is not given up for it now
        for record in about["history"]:
            self.on_epoch_end(record)
        self._is_retold = False

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
        if self.study is None:
            return
        if self.study.gives_up(self.number, self.value, record["number"]) and not self._is_retold:
            raise _Pruned

    def run(self, features: FeatureSet, raw: Splits, progress: Progress) -> None:
        """Train, and remember what came of it; what this very trial left before is taken up."""
        try:
            check_resumable(self.state, self.config)
        except ConfigError:  # another search left it in this trial's place
            shutil.rmtree(self.state)
        try:
            train(self.config, features, raw, progress, self.state, [self])
        except _Pruned:
            self.is_pruned = True
        except DivergedError:
            self.scores = {}

    def __str__(self) -> str:
        said = ", ".join(f"{name} {value:.4f}" for name, value in self.scores.items())
        return f"trial {self.number}: {said or 'diverged'}{' (given up)' if self.is_pruned else ''}"

    @property
    def title(self) -> str:
        """Its number and parameters."""
        return f"trial {self.number}: " + ", ".join(f"{name}={value}" for name, value in self.params.items())

    def to_json(self) -> dict[str, Json]:
        """A row of the table of a search."""
        figures = {name: {"mean": value, "deviation": None} for name, value in self.scores.items()}
        return {
            "params": dict(self.params), "validation": figures, "n": 1, "diverged": not self.scores,
            "pruned": self.is_pruned, "seconds": self.seconds,
        }  # fmt: skip


Runner: TypeAlias = "Callable[[Iterable[TuneTrial]], Iterator[TuneTrial]]"
"""Runs trials, each of which may be made only when it is asked for; yields them as they are done."""


def run_here(features: FeatureSet, raw: Splits, progress: Progress) -> Runner:
    """One after the other, in this process."""

    def run(trials: Iterable[TuneTrial]) -> Iterator[TuneTrial]:
        for trial in trials:
            progress.say(trial.title)
            trial.run(features, raw, progress)
            yield trial

    return run


def search(
    config: TuneConfig,
    n_validation: int,
    progress: Progress,
    state: Path,
    run: Runner,
    serve: Callable[..., Any] = lambda made, *arguments: made(*arguments),
) -> tuple[TuneTrial, dict[str, Json]]:
    """Try what the configuration asks for, and choose by validation data.

    Parameters
    ----------
    n_validation : int
        Samples to choose by.
    run : callable
        See `Runner`.
    serve : callable
        Makes an object of a class that all who run trials share.

    Returns
    -------
    best : TuneTrial
        Its training goes on from where it is without being done again.
    report : dict
        See `search_report`.
    """
    grid, study = checked_grid(config, n_validation), None
    if config.search == "optuna":
        import_optuna()  # here, where it can be said that it is not there
        study = serve(Study, config.seed, grid)
    tried: list[TuneTrial] = []
    for trial in run(_trials(config, grid, study, state)):
        if study is not None:
            study.tell(trial.number, trial.value if trial.scores else None, trial.is_pruned)
        tried.append(trial)
        progress.say(str(trial))
    tried.sort(key=lambda trial: trial.number)
    whole = [trial for trial in tried if trial.scores and not trial.is_pruned]
    if not whole:
        raise ConfigError(f"all {len(tried)} trainings diverged; sweep over smaller learning rates")
    best = max(whole, key=lambda trial: trial.rank)
    rows, selected_by = [trial.to_json() for trial in tried], "accuracy on validation, then the loss"
    return best, search_report(best.to_json(), rows, None, selected_by, config.search)


def checked_grid(config: TuneConfig, n_validation: int) -> dict[str, list[Any]]:
    """What is to be tried of each option; what cannot be is refused, before any work."""
    if not n_validation:
        raise ConfigError("there are no validation samples to choose by; extract with some")
    grid = as_grid(config.sweep)
    fixed = {*ONCE, "data", "set", "plots", *(() if config.cluster is None else ("device", "cache"))}
    known = set(TuneConfig.model_fields) - fixed - _of_search(config)
    if wrong := set(grid) - known:
        raise ConfigError(
            f"--sweep is over options of fine-tune, such as lr, batch_size and strategy (got {min(wrong)!r})"
        )
    return grid


def _of_search(config: TuneConfig) -> set[str]:
    """Options of a search, and not of its trials; on a cluster the number of workers is that of trials at once."""
    names = {"sweep", "search", "trials", *TrialsConfig.model_fields}
    return names - {"workers"} if config.cluster is None else names


def _with(config: TuneConfig, params: Mapping[str, Any]) -> TuneConfig:
    values = config.model_dump(exclude=_of_search(config))
    return TuneConfig(**{**values, **{n: [v] if n in LISTS else v for n, v in params.items()}})


def _trials(
    config: TuneConfig, grid: Mapping[str, list[Any]], study: Study | None, state: Path
) -> Iterator[TuneTrial]:
    """What is to be tried; optuna proposes by what it was told until then."""
    proposals = (
        ((number, study.ask(number)) for number in range(1, config.trials + 1))
        if study is not None
        else enumerate(combinations(grid), 1)
    )
    for number, params in proposals:
        yield TuneTrial(number, params, _with(config, params), state / f"trial-{number}", study)
