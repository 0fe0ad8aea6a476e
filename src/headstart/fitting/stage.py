"""fit-head: train a head on the cached features of a set. The backbone is never loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from headstart.cache.store import Cache
from headstart.fitting.callbacks import finish, tracking
from headstart.fitting.data import FitData, read_taps
from headstart.fitting.evaluation import after_refit, calibrated, evaluate_splits
from headstart.fitting.kept_head import HeadTraining
from headstart.fitting.protocols import shots_and_curve
from headstart.fitting.report import FitOutcome, make_record
from headstart.fitting.search import SearchResult, open_heads, search
from headstart.heads.predictor import Predictor
from headstart.registry.peak_memory import MemoryWatch

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.config import FitConfig
    from headstart.contracts import Head, Progress
    from headstart.registry.run import Run
    from headstart.tracking import Tracker
    from headstart.types import LabelKind


def fit_head(config: FitConfig, progress: Progress, checkpoint: Path | None = None) -> Run:
    """Choose and train a head on train and validation samples, then report on every split.

    Parameters
    ----------
    config : FitConfig
    progress : Progress
    checkpoint : Path, optional
        Where a head that trains by epochs keeps its state, to be taken up after an interruption.
    """
    with tracking(config, f"{config.set}-{config.head}", progress) as tracker:
        record = _fit(config, progress, tracker, checkpoint)
        if tracker:
            finish(tracker, record)
    return record


def _fit(config: FitConfig, progress: Progress, tracker: Tracker | None, checkpoint: Path | None) -> Run:
    start = perf_counter()
    features = Cache(config.cache).open_set(config.set, config.digest)
    heads = open_heads(config, _say_label(config, features, progress))
    taps = read_taps(config, features, heads, progress)
    _import_torch(heads)
    loaded, memory = perf_counter(), MemoryWatch()
    chosen, data, found = _choose(config, taps, progress)
    training = HeadTraining(chosen, features, data, progress)
    kept = training.train(found, tracker, checkpoint)
    fitted, held = perf_counter(), memory.report()
    predictor = Predictor(kept.head)  # type: ignore[arg-type]
    if config.calibrate:
        predictor = calibrated(predictor, data.splits["validation"])
    evaluation = evaluate_splits(predictor, data.splits, config.seed)
    if config.refit:
        predictor = replace(predictor, head=training.refit(kept))
        evaluation = after_refit(evaluation, evaluate_splits(predictor, data.splits, config.seed))
    whole = replace(predictor, preparation=data.preparation)
    more = {
        **training.importance(whole),
        **training.over_seeds(kept, predictor),
        **shots_and_curve(chosen, data.raw, progress),
    }
    end = perf_counter()
    timings = {
        "load": loaded - start, "fit": fitted - loaded, "evaluate": end - fitted, "total": end - start
    }  # fmt: skip
    outcome = FitOutcome(chosen, features, data.splits, whole, evaluation, found, held)
    return make_record(config, outcome, timings, more, progress)


def _say_label(config: FitConfig, features: FeatureSet, progress: Progress) -> LabelKind:
    """What the labels that are learnt are; says which they are, if there are several and nobody chose."""
    column = features.label_column(config.label)
    if config.label is None and len(features.label_names) > 1:
        progress.say(f"label {column!r} of {', '.join(map(repr, features.label_names))}; --label chooses")
    return features.label_kinds[column]


def _import_torch(heads: Sequence[Head]) -> None:
    """Import what training needs, so that its time and memory are those of training."""
    if any(head.computes_in_torch for head in heads):
        import torch  # noqa: F401


def _choose(
    config: FitConfig, taps: Mapping[str | None, FitData], progress: Progress
) -> tuple[FitConfig, FitData, SearchResult | None]:
    """The configuration and the data to go on with, chosen by a search where one is asked for."""
    if not (config.sweep or config.search == "optuna" or config.folds):
        return config, next(iter(taps.values())), None
    found = search(config, taps, progress)
    best = {"head": found.best.head, "params": {**config.params, **found.best.params}}
    return config.model_copy(update=best), taps[found.best.tap], found
