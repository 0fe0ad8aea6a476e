"""Trackers: where the figures of a run go besides its directory. None is imported before it is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from headstart.errors import ConfigError
from headstart.own_code import PREFIX, load_own
from headstart.tracking.tracker import Several, Tracker, place_of

__all__ = ["KINDS", "Several", "Tracker", "open_tracker", "open_trackers", "place_of"]

KINDS = ("tensorboard", "wandb", "mlflow")


def open_tracker(spec: str) -> Tracker:
    """A tracker by its name, and where it should write.

    Parameters
    ----------
    spec : str
        ``tensorboard[:DIR]`` (``tensorboard``), ``wandb[:PROJECT]`` (``headstart``), ``mlflow[:URI]``
        (``sqlite:///mlflow.db``), or ``py:package.module:factory`` for one's own: called with nothing, it gives
        a `Tracker`.

    Raises
    ------
    ConfigError
        There is no such tracker.
    MissingDependencyError
        Its library is not installed.
    """
    kind, _, place = spec.partition(":")
    match kind:
        case "tensorboard":
            from headstart.tracking.tensorboard import TensorBoardTracker

            return TensorBoardTracker(place or "tensorboard")
        case "wandb":
            from headstart.tracking.wandb import WandbTracker

            return WandbTracker(place or "headstart")
        case "mlflow":
            from headstart.tracking.mlflow import MlflowTracker

            return MlflowTracker(place or "sqlite:///mlflow.db")
        case _ if spec.startswith(PREFIX):
            return _own(spec)
        case _:
            raise ConfigError(
                f"there is no tracker {spec!r}; choose from: {', '.join(KINDS)}, py:MODULE:FACTORY"
            )


def open_trackers(specs: Sequence[str]) -> Tracker:
    """Several trackers as one; of none, one that does nothing."""
    return Several([open_tracker(spec) for spec in specs])


def _own(spec: str) -> Tracker:
    made = load_own(spec, "factory")()
    lacking = [name for name in ("start", "log", "finish") if not callable(getattr(made, name, None))]
    if lacking:
        raise ConfigError(
            f"{spec} gave a {type(made).__name__}, which has no {lacking[0]}(); see docs/tracking.md"
        )
    tracker: Tracker = made
    return tracker
