"""How a training goes about its steps."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

Optimizer: TypeAlias = Literal["adamw", "sgd", "lbfgs"]
Schedule: TypeAlias = Literal["constant", "linear", "cosine", "step", "plateau", "one-cycle"]
SCHEDULES: tuple[str, ...] = get_args(Schedule)
SMALLEST_BATCH, LARGEST_BATCH, STEPS_PER_EPOCH = 8, 256, 16
Criterion: TypeAlias = Literal["accuracy", "loss"]
"""What decides on validation samples which epoch is the best; of equal accuracies the smaller loss. Numbers have no
accuracy: their loss decides."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What all members share.

    Parameters
    ----------
    optimizer : {"adamw", "sgd", "lbfgs"}
        SGD is with decoupled weight decay (Loshchilov and Hutter, 2019), as AdamW is. L-BFGS takes all rows
        at once, and weight decay as an L2 penalty.
    momentum : float in [0, 1)
        Of SGD.
    schedule : {"constant", "linear", "cosine", "step", "plateau", "one-cycle"}
        See `schedules.rate_factor`.
    warmup_share : float in [0, 1)
        The share of all steps over which the learning rate rises.
    patience : int, optional
        Epochs without a better one, by ``kept_by``, before a member stops; None: it trains all epochs.
    clip_norm : float
        The norm of a member's gradient, over all its parameters, is at most this.
    mixup : float in [0, inf)
        Alpha of the Beta distribution that pairs of samples are mixed by (Zhang et al., 2018); 0: none.
    kept_by : {"accuracy", "loss"}
        What decides on validation samples which epoch's weights are kept.
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
    """What one head of a stack has of its own.

    Parameters
    ----------
    lr : float
        The peak learning rate.
    weight_decay : float
        Of the matrices; biases and norms are not decayed.
    """

    lr: float
    weight_decay: float
    dropout: float = 0.0


def batch_of(n_samples: int) -> int:
    """How many samples a step sees where nobody says it.

    Examples
    --------
    >>> [batch_of(n) for n in (20, 1_600, 50_000)]
    [8, 100, 256]
    """
    return min(max(n_samples // STEPS_PER_EPOCH, SMALLEST_BATCH), LARGEST_BATCH)
