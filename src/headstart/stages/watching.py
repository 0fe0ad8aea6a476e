"""Callbacks of a training: the progress bar, trackers, and the user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headstart.errors import ConfigError
from headstart.own_code import load_own, reason_of

if TYPE_CHECKING:
    from headstart.contracts import Progress

WARN_BELOW = 1e-12
"""A gradient's norm that moves nothing."""


class ShowEpochs:
    """Shows the epochs as they pass, and warns where nothing moves.

    Parameters
    ----------
    progress : Progress
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._has_warned = False

    def on_fit_begin(self, about: Mapping[str, Any]) -> None:
        """Show the bar."""
        self._progress.begin("training", about["epochs"])

    def on_epoch_end(self, record: Mapping[str, Any]) -> None:
        """Move it, with loss and accuracy beside it."""
        shown = {"loss": record["validation_loss"], "accuracy": record["validation_accuracy"]}
        if shown["loss"] is None:
            shown["loss"] = record["train_loss"]
        said = ", ".join(f"{name} {value:.4f}" for name, value in shown.items() if value is not None)
        self._progress.note(said)
        self._progress.advance(1)
        if not self._has_warned and (record["moved"] == 0 or record["gradient_norm"] < WARN_BELOW):
            self._has_warned = True
            self._progress.say(
                f"warning: nothing moved in epoch {record['epoch']}: the gradient's norm is "
                f"{record['gradient_norm']:.3g}; look at the learning rate and at the features"
            )

    def on_fit_end(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Take the bar away."""
        self._progress.end()


class Track:
    """Hands epochs to a tracker.

    Parameters
    ----------
    tracker : Tracker
    """

    def __init__(self, tracker: Any) -> None:
        self._tracker = tracker

    def on_fit_begin(self, about: Mapping[str, Any]) -> None:
        """It has begun already."""

    def on_epoch_end(self, record: Mapping[str, Any]) -> None:
        """Log the figures of the epoch."""
        figures = {n: float(v) for n, v in record.items() if isinstance(v, int | float) and n != "epoch"}
        self._tracker.log(record["epoch"], figures)

    def on_fit_end(self, history: Sequence[Mapping[str, Any]]) -> None:
        """The report ends it."""


def own_callbacks(specs: Sequence[str]) -> list[Any]:
    """What ``py:package.module:factory`` gives: an object with the methods of a callback, or a function.

    Raises
    ------
    ConfigError
        It cannot be imported, or made.
    """
    found = []
    for spec in specs:
        factory = load_own(spec, "callback")
        try:
            found.append(factory() if isinstance(factory, type) else factory)
        except Exception as error:
            raise ConfigError(f"{spec} failed: {type(error).__name__}: {reason_of(error)}") from error
        if not (callable(found[-1]) or hasattr(found[-1], "on_epoch_end")):
            raise ConfigError(
                f"{spec} is neither a function of an epoch's record nor an object with on_epoch_end"
            )
    return found
