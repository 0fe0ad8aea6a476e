"""fit-head: train a head on the cached features of a set. The backbone is never loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

from headstart.backbones.pooling import display_tap
from headstart.cache.store import Cache
from headstart.errors import ConfigError
from headstart.fitting.callbacks import ShowEpochs, Track, finish, own_callbacks, tracking
from headstart.fitting.data import FitData, check_train, read_fit_data
from headstart.fitting.evaluation import Evaluation, calibrated, evaluate_splits
from headstart.fitting.grids import as_grid
from headstart.fitting.importance import block_report, blocks_of
from headstart.fitting.inputs import (
    check_params,
    choose_views,
    is_mapped,
    load_libraries,
    takes_sequences,
)
from headstart.fitting.prepared import prepare_data
from headstart.fitting.protocols import check_protocols, shots_and_curve
from headstart.fitting.report import make_record
from headstart.fitting.search import TAP, Choice, Searched, heads_of, search
from headstart.fitting.trials import (
    Samples,
    Trial,
    Tried,
    chosen_params,
    run_trials,
    spread_of,
)
from headstart.fitting.views import TrainViews, gather_views, views_of
from headstart.heads import open_head
from headstart.heads.predictor import Predictor
from headstart.heads.preparation import Preparation
from headstart.heads.sequences import sequences_of
from headstart.progress import Silence
from headstart.registry.peak_memory import MemoryWatch
from headstart.tasks import open_task

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.config import FitConfig
    from headstart.contracts import Head, Progress
    from headstart.registry.run import Run
    from headstart.tracking import Tracker
    from headstart.types import Json


@dataclass(frozen=True, slots=True)
class FittedHead:
    """A head in memory, with the record that its run directory will hold.

    Parameters
    ----------
    predictor : Predictor
    record : Run
    """

    predictor: Predictor
    record: Run


@dataclass
class Fit:
    """A fit in the making: what it is of, and what it has found so far.

    Parameters
    ----------
    config : FitConfig
        With the parameters that a search chose.
    features : FeatureSet
    raw, data : FitData
        As it was read, and with prepared features.
    preparation : Preparation
    views : TrainViews, optional
    searched : Searched, optional
    """

    config: FitConfig
    features: FeatureSet
    raw: FitData
    data: FitData
    preparation: Preparation
    views: TrainViews | None = None
    searched: Searched | None = None

    def samples(self, split: str) -> Samples | None:
        """A split as heads take it, the training samples with their views; None: it has none."""
        part = self.data.parts[split]
        if not len(part):
            return None
        return Samples(part.X, self.data.targets(part), (self.views or ()) if split == "train" else ())

    @property
    def train(self) -> Samples:
        """The training samples."""
        samples = self.samples("train")
        assert samples is not None  # `check_train` saw to it
        return samples


def fit_head(config: FitConfig, progress: Progress, checkpoint: Path | None = None) -> FittedHead:
    """Choose and train a head on train and validation samples, then report on every split.

    Parameters
    ----------
    config : FitConfig
    progress : Progress
    checkpoint : Path, optional
        Where a head that trains by epochs keeps its state, to be taken up after an interruption.
    """
    with tracking(config, f"{config.set}-{config.head}", progress) as tracker:
        start = perf_counter()
        features = Cache(config.cache).open_set(config.set, config.digest)
        fits = _read(config, features, progress)
        load_libraries(config, next(iter(fits.values())).data.kind)
        loaded, memory = perf_counter(), MemoryWatch()
        fit = _choose(config, fits, progress)
        tried = _train(fit, progress, tracker, checkpoint)
        fitted, held = perf_counter(), memory.report()
        bare = Predictor(cast("Head", tried.head))
        if config.calibrate:
            bare = calibrated(bare, fit.data)
        found = evaluate_splits(bare, fit.data, config.seed)
        if config.refit:
            bare = replace(bare, head=_refit(fit, tried, progress))
            found = _after_refit(found, evaluate_splits(bare, fit.data, config.seed))
        predictor = replace(bare, preparation=fit.preparation)
        more = {
            **_importance(fit, predictor),
            **_over_seeds(fit, tried, bare, progress),
            **shots_and_curve(fit.config, fit.raw, fit.views or (), progress),
        }
        end = perf_counter()
        timings = {
            "load": loaded - start, "fit": fitted - loaded, "evaluate": end - fitted, "total": end - start
        }  # fmt: skip
        record = make_record(config, fit, predictor, bare, found, timings, held, more, progress)
        if tracker:
            finish(tracker, record)
    return FittedHead(predictor, record)


def _read(config: FitConfig, features: FeatureSet, progress: Progress) -> dict[str | None, Fit]:
    """What is fitted on, prepared: one, or one for each tap of a sweep. Mistakes show here, before any training."""
    column = features.label_column(config.label)
    if config.label is None and len(features.label_names) > 1:
        progress.say(f"label {column!r} of {', '.join(map(repr, features.label_names))}; --label chooses")
    kind = features.label_kinds[column]
    heads = heads_of(config)
    check_params(config, heads, kind)
    attends = takes_sequences(heads, kind)
    taps: list[str | None] = as_grid({TAP: config.sweep[TAP]})[TAP] if TAP in config.sweep else [None]
    fits = {}
    for tap in taps:
        choices = [(tap, backbone) for _, backbone in config.choices] if tap else config.choices
        mapped = is_mapped(config, features, choices, attends, kind, progress)
        raw = read_fit_data(features, choices, config.label, attends, mapped)
        check_train(raw, features.name)
        if attends and sequences_of(raw.parts["train"].X) is None:
            raise ConfigError(
                f"the head {config.head!r} has nothing to attend to: these features have one vector a sample. "
                "Give it all positions (extract with --taps last.tokens, then --tap last.tokens), or several layers by "
                "several --tap"
            )
        check_protocols(config, raw)
        if config.refit and not len(raw.parts["validation"]):
            raise ConfigError("--refit adds the validation samples, and this set has none")
        fits[tap] = Fit(config, features, raw, *prepare_data(config.prepare, config.seed, raw))
        fits[tap].views = choose_views(fits[tap], progress)
    if taps == [None]:
        _say_choice(fits[None], progress)
    return fits


def _say_choice(fit: Fit, progress: Progress) -> None:
    """Which feature was taken, where there were several and nobody said which."""
    ref = fit.data.refs[0]
    plain = [entry for entry in fit.features.info["features"] if not entry.get("view")]
    if len(plain) > 1 and len(fit.data.refs) == 1 and (fit.config.tap is None or fit.config.backbone is None):
        others = {(entry["backbone"], display_tap(entry["tap"])) for entry in plain}
        taken = (ref.backbone, display_tap(ref.tap))
        listed = ", ".join(f"{tap} of {backbone}" for backbone, tap in sorted(others - {taken}))
        if listed:
            progress.say(
                f"features {taken[1]} of {taken[0]}; the set also has {listed}: --tap and --backbone choose"
            )


def _choose(config: FitConfig, fits: Mapping[str | None, Fit], progress: Progress) -> Fit:
    """The fit to go on with, its parameters chosen where the configuration asks for a search."""
    if not (config.sweep or config.search == "optuna" or config.folds):
        return next(iter(fits.values()))
    choices = {tap: Choice(fit.raw, fit.train, fit.samples("validation")) for tap, fit in fits.items()}
    searched = search(config, choices, progress)
    fit = fits[searched.best.tap]
    fit.searched = searched
    found = {"head": searched.best.head, "params": {**config.params, **searched.best.params}}
    fit.config = config.model_copy(update=found)
    return fit


def _train(fit: Fit, progress: Progress, tracker: Tracker | None, checkpoint: Path | None) -> Tried:
    """The head that is kept: the best of a search where it was trained on these samples, else a new one."""
    config, validation = fit.config, fit.samples("validation")
    own = own_callbacks(config.callback)
    if fit.searched and not config.folds and not (own or tracker):
        return max(fit.searched.best.tried, key=lambda tried: tried.seed == config.seed)
    head = cast(Any, open_head(config.head, config.params, config.seed, fit.data.kind))
    X_val, y_val = (None, None) if validation is None else (validation.X, validation.y)
    if not getattr(head, "trains_by_epochs", False):
        head.fit(fit.train.X, fit.train.y, X_val, y_val)
    else:
        callbacks = [ShowEpochs(progress), *([Track(tracker)] if tracker else []), *own]
        _fit_by_epochs(head, fit.train, X_val, y_val, callbacks, checkpoint, progress)
    scores = {} if validation is None else Predictor(head).scores(validation.X, validation.y)
    return Tried(config.params, config.seed, head, scores)


def _fit_by_epochs(
    head: Any,
    train: Samples,
    X_val: Any,
    y_val: Any,
    callbacks: Sequence[Any],
    checkpoint: Path | None,
    progress: Progress,
) -> None:
    from headstart.training.checkpoint import Checkpoint

    keeper = Checkpoint(checkpoint) if checkpoint else None
    try:
        head.fit(train.X, train.y, X_val, y_val, callbacks, train.views, keeper)
    finally:
        progress.end()


def _refit(fit: Fit, tried: Tried, progress: Progress) -> Any:
    """The head anew on train and validation samples, with all that was chosen on validation.

    One that trains by epochs stops after its best epoch, on the same schedule.
    """
    config, data = fit.config, fit.data
    part = data.parts["train"].joined(data.parts["validation"])
    head = cast(Any, open_head(config.head, chosen_params(tried), tried.seed, data.kind))
    if not getattr(head, "trains_by_epochs", False):
        return head.fit(part.X, data.targets(part))
    best_epoch = cast(Any, tried.head).best_epoch_
    views: Sequence[Any] = ()
    if fit.views:
        views = gather_views(
            fit.features, views_of(fit.features, data.refs[0]), data.refs[0], part, Silence()
        )
    both = Samples(part.X, data.targets(part), views)
    stop = [
        ShowEpochs(progress),
        lambda record: record["epoch"] >= best_epoch,
        *own_callbacks(config.callback),
    ]
    _fit_by_epochs(head, both, None, None, stop, None, progress)
    return head


def _after_refit(before: Evaluation, after: Evaluation) -> Evaluation:
    """The refitted head has seen the validation samples: for them, what the head before it said holds."""
    return Evaluation(
        {**after.metrics, "validation": before.metrics["validation"]},
        {**after.predictions, "validation": before.predictions["validation"]},
    )


def _over_seeds(fit: Fit, tried: Tried, bare: Predictor, progress: Progress) -> dict[str, Json]:
    """The chosen head with other seeds: what each gives on the test samples, their mean and deviation.

    Each is trained, calibrated and refitted as the one that is kept, which comes first.
    """
    config, data = fit.config, fit.data
    split = "test" if len(data.parts["test"]) else "validation"
    judged = fit.samples(split)
    if config.seeds < 2 or judged is None or config.shots or config.curve:
        return {}
    if not hasattr(tried.head, "random_state"):
        progress.say(f"a {config.head} head has no random numbers: all {config.seeds} seeds give the same")
    validation = fit.samples("validation")
    scores = [bare.scores(judged.X, judged.y)]
    progress.begin("seeds", config.seeds - 1)
    try:
        seeds = [config.seed + number for number in range(config.seeds) if config.seed + number != tried.seed]
        trials = [Trial(config.params, seed, fit.train, validation) for seed in seeds[: config.seeds - 1]]
        for other in run_trials(config.head, data.kind, trials, progress.advance):
            if other.head is not None:
                one = Predictor(other.head)
                one = calibrated(one, data) if config.calibrate else one
                one = replace(one, head=_refit(fit, other, Silence())) if config.refit else one
                scores.append(one.scores(judged.X, judged.y))
    finally:
        progress.end()
    return {"seeds": {"split": split, **spread_of(scores)}}


def _importance(fit: Fit, predictor: Predictor) -> dict[str, Json]:
    """Of several features side by side, how much each carries, on validation samples."""
    data, part = fit.raw, fit.raw.parts["validation"]
    if len(data.widths) < 2 or not len(part):
        return {}
    task, blocks = open_task(data.kind), blocks_of(data.refs, data.widths)
    codes = task.codes(data.targets(part), predictor.classes)
    wanted = task.indicators(codes, len(predictor.classes))
    return {"importance": block_report(predictor.outputs, part.X, wanted, blocks, fit.config.seed, task)}
