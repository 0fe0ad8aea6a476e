"""One training from its first weights to its last, as fine-tune and its search both do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from headstart.registry.energy import EnergyMeter
from headstart.registry.peak_memory import MemoryWatch
from headstart.tuning.defaults import plan_phases, plan_rules, settings_of
from headstart.tuning.parts import TrainingSetup
from headstart.tuning.phases import PhasedTraining
from headstart.tuning.whole_model import counts_of

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.config import TuneConfig
    from headstart.contracts import Progress
    from headstart.fitting.data import Splits
    from headstart.tuning.strategies import Phase
    from headstart.types import Json


@dataclass(frozen=True)
class TrainingResult:
    """A training that is over.

    Parameters
    ----------
    parts : TrainingSetup
        With the best weights of the last phase.
    n_trained : int
        Parameters that trained in the last phase, adapters among them.
    held : mapping
        Bytes of memory, and joules where they are counted.
    loaded, ended : float
        When training began and ended, by `time.perf_counter`.
    """

    parts: TrainingSetup
    phases: Sequence[Phase]
    trained: PhasedTraining
    n_trained: int
    held: Mapping[str, Json]
    loaded: float
    ended: float


def train(
    config: TuneConfig,
    features: FeatureSet,
    raw: Splits,
    progress: Progress,
    state: Path,
    callbacks: Sequence[Any],
) -> TrainingResult:
    """Put a network together and train it; what lies in ``state`` of the same training is taken up."""
    parts = TrainingSetup.open(config, features, raw, progress)
    phases = plan_phases(config, parts.model.depths.n_blocks)
    rules = plan_rules(config, len(raw["train"]), parts.part_size, parts.precision, parts.n_workers)
    for line in parts.describe(config.strategy, phases, rules):
        progress.say(line)
    watch, meter = MemoryWatch(parts.model.device.type), EnergyMeter()
    loaded = perf_counter()
    trained = PhasedTraining(
        parts.model, parts.samples, parts.objective, phases, rules, state, settings_of(config), progress,
        parts.short_cut,
    )  # fmt: skip
    trained.run(callbacks)
    held, ended = {**watch.report(), **meter.joules}, perf_counter()
    n_trained = counts_of(parts.model.parameters())["trainable"]
    return TrainingResult(parts, phases, trained, n_trained, held, loaded, ended)
