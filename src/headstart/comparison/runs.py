"""Opening the runs of a comparison: their reports, their test predictions, and a name for each."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa

from headstart.errors import ConfigError, DataError, MismatchError, StorageError
from headstart.registry.predictions import PREDICTIONS
from headstart.registry.run import Run
from headstart.tasks import open_task

if TYPE_CHECKING:
    from headstart.contracts import Task
    from headstart.types import Json

AnyRun: TypeAlias = "Run | str | os.PathLike[str]"

SPLIT = "test"


@dataclass(frozen=True)
class NamedRun:
    """A run of a comparison: what it is called there, and its predictions for the test samples."""

    name: str
    run: Run
    predictions: pa.Table

    @property
    def task(self) -> str:
        """The kind of its labels."""
        return self.run.task


def open_runs(runs: Sequence[AnyRun]) -> list[NamedRun]:
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
        if not isinstance(run, str | os.PathLike | Run):
            raise ConfigError(f"compare takes runs and run directories (got {run!r})")
    _check_twice(runs)
    names = name_runs(
        [_place(run) for run in runs], [run.head_name if isinstance(run, Run) else "" for run in runs]
    )
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
    return run.path if isinstance(run, Run) else Path(run)


def _open(given: AnyRun, name: str) -> NamedRun:
    if isinstance(given, Run):
        run = given
    else:
        path = Path(given)
        if not path.is_dir():
            raise DataError(f"there is no run directory {path}; headstart runs ls lists those that there are")
        run = Run.load(path)
        _check_report(path, run.report)
    opened = NamedRun(name, run, run.predictions_of(SPLIT))
    _check_test(opened)
    return opened


def _check_report(path: Path, report: Json) -> None:
    if not isinstance(report, dict) or not isinstance(report.get("metrics"), dict):
        raise StorageError(f"{path}: its report.json has no metrics; restore it, or make the run again")


def _check_test(run: NamedRun) -> None:
    """A run must have test samples, and predictions for all that its report counts."""
    metrics = run.run.part("metrics").get(SPLIT)
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


def _task(run: NamedRun) -> Task:
    try:
        return open_task(run.task)
    except ConfigError as error:
        raise StorageError(
            f"run {run.name} is of a task that this version does not know: {run.task!r} ({error})"
        ) from error


def name_runs(places: Sequence[Path | None], others: Sequence[str]) -> list[str]:
    """The last parts of each path, as many as tell them apart; runs in memory by what they are.

    Examples
    --------
    >>> name_runs([Path("a/ridge"), Path("b/ridge"), Path("mlp"), None], ["", "", "", "ridge"])
    ['a/ridge', 'b/ridge', 'mlp', 'ridge']
    """
    parts = [Path(os.path.abspath(place)).parts if place else (other,)
             for place, other in zip(places, others, strict=True)]  # fmt: skip
    depth = [1] * len(parts)
    while True:
        names = ["/".join(part[-n:]) for part, n in zip(parts, depth, strict=True)]
        counts = Counter(names)
        longer = [counts[name] > 1 and n < len(part)
                  for name, n, part in zip(names, depth, parts, strict=True)]  # fmt: skip
        if not any(longer):
            return [_printable(name) for name in _numbered(names)]
        depth = [n + more for n, more in zip(depth, longer, strict=True)]


def _numbered(names: Sequence[str]) -> list[str]:
    seen: Counter[str] = Counter()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return numbered


def _printable(name: str) -> str:
    """A name without what would move the cursor of a terminal, or break a line of a table."""
    return "".join(
        letter
        if letter.isprintable()
        else letter.encode("unicode_escape", "backslashreplace").decode("ascii")
        for letter in name
    )
