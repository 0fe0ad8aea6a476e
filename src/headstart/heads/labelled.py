"""What torch heads are fitted on, and how training takes it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.devices import seed_of
from headstart.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from headstart.samples import SoftTargets
    from headstart.training.examples import Examples, Stream


@dataclass(frozen=True)
class Labelled:
    """What a head is fitted on; see `TorchHead.fit`."""

    X: Any
    y: ArrayLike
    X_val: Any = None
    y_val: ArrayLike | None = None
    views: Sequence[ArrayLike] = ()
    soft: SoftTargets | None = None


@dataclass(frozen=True)
class Shelf:
    """Samples as training takes them, and the head that learnt their classes and their scale."""

    head: Any
    targets: NDArray[Any]
    examples: Examples
    validation: Examples | None

    @classmethod
    def of(cls, head: Any, samples: Labelled, device: torch.device) -> Shelf:
        """Read samples, and learn from them what does not depend on training."""
        from headstart.training.distilled import taught

        if (samples.X_val is None) != (samples.y_val is None):
            raise ConfigError("X_val was given without y_val; give both or neither")
        features, labels = head._read_labelled(samples.X, samples.y)
        targets = head._learn(features, labels)
        wanted = taught(head, targets, samples.soft)
        examples = head._examples(features, wanted, device, head._scaled(samples.views, features))
        if samples.X_val is None:
            return cls(head, targets, examples, None)
        val, val_labels = head._read(samples.X_val, reset=False), np.asarray(samples.y_val)
        if len(val) != len(val_labels):
            raise ConfigError(f"X_val has {len(val):,} rows, and y_val {len(val_labels):,}")
        return cls(head, targets, examples, head._examples(val, head.targets_in(val, val_labels), device))

    def stream(self, heads: Sequence[Any]) -> Stream:
        """These samples for heads of one seed; what is drawn of them is their own."""
        from headstart.training.examples import Stream
        from headstart.training.settings import Member

        members = [Member(float(h.lr), float(h.weight_decay), float(h.dropout)) for h in heads]
        return Stream(copy.copy(self.examples), members, self.validation, seed_of(heads[0].random_state))
