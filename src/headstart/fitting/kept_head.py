"""The head that is kept: trained with the parameters that were chosen, and what else is told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.fitting.callbacks import ShowEpochs, Track, own_callbacks
from headstart.fitting.evaluation import calibrated
from headstart.fitting.importance import block_report, blocks_of
from headstart.fitting.trials import Trial, TrialResult, run_trials, spread_of
from headstart.fitting.views import gather_views, views_of
from headstart.heads import open_head
from headstart.heads.predictor import Predictor
from headstart.progress import Silence
from headstart.tasks import open_task

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.config import FitConfig
    from headstart.contracts import Progress
    from headstart.fitting.data import FitData
    from headstart.fitting.search import SearchResult
    from headstart.samples import LabelledSamples
    from headstart.tracking import Tracker
    from headstart.types import Json


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

    def train(
        self, search: SearchResult | None, tracker: Tracker | None, checkpoint: Path | None
    ) -> TrialResult:
        """The best head of a search if it was trained on these samples, else a new one."""
        config, validation = self.config, self.validation
        own = own_callbacks(config.callback)
        if search and not config.folds and not (own or tracker):
            return max(search.best.results, key=lambda result: result.seed == config.seed)
        callbacks = [ShowEpochs(self.progress), *([Track(tracker)] if tracker else []), *own]
        trial = Trial(config.params, config.seed, self.data.splits["train"], validation)
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
        return self._fit(Trial(result.chosen_params, result.seed, both, None), callbacks, None)

    def _fit(self, trial: Trial, callbacks: Sequence[Any], checkpoint: Path | None) -> Any:
        train, validation = trial.train, trial.validation
        head: Any = open_head(self.config.head, trial.params, trial.seed, train.kind)
        X_val, y_val = (None, None) if validation is None else (validation.X, validation.targets)
        if not head.trains_by_epochs:
            return head.fit(train.X, train.targets, X_val, y_val)
        from headstart.training.checkpoint import Checkpoint

        backbone_saver = Checkpoint(checkpoint) if checkpoint else None
        try:
            return head.fit(train.X, train.targets, X_val, y_val, callbacks, train.views, backbone_saver)
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
                    one = replace(one, head=silent.refit(other)) if config.refit else one
                    scores.append(one.scores(judge.X, judge.targets))
        finally:
            self.progress.end()
        return {"seeds": {"split": split, **spread_of(scores)}}

    def importance(self, predictor: Predictor) -> dict[str, Json]:
        """How much each of several features side by side carries, on validation samples that are not prepared."""
        validation = self.data.raw["validation"]
        if len(validation.widths) < 2 or not len(validation):
            return {}
        task, blocks = open_task(validation.kind), blocks_of(validation.features, validation.widths)
        codes = task.codes(validation.targets, predictor.classes)
        wanted = task.indicators(codes, len(predictor.classes))
        report = block_report(predictor.outputs, validation.X, wanted, blocks, self.config.seed, task)
        return {"importance": report}
