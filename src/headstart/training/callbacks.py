"""What may watch a training; see `Callback`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

Record: TypeAlias = dict[str, Any]
"""An epoch: ``epoch`` (from 1), ``train_loss``, ``validation_loss``, ``validation_accuracy`` (None without
validation data), ``lr`` (its last), ``gradient_norm``, ``moved`` (the share of parameters that changed). Of heads also
``gradients`` (norm and ``moved`` of each parameter); of whole networks ``phase``, ``number`` (of the epoch, over all
phases) and ``seconds`` since the beginning."""


class Callback(Protocol):
    """Watches the training of a head or of a whole network; may end it, of several phases the one that runs."""

    def on_fit_begin(self, about: Mapping[str, Any]) -> None:
        """Training begins: ``epochs``, ``n_samples``, ``n_parameters``, ``n_done`` and ``history`` (the epochs that
        an interrupted training had behind it) and, of a head, its settings."""

    def on_epoch_end(self, record: Record) -> bool | None:
        """An epoch is over; True ends the training."""

    def on_fit_end(self, history: Sequence[Record]) -> None:
        """Training is over; not called when it failed."""


class EpochCallback:
    """A callback of one function, called after each epoch."""

    def __init__(self, function: Callable[[Record], Any]) -> None:
        self._function = function

    def on_fit_begin(self, about: Mapping[str, Any]) -> None:
        """Nothing to do."""

    def on_epoch_end(self, record: Record) -> bool | None:
        """Hand the record on."""
        return self._function(record) is True

    def on_fit_end(self, history: Sequence[Record]) -> None:
        """Nothing to do."""


class Callbacks:
    """Several as one.

    Parameters
    ----------
    each : sequence of Callback or callable
        A function is called after each epoch with its record.
    """

    def __init__(self, each: Sequence[Any]) -> None:
        self._each = [one if hasattr(one, "on_epoch_end") else EpochCallback(one) for one in each]

    def on_fit_begin(self, about: Mapping[str, Any]) -> None:
        """Tell all."""
        for callback in self._each:
            callback.on_fit_begin(about)

    def on_epoch_end(self, record: Record) -> bool:
        """Tell all; whether one of them ends the training."""
        says = [callback.on_epoch_end(dict(record)) for callback in self._each]  # all of them are told
        return any(says)

    def on_fit_end(self, history: Sequence[Record]) -> None:
        """Tell all."""
        for callback in self._each:
            callback.on_fit_end(history)
