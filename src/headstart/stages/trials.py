"""Fitting one kind of head many times: with other parameters, seeds or samples."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from headstart.errors import ConfigError
from headstart.heads import open_head
from headstart.heads.inputs import take_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import Head
    from headstart.types import Json, LabelKind

MOST_STACKED = 256
MOST_NUMBERS = 1 << 27
"""Parameters of a stack; training holds some six copies of them."""
SMALLEST = 1e-30


@dataclass(frozen=True)
class Samples:
    """Features and labels as heads take them."""

    X: Any
    y: NDArray[Any]

    def take(self, rows: NDArray[np.int64]) -> Samples:
        """Some of them."""
        return Samples(take_rows(self.X, rows), self.y[rows])


@dataclass(frozen=True)
class Trial:
    """One fit.

    Parameters
    ----------
    params : mapping
        Of the head.
    seed : int
    train : Samples
    validation : Samples, optional
        What is chosen within the fit is chosen on them, and the trial is scored on them.
    """

    params: Mapping[str, Any]
    seed: int
    train: Samples
    validation: Samples | None


@dataclass(frozen=True)
class Tried:
    """What became of a trial.

    Parameters
    ----------
    trial : Trial
    head : Head, optional
        None: it diverged.
    scores : mapping
        Of the validation samples, see `quick_scores`; empty without any.
    seconds : float
        Its share of what was trained together.
    """

    trial: Trial
    head: Head | None
    scores: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    def to_json(self) -> dict[str, Json]:
        """Without the head."""
        return {
            "params": dict(self.trial.params),
            "seed": self.trial.seed,
            "validation": dict(self.scores),
            "diverged": self.head is None,
            "seconds": self.seconds,
        }


def run_trials(
    name: str, task: LabelKind, trials: Sequence[Trial], done: Callable[[int], None] = lambda n: None
) -> list[Tried]:
    """Fit all of them; torch heads that differ in what a stack may differ in are trained as one.

    Parameters
    ----------
    name : str
        Of the head.
    task : {"single", "multi", "regression"}
    trials : sequence of Trial
    done : callable
        Is told how many more are done.

    Returns
    -------
    list of Tried
        In the order of the trials.
    """
    heads = [open_head(name, trial.params, trial.seed, task) for trial in trials]
    found: dict[int, Tried] = {}
    for group in _groups(heads, trials):
        start = time.perf_counter()
        fitted = _fit_group([heads[number] for number in group], trials[group[0]])
        seconds = (time.perf_counter() - start) / len(group)
        for number, head in zip(group, fitted, strict=True):
            scores = _scores(head, trials[number].validation, task) if head is not None else {}
            found[number] = Tried(trials[number], head, scores, seconds)
        done(len(group))
    return [found[number] for number in range(len(trials))]


def _groups(heads: Sequence[Head], trials: Sequence[Trial]) -> list[list[int]]:
    """Numbers of trials that are fitted together."""
    groups: dict[Any, list[int]] = {}
    for number, (head, trial) in enumerate(zip(heads, trials, strict=True)):
        groups.setdefault(_likeness(head, trial, number), []).append(number)
    split = []
    for group in groups.values():
        width = (
            int(np.shape(trials[group[0]].train.X)[-1])
            if hasattr(trials[group[0]].train.X, "shape")
            else 1024
        )
        most = int(np.clip(MOST_NUMBERS // (width * 512), 1, MOST_STACKED))
        split.extend([group[start : start + most] for start in range(0, len(group), most)])
    return split


def _likeness(head: Head, trial: Trial, number: int) -> Any:
    if not getattr(head, "trains_by_epochs", False) or head.kind == "own":
        return number
    from headstart.heads.stacks import STACKABLE

    params = head.get_params()
    if params["optimizer"] == "lbfgs":
        return number
    rest = tuple((name, repr(value)) for name, value in sorted(params.items()) if name not in STACKABLE)
    # A network whose inputs are dropped, and one whose are not, are of two kinds.
    return rest, bool(params["dropout"]), id(trial.train), id(trial.validation)


def _fit_group(heads: Sequence[Head], trial: Trial) -> list[Head | None]:
    validation = trial.validation
    X_val, y_val = (None, None) if validation is None else (validation.X, validation.y)
    if getattr(heads[0], "trains_by_epochs", False):
        from headstart.heads.stacks import fit_stack

        stack = cast(Any, heads)
        outcomes = fit_stack(stack, trial.train.X, trial.train.y, X_val, y_val)
        return [None if out.diverged_at else head for head, out in zip(heads, outcomes, strict=True)]
    for head in heads:
        head.fit(trial.train.X, trial.train.y, X_val, y_val)
    return list(heads)


def _scores(head: Head, validation: Samples | None, task: LabelKind) -> dict[str, float]:
    return {} if validation is None else quick_scores(head, validation, task)


def quick_scores(head: Head, samples: Samples, task: LabelKind) -> dict[str, float]:
    """A few figures: ``accuracy`` and ``log_loss``, or ``r2`` and ``rmse``."""
    if task == "regression":
        wanted = np.asarray(samples.y, dtype=np.float64)
        squared = float(np.mean((wanted - head.predict(samples.X)) ** 2))
        variance = float(np.var(wanted))
        return {"r2": 1 - squared / variance if variance else 0.0, "rmse": squared**0.5}
    probabilities = np.asarray(cast(Any, head).predict_proba(samples.X), dtype=np.float64)
    if task == "multi":
        true = samples.y > 0
        likely = np.where(true, probabilities, 1 - probabilities)
        right = ((probabilities > 0.5) == true).all(axis=1)
    else:
        classes = np.asarray(cast(Any, head).classes_)
        codes = np.searchsorted(classes, samples.y).clip(max=len(classes) - 1)
        known = classes[codes] == samples.y
        right = known & (probabilities.argmax(axis=1) == codes)
        likely = np.where(known, probabilities[np.arange(len(codes)), codes], 0.0)
    losses = -np.log(np.maximum(likely, SMALLEST))
    return {"accuracy": float(right.mean()), "log_loss": float(losses.mean())}


def merit(scores: Sequence[Mapping[str, float]]) -> tuple[float, ...]:
    """What the best of several is chosen by: accuracy, then log loss; or the error. The larger the better.

    Parameters
    ----------
    scores : sequence of mapping
        Of the same parameters with several seeds or folds; their means count.

    Raises
    ------
    ConfigError
        There is nothing to choose by.
    """
    if not scores or not all(scores):
        raise ConfigError("there are no validation samples to choose by; extract with a validation split")
    means = {name: float(np.mean([each[name] for each in scores])) for name in scores[0]}
    if "rmse" in means:
        return (-means["rmse"],)
    return means["accuracy"], -means["log_loss"]


def chosen_params(tried: Tried) -> dict[str, Any]:
    """The parameters of a trial, with what the fit itself chose: epochs, C, alpha, k."""
    assert tried.head is not None
    params = dict(tried.trial.params)
    for name, value in tried.head.get_params().items():
        found = getattr(tried.head, f"{name}_", None)
        if value == "auto" and found is not None and name != "device":
            params[name] = found.item() if isinstance(found, np.generic) else found
    if getattr(tried.head, "trains_by_epochs", False):
        params["epochs"] = cast(Any, tried.head).best_epoch_
    return params
