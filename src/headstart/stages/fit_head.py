"""fit-head: train a head on the cached features of a set. The backbone is never loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from headstart.cache.store import Cache
from headstart.errors import ConfigError
from headstart.heads import head_class, open_head
from headstart.heads.predictor import Predictor
from headstart.heads.preparation import Preparation
from headstart.stages.evaluating import Evaluated, calibrated, evaluate_splits
from headstart.stages.fit_data import FitData, check_train, read_fit_data
from headstart.stages.fit_report import make_record
from headstart.stages.protocols import shots_and_curve
from headstart.stages.room import available_bytes
from headstart.stages.searching import TAP, Searched, samples_of, search
from headstart.stages.train_views import TrainViews, gather_views, views_of
from headstart.stages.trials import Samples, Trial, Tried, chosen_params, quick_scores, run_trials
from headstart.stages.watching import ShowEpochs, Track, finish, own_callbacks, tracking

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Head, Progress
    from headstart.runs.record import RunRecord
    from headstart.stages.config import FitConfig
    from headstart.tracking import Tracker
    from headstart.types import Json

MAPPED_FROM = 0.4
"""The share of the memory that is left from which features stay on disk, for heads that can read them there."""


@dataclass(frozen=True, slots=True)
class FittedHead:
    """A head in memory, with the record that its run directory will hold.

    Parameters
    ----------
    predictor : Predictor
    record : RunRecord
    """

    predictor: Predictor
    record: RunRecord


@dataclass
class Fit:
    """A fit in the making: what it is of, and what it has found so far.

    Parameters
    ----------
    config : FitConfig
        With the parameters that a search chose.
    features : FeatureSet
    data : FitData
        With prepared features.
    preparation : Preparation
    searched : Searched, optional
    views : TrainViews, optional
    """

    config: FitConfig
    features: FeatureSet
    data: FitData
    preparation: Preparation
    searched: Searched | None = None
    views: TrainViews | None = None


def fit_head(config: FitConfig, progress: Progress, checkpoint: Path | None = None) -> FittedHead:
    """Choose and train a head on train and validation samples, then report on every split.

    Parameters
    ----------
    config : FitConfig
    progress : Progress
    checkpoint : Path, optional
        Where a head that trains by epochs keeps its state, to be taken up after an interruption.
    """
    with tracking(config) as tracker:
        start = perf_counter()
        features = Cache(config.cache).open_set(config.set, config.digest)
        fit = _prepare(config, features, progress)
        loaded = perf_counter()
        tried = _train(fit, progress, tracker, checkpoint)
        fitted = perf_counter()
        bare = Predictor(cast("Head", tried.head))
        if config.calibrate:
            bare = calibrated(bare, fit.data)
        found = evaluate_splits(bare, fit.data, config.seed)
        if config.refit:
            bare = replace(bare, head=_refit(fit, tried))
            found = _after_refit(found, evaluate_splits(bare, fit.data, config.seed))
        predictor = replace(bare, preparation=fit.preparation)
        more = {**_over_seeds(fit, progress), **shots_and_curve(fit.config, fit.data, progress)}
        end = perf_counter()
        timings = {
            "load": loaded - start, "fit": fitted - loaded, "evaluate": end - fitted, "total": end - start
        }  # fmt: skip
        record = make_record(config, fit, predictor, bare, found, timings, more, progress)
        if tracker:
            finish(tracker, record)
    return FittedHead(predictor, record)


def _prepare(config: FitConfig, features: FeatureSet, progress: Progress) -> Fit:
    """Read the data, prepare it, and choose parameters where the configuration asks for a search."""
    column = features.label_column(config.label)
    if config.label is None and len(features.label_names) > 1:
        progress.say(f"label {column!r} of {', '.join(map(repr, features.label_names))}; --label chooses")
    kind = features.label_kinds[column]
    attends = bool(_takes_sequences(config, kind))
    open_head(config.head, config.params, config.seed, kind)  # a mistake in them shows before any is read
    taps: list[str | None] = list(config.sweep.get(TAP, [])) or [None]
    read = {}
    for tap in taps:
        choices = [(tap, backbone) for _, backbone in config.choices] if tap else config.choices
        mapped = _is_mapped(config, features, choices, attends, kind, progress)
        data = read_fit_data(features, choices, config.label, attends, mapped)
        check_train(data, features.name)
        read[tap] = _prepared(data, config)
    searched = None
    if config.sweep or config.search == "optuna" or config.folds:
        searched = search(config, {tap: data for tap, (data, _) in read.items()}, progress)
        config = config.model_copy(update={"params": {**config.params, **searched.best.params}})
    data, preparation = read[searched.best.tap if searched else taps[0]]
    fit = Fit(config, features, data, preparation, searched)
    fit.views = _choose_views(fit, progress)
    return fit


def _takes_sequences(config: FitConfig, kind: Any) -> bool:
    if config.head.startswith("py:"):
        return bool(cast(Any, open_head(config.head, {}, 0, kind)).takes_sequences)
    return bool(getattr(head_class(config.head, kind), "takes_sequences", False))


def _prepared(data: FitData, config: FitConfig) -> tuple[FitData, Preparation]:
    """Features as the head will see them; fitted on train alone."""
    if not config.prepare:
        return data, Preparation()
    if not all(isinstance(part.X, np.ndarray) for part in data.parts.values()):
        raise ConfigError("--prepare works on pooled features in memory; leave it out, or --mapped")
    preparation = Preparation.fit(config.prepare, data.parts["train"].X, config.seed)
    parts = {split: replace(part, X=preparation(part.X)) for split, part in data.parts.items()}
    return replace(data, parts=parts), preparation


def _is_mapped(
    config: FitConfig,
    features: FeatureSet,
    choices: Sequence[Any],
    attends: bool,
    kind: Any,
    progress: Progress,
) -> bool:
    """Whether features stay on disk: on request, or where they would fill the memory that is left."""
    can = not attends and len(choices) == 1 and not config.prepare
    is_own = config.head.startswith("py:")
    by_epochs = is_own or getattr(head_class(config.head, kind), "trains_by_epochs", False)
    if config.mapped is not None:
        if config.mapped and not (can and by_epochs):
            raise ConfigError(
                "--mapped is for one pooled tap, without --prepare, and heads that train by epochs: linear, mlp, "
                "residual or py:…"
            )
        return config.mapped
    if attends:
        return False
    try:
        rows, width = features.mapped(None, *_mapped_choice(choices[0], config)).shape
    except ConfigError:
        return False  # reading it says what is wrong
    n_bytes = 4 * rows * width * len(choices)
    if n_bytes < MAPPED_FROM * available_bytes():
        return False
    if can and by_epochs:
        progress.say(f"{n_bytes / 1e9:,.1f} GB of features stay on disk, and are read batch by batch")
        return True
    progress.say(
        f"warning: {n_bytes / 1e9:,.1f} GB of features may not fit into memory; --head linear reads them from disk"
    )
    return False


def _mapped_choice(choice: tuple[Any, Any], config: FitConfig) -> tuple[Any, Any, Any]:
    tap, backbone = choice
    return tap, config.label, backbone


def _choose_views(fit: Fit, progress: Progress) -> TrainViews | None:
    """The views to draw in training; None: there are none, or none are wanted, or the head has no epochs."""
    config, train = fit.config, fit.data.parts["train"]
    if not config.views or len(fit.data.refs) > 1 or not isinstance(train.X, np.ndarray) or fit.preparation:
        return None
    refs = views_of(fit.features, fit.data.refs[0])
    if not refs:
        return None
    if not getattr(open_head(config.head, {}, 0, fit.data.kind), "trains_by_epochs", False):
        progress.say(
            f"the set has {len(refs)} views of this feature; a {config.head} head is fitted on the plain one "
            "alone (--head linear draws views)"
        )
        return None
    views = gather_views(fit.features, refs, fit.data.refs[0], train, progress)
    if views:
        progress.say(
            f"each epoch shows a train sample plain or in one of {len(views)} views, drawn at random"
        )
    return views or None


def _train(fit: Fit, progress: Progress, tracker: Tracker | None, checkpoint: Path | None) -> Tried:
    """The head that is kept: the best of a search where it was trained on these samples, else a new one."""
    config, data = fit.config, fit.data
    own = own_callbacks(config.callback)
    watched = bool(fit.views or own or tracker)
    if fit.searched and not config.folds and not watched:
        return max(fit.searched.best.tried, key=lambda tried: tried.trial.seed == config.seed)
    head = cast(Any, open_head(config.head, config.params, config.seed, data.kind))
    train = samples_of(data, data.parts["train"])
    validation = samples_of(data, data.parts["validation"]) if len(data.parts["validation"]) else None
    trial = Trial(config.params, config.seed, train, validation)
    X_val, y_val = (None, None) if validation is None else (validation.X, validation.y)
    if not getattr(head, "trains_by_epochs", False):
        if own:
            raise ConfigError(f"--callback watches epochs, and a {config.head} head has none")
        head.fit(train.X, train.y, X_val, y_val)
    else:
        from headstart.heads.training.checkpoint import Checkpoint

        callbacks = [ShowEpochs(progress), *([Track(tracker)] if tracker else []), *own]
        keeper = Checkpoint(checkpoint) if checkpoint else None
        try:
            head.fit(train.X, train.y, X_val, y_val, callbacks, fit.views or (), keeper)
        finally:
            progress.end()
    scores = {} if validation is None else quick_scores(head, validation, data.kind)
    return Tried(trial, head, scores)


def _refit(fit: Fit, tried: Tried) -> Any:
    """The head anew on train and validation samples, with all that was chosen on validation."""
    data, config = fit.data, fit.config
    if not len(data.parts["validation"]):
        raise ConfigError("--refit adds the validation samples, and this set has none")
    both = samples_of(data, data.parts["train"].joined(data.parts["validation"]))
    head = cast(Any, open_head(config.head, chosen_params(tried), config.seed, data.kind))
    return head.fit(both.X, both.y)


def _after_refit(before: Evaluated, after: Evaluated) -> Evaluated:
    """The refitted head has seen the validation samples: for them, what the head before it said holds."""
    return Evaluated(
        {**after.metrics, "validation": before.metrics["validation"]},
        {**after.outputs, "validation": before.outputs["validation"]},
    )


def _over_seeds(fit: Fit, progress: Progress) -> dict[str, Json]:
    """The chosen head with other seeds: what each gives on the test samples, their mean and deviation."""
    config, data = fit.config, fit.data
    split = "test" if len(data.parts["test"]) else "validation"
    if config.seeds < 2 or not len(data.parts[split]) or config.shots or config.curve:
        return {}
    train = samples_of(data, data.parts["train"])
    validation = samples_of(data, data.parts["validation"]) if len(data.parts["validation"]) else None
    judged = samples_of(data, data.parts[split])
    trials = [Trial(config.params, config.seed + n, train, validation) for n in range(config.seeds)]
    progress.begin("seeds", config.seeds)
    try:
        tried = run_trials(config.head, data.kind, trials, progress.advance)
    finally:
        progress.end()
    return {"seeds": {"split": split, **_spread([one.head for one in tried], judged, data)}}


def _spread(heads: Sequence[Head | None], judged: Samples, data: FitData) -> dict[str, Json]:
    scores = [quick_scores(head, judged, data.kind) for head in heads if head is not None]
    names: Mapping[str, float] = scores[0] if scores else {}
    values = {name: [each[name] for each in scores] for name in names}
    return {
        "n": len(scores),
        "values": values,
        "mean": {name: float(np.mean(each)) for name, each in values.items()},
        "deviation": {
            name: float(np.std(each, ddof=1)) if len(each) > 1 else None for name, each in values.items()
        },
    }
