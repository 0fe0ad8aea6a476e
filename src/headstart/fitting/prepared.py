"""Features as a head will see them: prepared by what its own training samples say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from headstart.errors import ConfigError
from headstart.heads.preparation import Preparation

if TYPE_CHECKING:
    from headstart.fitting.data import FitData
    from headstart.fitting.trials import Samples


def preparing(steps: Sequence[str], seed: int, train: Samples) -> Callable[[Samples], Samples]:
    """From samples to the same with features that steps fitted on ``train`` prepare."""
    if not steps:
        return lambda samples: samples
    preparation = Preparation.fit(steps, train.X, seed)
    return lambda samples: replace(samples, X=preparation(samples.X))


def prepare_data(steps: Sequence[str], seed: int, data: FitData) -> tuple[FitData, Preparation]:
    """All splits, prepared by steps that are fitted on train alone.

    Raises
    ------
    ConfigError
        There is no such step, or features are not pooled ones in memory.
    """
    if not steps:
        return data, Preparation()
    if not all(isinstance(part.X, np.ndarray) for part in data.parts.values()):
        raise ConfigError("--prepare works on pooled features in memory; leave it out, or --mapped")
    preparation = Preparation.fit(steps, data.parts["train"].X, seed)
    parts = {split: replace(part, X=preparation(part.X)) for split, part in data.parts.items()}
    return replace(data, parts=parts), preparation
