"""Callbacks of a training: the progress bar, trackers, and the user's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from headstart.errors import ConfigError
from headstart.own_code import load_own, reason_of

if TYPE_CHECKING:
    from headstart.config import FitConfig, TuneConfig
    from headstart.contracts import Progress
    from headstart.registry.run import Run
    from headstart.tracking import Tracker

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
        if n_done := about["n_done"]:
            self._progress.say(f"taking up a training that was interrupted after epoch {n_done}")
            self._progress.advance(n_done)

    def on_epoch_end(self, record: Mapping[str, Any]) -> None:
        """Move it, with loss and accuracy beside it."""
        shown = {"loss": record["validation_loss"], "accuracy": record["validation_accuracy"]}
        if shown["loss"] is None:
            shown["loss"] = record["train_loss"]
        said = ", ".join(f"{name} {value:.4f}" for name, value in shown.items() if value is not None)
        self._progress.note(said)
        self._progress.advance(1)
        norm = record["gradient_norm"]  # None: it diverged
        if not self._has_warned and norm is not None and (record.get("moved") == 0 or norm < WARN_BELOW):
            self._has_warned = True
            self._progress.say(
                f"warning: nothing moved in epoch {record['epoch']}: the gradient's norm is "
                f"{norm:.3g}; look at the learning rate and at the features"
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

    def __init__(self, tracker: Tracker) -> None:
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
        if any(kind.__name__ == "TrainerCallback" for kind in type(found[-1]).__mro__):
            raise ConfigError(
                f"{spec} is a TrainerCallback of transformers, which no training here calls; give a function of an "
                "epoch's record, or an object with on_epoch_end(record)"
            )
        if not (callable(found[-1]) or hasattr(found[-1], "on_epoch_end")):
            raise ConfigError(
                f"{spec} is neither a function of an epoch's record nor an object with on_epoch_end"
            )
    return [_Named(spec, made) for spec, made in zip(specs, found, strict=True)]


class _Named:
    """A callback of the user's own, whose errors say whose they are."""

    def __init__(self, spec: str, callback: Any) -> None:
        self._spec = spec
        self._told = callback if hasattr(callback, "on_epoch_end") else None
        self._function = None if self._told else callback

    def on_fit_begin(self, about: Mapping[str, Any]) -> None:
        """Pass it on."""
        self._tell("on_fit_begin", about)

    def on_epoch_end(self, record: Mapping[str, Any]) -> bool:
        """Pass it on; True ends the training."""
        return self._tell("on_epoch_end", record) is True

    def on_fit_end(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Pass it on."""
        self._tell("on_fit_end", history)

    def _tell(self, method: str, about: Any) -> Any:
        function = getattr(self._told, method, None) if self._told else self._function
        if function is None or (self._function and method != "on_epoch_end"):
            return None
        try:
            return function(about)
        except Exception as error:
            raise ConfigError(f"{self._spec} failed: {type(error).__name__}: {reason_of(error)}") from error


@contextmanager
def tracking(config: FitConfig | TuneConfig, name: str, progress: Progress) -> Iterator[Tracker | None]:
    """The trackers that a configuration asks for, as one that has started; None: it asks for none.

    They are told if the run fails; `finish` tells them how it went.
    """
    if not config.track:
        yield None
        return
    from headstart.tracking import open_trackers, place_of

    tracker = open_trackers(config.track)
    tracker.start(config.model_dump(mode="json"), name)
    if place := place_of(tracker):
        progress.say(f"tracked: {place}")
    try:
        yield tracker
    except BaseException:
        tracker.finish(None)
        raise


def finish(tracker: Tracker, record: Run) -> None:
    """Tell what was tried, the report, and the plots."""
    for number, trial in enumerate(record.report.get("sweep", {}).get("trials", [])):
        figures = {name: values["mean"] for name, values in trial["validation"].items()}
        tracker.log(
            number, {f"sweep/{name}": value for name, value in {**trial["params"], **figures}.items()}
        )
    with TemporaryDirectory() as folder:
        files = []
        for name, plot in record.plots.items() if record.draws else ():
            files.append(Path(folder) / f"{name}.png")
            files[-1].write_bytes(plot.png())
        tracker.finish(record.report, files)
