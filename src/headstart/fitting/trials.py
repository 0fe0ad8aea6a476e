"""Fitting one kind of head many times: with other parameters, seeds or samples."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from headstart.heads import open_head
from headstart.heads.graphs import shared_graphs
from headstart.heads.labelled import Labelled
from headstart.heads.parallel import one_a_thread, threads_of_blas
from headstart.heads.predictor import Predictor
from headstart.heads.preparation import Preparation
from headstart.heads.torch_heads import STACKABLE, fit_stack
from headstart.metrics.tables import summarise
from headstart.tasks import open_task
from headstart.types import PathStep

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import Head, PathHead
    from headstart.samples import LabelledSamples
    from headstart.types import Json, LabelKind, Predictions

MOST_STACKED = 256
MOST_NUMBERS = 1 << 27
"""Parameters of a stack; training holds some six copies of them."""


@dataclass(frozen=True)
class Trial:
    """One fit: it chooses on ``validation``, and is scored on ``judge`` or, without it, on ``validation`` too.

    ``guide`` is that of a result on similar samples. ``marker`` marks what the head says of the samples that it is
    scored on.
    """

    params: Mapping[str, Any]
    seed: int
    train: LabelledSamples
    validation: LabelledSamples | None
    judge: LabelledSamples | None = None
    guide: Any = None
    marker: Callable[[Predictions], NDArray[np.float64]] | None = None

    @property
    def judged_on(self) -> LabelledSamples | None:
        """The samples that it is scored on."""
        return self.judge or self.validation

    @property
    def labelled(self) -> Labelled:
        """Its samples, as heads are fitted on them."""
        train, validation = self.train.trained_on, self.validation
        X_val, y_val = (None, None) if validation is None else (validation.X, validation.targets)
        return Labelled(train.X, train.targets, X_val, y_val, train.views, train.soft)


@dataclass(frozen=True)
class TrialResult:
    """What became of a trial: its head (None if it diverged) and `Task.scores` (empty if nothing judged it).

    ``guide`` helps to fit the same on similar samples; None if nothing does. ``marks`` are those of the trial's marker.
    """

    params: Mapping[str, Any]
    seed: int
    head: Head | None
    scores: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    guide: Any = None
    marks: NDArray[np.float64] | None = None

    @property
    def has_diverged(self) -> bool:
        """Whether there is no head."""
        return self.head is None and not self.scores

    @property
    def chosen_params(self) -> dict[str, Any]:
        """The parameters of the trial, with what the fit itself chose: C, alpha, k."""
        assert self.head is not None
        params = dict(self.params)
        for name, value in self.head.get_params().items():
            if value == "auto" and f"{name}_" in self.head.fitted:
                found = getattr(self.head, f"{name}_")
                params[name] = found.item() if isinstance(found, np.generic) else found
        return params


def opened(name: str, trial: Trial, task: LabelKind) -> Head:
    """The head of a trial, unfitted; it knows what the names of the classes are, if that was looked up."""
    head = open_head(name, trial.params, trial.seed, task)
    head.class_vectors = trial.train.class_vectors
    return head


def prepared(
    steps: Sequence[str], seed: int, train: LabelledSamples, *others: LabelledSamples
) -> list[LabelledSamples]:
    """Samples with features that steps fitted on ``train`` prepare; ``train`` comes first."""
    if not steps:
        return [train, *others]
    preparation = Preparation.fit(steps, train.X, seed)
    return [samples.prepared(preparation) for samples in (train, *others)]


def run_trials(
    name: str, task: LabelKind, trials: Sequence[Trial], done: Callable[[int], None] = lambda n: None
) -> list[TrialResult]:
    """Fit all of them, in their order.

    Torch heads that differ in what a stack may differ in are trained as one, and heads that differ in their
    `Head.path_parameter` alone are fitted along one path. Of numpy's heads several groups are fitted at once, each by
    one thread. ``done`` is told how many more are done.
    """
    heads = [opened(name, trial, task) for trial in trials]
    groups = _groups(heads, trials)

    def fitted(group: Sequence[int]) -> list[TrialResult]:
        start, own = time.perf_counter(), [trials[number] for number in group]
        steps = fit_group([heads[number] for number in group], own)
        seconds = (time.perf_counter() - start) / len(group)
        return [
            TrialResult(trial.params, trial.seed, step.head, scores, seconds, step.guide, marks)
            for trial, step, (scores, marks) in zip(own, steps, _scores(steps, own), strict=True)
        ]

    most = max(trial.train.n_numbers for trial in trials) * threads_of_blas()
    together = heads[0].is_thread_safe and most <= MOST_NUMBERS  # each fit has a copy of its features
    found: dict[int, TrialResult] = {}
    with shared_graphs():
        results = one_a_thread(fitted, groups) if together else map(fitted, groups)
        for group, outcomes in zip(groups, results, strict=True):
            found.update(zip(group, outcomes, strict=True))
            done(len(group))
    return [found[number] for number in range(len(trials))]


def _groups(heads: Sequence[Head], trials: Sequence[Trial]) -> list[list[int]]:
    """Numbers of trials that are fitted together, along a path in its order."""
    groups: dict[Any, list[int]] = {}
    for number, (head, trial) in enumerate(zip(heads, trials, strict=True)):
        groups.setdefault(_likeness(head, trial, number), []).append(number)
    split = []
    for group in groups.values():
        if not heads[group[0]].trains_side_by_side:
            split.append(sorted(group, key=lambda number: path_value(heads[number]) or 0))
            continue
        width = trials[group[0]].train.width
        most = int(np.clip(MOST_NUMBERS // (width * 512), 1, MOST_STACKED))
        split.extend([group[start : start + most] for start in range(0, len(group), most)])
    return split


def _likeness(head: Head, trial: Trial, number: int) -> Any:
    """Equal for trials whose heads are trained side by side, or along one path."""
    params = head.get_params()
    if path_value(head) is not None:
        rest = tuple((name, repr(value)) for name, value in params.items() if name != head.path_parameter)
        return rest, id(trial.train), id(trial.judged_on)
    if not head.trains_side_by_side:
        return number
    if params["optimizer"] == "lbfgs":
        return number
    rest = tuple((name, repr(value)) for name, value in sorted(params.items()) if name not in STACKABLE)
    # A network whose inputs are dropped, and one whose are not, are of two kinds.
    return rest, bool(params["dropout"]), *_likeness_of_samples(trial, params["class_weight"] == "balanced")


def _likeness_of_samples(trial: Trial, is_balanced: bool) -> tuple[Any, ...]:
    """What samples of heads in one stack share: in memory their shapes and classes; else they are the same."""
    train, validation = trial.train.trained_on, trial.validation
    if not isinstance(train.X, np.ndarray) or train.X.ndim != 2:
        return id(train), id(validation), trial.seed
    if is_balanced and train.y.ndim > 1:
        labels: Any = id(train)
    elif open_task(train.kind).form != "classes":
        labels = train.y.shape[1:]
    else:
        classes, counts = np.unique(train.y, return_counts=True)
        labels = train.names, classes.tobytes(), counts.tobytes() if is_balanced else b""
    n_validation = None if validation is None else len(validation)
    return train.X.shape, len(train.views), n_validation, labels


def path_value(head: Head) -> float | None:
    """The value of the parameter along whose path a head is fitted; None if it is fitted alone."""
    value = head.get_params()[head.path_parameter] if head.path_parameter else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def fit_group(heads: Sequence[Head], trials: Sequence[Trial]) -> list[PathStep]:
    """Fit heads that are fitted together; the head of a step is None where it diverged."""
    if heads[0].trains_by_epochs:
        known = {(id(trial.train), id(trial.validation)): trial.labelled for trial in trials}
        samples = [known[id(trial.train), id(trial.validation)] for trial in trials]
        outcomes = fit_stack(cast(Any, heads), samples)
        return [
            PathStep(None if out.diverged_at else head) for head, out in zip(heads, outcomes, strict=True)
        ]
    given = trials[0].labelled
    if path_value(heads[0]) is not None:
        one, values = cast("PathHead", heads[0]), [path_value(head) for head in heads]
        return one.fit_path(values, given.X, given.y, [trial.guide for trial in trials])
    [head] = heads
    others = trials[0].train.unlabelled
    more = {"unlabelled": others.X} if head.takes_unlabelled and others is not None else {}
    head.fit(given.X, given.y, given.X_val, given.y_val, **more)
    return [PathStep(head)]


def _scores(
    steps: Sequence[PathStep], trials: Sequence[Trial]
) -> Iterator[tuple[Mapping[str, float], NDArray[np.float64] | None]]:
    """What the heads of a group score, and the marks of what they say."""
    judge, answering = trials[0].judged_on, [step.head for step in steps]
    if len(steps) > 1 and judge is not None and answering[0] is not None and answering[0].path_parameter:
        answering = answering[0].answer_path(answering, judge.X)
    for head, trial in zip(answering, trials, strict=True):
        judge = trial.judged_on
        if head is None or judge is None:
            yield {}, None
            continue
        said = Predictor(head).said(judge.X, judge.targets)
        yield open_task(judge.kind).scores(said), None if trial.marker is None else trial.marker(said)


def spread_of(scores: Sequence[Mapping[str, float]]) -> dict[str, Json]:
    """Several times the same figures: ``values`` (one each), ``mean``, and ``deviation`` (None of one alone)."""
    figures = summarise(scores)
    parts = {
        part: {name: each[part] for name, each in figures.items()} for part in ("values", "mean", "deviation")
    }
    return {"n": len(scores), **parts}
