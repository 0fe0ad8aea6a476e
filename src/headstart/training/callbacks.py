"""What watches a training, of a head or of a whole network: the progress bar, and callbacks of the user's own.

A callback is an object with any of ``on_fit_begin(about)``, ``on_epoch_end(record)`` and ``on_fit_end(history)``, or a
function of a record. What `on_epoch_end` says ends the training, of several phases the one that runs, if it is True.
``about`` has ``epochs``, ``n_samples``, ``n_parameters``, ``n_done`` and ``history`` (the epochs that an interrupted
training had behind it) and, of a head, its settings. A training that fails tells no end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from headstart.errors import ConfigError
from headstart.own_code import load_own, reason_of

if TYPE_CHECKING:
    from headstart.contracts import Progress

Record: TypeAlias = dict[str, Any]
"""An epoch: ``epoch`` (from 1), ``train_loss``, ``validation_loss``, ``validation_accuracy`` (None without
validation data), ``lr`` (its last), ``gradient_norm``, ``moved`` (the share of parameters that changed). Of heads also
``gradients`` (norm and ``moved`` of each parameter); of whole networks ``phase``, ``number`` (of the epoch, over all
phases) and ``seconds`` since the beginning."""

WARN_BELOW = 1e-12
"""A gradient's norm that moves nothing."""


class Callbacks:
    """Several callbacks as one."""

    def __init__(self, each: Sequence[Any]) -> None:
        self._each = list(each)

    def on_fit_begin(self, about: Mapping[str, Any]) -> None:
        """Tell all."""
        self._tell("on_fit_begin", about)

    def on_epoch_end(self, record: Record) -> bool:
        """Tell all, each with a copy of its own; whether one of them ends the training."""
        return any(self._tell("on_epoch_end", record))

    def on_fit_end(self, history: Sequence[Record]) -> None:
        """Tell all."""
        self._tell("on_fit_end", history)

    def _tell(self, method: str, news: Any) -> list[Any]:
        said = []
        for callback in self._each:
            given = dict(news) if method == "on_epoch_end" else news
            if hasattr(callback, "on_epoch_end"):
                said.append(getattr(callback, method, lambda _: None)(given))
            elif method == "on_epoch_end":
                said.append(callback(given) is True)
        return said


class ShowEpochs:
    """Shows the epochs as they pass, and warns where nothing moves."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._has_warned = False

    def on_fit_begin(self, about: Mapping[str, Any]) -> None:
        """Show the bar."""
        self._progress.begin("training", about["epochs"])
        if n_done := about["n_done"]:
            self._progress.say(f"taking up a training that was interrupted after epoch {n_done}")
            self._progress.advance(n_done)

    def on_epoch_end(self, record: Record) -> None:
        """Move it, with loss and accuracy beside it."""
        loss = record["train_loss"] if record["validation_loss"] is None else record["validation_loss"]
        shown = {"loss": loss, "accuracy": record["validation_accuracy"]}
        self._progress.note(
            ", ".join(f"{name} {value:.4f}" for name, value in shown.items() if value is not None)
        )
        self._progress.advance(1)
        norm = record["gradient_norm"]  # None if it diverged
        if not self._has_warned and norm is not None and (record.get("moved") == 0 or norm < WARN_BELOW):
            self._has_warned = True
            self._progress.say(
                f"warning: nothing moved in epoch {record['epoch']}: the gradient's norm is "
                f"{norm:.3g}; look at the learning rate and at the features"
            )

    def on_fit_end(self, history: Sequence[Record]) -> None:
        """Take the bar away."""
        self._progress.end()


class _Own(Callbacks):
    """A callback of the user's own, whose errors say whose they are."""

    def __init__(self, spec: str, callback: Any) -> None:
        super().__init__([callback])
        self._spec = spec

    def _tell(self, method: str, news: Any) -> list[Any]:
        try:
            return [said is True for said in super()._tell(method, news)]
        except Exception as error:
            raise _failed(self._spec, error) from error


def _failed(spec: str, error: Exception) -> ConfigError:
    return ConfigError(f"{spec} failed: {type(error).__name__}: {reason_of(error)}")


def own_callbacks(specs: Sequence[str]) -> list[Any]:
    """What ``py:package.module:factory`` gives: an object with the methods of a callback, or a function.

    Raises
    ------
    ConfigError
        It cannot be imported, or made.
    """
    return [_Own(spec, _load(spec)) for spec in specs]


def _load(spec: str) -> Any:
    factory = load_own(spec, "callback")
    try:
        made = factory() if isinstance(factory, type) else factory
    except Exception as error:
        raise _failed(spec, error) from error
    if any(kind.__name__ == "TrainerCallback" for kind in type(made).__mro__):
        raise ConfigError(
            f"{spec} is a TrainerCallback of transformers, which no training here calls; give a function of an "
            "epoch's record, or an object with on_epoch_end(record)"
        )
    if not (callable(made) or hasattr(made, "on_epoch_end")):
        raise ConfigError(
            f"{spec} is neither a function of an epoch's record nor an object with on_epoch_end"
        )
    return made
