"""Which epoch of a training does best on the validation samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

Criterion: TypeAlias = Literal["accuracy", "loss"]
"""What decides; of equal accuracies the less loss. Numbers have no accuracy: their loss decides."""

TIE = 1e-6
"""What all of the loss weighs beside the accuracy: less than one sample of a million."""


def merit(loss: float, accuracy: float | None, by: Criterion) -> float:
    """How well an epoch does, the larger the better.

    A network that has learnt its training samples by heart goes on gaining accuracy while it grows too sure of
    itself, and its loss rises; the temperature that is fitted to the validation samples afterwards mends that.

    Examples
    --------
    >>> merit(0.5, 0.90, "accuracy") > merit(0.4, 0.90 - 1e-5, "accuracy") > merit(0.5, 0.90 - 1e-5, "accuracy")
    True
    >>> merit(0.4, 0.89, "loss") > merit(0.5, 0.90, "loss")
    True
    """
    if not math.isfinite(loss):  # it diverged, and an accuracy is chance
        return -math.inf
    if accuracy is None or by == "loss":
        return -loss
    return accuracy + TIE / (1 + loss)


def merit_of(record: Mapping[str, Any], by: Criterion) -> float:
    """The merit of a record of an epoch; minus infinity where its loss is no number."""
    loss = record["validation_loss"]
    return -math.inf if loss is None else merit(loss, record["validation_accuracy"], by)
