"""Few-shot protocols and learning curves: the same head on less and less training data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from headstart.errors import ConfigError
from headstart.fitting.grids import few_of_each, share_of
from headstart.fitting.trials import MOST_NUMBERS, Trial, TrialResult, prepared, run_trials, spread_of
from headstart.tasks import open_task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.config import FitConfig
    from headstart.contracts import Progress
    from headstart.samples import LabelledSamples
    from headstart.types import Json

Draw = Callable[[int, int], "NDArray[np.int64]"]
"""From a size and a seed to training rows."""


def check_protocols(config: FitConfig, train: LabelledSamples) -> None:
    """Refuse what cannot be drawn, before anything is trained.

    Raises
    ------
    ConfigError
        A size is too small or too large, or there are no classes to draw of.
    """
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

    Each size is drawn anew with each of ``seeds`` seeds; a larger draw of a seed holds the smaller. Features are
    prepared on what was drawn, and whatever is chosen within a fit is chosen on the validation samples.

    Parameters
    ----------
    config : FitConfig
    raw : mapping of str to LabelledSamples
        By split, not prepared; training samples with their views.
    progress : Progress

    Returns
    -------
    dict
        ``shots`` and ``curve``: [{size, n_train, split, n, values {metric: one per seed}, mean, deviation}], of the
        test samples, or of the validation samples where there are none.
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
    draw: Draw,
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
    train, validation, judge = prepared(
        config.prepare, config.seed, raw["train"].take(rows), raw["validation"], raw[split]
    )
    return Trial(config.params, seed, train, validation if len(validation) else None, judge)
