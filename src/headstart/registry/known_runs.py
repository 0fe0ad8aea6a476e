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
from headstart.files import PARTIAL
from headstart.notebook import html_table
from headstart.options import did_you_mean
from headstart.registry.labels import LABELS, reports_by_label
from headstart.registry.run import Metric, Run
from headstart.types import SPLITS, Json
from headstart.words import counted

if TYPE_CHECKING:
    from headstart.types import Json

REPORT = "report.json"
CHOOSING = "validation"
"""The split that runs are chosen by: the best of many on test is better on test than on anything else."""

SORTS = ("metric", "created", "seconds", "run")


@dataclass(frozen=True, slots=True)
class Skipped:
    """A directory that is no run, or a broken one."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Registry:
    """The runs of a folder, by path or in another order, and what was skipped; ``metric`` is shown beside them."""

    runs: tuple[Run, ...]
    skipped: tuple[Skipped, ...]
    metric: Metric | None = None

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    def __getitem__(self, place: int) -> Run:
        return self.runs[place]

    @property
    def table(self) -> list[dict[str, Json]]:
        """A flat row for each run: ``pandas.DataFrame(runs.table)``."""
        asked = self.metric or default_metric(self.runs)
        return [
            {"run": str(run.path), "set": run.set, "head": run.head_name, "features": f"{run.backbone} {run.tap}",
             str(asked): run.value(asked), "seconds": run.seconds, "created": run.created}
            for run in self.runs
        ]  # fmt: skip

    def __repr__(self) -> str:
        return "\n".join(["  ".join(map(_shown, row.values())) for row in self.table] or ["no runs"])

    def _repr_html_(self) -> str:
        table = self.table
        rows = [list(map(_shown, row.values())) for row in table]
        return html_table(counted(len(self), "run"), list(table[0]) if table else [], rows)


def _shown(value: Json) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def find_runs(root: str | os.PathLike[str]) -> Registry:
    """The runs in a folder and in the folders within; hidden folders are not looked into."""
    folder = Path(root)
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; `headstart fit-head SET` makes runs/<set>-<head>")
    runs: list[Run] = []
    skipped: list[Skipped] = []
    _walk(folder, runs, skipped, set(), is_root=True)
    return Registry(tuple(runs), tuple(skipped))


def parse_metric(text: str, split: str | None = None) -> Metric:
    """A metric as it is asked for: ``test.accuracy``, or ``accuracy`` of the split that is said, else of validation.

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


def default_metric(runs: Sequence[Run], split: str | None = None) -> Metric:
    """What runs are compared by unless something else is asked for: accuracy, or R² or chrF where only that is there.

    Where all have several labels, it is that of the first one's first label. It is of a split, of validation if none is
    said.
    """
    labels = next((list(run.report[LABELS]) for run in runs if run.has_several), [])
    names = [
        f"{label}{name}"
        for label in ("", *(f"{label}." for label in labels))
        for name in ("accuracy", "r2", "chrf")
    ]
    asked = [parse_metric(name, split) for name in names]
    return next((one for one in asked if any(run.value(one) is not None for run in runs)), asked[0])


def list_runs(
    root: str | os.PathLike[str], metric: str | None, split: str | None, name: str | None
) -> tuple[Registry, list[Run], Metric]:
    """What lies in a folder, the runs of a set, and what they are compared by."""
    asked = (
        None if metric is None else parse_metric(metric, split)
    )  # a mistake in it shows before any is read
    found = find_runs(root)
    runs = runs_of(found.runs, name)
    return found, runs, asked or default_metric(runs, split)


def runs_of(runs: Sequence[Run], name: str | None) -> list[Run]:
    """The runs of a set, or all; if there are none of that set, the message names the sets there are."""
    found = [run for run in runs if name in (None, run.set)]
    if runs and not found:
        hint = did_you_mean(str(name), sorted({run.set for run in runs}), "there are runs of")
        raise DataError(f"none of {len(runs):,} runs is of the set {name!r}{hint}")
    return found


def sort_runs(runs: Sequence[Run], metric: Metric, by: str = "metric") -> list[Run]:
    """Runs in order: the best first (those without the metric last), the latest, the quickest, or by path."""
    match by:
        case "metric":
            return sorted(runs, key=partial(_rank, metric=metric))
        case "created":
            return sorted(runs, key=lambda run: run.created, reverse=True)
        case "seconds":
            return sorted(runs, key=lambda run: math.inf if math.isnan(run.seconds) else run.seconds)
        case "run":
            return sorted(runs, key=lambda run: run.folder)
        case _:
            raise ConfigError(f"there is no order {by!r}; sort by: {', '.join(SORTS)}")


def best_run(runs: Sequence[Run], metric: Metric) -> Run:
    """The run with the best value; of equals the earliest. If none has the metric, the message names what they have."""
    having = [run for run in runs if run.value(metric) is not None]
    if not having:
        raise DataError(
            f"none of {len(runs):,} runs has the metric {metric}"
            f"{did_you_mean(str(metric), _names_like(runs, metric), 'they have')}"
        )
    return min(having, key=lambda run: (*_rank(run, metric), run.created))


def _names_like(runs: Sequence[Run], metric: Metric) -> list[str]:
    """Single figures, and of a figure that lies deeper those that lie there: ``test.per_class.cat.f1``."""
    first, dot, _ = metric.name.partition(".")
    if not dot:
        return metric_names(runs)
    return sorted(
        {
            f"{metric.split}.{first}.{name}.{figure}"
            for run in runs
            for name, figures in _part(_part(run.report["metrics"], metric.split), first).items()
            for figure in (figures if isinstance(figures, dict) else {})
        }
    ) or metric_names(runs)


def _part(values: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    found = values.get(name)
    return found if isinstance(found, dict) else {}


def metric_names(runs: Sequence[Run]) -> list[str]:
    """All single figures that some run has, as `parse_metric` takes them."""
    return sorted(
        {
            f"{split}.{label}{'.' if label else ''}{name}"
            for run in runs
            for label, report in reports_by_label(run.report).items()
            for split, values in report["metrics"].items()
            if isinstance(values, dict)
            for name, value in values.items()
            if isinstance(value, int | float)
        }
    )


def _walk(
    folder: Path, runs: list[Run], skipped: list[Skipped], seen: set[str], is_root: bool = False
) -> None:
    """Gather what lies in a folder. A folder with no run anywhere in it is named once, not its folders too."""
    real = os.path.realpath(folder)
    if real in seen:  # a link to a folder above would be walked for ever
        return
    seen.add(real)
    if (folder / REPORT).is_file():
        try:
            runs.append(Run.listed(folder))
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


def _rank(run: Run, metric: Metric) -> tuple[float, Path]:
    value = run.value(metric)
    if value is None:
        return math.inf, run.folder
    return (value if metric.lower_is_better else -value), run.folder
