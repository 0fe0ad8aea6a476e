"""One's own runs: what lies in a folder of run directories, and which of them is the best.

Nothing is kept but the runs themselves: a run that is moved, copied or deleted is moved, copied or deleted here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.errors import ConfigError, DataError, StorageError
from headstart.files import PARTIAL, read_json
from headstart.types import SPLITS

if TYPE_CHECKING:
    from headstart.types import Json

REPORT, FEATURES = "report.json", "features.json"
LOWER_IS_BETTER = frozenset(
    {"log_loss", "brier", "ece", "mce", "mae", "mse", "rmse", "hamming_loss", "error"}
)
"""Metrics of which the smallest value is the best; of all others it is the largest."""

CHOOSING = "validation"
"""The split that runs are chosen by: the best of many on test is better on test than on anything else."""

SORTS = ("metric", "created", "seconds", "run")


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of a report: ``metrics.<split>.<name>``.

    Parameters
    ----------
    split : {"train", "validation", "test"}
    name : str
        With dots for what lies deeper: ``per_class.cat.f1``.
    """

    split: str
    name: str

    def __str__(self) -> str:
        return f"{self.split}.{self.name}"

    @property
    def lower_is_better(self) -> bool:
        """Whether it measures an error."""
        return self.name.rpartition(".")[2] in LOWER_IS_BETTER


@dataclass(frozen=True, slots=True)
class KnownRun:
    """A run directory, as far as a list shows it.

    Parameters
    ----------
    path : Path
    set, head, backbone, tap, created : str
        ``created`` in ISO 8601, UTC.
    seconds : float
        What it took in all; NaN: not said.
    report : mapping
        The whole of ``report.json``.
    """

    path: Path
    set: str
    head: str
    backbone: str
    tap: str
    created: str
    seconds: float
    report: Mapping[str, Json]

    def value(self, metric: Metric) -> float | None:
        """A metric of this run; None: it has no such number."""
        found = _within(self.report["metrics"].get(metric.split, {}), metric.name)
        is_number = isinstance(found, int | float) and not isinstance(found, bool)
        return float(found) if is_number and math.isfinite(found) else None

    def interval(self, metric: Metric) -> tuple[float, float] | None:
        """The 95 % interval of a metric; None: the report has none."""
        found = _within(self.report["metrics"].get(metric.split, {}), f"intervals.{metric.name}")
        is_pair = isinstance(found, Sequence) and len(found) == 2
        return (float(found[0]), float(found[1])) if is_pair else None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A directory that is no run, or a broken one."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Registry:
    """The runs of a folder, by path, and what was skipped.

    Parameters
    ----------
    runs : tuple of KnownRun
    skipped : tuple of Skipped
    """

    runs: tuple[KnownRun, ...]
    skipped: tuple[Skipped, ...]


def find_runs(root: str | os.PathLike[str]) -> Registry:
    """The runs in a folder and in the folders within; hidden folders are not looked into.

    Raises
    ------
    DataError
        There is no such folder.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; `headstart fit-head SET` makes runs/<set>-<head>")
    runs: list[KnownRun] = []
    skipped: list[Skipped] = []
    _walk(folder, runs, skipped, set(), is_root=True)
    return Registry(tuple(runs), tuple(skipped))


def open_known_run(path: str | os.PathLike[str]) -> KnownRun:
    """A run directory by its report.

    Raises
    ------
    StorageError
        It is no run directory, or one of its files is broken.
    """
    folder = Path(path)
    report, features = (_read(folder, name) for name in (REPORT, FEATURES))
    if not isinstance(report.get("metrics"), dict):
        raise StorageError(f"{folder}: its {REPORT} has no metrics, so headstart did not write it")
    provenance, head, timings = (_part(report, name) for name in ("provenance", "head", "timings"))
    return KnownRun(
        path=folder,
        set=str(features.get("set", provenance.get("set", "?"))),
        head=str(head.get("name", "?")),
        backbone=joined_names(features, "backbone"),
        tap=joined_names(features, "tap"),
        created=str(provenance.get("created", "")),
        seconds=float(timings.get("total", math.nan)),
        report=report,
    )


def joined_names(features: Mapping[str, Json], name: str) -> str:
    """What a run's features say by a name: each once, where several lie side by side."""
    return " + ".join(dict.fromkeys(str(part.get(name, "?")) for part in features.get("parts") or [features]))


def parse_metric(text: str, split: str | None = None) -> Metric:
    """A metric as it is asked for: ``test.accuracy``, or ``accuracy`` of the split that is said, else of validation.

    Raises
    ------
    ConfigError
        It names no split or no figure, or two splits.

    Examples
    --------
    >>> parse_metric("log_loss"), parse_metric("test.macro_f1").split
    (Metric(split='validation', name='log_loss'), 'test')
    """
    first, dot, rest = text.strip().removeprefix("metrics.").partition(".")
    if first in SPLITS and split not in (None, first):
        raise ConfigError(f"--metric {text} is of {first}, and --split says {split}; leave one of them out")
    chosen, name = (first, rest) if first in SPLITS else (split or CHOOSING, first + dot + rest)
    if chosen not in SPLITS or not name:
        raise ConfigError(
            f"there is no metric {text!r} of {chosen!r}; say e.g. test.accuracy, of a split: {', '.join(SPLITS)}"
        )
    return Metric(chosen, name)


def default_metric(runs: Sequence[KnownRun], split: str | None = None) -> Metric:
    """What runs are compared by unless something else is asked for: accuracy, or R² where only that is there.

    Parameters
    ----------
    runs : sequence of KnownRun
    split : str, optional
        None: validation.

    Raises
    ------
    ConfigError
        There is no such split.
    """
    accuracy, r2 = (parse_metric(name, split) for name in ("accuracy", "r2"))
    if any(run.value(accuracy) is not None for run in runs):
        return accuracy
    return r2 if any(run.value(r2) is not None for run in runs) else accuracy


def runs_of(runs: Sequence[KnownRun], name: str | None) -> list[KnownRun]:
    """The runs of a set; None: all.

    Raises
    ------
    DataError
        There are runs, and none of that set; the message names those there are.
    """
    found = [run for run in runs if name in (None, run.set)]
    if runs and not found:
        sets = ", ".join(sorted({run.set for run in runs}))
        raise DataError(f"none of {len(runs):,} runs is of the set {name!r}; there are runs of: {sets}")
    return found


def params_of(report: Mapping[str, Json]) -> dict[str, Json]:
    """The parameters of a run's head; of those that fitting chose, such as ``C=auto``, what it chose."""
    head = _part(report, "head")
    return {
        name: head[name] if head.get(name) is not None and isinstance(value, str) else value
        for name, value in _part(head, "params").items()
    }


def sort_runs(runs: Sequence[KnownRun], metric: Metric, by: str = "metric") -> list[KnownRun]:
    """Runs in order: the best first (those without the metric last), the latest, the quickest, or by path.

    Raises
    ------
    ConfigError
        They cannot be sorted by that.
    """
    match by:
        case "metric":
            return sorted(runs, key=partial(_rank, metric=metric))
        case "created":
            return sorted(runs, key=lambda run: run.created, reverse=True)
        case "seconds":
            return sorted(runs, key=lambda run: math.inf if math.isnan(run.seconds) else run.seconds)
        case "run":
            return sorted(runs, key=lambda run: run.path)
        case _:
            raise ConfigError(f"there is no order {by!r}; sort by: {', '.join(SORTS)}")


def best_run(runs: Sequence[KnownRun], metric: Metric) -> KnownRun:
    """The run with the best value; of equals the earliest.

    Raises
    ------
    DataError
        None of them has that metric; the message names what they have.
    """
    having = [run for run in runs if run.value(metric) is not None]
    if not having:
        raise DataError(
            f"none of {len(runs):,} runs has the metric {metric}; they have: {', '.join(metric_names(runs)) or 'none'}"
        )
    return min(having, key=lambda run: (*_rank(run, metric), run.created))


def metric_names(runs: Sequence[KnownRun]) -> list[str]:
    """All single figures that some run has, as `parse_metric` takes them."""
    return sorted(
        {
            f"{split}.{name}"
            for run in runs
            for split, values in run.report["metrics"].items()
            if isinstance(values, dict)
            for name, value in values.items()
            if isinstance(value, int | float)
        }
    )


def _walk(
    folder: Path, runs: list[KnownRun], skipped: list[Skipped], seen: set[str], is_root: bool = False
) -> None:
    """Gather what lies in a folder. A folder with no run anywhere in it is named once, not its folders too."""
    real = os.path.realpath(folder)
    if real in seen:  # a link to a folder above would be walked for ever
        return
    seen.add(real)
    if (folder / REPORT).is_file():
        try:
            runs.append(open_known_run(folder))
        except StorageError as error:
            skipped.append(Skipped(folder, str(error).removeprefix(f"{folder}: ")))
        return
    if folder.name.endswith(PARTIAL):
        skipped.append(Skipped(folder, "it is being written, or its writer was killed"))
        return
    n_runs, inner = len(runs), list[Skipped]()
    for child in _folders(folder):
        _walk(child, runs, inner, seen)
    is_foreign = not is_root and len(runs) == n_runs and all(one.reason == _FOREIGN for one in inner)
    skipped.extend([Skipped(folder, _FOREIGN)] if is_foreign else inner)


_FOREIGN = f"it is no run directory: there is no {REPORT}"


def _folders(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(e.name for e in entries if not e.name.startswith(".") and e.is_dir())
    except OSError:  # not ours to read
        names = []
    return (folder / name for name in names)


def _read(folder: Path, name: str) -> dict[str, Json]:
    try:
        content = read_json(folder / name)
    except OSError as error:
        raise StorageError(f"{folder}: {name} cannot be read ({error.strerror})") from error
    except StorageError as error:
        raise StorageError(f"{folder}: {name} is not valid JSON") from error
    if not isinstance(content, dict):
        raise StorageError(f"{folder}: {name} is not a JSON object")
    return content


def _part(report: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    found = report.get(name)
    return found if isinstance(found, dict) else {}


def _rank(run: KnownRun, metric: Metric) -> tuple[float, Path]:
    value = run.value(metric)
    if value is None:
        return math.inf, run.path
    return (value if metric.lower_is_better else -value), run.path


def _within(values: Json, name: str) -> Json:
    """What a dotted name means; names of classes may have dots of their own."""
    if not isinstance(values, dict):
        return None
    if name in values:
        return values[name]
    dots = [i for i, letter in enumerate(name) if letter == "."]
    found = (_within(values[name[:i]], name[i + 1 :]) for i in dots if name[:i] in values)
    return next((value for value in found if value is not None), None)
