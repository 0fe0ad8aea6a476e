"""Training one network for several labels: chosen and trained on the samples that have any of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.cache.layout import LABEL
from headstart.errors import ConfigError
from headstart.fitting.grids import HEAD, as_grid, combinations
from headstart.fitting.search import search_report
from headstart.fitting.trials import MOST_NUMBERS, MOST_STACKED, TrialResult
from headstart.fitting.views import gather_views, views_of
from headstart.heads import open_trunk
from headstart.heads.labelled import Labelled
from headstart.heads.predictor import Predictor
from headstart.heads.torch_heads import STACKABLE, fit_stack
from headstart.heads.trunk import TorchTrunk, joint_labels
from headstart.metrics.tables import summarise
from headstart.progress import Silence
from headstart.tasks import open_task
from headstart.tracking import epoch_logs
from headstart.training.callbacks import ShowEpochs, own_callbacks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.config import FitConfig
    from headstart.contracts import Head, Progress
    from headstart.fitting.head_training import HeadTraining
    from headstart.samples import LabelledSamples
    from headstart.tracking import Tracker
    from headstart.types import Json, LabelKind

SCORE = "score"
"""What sweeps choose by: the mean over labels of their leading scores (accuracy or R²)."""


@dataclass(frozen=True)
class TrainedTrunk:
    """A network for several labels: what each label's head scores, what a sweep found, and the seconds of it all.

    ``refitted`` is the same on train and validation samples, where that was asked for: the one that is kept.
    """

    trunk: TorchTrunk
    results: Sequence[TrialResult]
    sweep: Mapping[str, Json]
    seconds: float
    refitted: TorchTrunk | None = None

    @property
    def kept(self) -> TorchTrunk:
        """The network that goes into the run."""
        return self.refitted or self.trunk


def train_trunk(
    config: FitConfig,
    trainings: Sequence[HeadTraining],
    samples: Mapping[str, LabelledSamples],
    progress: Progress,
    tracker: Tracker | None,
    checkpoint: Path | None,
) -> TrainedTrunk:
    """One network for several labels.

    ``samples`` are those of each split that have any of the labels, as they were read.
    """
    preparation, train = trainings[0].data.preparation, samples["train"]
    if trainings[0].data.splits["train"].views:
        features = trainings[0].features
        views = gather_views(features, views_of(features, train.feature), train, Silence())
        samples = {**samples, "train": replace(train, views=views)}
    if preparation:
        samples = {split: replace(part, X=preparation(part.X)) for split, part in samples.items()}
    return TrunkTraining(config, trainings, samples, progress).train(tracker, checkpoint)


@dataclass(frozen=True)
class TrunkTraining:
    """Trains one network for labels; ``samples`` are those of each split that have any of them, prepared."""

    config: FitConfig
    trainings: Sequence[HeadTraining]
    samples: Mapping[str, LabelledSamples]
    progress: Progress

    @property
    def columns(self) -> list[str]:
        """The labels, in order."""
        return [training.column for training in self.trainings]

    def train(self, tracker: Tracker | None, checkpoint: Path | None) -> TrainedTrunk:
        """Choose the parameters if there is a sweep, train, and fit anew on all that it may see if that is wanted."""
        start, sweep, params = perf_counter(), dict[str, "Json"](), dict(self.config.params)
        if self.config.sweep:
            best, sweep = self._search()
            params |= best
        callbacks = [
            ShowEpochs(self.progress), *epoch_logs(tracker), *own_callbacks(self.config.callback)
        ]  # fmt: skip
        trunk = self._fit(params, self._given("train", "validation"), callbacks, checkpoint)
        refitted = self._refit(trunk, params) if self.config.refit else None
        results = [
            training.result_of(member)
            for training, member in zip(self.trainings, trunk.members_, strict=True)
        ]
        return TrainedTrunk(trunk, results, sweep, perf_counter() - start, refitted)

    def _opened(self, params: Mapping[str, Any]) -> TorchTrunk:
        kinds = [training.data.splits["train"].kind for training in self.trainings]
        weights = weights_of(self.config, self.columns)
        trunk: TorchTrunk = open_trunk(self.config.head, params, self.config.seed, kinds, weights)
        return trunk

    def _fit(
        self,
        params: Mapping[str, Any],
        given: Labelled,
        callbacks: Sequence[Any],
        checkpoint: Path | None = None,
    ) -> TorchTrunk:
        from headstart.training.checkpoint import Checkpoint

        state = Checkpoint(checkpoint) if checkpoint else None
        try:
            return self._opened(params).fit(
                given.X, given.y, given.X_val, given.y_val, callbacks, given.views, state
            )
        finally:
            self.progress.end()

    def _refit(self, trunk: TorchTrunk, params: Mapping[str, Any]) -> TorchTrunk:
        """The same on train and validation samples, as many epochs as were best."""
        train, validation = self.samples["train"], self.samples["validation"]
        both, best_epoch = train.joined(validation), trunk.best_epoch_
        if train.views:
            features = self.trainings[0].features
            views = gather_views(features, views_of(features, both.feature), both, Silence())
            both = replace(both, views=views)
        callbacks = [ShowEpochs(self.progress), lambda record: record["epoch"] >= best_epoch]
        return self._fit(params, Labelled(both.X, self._labels(both), views=both.views), callbacks)

    def _given(self, split: str, held: str) -> Labelled:
        train, validation = self.samples[split], self.samples[held]
        if not len(validation):
            return Labelled(train.X, self._labels(train), views=train.views)
        return Labelled(train.X, self._labels(train), validation.X, self._labels(validation), train.views)

    def _labels(self, samples: LabelledSamples) -> NDArray[Any]:
        """All labels of samples, as a trunk takes them."""
        found = []
        for training in self.trainings:
            of = training.data.splits["train"]
            task = open_task(of.kind)
            y = task.encode(samples.table.column(LABEL + of.column), of.names)
            known = task.known(y)
            found.append((np.asarray(task.targets(y[known], of.names)), known))
        return joint_labels(found)

    def _search(self) -> tuple[dict[str, Any], dict[str, Json]]:
        """Try every combination, those that a stack may differ in side by side; the parameters of the best."""
        if not len(self.samples["validation"]):
            raise ConfigError("there are no validation samples to choose by; extract with some")
        tried = combinations(as_grid(self.config.sweep))
        self.progress.begin("trials", len(tried))
        try:
            rows = [row for group in _groups(tried, self.samples["train"].width) for row in self._try(group)]
        finally:
            self.progress.end()
        going = [row for row in rows if not row["diverged"]]
        if not going:
            raise ConfigError(f"all {len(tried)} trials diverged; sweep over smaller learning rates")
        best = max(going, key=lambda row: row["validation"][SCORE]["mean"])
        said = "the mean over labels of accuracy or R² on validation"
        return best["params"], search_report(best, rows, None, said)

    def _try(self, group: Sequence[dict[str, Any]]) -> list[dict[str, Json]]:
        start, given = perf_counter(), self._given("train", "validation")
        trunks = [self._opened({**self.config.params, **params}) for params in group]
        outcomes = fit_stack(trunks, given)
        seconds, rows = (perf_counter() - start) / len(group), []
        for params, trunk, outcome in zip(group, trunks, outcomes, strict=True):
            scores = {} if outcome.diverged_at else {SCORE: self._score(trunk.members_)}
            figures = summarise([scores]) if scores else {}
            said = {name: {"mean": v["mean"], "deviation": v["deviation"]} for name, v in figures.items()}
            rows.append(
                {"params": params, "validation": said, "n": 1, "diverged": not scores, "seconds": seconds}
            )
            self.progress.advance(1)
        return rows

    def _score(self, members: Sequence[Head]) -> float:
        scores = []
        for training, member in zip(self.trainings, members, strict=True):
            judge = training.validation
            if judge is not None:
                found = Predictor(member).scores(judge.X, judge.targets)
                scores.append(found[open_task(judge.kind).leading_score])
        return float(np.mean(scores))


def _groups(tried: Sequence[dict[str, Any]], width: int) -> list[list[dict[str, Any]]]:
    """Combinations that are trained side by side, as many as fit into memory, of features so wide."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for params in tried:
        rest = repr(sorted((name, value) for name, value in params.items() if name not in STACKABLE))
        # A network whose inputs are dropped, and one whose are not, are of two kinds.
        groups.setdefault((rest, bool(params.get("dropout", 1))), []).append(params)
    most = int(np.clip(MOST_NUMBERS // (width * 512), 1, MOST_STACKED))
    return [group[start : start + most] for group in groups.values() for start in range(0, len(group), most)]


def weights_of(config: FitConfig, columns: Sequence[str]) -> list[float]:
    """What the loss of each label counts.

    Raises
    ------
    ConfigError
        A weight is of no label that is learnt, or is no positive number.
    """
    given = config.loss_weights or {}
    for name, weight in given.items():
        if name not in columns:
            raise ConfigError(
                f"--loss-weights names {name!r}, and the labels are {', '.join(map(repr, columns))}"
            )
        if not (np.isfinite(weight) and weight > 0):
            raise ConfigError(
                f"--loss-weights takes positive numbers (got {name}={weight:g}); leave out the label instead"
            )
    return [float(given.get(name, 1.0)) for name in columns]


def check_trunk(config: FitConfig, kinds: Mapping[str, LabelKind]) -> None:
    """Refuse what one network for several labels does not do, before anything is read; ``kinds`` by their columns."""
    weights_of(config, list(kinds))
    open_trunk(config.head, config.params, config.seed, list(kinds.values()))
    separate = {
        "folds": config.folds, "seeds": config.seeds > 1, "shots": config.shots, "curve": config.curve,
        "search": config.search != "grid", "engine": config.cluster,
    }  # fmt: skip
    if asked := [name for name, value in separate.items() if value]:
        raise ConfigError(
            f"--{asked[0]} is for separate heads, and --shared-trunk is one network; leave one of them out"
        )
    if HEAD in config.sweep:
        raise ConfigError("--sweep head=… compares separate heads; with --shared-trunk say --head")
    for name in config.sweep:
        if name in config.params:
            raise ConfigError(f"{name!r} is in --param and in --sweep; give it once")
        open_trunk(config.head, {name: as_grid({name: config.sweep[name]})[name][0]}, config.seed, ["single"])
