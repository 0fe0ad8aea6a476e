"""Training the head of a label: chosen and trained on train and validation samples, then judged on every split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from glob import escape
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

from headstart.backbones.pooling import display_tap
from headstart.fitting.data import FitData
from headstart.fitting.evaluation import (
    Evaluation,
    after_refit,
    calibrated,
    evaluate_splits,
    importance_of,
    left_uncalibrated,
)
from headstart.fitting.search import Candidate, best_of_each, search
from headstart.fitting.trials import Trial, TrialResult, fit_group, opened, run_trials, spread_of
from headstart.fitting.views import gather_views, views_of
from headstart.heads.predictor import Predictor
from headstart.progress import Silence
from headstart.tracking import epoch_logs
from headstart.training.callbacks import ShowEpochs, own_callbacks

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.config import FitConfig
    from headstart.contracts import BesideHead, Head, Progress
    from headstart.fitting.grids import TapChoice
    from headstart.fitting.search import Tries
    from headstart.samples import LabelledSamples
    from headstart.tracking import Tracker
    from headstart.types import Json


@dataclass(frozen=True)
class LabelJob:
    """What is to be fitted for one label: its samples, and the heads that may be the best."""

    config: FitConfig
    features: FeatureSet
    heads: Sequence[Head]
    taps: Mapping[TapChoice, FitData]
    progress: Progress
    more: Mapping[str, Json] = field(default_factory=dict)
    """Further entries of its report: who teaches it, what the names of its classes are."""

    @property
    def reads(self) -> str:
        """What the heads read: vectors of whole samples or of their parts, of which features."""
        train = next(iter(self.taps.values())).raw["train"]
        refs = ", ".join(f"{display_tap(ref.tap)} of {ref.backbone}" for ref in train.features)
        return f"{'all vectors' if self.heads[0].takes_sequences else 'one vector'} a sample, {refs}"

    def chosen(self, tries: Tries | None = None) -> ChosenHead:
        """The head with its parameters, which a search chooses on validation data where one was asked for.

        ``tries`` runs the trials elsewhere.
        """
        config, start = self.config, perf_counter()
        if not (config.sweep or config.search == "optuna" or config.folds):
            return ChosenHead(self._training(config, next(iter(self.taps.values()))), None, self.more)
        # The seeds of a protocol are those of its draws.
        asked = config.model_copy(update={"seeds": 1}) if config.shots or config.curve else config
        best, tried, sweep = search(asked, self.taps, self.progress, tries)
        rivals = [self._training_of(each) for each in best_of_each(tried)]
        report = {"sweep": sweep, **self.more}
        return ChosenHead(self._training_of(best), best, report, perf_counter() - start, tuple(rivals))

    def _training_of(self, candidate: Candidate) -> HeadTraining:
        update = {"head": candidate.head, "params": {**self.config.params, **candidate.params}}
        return self._training(self.config.model_copy(update=update), self.taps[candidate.choice])

    def _training(self, config: FitConfig, data: FitData) -> HeadTraining:
        return HeadTraining(config, self.features, data, self.progress)


@dataclass(frozen=True)
class ChosenHead:
    """A head of which no parameter is left to choose, the seconds of its search, and what the report says of that.

    ``rivals`` are the best of each head on each choice of features that a sweep was over, this one among them.
    """

    training: HeadTraining
    best: Candidate | None = None
    more: Mapping[str, Json] = field(default_factory=dict)
    seconds: float = 0.0
    rivals: tuple[HeadTraining, ...] = ()


@dataclass(frozen=True)
class TrainedHead:
    """A head that was trained, and the seconds that it took to choose and train it.

    ``refitted`` is the head that was fitted anew with those of other labels, where they share a network.
    """

    chosen: ChosenHead
    result: TrialResult
    seconds: float
    refitted: Any = None


def train_heads(
    chosen: Sequence[ChosenHead], tracker: Tracker | None, checkpoint: Path | None
) -> list[TrainedHead]:
    """The head of each label; those that the same samples have share what depends on the features alone."""
    shared = _fitted_beside(chosen)
    found = []
    for number, one in enumerate(chosen):
        start, title = perf_counter(), one.training.column if len(chosen) > 1 else None
        head, seconds = shared.get(number, (None, 0.0))
        state = checkpoint and state_of(checkpoint, number)
        training = one.training
        result = (
            training.result_of(head) if head is not None else training.train(one.best, tracker, state, title)
        )
        found.append(TrainedHead(one, result, one.seconds + seconds + perf_counter() - start))
    return found


def _fitted_beside(chosen: Sequence[ChosenHead]) -> dict[int, tuple[Head, float]]:
    """Fitted heads of labels that share their samples, by their places, and the seconds that each took of all."""
    groups: dict[Any, list[int]] = {}
    for number, one in enumerate(chosen):
        if one.best is None:
            training = one.training
            likeness = training.config.head, repr(training.config.params), id(training.data.splits["train"].X)
            groups.setdefault(likeness, []).append(number)
    found: dict[int, tuple[Head, float]] = {}
    for group in groups.values():
        trainings = [chosen[number].training for number in group]
        heads = [training.opened() for training in trainings]
        if len(group) < 2 or not all(head.fits_beside for head in heads):
            continue
        start = perf_counter()
        given = [training.trial().labelled for training in trainings]
        labels = [(one.y, one.X_val, one.y_val) for one in given]
        cast("BesideHead", heads[0]).fit_beside(heads, given[0].X, labels)
        seconds = (perf_counter() - start) / len(group)
        found |= {number: (head, seconds) for number, head in zip(group, heads, strict=True)}
    return found


def state_of(checkpoint: Path, number: int) -> Path:
    """Where the training of a label keeps its state, by its place among the labels."""
    return checkpoint if number == 0 else checkpoint.with_name(f"{checkpoint.name}-{number}")


def forget_states(checkpoint: Path) -> None:
    """Delete what the trainings of all labels kept."""
    for path in [checkpoint, *checkpoint.parent.glob(f"{escape(checkpoint.name)}-*")]:
        path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Judgement:
    """What became of a trained head: as it is kept, how it does, and further entries of its report."""

    predictor: Predictor
    evaluation: Evaluation
    more: Mapping[str, Json]
    seconds: float


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

    @property
    def column(self) -> str:
        """The label."""
        return self.data.splits["train"].column

    def opened(self) -> Head:
        """The head, unfitted."""
        return opened(self.config.head, self.trial(), self.data.splits["train"].kind)

    def trial(self, guide: Any = None) -> Trial:
        """What it is fitted on."""
        return Trial(
            self.config.params, self.config.seed, self.data.splits["train"], self.validation, guide=guide
        )

    def train(
        self,
        best: Candidate | None,
        tracker: Tracker | None,
        checkpoint: Path | None,
        title: str | None = None,
    ) -> TrialResult:
        """The best head of a search if it was trained on these samples, else a new one.

        ``title`` stands before the figures that a tracker is told, where there are those of other labels.
        """
        config = self.config
        own = own_callbacks(config.callback)
        if best and not (own or tracker):
            kept = max(best.results, key=lambda result: result.seed == config.seed)
            if kept.head is not None:  # else it was of a fold, or fitted elsewhere
                return kept
        callbacks = [ShowEpochs(self.progress), *epoch_logs(tracker, title), *own]
        return self.result_of(self._fit(self.trial(best.guide if best else None), callbacks, checkpoint))

    def result_of(self, head: Any) -> TrialResult:
        """A fitted head, and what it scores."""
        scores: Mapping[str, float] = {}
        if self.validation is not None:
            scores = Predictor(head).scores(self.validation.X, self.validation.targets)
        return TrialResult(self.config.params, self.config.seed, head, scores)

    def judge(self, kept: TrialResult, refitted: Any = None) -> Judgement:
        """Calibrate a trained head and judge it, and fit it anew on all that it may see if that was asked for.

        ``refitted`` is the head that was fitted anew already, together with others.
        """
        config, data, start = self.config, self.data, perf_counter()
        predictor = Predictor(kept.head)  # type: ignore[arg-type]
        uncalibrated: Mapping[str, Json] = {}
        if config.calibrate:
            predictor = calibrated(predictor, data.splits["validation"])
            uncalibrated = left_uncalibrated(predictor, data.splits["validation"], self.progress)
        evaluation = evaluate_splits(predictor, data.splits, config.seed)
        if config.refit:
            predictor = replace(predictor, answering=refitted or self.refit(kept))
            evaluation = after_refit(evaluation, evaluate_splits(predictor, data.splits, config.seed))
        whole = replace(predictor, preparation=data.preparation)
        more = {
            **uncalibrated,
            **importance_of(whole, data.raw["validation"], config.seed),
            **self.over_seeds(kept, predictor),
        }
        return Judgement(whole, evaluation, more, perf_counter() - start)

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
        head: Any = opened(self.config.head, trial, trial.train.kind)
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
