"""Choosing the parameters of a head on validation data: grids, optuna, cross-validation."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from headstart.arrow import keys_from_arrow
from headstart.cache.layout import GROUP
from headstart.errors import ConfigError
from headstart.fitting.grids import FEATURES, HEAD, NAMES, TapChoice, as_grid, combinations, heads_of
from headstart.fitting.trials import MOST_NUMBERS, Trial, TrialResult, prepared, run_trials
from headstart.groups import group_codes
from headstart.heads import head_class, open_head
from headstart.heads.estimators import held_out
from headstart.heads.parallel import threads_of_blas
from headstart.heads.parameters import defaults, takes_whole_numbers
from headstart.keys import units_among
from headstart.metrics.tables import summarise
from headstart.tasks import open_task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.config import FitConfig
    from headstart.contracts import Head, Progress
    from headstart.fitting.data import FitData
    from headstart.samples import LabelledSamples
    from headstart.types import Json, LabelKind

Round: TypeAlias = "tuple[LabelledSamples, LabelledSamples | None, LabelledSamples]"
"""Samples to train on, to choose by within a fit, and to judge on."""
Tries: TypeAlias = "Callable[[Sequence[Candidate], FitConfig, Mapping[TapChoice, FitData], Progress], None]"
"""Runs all trials of all candidates, and gives each its results."""
ASKED_AT_ONCE = 8
"""Trials that optuna proposes before it hears of their outcome: they are trained side by side."""


@dataclass
class Candidate:
    """A head and its parameters, with the results of all trials of them: one for each seed and fold."""

    head: str
    params: dict[str, Any]
    choice: TapChoice
    task: LabelKind
    names_head: bool = False
    """Whether the sweep is over heads."""
    results: list[TrialResult] = field(default_factory=list)
    guide: Any = None
    """What the first fold says of where the others will end."""

    @property
    def has_failed(self) -> bool:
        """Whether one of them diverged."""
        return any(result.has_diverged for result in self.results)

    @property
    def figures(self) -> dict[str, dict[str, Json]]:
        """Means and deviations of what the trials score."""
        return summarise([result.scores for result in self.results])

    @property
    def score(self) -> tuple[float, ...]:
        """The larger the better, see `Task.selection`; if one trial diverged, worse than all others."""
        if self.has_failed:
            return (-np.inf, -np.inf)
        return open_task(self.task).selection({name: each["mean"] for name, each in self.figures.items()})

    def to_json(self) -> dict[str, Json]:
        """A row of the table of a sweep."""
        said = {HEAD: self.head if self.names_head else None, **dict(zip(FEATURES, self.choice, strict=True))}
        named = {name: value for name, value in said.items() if value}
        return {
            "params": {**named, **self.params},
            "validation": {
                name: {part: each[part] for part in ("mean", "deviation")}
                for name, each in ({} if self.has_failed else self.figures).items()
            },
            "n": len(self.results),
            "diverged": self.has_failed,
            "seconds": sum(result.seconds for result in self.results),
        }


def with_neighbours(config: FitConfig, kind: LabelKind) -> FitConfig:
    """How neighbours are searched as a parameter of the heads that have any; as it is where they are exact."""
    if config.neighbours == "exact":
        return config
    without = [
        name for name in heads_of(config) if "neighbours" not in defaults(type(open_head(name, {}, 0, kind)))
    ]
    if without:
        raise ConfigError(
            f"a {without[0]} head looks for no neighbours; --neighbours approximate is for knn and propagate: leave it "
            "out"
        )
    return config.model_copy(update={"params": {**config.params, "neighbours": config.neighbours}})


def open_heads(config: FitConfig, kind: LabelKind) -> list[Head]:
    """The head of a configuration, or those that its sweep compares, unfitted; mistakes in a sweep show here."""
    names = heads_of(config)
    heads = [open_head(name, config.params, config.seed, kind) for name in names]
    known = {name for head in heads for name in defaults(type(head))}
    for name in config.sweep:
        if name not in known | set(NAMES):
            if len(names) == 1:
                open_head(names[0], {name: ""}, config.seed, kind)  # says what it has
            raise ConfigError(f"none of the heads {', '.join(names)} has a parameter {name!r}")
        if name in config.params:
            raise ConfigError(f"{name!r} is in --param and in --sweep; give it once")
        if name in FEATURES and getattr(config, name) is not None:
            raise ConfigError(f"{name}s are in --{name} and in --sweep; give them once")
    if config.callback and not any(head.trains_by_epochs for head in heads):
        raise ConfigError(f"--callback watches epochs, and a {' or '.join(names)} head has none")
    if len({head.takes_sequences for head in heads}) > 1:
        raise ConfigError(
            "heads that attend and heads over one vector a sample are not compared in one sweep"
        )
    return heads


def search(
    config: FitConfig, taps: Mapping[TapChoice, FitData], progress: Progress, tries: Tries | None = None
) -> tuple[Candidate, list[Candidate], dict[str, Json]]:
    """Try what the configuration asks for on each choice of features, and choose by validation data alone.

    Parameters
    ----------
    tries : callable, optional
        Runs trials instead of `try_all`, elsewhere.

    Returns
    -------
    best : Candidate
        Without folds each was judged on the validation samples.
    tried : list of Candidate
        All of them.
    report : dict

    Raises
    ------
    ConfigError
        There are no validation samples, there is nothing to search for, or every trial diverged.
    """
    tries = tries or try_all
    swept = as_grid(config.sweep)
    grid = {name: values for name, values in swept.items() if name not in NAMES}
    heads, is_grid = heads_of(config), config.search == "grid"
    if not is_grid and not config.sweep:
        raise ConfigError(
            "--search optuna searches between the values of --sweep, e.g. --sweep lr=1e-4..1e-1"
        )
    if not is_grid and len(heads) > 1:
        raise ConfigError("--search optuna is for one head; --search grid compares several")
    kind = next(iter(taps.values())).raw["train"].kind  # which does not depend on the features
    tried = [
        Candidate(head, params, choice, kind, HEAD in swept)
        for choice in (taps if is_grid else ())
        for head in heads
        for params in combinations(_grid_of(head, kind, grid))
    ]
    n_trials = (len(tried) if is_grid else config.trials) * config.seeds * (config.folds or 1)
    progress.begin("trials", n_trials)
    try:
        if is_grid:
            tries(tried, config, taps, progress)
        else:
            tried = _ask_optuna(grid, kind, config, taps, progress, tries)
    finally:
        progress.end()
    best = max(tried, key=lambda candidate: candidate.score)
    if best.has_failed:
        raise ConfigError(f"all {len(tried)} trials diverged; sweep over smaller learning rates")
    judged_on = f"{config.folds} folds of train and validation" if config.folds else "validation"
    selected_by = f"accuracy on {judged_on}, then log loss; for numbers the error"
    rows = [candidate.to_json() for candidate in tried]
    return best, tried, search_report(best.to_json(), rows, config.folds, selected_by, config.search)


def best_of_each(tried: Sequence[Candidate]) -> list[Candidate]:
    """The best of each head on each choice of features, in their order, without those that diverged."""
    found: dict[Any, Candidate] = {}
    for one in tried:
        known = found.setdefault((one.head, one.choice), one)
        if one.score > known.score:
            found[one.head, one.choice] = one
    return [one for one in found.values() if not one.has_failed]


def search_report(
    best: Mapping[str, Json],
    rows: Sequence[Mapping[str, Json]],
    folds: int | None,
    selected_by: str,
    search: str = "grid",
) -> dict[str, Json]:
    """The part of a report; ``search`` is ``grid`` or ``optuna``."""
    return {
        "search": search,
        "best": best["params"],
        "validation": best["validation"],
        "folds": folds,
        "selected_by": selected_by,
        "trials": list(rows),
    }


def _grid_of(head: str, kind: LabelKind, grid: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """The part of a grid that a head has parameters for."""
    known = defaults(head_class(head, kind))
    return {name: values for name, values in grid.items() if name in known}


def try_all(
    candidates: Sequence[Candidate],
    config: FitConfig,
    taps: Mapping[TapChoice, FitData],
    progress: Progress,
) -> None:
    """All trials of all candidates, those of one head together, whatever they differ in."""
    for head in dict.fromkeys(candidate.head for candidate in candidates):
        own = [candidate for candidate in candidates if candidate.head == head]
        tried = list(dict.fromkeys(candidate.choice for candidate in own))
        folds = zip(*(_rounds(taps[choice], config, head) for choice in tried), strict=True)
        for some in _at_once(folds, head_class(head, own[0].task)):
            rounds = [dict(zip(tried, fold, strict=True)) for fold in some]
            trials = [
                replace(
                    Trial(
                        {**config.params, **candidate.params}, config.seed + seed, *samples[candidate.choice]
                    ),
                    guide=candidate.guide,
                )
                for samples in rounds
                for candidate in own
                for seed in range(config.seeds)
            ]
            for number, one in enumerate(run_trials(head, own[0].task, trials, progress.advance)):
                candidate = own[number // config.seeds % len(own)]
                candidate.guide = candidate.guide or one.guide
                # Heads of many folds do not stay in memory.
                candidate.results.append(replace(one, head=None, guide=None) if config.folds else one)


def _at_once(folds: Iterator[tuple[Round, ...]], head: type[Head]) -> Iterator[list[tuple[Round, ...]]]:
    """Folds of all taps that are fitted together: the first, which guides the others, alone.

    All of them would fill the memory.
    """
    for first in folds:
        yield [first]
        numbers = sum(samples.n_numbers for samples, _, _ in first)
        most = int(np.clip(MOST_NUMBERS // numbers, 1, threads_of_blas())) if head.is_thread_safe else 1
        while some := list(islice(folds, most)):
            yield some


def _rounds(data: FitData, config: FitConfig, head: str) -> Iterator[Round]:
    """Once, or for each fold."""
    if not config.folds:
        train, validation = data.splits["train"], data.splits["validation"]
        if not len(validation):
            raise ConfigError(
                "there are no validation samples to choose by; use --folds, or extract with some"
            )
        yield train, validation, validation
        return
    train, validation = data.raw["train"], data.raw["validation"]
    both = train.joined(validation) if len(validation) else replace(train, views=())
    strata = open_task(both.kind).fold_strata(both.y)
    groups = _fold_groups(both, data.is_grouped)
    everything = np.arange(len(both))
    for held in _folds(strata, config.folds, config.seed, groups):
        rest = np.setdiff1d(everything, held)
        chosen_by: list[NDArray[np.int64]] = []
        if head_class(head, both.kind).trains_by_epochs:  # which stop by other samples than those that judge
            kept, inner_rows = _held_out(strata[rest], groups[rest] if data.is_grouped else None, config.seed)
            chosen_by, rest = [rest[inner_rows]], rest[kept]
        samples = [both.take(rows) for rows in (rest, held, *chosen_by)]
        fitted, judge, *inner = prepared(config.prepare, config.seed, *samples)
        yield fitted, inner[0] if inner else None, judge


def fold_rows(
    samples: LabelledSamples, n_folds: int, seed: int, is_grouped: bool, said: str
) -> Iterator[NDArray[np.int64]]:
    """Rows that each fold holds out, as a search with ``--folds`` draws them."""
    strata = open_task(samples.kind).fold_strata(samples.y)
    return _folds(strata, n_folds, seed, _fold_groups(samples, is_grouped), said)


def _fold_groups(samples: LabelledSamples, is_grouped: bool) -> NDArray[np.int64]:
    """Which samples are on one side of a fold: copies, and those of a group."""
    if is_grouped:
        return _units(samples)
    keys = np.ascontiguousarray(keys_from_arrow(samples.table.column("key"))).view("V16").ravel()
    groups: NDArray[np.int64] = np.unique(keys, return_inverse=True)[1]
    return groups


def _units(samples: LabelledSamples) -> NDArray[np.int64]:
    """Which samples belong together, by key or by group."""
    found = units_among(
        keys_from_arrow(samples.table.column("key")), group_codes(samples.table.column(GROUP))
    )
    units = np.arange(len(samples)) + found.n_groups
    units[found.rows] = found.groups
    return np.unique(units, return_inverse=True)[1]


def _held_out(
    strata: NDArray[Any], groups: NDArray[np.int64] | None, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to train on and rows to choose by; those of a group together, by the stratum of the first."""
    if groups is None:
        return held_out(strata, seed)
    names, first = np.unique(groups, return_index=True)
    kept, chosen = held_out(strata[first], seed)
    sides = (np.isin(groups, names[side]) for side in (kept, chosen))
    kept_rows, chosen_rows = (np.flatnonzero(side).astype(np.int64) for side in sides)
    return kept_rows, chosen_rows


def _folds(
    strata: NDArray[Any], n_folds: int, seed: int, groups: NDArray[np.int64], said: str = "--folds"
) -> Iterator[NDArray[np.int64]]:
    """Rows that each fold holds out, as many of each stratum as can be; rows of a group stay together."""
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    n, n_groups = len(strata), len(np.unique(groups))
    if not 2 <= n_folds <= n_groups:
        raise ConfigError(f"{said} must be in [2, {n_groups:,}], the number of samples (got {n_folds})")
    counts = np.bincount(np.unique(strata, return_inverse=True)[1])
    is_grouped, stratify = n_groups < n, len(counts) > 1 and counts.max() >= n_folds
    # scikit-learn warns where a class is rarer than there are folds, and stops where all are.
    kinds = {
        (False, False): KFold, (False, True): StratifiedKFold,
        (True, False): GroupKFold, (True, True): StratifiedGroupKFold,
    }  # fmt: skip
    splitter = kinds[is_grouped, stratify](n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        for _, held_out in splitter.split(np.zeros(n), strata, groups if is_grouped else None):
            yield held_out.astype(np.int64)


def _ask_optuna(
    grid: Mapping[str, Sequence[Any]],
    kind: LabelKind,
    config: FitConfig,
    taps: Mapping[TapChoice, FitData],
    progress: Progress,
    tries: Tries,
) -> list[Candidate]:
    """Let optuna propose parameters between the values of each name."""
    study = open_study(config.seed)
    import optuna

    names, made = list(taps), head_class(config.head, kind)
    whole = {name: takes_whole_numbers(made, name) for name in grid}
    found: list[Candidate] = []
    while len(found) < config.trials:
        asked = [study.ask() for _ in range(min(ASKED_AT_ONCE, config.trials - len(found)))]
        batch = [
            Candidate(
                config.head,
                {name: suggest(trial, name, values, whole[name]) for name, values in grid.items()},
                names[trial.suggest_categorical("features", range(len(names)))]
                if len(names) > 1
                else names[0],
                kind,
            )
            for trial in asked
        ]
        tries(batch, config, taps, progress)
        for trial, candidate in zip(asked, batch, strict=True):
            if candidate.has_failed:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, candidate.score[0])
        found.extend(batch)
    return found


def import_optuna() -> Any:
    """Optuna, which is an extra."""
    try:
        import optuna
    except ImportError as error:
        raise ConfigError(
            "--search optuna needs optuna: pip install 'headstart[finetune]'; --search grid does without"
        ) from error
    return optuna


def open_study(seed: int, n_unpruned: int | None = None) -> Any:
    """A study of optuna that says nothing, and proposes the same for the same seed.

    With ``n_unpruned`` it gives up trials that do worse than the median, but for so many that come first.
    """
    optuna = import_optuna()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler, pruner = optuna.samplers.TPESampler(seed=seed), None
    if n_unpruned is not None:
        pruner = optuna.pruners.MedianPruner(n_startup_trials=n_unpruned, n_warmup_steps=1)
    return optuna.create_study(sampler=sampler, pruner=pruner, direction="maximize")


def suggest(trial: Any, name: str, values: Sequence[Any], whole: bool) -> Any:
    """Between the least and the largest of numbers, on a log scale where they are positive; or one of others."""
    if len(values) > 1 and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        low, high = min(values), max(values)
        if whole:
            return trial.suggest_int(name, int(low), int(high), log=low > 0)
        return trial.suggest_float(name, float(low), float(high), log=low > 0)
    return trial.suggest_categorical(name, list(values))
