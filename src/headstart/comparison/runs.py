"""Opening the runs of a comparison: their reports, their test predictions, and a name for each."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from headstart.comparison.names import name_runs
from headstart.errors import ConfigError, DataError, MismatchError, StorageError
from headstart.registry.predictions import PREDICTIONS, read_predictions
from headstart.registry.record import load_run
from headstart.tasks import open_task

if TYPE_CHECKING:
    import pyarrow as pa

    from headstart.contracts import Task
    from headstart.prediction.run import Run
    from headstart.types import Json

    AnyRun: TypeAlias = Run | str | os.PathLike[str]

SPLIT = "test"


@dataclass(frozen=True)
class OpenedRun:
    """A run as far as it is compared.

    Parameters
    ----------
    name : str
        What it is called in the comparison, unlike any other's.
    path : Path, optional
        Where it lies; None: in memory.
    report, labels, features : mapping
        The content of the files of the same name.
    predictions : pyarrow.Table
        ``id``, ``key``, ``split``, ``label``, ``prediction``, ``p:<class>``… of the test samples.
    """

    name: str
    path: Path | None
    report: Mapping[str, Json]
    labels: Mapping[str, Json]
    features: Mapping[str, Json]
    predictions: pa.Table

    @property
    def task(self) -> str:
        """What its labels mean, a `LabelKind`."""
        return str(self.report.get("task") or self.labels.get("kind") or "single")

    def part(self, name: str) -> Mapping[str, Json]:
        """A part of the report; empty where it has none, or one that is no object."""
        found = self.report.get(name)
        return found if isinstance(found, dict) else {}

    @property
    def method(self) -> Mapping[str, Json] | None:
        """How its network was trained; None: it is a head on cached features."""
        return self.part("method") or None


def open_runs(runs: Sequence[AnyRun]) -> list[OpenedRun]:
    """Open two runs or more.

    Parameters
    ----------
    runs : sequence of path or Run

    Raises
    ------
    ConfigError
        There are fewer than two, or one is given twice.
    DataError
        One is no run directory.
    StorageError
        One is broken.
    MismatchError
        One has no test samples.
    """
    if isinstance(runs, str | os.PathLike):
        raise ConfigError(f"compare takes a list of two runs or more (got {os.fspath(runs)!r})")
    runs = list(runs)
    if len(runs) < 2:
        raise ConfigError(f"compare takes two runs or more (got {len(runs)}); headstart runs ls lists them")
    for run in runs:
        if not isinstance(run, str | os.PathLike) and not hasattr(run, "test_predictions"):
            raise ConfigError(f"compare takes runs and run directories (got {run!r})")
    _check_twice(runs)
    names = name_runs([_place(run) for run in runs], [_about(run) for run in runs])
    return [_open(run, name) for run, name in zip(runs, names, strict=True)]


def _check_twice(runs: Sequence[AnyRun]) -> None:
    seen: set[str | int] = set()
    for run in runs:
        place = _place(run)
        known = id(run) if place is None else os.path.realpath(place)
        if known in seen:
            raise ConfigError(f"the run {place or run} is given twice; give each once")
        seen.add(known)


def _place(run: AnyRun) -> Path | None:
    return Path(run) if isinstance(run, str | os.PathLike) else run.path


def _about(run: AnyRun) -> str:
    """What a run without a place is called by."""
    return "" if isinstance(run, str | os.PathLike) else str(run.report.get("head", {}).get("name", "run"))


def _open(run: AnyRun, name: str) -> OpenedRun:
    if isinstance(run, str | os.PathLike):
        path = Path(run)
        if not path.is_dir():
            raise DataError(f"there is no run directory {path}; headstart runs ls lists those that there are")
        saved = load_run(path)
        _check_report(path, saved.report)
        opened = OpenedRun(
            name, path, saved.report, saved.labels, saved.features, read_predictions(path, SPLIT)
        )
    else:
        opened = OpenedRun(name, run.path, run.report, run.labels, run.features, run.test_predictions())
    _check_test(opened)
    return opened


def _check_report(path: Path, report: Json) -> None:
    if not isinstance(report, dict) or not isinstance(report.get("metrics"), dict):
        raise StorageError(f"{path}: its report.json has no metrics; restore it, or make the run again")


def _check_test(run: OpenedRun) -> None:
    """A run must have test samples, and predictions for all that its report counts."""
    metrics = run.part("metrics").get(SPLIT)
    n, said = run.predictions.num_rows, metrics.get("n") if isinstance(metrics, dict) else None
    if not n and not said:
        raise MismatchError(
            f"run {run.name} has no test samples; compare judges runs on the test split, so fit it on a set with one"
        )
    if isinstance(said, int) and said != n:
        raise StorageError(
            f"run {run.name}: {PREDICTIONS} has {n:,} test samples, and its report {said:,}; make the run again"
        )
    task = _task(run)
    for field in run.predictions.schema:
        if not task.fits(field):
            raise StorageError(
                f"run {run.name}: {PREDICTIONS} has {field.type} in column {field.name!r}, which does not go with "
                f"{task.meaning}; make the run again"
            )


def _task(run: OpenedRun) -> Task:
    try:
        return open_task(run.task)
    except ConfigError as error:
        raise StorageError(
            f"run {run.name} is of a task that this version does not know: {run.task!r} ({error})"
        ) from error
