"""Choosing the parameters of a head on validation data: grids, optuna, cross-validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.errors import ConfigError
from headstart.stages.fit_data import FitData, Part
from headstart.stages.grids import as_grid, combinations, folds_of
from headstart.stages.trials import Samples, Trial, Tried, merit, run_trials

if TYPE_CHECKING:
    from headstart.contracts import Progress
    from headstart.stages.config import FitConfig
    from headstart.types import Json

ASKED_AT_ONCE = 8
"""Trials that optuna proposes before it hears of their outcome: they are trained side by side."""
TAP = "tap"


@dataclass
class Candidate:
    """One set of parameters with all that was tried with them.

    Parameters
    ----------
    params : dict
    tap : str, optional
        Where the sweep is over taps.
    tried : list of Tried
        One a seed and fold.
    """

    params: dict[str, Any]
    tap: str | None
    tried: list[Tried] = field(default_factory=list)

    @property
    def has_failed(self) -> bool:
        """Whether one of them diverged."""
        return any(tried.head is None for tried in self.tried)

    @property
    def merit(self) -> tuple[float, ...]:
        """The larger the better; a candidate of which one trial diverged is worse than all others."""
        return (-np.inf, -np.inf) if self.has_failed else merit([tried.scores for tried in self.tried])

    def to_json(self) -> dict[str, Json]:
        """A row of the table of a sweep."""
        scores = [tried.scores for tried in self.tried if tried.scores]
        names = scores[0] if scores and not self.has_failed else {}
        return {
            "params": {**self.params, **({TAP: self.tap} if self.tap else {})},
            "validation": {
                name: {
                    "mean": float(np.mean(values)),
                    "deviation": float(np.std(values, ddof=1)) if len(values) > 1 else None,
                }
                for name in names
                for values in [[each[name] for each in scores]]
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
    """

    best: Candidate
    candidates: Sequence[Candidate]

    def to_json(self) -> dict[str, Json]:
        """The entry ``sweep`` of a report."""
        return {
            "best": self.best.to_json()["params"],
            "selected_by": "validation accuracy, then log loss; for numbers the error",
            "trials": [candidate.to_json() for candidate in self.candidates],
        }


def search(config: FitConfig, datas: Mapping[str | None, FitData], progress: Progress) -> Searched:
    """Try what the configuration asks for, and choose by validation data alone.

    Parameters
    ----------
    config : FitConfig
    datas : mapping of tap to FitData
        What to fit on; several where the sweep is over taps.
    progress : Progress

    Raises
    ------
    ConfigError
        There are no validation samples, or every trial diverged.
    """
    grid = {name: values for name, values in as_grid(config.sweep).items() if name != TAP}
    is_grid = config.search == "grid"
    listed = [Candidate(params, tap) for tap in datas for params in combinations(grid)] if is_grid else []
    per_candidate = config.seeds * (config.folds or 1)
    progress.begin("trials", (len(listed) if is_grid else config.trials) * per_candidate)
    try:
        if is_grid:
            _try_all(listed, config, datas, progress)
        else:
            listed = _ask_optuna(grid, config, datas, progress)
    finally:
        progress.end()
    best = max(listed, key=lambda candidate: candidate.merit)
    if best.has_failed:
        raise ConfigError(f"all {len(listed)} trials diverged; sweep over smaller learning rates")
    return Searched(best, listed)


def _try_all(
    candidates: Sequence[Candidate],
    config: FitConfig,
    datas: Mapping[str | None, FitData],
    progress: Progress,
) -> None:
    """All trials of all candidates, those on the same samples together."""
    for tap in dict.fromkeys(candidate.tap for candidate in candidates):
        own = [candidate for candidate in candidates if candidate.tap == tap]
        data = datas[tap]
        for train, validation in _rounds(data, config):
            trials = [
                Trial({**config.params, **candidate.params}, config.seed + seed, train, validation)
                for candidate in own
                for seed in range(config.seeds)
            ]
            tried = run_trials(config.head, data.kind, trials, progress.advance)
            for number, one in enumerate(tried):
                own[number // config.seeds].tried.append(one)


def _rounds(data: FitData, config: FitConfig) -> list[tuple[Samples, Samples]]:
    """Training and validation samples: one pair, or one a fold."""
    train, validation = data.parts["train"], data.parts["validation"]
    if not config.folds:
        if not len(validation):
            raise ConfigError(
                "there are no validation samples to choose by; use --folds, or extract with some"
            )
        return [(samples_of(data, train), samples_of(data, validation))]
    both = train.joined(validation) if len(validation) else train
    samples = samples_of(data, both)
    strata = both.y if data.kind == "single" else np.zeros(len(both))
    held_out = folds_of(strata, config.folds, config.seed, data.kind == "single")
    everything = np.arange(len(both))
    return [(samples.take(np.setdiff1d(everything, rows)), samples.take(rows)) for rows in held_out]


def samples_of(data: FitData, part: Part) -> Samples:
    """A part as heads take it."""
    return Samples(part.X, data.targets(part))


def _ask_optuna(
    grid: Mapping[str, Sequence[Any]],
    config: FitConfig,
    datas: Mapping[str | None, FitData],
    progress: Progress,
) -> list[Candidate]:
    """Let optuna propose parameters between the values of each name."""
    try:
        import optuna
    except ImportError as error:
        raise ConfigError(
            "--search optuna needs optuna: pip install 'headstart[finetune]'; --search grid does without"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=config.seed), direction="maximize")
    taps = list(datas)
    found: list[Candidate] = []
    while len(found) < config.trials:
        asked = [study.ask() for _ in range(min(ASKED_AT_ONCE, config.trials - len(found)))]
        batch = [
            Candidate(
                {name: _suggest(trial, name, values) for name, values in grid.items()},
                trial.suggest_categorical(TAP, taps) if len(taps) > 1 else taps[0],
            )
            for trial in asked
        ]
        _try_all(batch, config, datas, progress)
        for trial, candidate in zip(asked, batch, strict=True):
            if candidate.has_failed:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, candidate.merit[0])
        found.extend(batch)
    return found


def _suggest(trial: Any, name: str, values: Sequence[Any]) -> Any:
    """Between the least and the largest of numbers, on a log scale where they are positive; or one of others."""
    if len(values) > 1 and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        low, high = min(values), max(values)
        if all(isinstance(value, int) for value in values):
            return trial.suggest_int(name, low, high, log=low > 0)
        return trial.suggest_float(name, float(low), float(high), log=low > 0)
    return trial.suggest_categorical(name, list(values))
