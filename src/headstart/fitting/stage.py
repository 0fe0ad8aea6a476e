"""fit-head: train a head on the cached features of a set. The backbone is never loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from headstart.cache.store import Cache
from headstart.distillation.asked import check_asked
from headstart.fitting.data import FitData, gather_views, read_taps, views_of
from headstart.fitting.evaluation import (
    after_refit,
    calibrated,
    evaluate_splits,
    importance_of,
    left_uncalibrated,
)
from headstart.fitting.protocols import shots_and_curve
from headstart.fitting.report import FitOutcome, make_record
from headstart.fitting.search import Candidate, open_heads, search
from headstart.fitting.trials import Trial, TrialResult, fit_group, run_trials, spread_of
from headstart.heads import open_head
from headstart.heads.predictor import Predictor
from headstart.progress import Silence
from headstart.registry.machine import MemoryWatch
from headstart.tracking import epoch_logs, tell_run, tracking
from headstart.training.callbacks import ShowEpochs, own_callbacks

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.config import FitConfig
    from headstart.contracts import Progress
    from headstart.registry.run import Run
    from headstart.samples import LabelledSamples
    from headstart.tracking import Tracker
    from headstart.types import Json, LabelKind


def fit_head(config: FitConfig, progress: Progress, checkpoint: Path | None = None) -> Run:
    """Choose and train a head on train and validation samples, then report on every split.

    A head that trains by epochs keeps its state at ``checkpoint``, to be taken up after an interruption.
    """
    with tracking(config, f"{config.set}-{config.head}", progress) as tracker:
        run = _fit(config, progress, tracker, checkpoint)
        if tracker:
            tell_run(tracker, run)
    return run


def _fit(config: FitConfig, progress: Progress, tracker: Tracker | None, checkpoint: Path | None) -> Run:
    start = perf_counter()
    features = Cache(config.cache).open_set(config.set, config.digest)
    heads = open_heads(config, _say_label(config, features, progress))
    check_asked(config, heads)
    taps, taught = _taught(config, features, read_taps(config, features, heads, progress), progress)
    if any(head.computes_in_torch for head in heads):
        import torch  # noqa: F401 - so that the time and memory of training are its own
    loaded, memory = perf_counter(), MemoryWatch()
    chosen, data, best, sweep = config, next(iter(taps.values())), None, {}
    if config.sweep or config.search == "optuna" or config.folds:
        best, sweep["sweep"] = search(config, taps, progress)
        update = {"head": best.head, "params": {**config.params, **best.params}}
        chosen, data = config.model_copy(update=update), taps[best.tap]
    training = HeadTraining(chosen, features, data, progress)
    kept = training.train(best, tracker, checkpoint)
    fitted, held = perf_counter(), memory.report()
    predictor = Predictor(kept.head)  # type: ignore[arg-type]
    uncalibrated: Mapping[str, Json] = {}
    if config.calibrate:
        predictor = calibrated(predictor, data.splits["validation"])
        uncalibrated = left_uncalibrated(predictor, data.splits["validation"], progress)
    evaluation = evaluate_splits(predictor, data.splits, config.seed)
    if config.refit:
        predictor = replace(predictor, answering=training.refit(kept))
        evaluation = after_refit(evaluation, evaluate_splits(predictor, data.splits, config.seed))
    whole = replace(predictor, preparation=data.preparation)
    more = {
        **sweep,
        **taught,
        **uncalibrated,
        **importance_of(whole, data.raw["validation"], config.seed),
        **training.over_seeds(kept, predictor),
        **shots_and_curve(chosen, data.raw, progress),
    }
    end = perf_counter()
    timings = {
        "load": loaded - start, "fit": fitted - loaded, "evaluate": end - fitted, "total": end - start
    }  # fmt: skip
    outcome = FitOutcome(chosen, features, data.splits, whole, evaluation, timings, more, held)
    return make_record(config, outcome, progress)


def _say_label(config: FitConfig, features: FeatureSet, progress: Progress) -> LabelKind:
    """What the labels that are learnt are; says which they are, if there are several and nobody chose."""
    column = features.label_column(config.label)
    if config.label is None and len(features.label_names) > 1:
        progress.say(f"label {column!r} of {', '.join(map(repr, features.label_names))}; --label chooses")
    return features.label_kinds[column]


def _taught(
    config: FitConfig, features: FeatureSet, taps: Mapping[str | None, FitData], progress: Progress
) -> tuple[Mapping[str | None, FitData], dict[str, Json]]:
    """What is fitted on with what a teacher says of it, and what a report says of that; as it is without a teacher."""
    if config.teacher is None:
        return taps, {}
    from headstart.distillation.stage import ask_teacher  # which predicts, and few fits do

    # Where validation samples are trained on in the end, or by turns, they have a teacher, too.
    splits = ("train", "validation") if config.refit or config.folds else ("train",)
    asked = [data.raw[split] for split in splits for data in taps.values()]
    lessons = ask_teacher(config, features, asked, progress)
    found = {tap: data.map(splits, lessons.of) for tap, data in taps.items()}
    return found, {"distillation": dict(lessons.report)}


@dataclass(frozen=True)
class HeadTraining:
    """Trains the head of a configuration with its parameters, of which none is left to choose."""

    config: FitConfig
    features: FeatureSet
    data: FitData
    progress: Progress

    @property
    def validation(self) -> LabelledSamples | None:
        """The validation samples; None if there are none."""
        return self.data.splits["validation"] if len(self.data.splits["validation"]) else None

    def train(self, best: Candidate | None, tracker: Tracker | None, checkpoint: Path | None) -> TrialResult:
        """The best head of a search if it was trained on these samples, else a new one."""
        config, validation = self.config, self.validation
        own = own_callbacks(config.callback)
        if best and not config.folds and not (own or tracker):
            return max(best.results, key=lambda result: result.seed == config.seed)
        callbacks = [ShowEpochs(self.progress), *epoch_logs(tracker), *own]
        guide = best.guide if best else None
        trial = Trial(config.params, config.seed, self.data.splits["train"], validation, guide=guide)
        head = self._fit(trial, callbacks, checkpoint)
        scores: Mapping[str, float] = {}
        if validation is not None:
            scores = Predictor(head).scores(validation.X, validation.targets)
        return TrialResult(config.params, config.seed, head, scores)

    def refit(self, result: TrialResult) -> Any:
        """The head anew on train and validation samples, with all that was chosen on validation.

        One that trains by epochs stops after its best epoch, on the same schedule.
        """
        kept: Any = result.head
        both = self.data.splits["train"].joined(self.data.splits["validation"])
        callbacks: list[Any] = []
        if kept.trains_by_epochs:
            best_epoch = kept.best_epoch_
            callbacks = [
                ShowEpochs(self.progress),
                lambda record: record["epoch"] >= best_epoch,
                *own_callbacks(self.config.callback),
            ]
        if self.data.splits["train"].views:
            views = gather_views(self.features, views_of(self.features, both.feature), both, Silence())
            both = replace(both, views=views)
        trial = Trial(result.chosen_params, result.seed, both, None, guide=result.guide)
        return self._fit(trial, callbacks, None)

    def _fit(self, trial: Trial, callbacks: Sequence[Any], path: Path | None) -> Any:
        head: Any = open_head(self.config.head, trial.params, trial.seed, trial.train.kind)
        if not head.trains_by_epochs:
            return fit_group([head], [trial])[0].head
        from headstart.training.checkpoint import Checkpoint

        given = trial.labelled
        samples = (given.X, given.y, given.X_val, given.y_val)

        try:
            return head.fit(*samples, callbacks, given.views, Checkpoint(path) if path else None, given.soft)
        finally:
            self.progress.end()

    def over_seeds(self, kept: TrialResult, predictor: Predictor) -> dict[str, Json]:
        """The chosen head with other seeds: what each gives on the test samples, their mean and deviation.

        Each is trained, calibrated and refitted as the one that is kept, which comes first.
        """
        config, splits = self.config, self.data.splits
        split = "test" if len(splits["test"]) else "validation"
        judge = splits[split]
        if config.seeds < 2 or not len(judge) or config.shots or config.curve:
            return {}
        if "random_state" not in predictor.head.get_params():
            self.progress.say(
                f"a {config.head} head has no random numbers: all {config.seeds} seeds give the same"
            )
        silent = replace(self, progress=Silence())
        scores = [predictor.scores(judge.X, judge.targets)]
        self.progress.begin("seeds", config.seeds - 1)
        try:
            seeds = [config.seed + n for n in range(config.seeds) if config.seed + n != kept.seed]
            trials = [
                Trial(config.params, seed, splits["train"], self.validation)
                for seed in seeds[: config.seeds - 1]
            ]
            for other in run_trials(config.head, judge.kind, trials, self.progress.advance):
                if other.head is not None:
                    one = Predictor(other.head)
                    one = calibrated(one, splits["validation"]) if config.calibrate else one
                    one = replace(one, answering=silent.refit(other)) if config.refit else one
                    scores.append(one.scores(judge.X, judge.targets))
        finally:
            self.progress.end()
        return {"seeds": {"split": split, **spread_of(scores)}}
