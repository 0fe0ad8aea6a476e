"""What each strategy of fine-tuning does where its user says nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headstart.training.settings import Settings, batch_of
from headstart.tuning.strategies import Phase, check_strategy, phases_of

if TYPE_CHECKING:
    from headstart.config import TuneConfig
    from headstart.training.settings import Criterion, Schedule
    from headstart.types import Json


NO_LIKENESS = ("cache", "device", "workers", "track", "callback", "part_size", "format", "offline", "plots")
"""What may differ when a training is taken up."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """Of a strategy; the learning rates are peaks."""

    epochs: int = 10
    lr: float = 1e-4
    head_lr: float = 1e-3
    weight_decay: float = 0.01
    schedule: Schedule = "linear"
    warmup_share: float = 0.1
    patience: int | None = None
    kept_by: Criterion = "accuracy"
    batch_size: int = 32


@dataclass(frozen=True, slots=True)
class Rules:
    """What all phases of a training share.

    Parameters
    ----------
    batch_size : int
        Samples per step.
    part_size : int
        Samples that go through the network at once; in [1, batch_size].
    schedule, warmup_share, clip_norm, patience, kept_by
        See `headstart.training.settings.Settings`.
    layer_decay : float in (0, 1]
        What the learning rate is multiplied by from one layer to the next, towards the input.
    precision : {"fp32", "bf16", "fp16"}
        Of activations, by autocast.
    n_workers : int
        Processes that read ahead; 0: this one reads.
    """

    batch_size: int
    part_size: int
    schedule: Schedule = "linear"
    warmup_share: float = 0.1
    weight_decay: float = 0.01
    head_weight_decay: float = 0.01
    layer_decay: float = 1.0
    clip_norm: float = 1.0
    patience: int | None = None
    kept_by: Criterion = "accuracy"
    precision: str = "fp32"
    seed: int = 0
    n_workers: int = 0

    def settings(self, phase: Phase) -> Settings:
        """How the loop goes about a phase."""
        return Settings(
            epochs=phase.epochs, batch_size=self.batch_size, schedule=self.schedule, warmup_share=self.warmup_share,
            patience=self.patience, clip_norm=self.clip_norm, kept_by=self.kept_by,
        )  # fmt: skip


# The head alone is trained exactly as fit-head trains the head `linear`.
FROZEN = Defaults(
    epochs=100,
    lr=0.0,
    weight_decay=1.0,
    schedule="cosine",
    warmup_share=0.05,
    patience=10,
    kept_by="loss",
    batch_size=0,
)
LORA = Defaults(lr=1e-3)
SCRATCH = Defaults(epochs=30, lr=5e-4)


def defaults_of(strategy: str) -> Defaults:
    """The defaults of a strategy."""
    return {"frozen": FROZEN, "lora": LORA, "scratch": SCRATCH}.get(strategy, Defaults())


def plan_phases(config: TuneConfig, n_blocks: int) -> list[Phase]:
    """The phases that a configuration asks for.

    Raises
    ------
    ConfigError
        The backbone cannot follow the strategy.
    """
    check_strategy(config.strategy)
    known = defaults_of(config.strategy)
    return phases_of(
        config.strategy,
        config.unfreeze,
        config.epochs or [known.epochs],
        config.lr or [known.lr],
        config.head_lr or [known.head_lr],
        n_blocks,
        str(config.backbone or config.data),
    )


def plan_rules(config: TuneConfig, n_train: int, part_size: int, precision: str, n_workers: int) -> Rules:
    """What all phases share; ``part_size`` is what suits the machine where the user says nothing."""
    known = defaults_of(config.strategy)
    batch_size = config.batch_size or known.batch_size or batch_of(n_train)
    decay = known.weight_decay if config.weight_decay is None else config.weight_decay
    return Rules(
        batch_size=batch_size,
        part_size=min(config.part_size or part_size or batch_size, batch_size),
        schedule=config.schedule or known.schedule,
        warmup_share=known.warmup_share if config.warmup_share is None else config.warmup_share,
        weight_decay=decay,
        head_weight_decay=decay,
        layer_decay=config.layer_decay,
        clip_norm=config.clip_norm,
        patience=config.patience or known.patience,
        kept_by=known.kept_by,
        precision=precision,
        seed=config.seed,
        n_workers=n_workers,
    )


def settings_of(config: TuneConfig) -> dict[str, Json]:
    """What a training that is taken up must have been begun with."""
    values = config.model_dump(mode="json", exclude_none=True)
    likeness = {name: value for name, value in values.items() if name not in NO_LIKENESS}
    return {**likeness, "kept_by": defaults_of(config.strategy).kept_by}
