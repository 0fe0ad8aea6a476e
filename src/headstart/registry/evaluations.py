"""What a run does on other data than its own: in memory, kept in ``evaluations/<name>/``, or read from there.

::

    evaluations/<name>/
      evaluation.json      format, name, run, task, label, data, metrics, errors, timings, provenance; of a run of
                           several labels metrics.<label>, and labels.<label>: what differs between them
      predictions.parquet  as that of a run; all samples are of the split "test"
      plots/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.cache.layout import SET_NAME, check_no_link
from headstart.columns import with_interval
from headstart.errors import ConfigError, DataError, StorageError
from headstart.files import read_json, write_durably, write_files, write_folder, write_json
from headstart.notebook import html_facts, html_table
from headstart.options import did_you_mean
from headstart.registry.labels import LABELS, has_several, needed_columns, predictions_of
from headstart.registry.run_files import (
    PREDICTION_COLUMNS,
    PREDICTIONS,
    check_free,
    parquet_bytes,
    read_predictions,
)
from headstart.tasks import open_task
from headstart.words import counted

if TYPE_CHECKING:
    import os

    import pyarrow as pa

    from headstart.plots import Plot
    from headstart.plots.studio import Draw
    from headstart.types import Json, PlotFormat

FORMAT = 1
FOLDER, FILE = "evaluations", "evaluation.json"
SPLIT = "test"
"""What all samples count as: none of them was seen in training."""


@dataclass(frozen=True)
class RunEvaluation:
    """What a run does on labelled samples of other data.

    Parameters
    ----------
    report : mapping
        ``metrics`` with 95 % intervals, ``errors``, and what the ``data`` was, as ``evaluation.json`` has it.
    predictions : pyarrow.Table
        ``id``, ``key``, ``split``, ``label``, ``prediction``, ``p:<class>``…, a row for each sample that was judged.
    path : path, optional
        Where it lies; None if it is in memory alone.
    """

    report: Mapping[str, Json]
    predictions: pa.Table
    path: Path | None = None
    plots: Mapping[str, Plot] = field(default_factory=dict, repr=False)

    @property
    def label_names(self) -> list[str]:
        """The label columns that it is over; of a run with one label that of the data."""
        return list(self.report[LABELS]) if has_several(self.report) else [str(self.report.get("label", ""))]

    def of(self, label: str) -> RunEvaluation:
        """What was found of one of several labels; of a run with one label all of it."""
        if not has_several(self.report):
            return self
        if label not in self.label_names:
            raise DataError(
                f"the evaluation {self.report.get('name')!r} is not over {label!r}"
                f"{did_you_mean(label, self.label_names, 'it is over')}"
            )
        part = self.report[LABELS][label]
        once = {name: value for name, value in self.report.items() if name not in (LABELS, "metrics")}
        report = {**once, **part, "metrics": self.report["metrics"][label]}
        about = {"column": label, "classes": part["classes"]}
        return RunEvaluation(report, predictions_of(self.predictions, about), self.path)

    @property
    def metrics(self) -> Mapping[str, Json]:
        """The figures by name; of several labels by label, and then by name."""
        found: Mapping[str, Json] = self.report["metrics"]
        return found

    def save(
        self,
        path: str | os.PathLike[str],
        overwrite: bool = False,
        plots: PlotFormat = "png",
        draw: Draw | None = None,
    ) -> RunEvaluation:
        """Write its folder, whole or not at all; the same evaluation with its place."""
        target = Path(path)
        check_target(target, overwrite)
        write_folder(target, lambda folder: self._write(folder, plots, draw))
        return RunEvaluation(self.report, self.predictions, target, self.plots)

    def _write(self, folder: Path, plots: PlotFormat, draw: Draw | None) -> None:
        from headstart.plots.studio import draw_here

        write_json(folder / FILE, self.report)
        write_durably(folder / PREDICTIONS, parquet_bytes(self.predictions))
        write_files(folder / "plots", (draw or draw_here)(self.plots, plots))

    def __repr__(self) -> str:
        said = []
        for label, metrics in self._by_label().items():
            shown = [(name, value) for name, value in metrics.items() if isinstance(value, float)][:3]
            figures = ", ".join(f"{name} {value:.4f}" for name, value in shown)
            said.append(f"{counted(metrics['n'], 'sample')}{f' of {label}' if label else ''}: {figures}")
        return f"RunEvaluation({self.report['name']!r}, {'; '.join(said)})"

    def _repr_html_(self) -> str:
        data = self.report["data"]
        facts = {
            "run": self.report.get("run") or "in memory",
            "data": data.get("description", ""),
            **({"folder": str(self.path)} if self.path else {}),
        }
        tables = (_figures_table(label, self.of(label).report) for label in self.label_names)
        return html_facts(f"evaluation {self.report['name']}", facts) + "".join(tables)

    def _by_label(self) -> Mapping[str, Mapping[str, Json]]:
        return self.metrics if has_several(self.report) else {"": self.metrics}


def _figures_table(label: str, report: Mapping[str, Json]) -> str:
    """The figures that runs are compared by, with their intervals."""
    metrics, figures = report["metrics"], open_task(str(report["task"])).figures
    rows = [
        [figure.title, with_interval(metrics, figure.name)] for figure in figures if figure.name in metrics
    ]
    return html_table(f"{label} ({counted(metrics['n'], 'sample')})".strip(), ["", "95 %"], rows)


def place_in(run: Path, name: str) -> Path:
    """The folder of an evaluation in its run; a name that would leave it, and a link in the way, are refused."""
    if not SET_NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot be the name of an evaluation: use letters, digits, '.', '_' and '-', "
            "and do not begin with '.' or '-'"
        )
    place = run / FOLDER / name
    check_no_link(run, place)
    return place


def check_target(target: Path, overwrite: bool) -> None:
    """Refuse a folder that holds something, before any work is done."""
    check_free(target, overwrite, FILE, "an evaluation")


def names_in(run: Path) -> list[str]:
    """The evaluations of a run."""
    return sorted(path.parent.name for path in (run / FOLDER).glob(f"*/{FILE}"))


def read_evaluation(run: Path, name: str) -> RunEvaluation:
    """What a run was found to do on other data.

    Raises
    ------
    DataError
        There is no evaluation of that name.
    StorageError
        It is damaged.
    """
    folder = place_in(run, name)
    if not is_evaluation(folder):
        raise DataError(
            f"run {run} has no evaluation {name!r}{did_you_mean(name, names_in(run), 'it has')}; "
            f"`headstart evaluate {run} DATA --name {name}` makes it"
        )
    return open_evaluation(folder)


def is_evaluation(folder: Path) -> bool:
    """Whether it holds an evaluation."""
    return (folder / FILE).is_file()


def open_evaluation(folder: Path) -> RunEvaluation:
    """What lies in the folder of an evaluation; a StorageError says that it is damaged."""
    report = read_json(folder / FILE)
    if not isinstance(report, dict) or not isinstance(report.get("metrics"), dict):
        raise StorageError(f"{folder / FILE} has no metrics; evaluate the run again")
    several = has_several(report)
    needed = needed_columns(list(report[LABELS])) if several else PREDICTION_COLUMNS
    table: Any = read_predictions(folder, SPLIT, needed)
    n = report["data"].get("n") if several else report["metrics"].get("n")
    if table.num_rows != n:
        raise StorageError(
            f"{folder}: {PREDICTIONS} has {table.num_rows:,} samples, and {FILE} {n}; evaluate the run again"
        )
    return RunEvaluation(report, table, folder)
