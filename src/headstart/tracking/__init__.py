"""Trackers: where the figures of a run go besides its directory. None is imported before it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from headstart.errors import ConfigError
from headstart.own_code import PREFIX, load_own
from headstart.registry.labels import reports_by_label
from headstart.tracking.tracker import Several, Tracker, place_of, plain_name

if TYPE_CHECKING:
    from headstart.config import FitConfig, TuneConfig
    from headstart.contracts import Progress
    from headstart.registry.run import Run

__all__ = [
    "KINDS", "Several", "Tracker", "epoch_logs", "open_tracker", "open_trackers", "place_of", "tell_run", "tracking",
]  # fmt: skip

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


@contextmanager
def tracking(config: FitConfig | TuneConfig, name: str, progress: Progress) -> Iterator[Tracker | None]:
    """The trackers that a configuration asks for, as one that has started; None if it asks for none.

    They are told if the run fails; `tell_run` tells them how it went.
    """
    if not config.track:
        yield None
        return
    tracker = open_trackers(config.track)
    tracker.start(config.model_dump(mode="json"), name)
    if place := place_of(tracker):
        progress.say(f"tracked: {place}")
    try:
        yield tracker
    except BaseException:
        tracker.finish(None)
        raise


def epoch_logs(
    tracker: Tracker | None, title: str | None = None
) -> list[Callable[[Mapping[str, Any]], None]]:
    """What hands the figures of each epoch to a tracker, as callbacks of a training.

    ``title`` stands before their names, where several trainings tell theirs.
    """
    if tracker is None:
        return []

    def log(record: Mapping[str, Any]) -> None:
        figures = {n: float(v) for n, v in record.items() if isinstance(v, int | float) and n != "epoch"}
        tracker.log(record["epoch"], {f"{before}{name}": value for name, value in figures.items()})

    before = "" if title is None else f"{plain_name(title)}/"
    return [log]


def tell_run(tracker: Tracker, run: Run) -> None:
    """Tell what was tried, the report, and the plots."""
    for label, report in reports_by_label(run.report).items():
        title = f"{plain_name(label)}/sweep" if label else "sweep"
        for number, trial in enumerate(report.get("sweep", {}).get("trials", [])):
            figures = {name: values["mean"] for name, values in trial["validation"].items()}
            said = {f"{title}/{name}": value for name, value in {**trial["params"], **figures}.items()}
            tracker.log(number, said)
    with TemporaryDirectory() as folder:
        files = []
        for name, plot in run.plots.items() if run.draws else ():
            files.append(Path(folder) / f"{name}.png")
            files[-1].write_bytes(plot.png())
        tracker.finish(run.report, files)
