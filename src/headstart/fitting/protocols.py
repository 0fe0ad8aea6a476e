"""Few-shot protocols and learning curves: the same head on less and less training data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.errors import ConfigError
from headstart.fitting.trials import MOST_NUMBERS, Trial, TrialResult, prepared, run_trials, spread_of
from headstart.heads import head_class
from headstart.tasks import open_task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.config import FitConfig
    from headstart.contracts import Progress
    from headstart.samples import LabelledSamples
    from headstart.types import Json


def check_protocols(config: FitConfig, train: LabelledSamples) -> None:
    """Refuse what cannot be drawn, before anything is trained."""
    n, draws_classes = len(train), open_task(train.kind).form == "classes"
    if config.shots and not draws_classes:
        raise ConfigError("--shots draws samples of each class; with other labels use --curve")
    if config.shots:
        most = int(np.bincount(train.y).max())
        if not 1 <= min(config.shots) <= max(config.shots) <= most:
            raise ConfigError(
                f"--shots takes numbers of samples in [1, {most:,}], what the largest class has in train "
                f"(got {', '.join(map(str, config.shots))})"
            )
    least = 2 if draws_classes else 1
    if config.curve and not least <= min(config.curve) <= max(config.curve) <= n:
        raise ConfigError(
            f"--curve takes sizes in [{least}, {n:,}], the training samples (got "
            f"{', '.join(map(str, config.curve))})"
        )


def shots_and_curve(
    config: FitConfig, raw: Mapping[str, LabelledSamples], progress: Progress
) -> dict[str, Json]:
    """What the configuration asks for: ``shots``, ``curve``, or neither.

    Each size is drawn anew with each of ``seeds`` seeds; a larger draw of a seed holds the smaller. Features, which are
    not prepared yet, are prepared on what was drawn, and whatever is chosen within a fit is chosen on the validation
    samples. Each is [{size, n_train, split, n, values {metric: one per seed}, mean, deviation}], of the test samples,
    or of the validation samples where there are none.
    """
    report: dict[str, Json] = {}
    y, task = raw["train"].y, open_task(raw["train"].kind)
    if config.shots:
        report["shots"] = _measure(
            config, raw, config.shots, lambda n, seed: few_of_each(y, n, seed), progress
        )
    if config.curve:
        strata, draws_classes = task.fold_strata(y), task.form == "classes"
        report["curve"] = _measure(
            config, raw, config.curve, lambda n, seed: share_of(strata, n, seed, draws_classes), progress
        )
    return report


def _measure(
    config: FitConfig,
    raw: Mapping[str, LabelledSamples],
    sizes: Sequence[int],
    draw: Callable[[int, int], NDArray[np.int64]],
    progress: Progress,
) -> list[dict[str, Json]]:
    split = "test" if len(raw["test"]) else "validation"
    seeds = range(config.seed, config.seed + config.seeds)
    at_once = max(MOST_NUMBERS // sum(samples.n_numbers for samples in raw.values()), 1)
    progress.begin("fits", len(sizes) * config.seeds)
    found = []
    try:
        for size in sorted(set(sizes)):
            drawn = {seed: draw(size, seed) for seed in seeds}
            results: list[TrialResult] = []
            for start in range(0, len(seeds), at_once):
                trials = [
                    _trial_on(drawn[seed], seed, config, raw, split)
                    for seed in seeds[start : start + at_once]
                ]
                results += run_trials(config.head, raw["train"].kind, trials, progress.advance)
            scores = [one.scores for one in results if one.head is not None]
            n_train = float(np.mean([len(rows) for rows in drawn.values()]))
            found.append({"size": size, "n_train": n_train, "split": split, **spread_of(scores)})
    finally:
        progress.end()
    return found


def _trial_on(
    rows: NDArray[np.int64], seed: int, config: FitConfig, raw: Mapping[str, LabelledSamples], split: str
) -> Trial:
    """A fit on some of the training samples, which alone decide how features are prepared."""
    drawn = raw["train"].take(rows)
    if head_class(config.head, drawn.kind).takes_unlabelled:
        drawn = raw["train"].with_others_unlabelled(rows)
    train, validation, judge = prepared(config.prepare, config.seed, drawn, raw["validation"], raw[split])
    return Trial(config.params, seed, train, validation if len(validation) else None, judge)


def few_of_each(y: NDArray[Any], shots: int, seed: int) -> NDArray[np.int64]:
    """``shots`` samples of each class (all of a rarer one); more shots of one seed hold the fewer.

    Examples
    --------
    >>> few_of_each(np.array([0, 0, 0, 1, 1]), 1, seed=0).size
    2
    """
    return np.flatnonzero(_ranks(y, seed) < shots)


def share_of(y: NDArray[Any], n: int, seed: int, stratify: bool) -> NDArray[np.int64]:
    """``n`` samples, each class in its share; more samples of one seed hold the fewer."""
    if not 1 <= n <= len(y):
        raise ConfigError(
            f"a learning curve needs sizes in [1, {len(y):,}], the training samples (got {n:,})"
        )
    ranks = _ranks(y if stratify else np.zeros(len(y), dtype=np.int64), seed)
    codes = np.unique(y, return_inverse=True)[1] if stratify else np.zeros(len(y), dtype=np.int64)
    share = (ranks + 0.5) / np.bincount(codes)[codes]
    ties = np.random.default_rng([seed, 1]).permutation(len(y))
    return np.sort(np.lexsort((ties, share))[:n])


def _ranks(y: NDArray[Any], seed: int) -> NDArray[np.int64]:
    """A random place of each sample among those of its class, from 0."""
    codes = np.unique(y, return_inverse=True)[1]
    order = np.random.default_rng(seed).permutation(len(y))
    order = order[np.argsort(codes[order], kind="stable")]
    starts = np.cumsum(np.bincount(codes)) - np.bincount(codes)
    ranks = np.empty(len(y), dtype=np.int64)
    ranks[order] = np.arange(len(y)) - starts[codes[order]]
    return ranks
