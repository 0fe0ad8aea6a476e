"""What is trained when and how: from a strategy to phases, and to what they share, where its user says nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headstart.errors import ConfigError
from headstart.fitting.grids import as_grid
from headstart.options import did_you_mean
from headstart.training.settings import Settings, batch_of

if TYPE_CHECKING:
    from headstart.config import TuneConfig
    from headstart.training.settings import Criterion, Schedule

CONTRASTIVE = "contrastive"
STRATEGIES = ("full", "frozen", "last:K", "gradual", "lora", "scratch", CONTRASTIVE)
OF_WRITING = ("cross-attention", "decoder")
"""Those that a model which writes texts has besides."""
OF_ONE = {"pair_loss": CONTRASTIVE, "lora_rank": "lora", "lora_alpha": "lora", "lora_dropout": "lora"}
"""Options that mean something to one strategy alone."""
ALL = "all"
DEFAULT_UNFREEZE = ("0", "2", "all")
CPU_PART, GPU_PART = 8, 32
"""Samples that go through at once: few are fastest on CPUs, where the activations stay in the cache."""


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


# The head alone is trained exactly as fit-head trains the head `linear`.
FROZEN = Defaults(
    epochs=100, lr=0.0, weight_decay=1.0, schedule="cosine", warmup_share=0.05, patience=10, kept_by="loss",
    batch_size=0,
)  # fmt: skip
LORA = Defaults(lr=1e-3)
SCRATCH = Defaults(epochs=30, lr=5e-4)
PAIRS = Defaults(lr=2e-5)


def defaults_of(strategy: str) -> Defaults:
    """The defaults of a strategy."""
    own = {"frozen": FROZEN, "lora": LORA, "scratch": SCRATCH, CONTRASTIVE: PAIRS}
    return own.get(strategy, Defaults())


@dataclass(frozen=True, slots=True)
class Rules:
    """What all phases of a training share: the loop's settings, but for the epochs, and how a network is trained.

    ``part_size`` samples go through the network at once. From one layer to the next, towards the input, the learning
    rate is multiplied by ``layer_decay``. Activations are of a precision, by autocast. ``n_workers`` processes read
    ahead; 0: this one reads.
    """

    settings: Settings
    part_size: int
    weight_decay: float
    layer_decay: float
    precision: str
    seed: int
    n_workers: int


def plan_rules(
    config: TuneConfig, n_train: int, device: str, needs_whole_steps: bool, known: Defaults
) -> Rules:
    """What all phases share, as it suits the device where the user says nothing; ``known`` are the strategy's defaults.

    Raises
    ------
    ConfigError
        The device does not compute in that precision.
    """
    from headstart.backbones.freezing import best_precision

    on_cpu = device == "cpu"
    if on_cpu and config.precision not in ("auto", "fp32"):
        raise ConfigError(f"--precision {config.precision} trains on GPUs alone; leave it out on a CPU")
    n_workers = 0 if on_cpu else min(os.cpu_count() or 1, 8)  # a GPU waits for images otherwise
    batch_size = config.batch_size or known.batch_size or batch_of(n_train)
    part_size = config.part_size or (batch_size if needs_whole_steps else CPU_PART if on_cpu else GPU_PART)
    settings = Settings(
        epochs=0,
        batch_size=batch_size,
        schedule=config.schedule or known.schedule,
        warmup_share=known.warmup_share if config.warmup_share is None else config.warmup_share,
        patience=config.patience or known.patience,
        clip_norm=config.clip_norm,
        kept_by=known.kept_by,
    )
    return Rules(
        settings=settings,
        part_size=min(part_size, batch_size),
        weight_decay=known.weight_decay if config.weight_decay is None else config.weight_decay,
        layer_decay=config.layer_decay,
        precision=best_precision(device) if config.precision == "auto" else config.precision,
        seed=config.seed,
        n_workers=n_workers if config.workers is None else config.workers,
    )


@dataclass(frozen=True, slots=True)
class Phase:
    """One stretch of training with the same parameters, and the peak learning rates of backbone and head.

    ``n_blocks`` of the last blocks train; if it is None everything does, embeddings and stem too.
    """

    n_blocks: int | None
    epochs: int
    lr: float
    head_lr: float

    def first_depth(self, total: int) -> int:
        """The depth from which parameters train, in a backbone of so many blocks."""
        if self.n_blocks is None:
            return 0
        return total + 2 if self.n_blocks == 0 else total + 1 - self.n_blocks


def check_strategy(strategy: str) -> None:
    """Refuse a strategy that there is not."""
    if strategy in OF_WRITING:
        raise ConfigError(
            f"{strategy} is for texts to write (--label-kind seq2seq), and these labels are others; take "
            f"{', '.join(STRATEGIES)}"
        )
    if strategy not in STRATEGIES and not re.fullmatch(r"last:[1-9]\d*", strategy):
        hint = did_you_mean(strategy, STRATEGIES, "write one of", len(STRATEGIES))
        raise ConfigError(f"there is no strategy {strategy!r}{hint}")


def check_options(config: TuneConfig) -> None:
    """Refuse a strategy that there is not, and options of one that is not asked for, before anything is computed."""
    strategies = [str(each) for each in as_grid(config.sweep).get("strategy", [config.strategy])]
    for strategy in strategies:
        if strategy not in OF_WRITING:
            check_strategy(strategy)
    known = type(config).model_fields
    for name, strategy in OF_ONE.items():
        is_given = name in config.sweep or getattr(config, name) != known[name].default
        if is_given and strategy not in strategies:
            raise ConfigError(
                f"--{name.replace('_', '-')} is an option of --strategy {strategy}, and {' and '.join(strategies)} "
                "would ignore it; leave it out"
            )


def phases_of(
    strategy: str,
    unfreeze: Sequence[str],
    epochs: Sequence[int],
    rates: Sequence[float],
    head_rates: Sequence[float],
    n_blocks: int,
    spec: str,
) -> list[Phase]:
    """The phases of a training of a backbone of so many blocks, which messages call by its spec.

    ``gradual`` trains so many blocks in each phase, or ``all``, never fewer than before. Epochs and rates are one for
    all phases, or one for each.

    Raises
    ------
    ConfigError
        The backbone cannot follow the strategy, or numbers do not fit the phases.
    """
    depths = _depths(strategy, unfreeze)
    asked = [depth for depth in depths if depth is not None]
    if any(asked) and not n_blocks:
        raise ConfigError(
            f"{spec} cannot be divided into blocks, which {strategy} needs; take full, frozen or lora"
        )
    if asked and max(asked) > n_blocks:
        raise ConfigError(
            f"{spec} has {n_blocks} blocks, fewer than the {max(asked)} that {strategy} would train"
        )
    each = zip(
        depths, each_of("epochs", epochs, depths), each_of("lr", rates, depths), each_of("head-lr", head_rates, depths),
        strict=True,
    )  # fmt: skip
    return [Phase(depth, int(n), float(lr), float(head_lr)) for depth, n, lr, head_lr in each]


def plan_phases(config: TuneConfig, n_blocks: int) -> list[Phase]:
    """The phases that a configuration asks for, of a backbone of so many blocks."""
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


def _depths(strategy: str, unfreeze: Sequence[str]) -> list[int | None]:
    check_strategy(strategy)
    if strategy == "gradual":
        return unfrozen(unfreeze or DEFAULT_UNFREEZE)
    if unfreeze:
        raise ConfigError(
            f"--unfreeze says what gradual trains in each phase, and means nothing to {strategy}"
        )
    if strategy.startswith("last:"):
        return [int(strategy[5:])]
    return [0 if strategy in ("frozen", "lora") else None]


def unfrozen(unfreeze: Sequence[str]) -> list[int | None]:
    """How many blocks train in each phase, as ``--unfreeze`` says it; None: everything does."""
    steps = [step.strip() for step in unfreeze]
    bad = next((step for step in steps if step != ALL and not step.isdigit()), None)
    if bad is not None:
        raise ConfigError(f"--unfreeze takes numbers of blocks and 'all', e.g. 0,2,4,all (got {bad!r})")
    depths = [None if step == ALL else int(step) for step in steps]
    sizes = [float("inf") if depth is None else depth for depth in depths]
    if sizes != sorted(set(sizes)):
        raise ConfigError(f"--unfreeze must train more from phase to phase (got {','.join(steps)})")
    return depths


def each_of(name: str, values: Sequence[float], depths: Sequence[object]) -> Sequence[float]:
    """A value for each phase, of one for all of them or one for each."""
    if len(values) not in (1, len(depths)):
        raise ConfigError(
            f"--{name} takes one value, or one for each of the {len(depths)} phases (got {len(values)})"
        )
    return list(values) * len(depths) if len(values) == 1 else values
