"""How a training goes about its steps: its settings, and the learning rate of each step as a share of the peak."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

Optimizer: TypeAlias = Literal["adamw", "sgd", "lbfgs"]
Schedule: TypeAlias = Literal["constant", "linear", "cosine", "step", "plateau", "one-cycle"]
SCHEDULES: tuple[str, ...] = get_args(Schedule)
SMALLEST_BATCH, LARGEST_BATCH, STEPS_PER_EPOCH = 8, 256, 16
Criterion: TypeAlias = Literal["accuracy", "loss"]
"""What decides on validation samples which epoch is the best; of equal accuracies the smaller loss. Numbers have no
accuracy: their loss decides."""

STEP_FACTOR = 0.1
"""What ``step`` multiplies the rate by after each third of the steps, and ``plateau`` by when it waits."""
ONE_CYCLE_RISE = 0.3
ONE_CYCLE_START = 1 / 25
ONE_CYCLE_END = 1e-4 / 25


@dataclass(frozen=True, slots=True)
class Settings:
    """What all members share.

    Parameters
    ----------
    optimizer : {"adamw", "sgd", "lbfgs"}
        SGD is with decoupled weight decay (Loshchilov and Hutter, 2019), as AdamW is. L-BFGS takes all rows
        at once, and weight decay as an L2 penalty.
    patience : int, optional
        Epochs without a better one, by ``kept_by``, before a member stops; None: it trains all epochs.
    clip_norm : float
        The norm of a member's gradient, over all its parameters, is at most this.
    mixup : float in [0, inf)
        Alpha of the Beta distribution that pairs of samples are mixed by (Zhang et al., 2018); 0: none.
    """

    epochs: int
    batch_size: int
    optimizer: Optimizer = "adamw"
    momentum: float = 0.9
    schedule: Schedule = "cosine"
    warmup_share: float = 0.05
    patience: int | None = 10
    clip_norm: float = 1.0
    mixup: float = 0.0
    kept_by: Criterion = "loss"

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Member:
    """What one head of a stack has of its own; biases and norms are not decayed."""

    lr: float
    weight_decay: float
    dropout: float = 0.0


def rate_factor(step: int, n_steps: int, settings: Settings) -> float:
    """The learning rate of a step in [0, n_steps) as a share of the peak.

    After a linear warm-up: ``constant`` and ``plateau`` stay (the latter falls by the loop's own doing),
    ``linear`` and ``cosine`` fall to nothing, ``step`` falls tenfold after each third. ``one-cycle`` (Smith,
    2018) has a warm-up of its own: it rises over 30 % of the steps from a 25th, and falls to a 250,000th.

    Examples
    --------
    >>> settings = Settings(epochs=1, batch_size=1, schedule="linear", warmup_share=0.2)
    >>> [rate_factor(step, 10, settings) for step in (0, 1, 2, 6)]
    [0.5, 1.0, 1.0, 0.5]
    """
    if settings.schedule == "one-cycle":
        return _one_cycle(step / max(n_steps, 1))
    warmup = round(settings.warmup_share * n_steps)
    if step < warmup:
        return (step + 1) / warmup
    share = (step - warmup) / (n_steps - warmup)
    match settings.schedule:
        case "linear":
            return 1 - share
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * share))
        case "step":
            return float(STEP_FACTOR ** int(3 * share))
    return 1.0


def _one_cycle(share: float) -> float:
    if share < ONE_CYCLE_RISE:
        return _between(ONE_CYCLE_START, 1.0, share / ONE_CYCLE_RISE)
    return _between(1.0, ONE_CYCLE_END, (share - ONE_CYCLE_RISE) / (1 - ONE_CYCLE_RISE))


def _between(start: float, end: float, share: float) -> float:
    """Half a cosine from one value to another."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))


def batch_of(n_samples: int) -> int:
    """How many samples a step sees where nobody says it.

    Examples
    --------
    >>> [batch_of(n) for n in (20, 1_600, 50_000)]
    [8, 100, 256]
    """
    return min(max(n_samples // STEPS_PER_EPOCH, SMALLEST_BATCH), LARGEST_BATCH)
