"""Choosing the parameters of a head on validation data: grids, optuna, cross-validation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.arrow import keys_from_arrow
from headstart.errors import ConfigError
from headstart.fitting.grids import as_grid, combinations, folds_of
from headstart.fitting.prepared import preparing
from headstart.fitting.trials import Samples, Trial, Tried, merit, run_trials
from headstart.heads import head_class
from headstart.heads.holdout import held_out
from headstart.heads.parameters import defaults, takes_whole_numbers
from headstart.metrics.summary import summarise
from headstart.tasks import open_task

if TYPE_CHECKING:
    from headstart.config import FitConfig
    from headstart.contracts import Progress
    from headstart.fitting.data import FitData
    from headstart.types import Json, LabelKind

ASKED_AT_ONCE = 8
"""Trials that optuna proposes before it hears of their outcome: they are trained side by side."""
TAP, HEAD = "tap", "head"
"""What may be swept besides parameters."""


@dataclass(frozen=True)
class Choice:
    """What a tap offers to choose by.

    Parameters
    ----------
    raw : FitData
        As it was read.
    train, validation : Samples
        Prepared, with views.
    """

    raw: FitData
    train: Samples
    validation: Samples | None


@dataclass
class Candidate:
    """A head and its parameters, with all that was tried with them.

    Parameters
    ----------
    head : str
    params : dict
    tap : str, optional
        Where the sweep is over taps.
    task : LabelKind
    tried : list of Tried
        One a seed and fold.
    """

    head: str
    params: dict[str, Any]
    tap: str | None
    task: LabelKind
    named: bool = False
    """Whether the sweep is over heads."""
    tried: list[Tried] = field(default_factory=list)

    @property
    def has_failed(self) -> bool:
        """Whether one of them diverged."""
        return any(tried.has_diverged for tried in self.tried)

    @property
    def merit(self) -> tuple[float, ...]:
        """The larger the better; a candidate of which one trial diverged is worse than all others."""
        if self.has_failed:
            return (-np.inf, -np.inf)
        return merit(self.task, [tried.scores for tried in self.tried])

    def to_json(self) -> dict[str, Json]:
        """A row of the table of a sweep."""
        figures = {} if self.has_failed else summarise([tried.scores for tried in self.tried])
        named = {**({HEAD: self.head} if self.named else {}), **({TAP: self.tap} if self.tap else {})}
        return {
            "params": {**named, **self.params},
            "validation": {
                name: {part: each[part] for part in ("mean", "deviation")} for name, each in figures.items()
            },
            "n": len(self.tried),
            "diverged": self.has_failed,
            "seconds": sum(tried.seconds for tried in self.tried),
        }


@dataclass(frozen=True)
class Searched:
    """What a search found.

    Parameters
    ----------
    best : Candidate
    candidates : sequence of Candidate
    n_folds : int, optional
        None: each was judged on the validation samples.
    """

    best: Candidate
    candidates: Sequence[Candidate]
    n_folds: int | None

    def to_json(self) -> dict[str, Json]:
        """The part of a report."""
        judged_on = f"{self.n_folds} folds of train and validation" if self.n_folds else "validation"
        best = self.best.to_json()
        return {
            "best": best["params"],
            "validation": best["validation"],
            "folds": self.n_folds,
            "selected_by": f"accuracy on {judged_on}, then log loss; for numbers the error",
            "trials": [candidate.to_json() for candidate in self.candidates],
        }


def heads_of(config: FitConfig) -> list[str]:
    """The head of a configuration, or those that its sweep compares."""
    heads: list[str] = as_grid({HEAD: config.sweep[HEAD]})[HEAD] if HEAD in config.sweep else [config.head]
    return heads


def search(config: FitConfig, choices: Mapping[str | None, Choice], progress: Progress) -> Searched:
    """Try what the configuration asks for, and choose by validation data alone.

    Parameters
    ----------
    config : FitConfig
    choices : mapping of tap to Choice
        What to fit on; several where the sweep is over taps.
    progress : Progress

    Raises
    ------
    ConfigError
        There are no validation samples, there is nothing to search for, or every trial diverged.
    """
    swept = as_grid(config.sweep)
    grid = {name: values for name, values in swept.items() if name not in (TAP, HEAD)}
    heads = heads_of(config)
    is_grid = config.search == "grid"
    if not is_grid and not config.sweep:
        raise ConfigError(
            "--search optuna searches between the values of --sweep, e.g. --sweep lr=1e-4..1e-1"
        )
    if not is_grid and len(heads) > 1:
        raise ConfigError("--search optuna is for one head; --search grid compares several")
    kind = next(iter(choices.values())).raw.kind
    listed = (
        [
            Candidate(head, params, tap, kind, HEAD in swept)
            for tap in choices
            for head in heads
            for params in combinations(grid_of(head, kind, grid))
        ]
        if is_grid
        else []
    )
    per_candidate = config.seeds * (config.folds or 1)
    progress.begin("trials", (len(listed) if is_grid else config.trials) * per_candidate)
    try:
        if is_grid:
            _try_all(listed, config, choices, progress)
        else:
            listed = _ask_optuna(grid, config, choices, progress)
    finally:
        progress.end()
    best = max(listed, key=lambda candidate: candidate.merit)
    if best.has_failed:
        raise ConfigError(f"all {len(listed)} trials diverged; sweep over smaller learning rates")
    return Searched(best, listed, config.folds)


def _try_all(
    candidates: Sequence[Candidate],
    config: FitConfig,
    choices: Mapping[str | None, Choice],
    progress: Progress,
) -> None:
    """All trials of all candidates, those of one head together, whatever they differ in."""
    for head in dict.fromkeys(candidate.head for candidate in candidates):
        own = [candidate for candidate in candidates if candidate.head == head]
        taps = list(dict.fromkeys(candidate.tap for candidate in own))
        kind = choices[taps[0]].raw.kind
        # A fold of all taps at a time: all folds of all of them would fill the memory.
        for fold in zip(*(_rounds(choices[tap], config, head) for tap in taps), strict=True):
            samples = dict(zip(taps, fold, strict=True))
            trials = [
                Trial({**config.params, **candidate.params}, config.seed + seed, *samples[candidate.tap])
                for candidate in own
                for seed in range(config.seeds)
            ]
            tried = run_trials(head, kind, trials, progress.advance)
            for number, one in enumerate(tried):
                own[number // config.seeds].tried.append(one.without_head() if config.folds else one)


def grid_of(head: str, kind: LabelKind, grid: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """The part of a grid that a head has parameters for."""
    known = defaults(head_class(head, kind))
    return {name: values for name, values in grid.items() if name in known}


def _rounds(
    choice: Choice, config: FitConfig, head: str
) -> Iterator[tuple[Samples, Samples | None, Samples]]:
    """Samples to train on, to choose by within a fit, and to judge on: once, or for each fold."""
    if not config.folds:
        if choice.validation is None:
            raise ConfigError(
                "there are no validation samples to choose by; use --folds, or extract with some"
            )
        yield choice.train, choice.validation, choice.validation
        return
    data = choice.raw
    train, validation = data.parts["train"], data.parts["validation"]
    both = train.joined(validation) if len(validation) else train
    samples = Samples(both.X, data.targets(both))
    strata = open_task(data.kind).fold_strata(both.y)
    keys = np.ascontiguousarray(keys_from_arrow(both.table.column("key"))).view("V16").ravel()
    groups = np.unique(keys, return_inverse=True)[1]  # copies of a sample are on one side of a fold
    everything = np.arange(len(both))
    for held in folds_of(strata, config.folds, config.seed, groups):
        rest = np.setdiff1d(everything, held)
        inner: Samples | None = None
        if getattr(head_class(head, data.kind), "trains_by_epochs", False):
            # When to stop is chosen on other samples than those that judge.
            kept, inner_rows = held_out(strata[rest], config.seed)
            rest, inner = rest[kept], samples.take(rest[inner_rows])
        train_rows = samples.take(rest)
        prepared = preparing(config.prepare, config.seed, train_rows)
        yield prepared(train_rows), inner and prepared(inner), prepared(samples.take(held))


def _ask_optuna(
    grid: Mapping[str, Sequence[Any]],
    config: FitConfig,
    choices: Mapping[str | None, Choice],
    progress: Progress,
) -> list[Candidate]:
    """Let optuna propose parameters between the values of each name."""
    study = open_study(config.seed)
    import optuna

    taps = list(choices)
    kind = head_class(config.head, choices[taps[0]].raw.kind)
    whole = {name: takes_whole_numbers(kind, name) for name in grid}
    found: list[Candidate] = []
    while len(found) < config.trials:
        asked = [study.ask() for _ in range(min(ASKED_AT_ONCE, config.trials - len(found)))]
        batch = [
            Candidate(
                config.head,
                {name: suggest(trial, name, values, whole[name]) for name, values in grid.items()},
                trial.suggest_categorical(TAP, taps) if len(taps) > 1 else taps[0],
                choices[taps[0]].raw.kind,
            )
            for trial in asked
        ]
        _try_all(batch, config, choices, progress)
        for trial, candidate in zip(asked, batch, strict=True):
            if candidate.has_failed:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, candidate.merit[0])
        found.extend(batch)
    return found


def open_study(seed: int, pruner: Any = None) -> Any:
    """A study of optuna that says nothing, and proposes the same for the same seed.

    Raises
    ------
    ConfigError
        optuna is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise ConfigError(
            "--search optuna needs optuna: pip install 'headstart[finetune]'; --search grid does without"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed)
    return optuna.create_study(sampler=sampler, pruner=pruner, direction="maximize")


def suggest(trial: Any, name: str, values: Sequence[Any], whole: bool) -> Any:
    """Between the least and the largest of numbers, on a log scale where they are positive; or one of others."""
    if len(values) > 1 and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        low, high = min(values), max(values)
        if whole:
            return trial.suggest_int(name, int(low), int(high), log=low > 0)
        return trial.suggest_float(name, float(low), float(high), log=low > 0)
    return trial.suggest_categorical(name, list(values))
