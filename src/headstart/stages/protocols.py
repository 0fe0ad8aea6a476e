"""Few-shot protocols and learning curves: the same head on less and less training data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.errors import ConfigError
from headstart.stages.grids import few_of_each, share_of
from headstart.stages.searching import samples_of
from headstart.stages.trials import Trial, quick_scores, run_trials

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import Progress
    from headstart.stages.config import FitConfig
    from headstart.stages.fit_data import FitData
    from headstart.types import Json

Draw = Callable[[int, int], "NDArray[np.int64]"]
"""From a size and a seed to training rows."""


def shots_and_curve(config: FitConfig, data: FitData, progress: Progress) -> dict[str, Json]:
    """What the configuration asks for: ``shots``, ``curve``, or neither.

    Each size is drawn anew with each of ``seeds`` seeds; a larger draw of a seed holds the smaller. Whatever
    is chosen within a fit is chosen on the validation samples.

    Returns
    -------
    dict
        ``shots`` and ``curve``: [{size, n_train, split, values {metric: one a seed}, mean, deviation}], of the
        test samples, or of the validation samples where there are none.

    Raises
    ------
    ConfigError
        A size cannot be drawn.
    """
    report: dict[str, Json] = {}
    y = data.parts["train"].y
    if config.shots:
        if data.kind != "single":
            raise ConfigError("--shots draws samples of each class; with other labels use --curve")
        if min(config.shots) < 1:
            raise ConfigError(f"--shots takes numbers of samples from 1 on (got {min(config.shots)})")
        report["shots"] = _measure(
            config, data, config.shots, lambda n, seed: few_of_each(y, n, seed), progress
        )
    if config.curve:
        strata = y if data.kind == "single" else np.zeros(len(y), dtype=np.int64)
        is_single = data.kind == "single"
        report["curve"] = _measure(
            config, data, config.curve, lambda n, seed: share_of(strata, n, seed, is_single), progress
        )
    return report


def _measure(
    config: FitConfig, data: FitData, sizes: Sequence[int], draw: Draw, progress: Progress
) -> list[dict[str, Json]]:
    split = "test" if len(data.parts["test"]) else "validation"
    judged, train = samples_of(data, data.parts[split]), samples_of(data, data.parts["train"])
    validation = samples_of(data, data.parts["validation"]) if len(data.parts["validation"]) else None
    progress.begin("fits", len(sizes) * config.seeds)
    found = []
    try:
        for size in sorted(set(sizes)):
            drawn = [draw(size, config.seed + number) for number in range(config.seeds)]
            trials = [
                Trial(config.params, config.seed + number, train.take(rows), validation)
                for number, rows in enumerate(drawn)
            ]
            tried = run_trials(config.head, data.kind, trials, progress.advance)
            scores = [quick_scores(one.head, judged, data.kind) for one in tried if one.head is not None]
            found.append(_row(size, [len(rows) for rows in drawn], split, scores))
    finally:
        progress.end()
    return found


def _row(size: int, n_train: list[int], split: str, scores: Sequence[Any]) -> dict[str, Json]:
    values = {name: [each[name] for each in scores] for name in (scores[0] if scores else {})}
    return {
        "size": size,
        "n_train": float(np.mean(n_train)),
        "split": split,
        "values": values,
        "mean": {name: float(np.mean(each)) for name, each in values.items()},
        "deviation": {
            name: float(np.std(each, ddof=1)) if len(each) > 1 else None for name, each in values.items()
        },
    }
