"""What a comparison found: for people in a terminal and a notebook, for programs, and for a directory."""

from __future__ import annotations

import csv
import html
import io
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.columns import over_groups, with_interval
from headstart.comparison.costs import EXPERIMENTS, written_bytes, written_count, written_seconds
from headstart.comparison.curves import curve_plots, curve_tables, curves_json
from headstart.config import CompareConfig
from headstart.files import write_durably, write_files, write_folder, write_json
from headstart.notebook import display, html_table, in_notebook
from headstart.places import expanded
from headstart.plots.studio import draw_here
from headstart.registry.run import HEAD, check_free
from headstart.tasks import open_task

if TYPE_CHECKING:
    from headstart.comparison.costs import Cost
    from headstart.curves.ahead import ComparedCurves
    from headstart.metrics.paired import Versus
    from headstart.plots import Plot
    from headstart.types import Figure, Json, PlotFormat

FILE = "comparison.json"
WIDTH = 200
"""Columns where there is no terminal: nothing is cut."""


Table = tuple[str, list[str], list[list[str]]]
"""A title, the names of the columns, and the rows."""


@dataclass(frozen=True)
class ComparedRun:
    """One run of a comparison; ``path`` is None if it is in memory.

    ``method`` is ``head`` for one on cached features, else the strategy of the fine-tuning. ``against_best`` and
    ``against_cheapest`` are None if it is that run itself, or there is none. ``no_interval``: why figures have none.
    """

    name: str
    path: Path | None
    method: str
    head: str
    backbone: str
    tap: str
    set: str
    n_train: int | None
    figures: Mapping[str, float | None]
    intervals: Mapping[str, list[float] | None]
    cost: Cost
    no_interval: Mapping[str, str] = field(default_factory=dict)
    against_best: Versus | None = None
    against_cheapest: Versus | None = None

    @property
    def is_cached(self) -> bool:
        """Whether it is a head on cached features."""
        return self.method == HEAD

    def row(self) -> dict[str, Json]:
        """A flat row of a table."""
        row = self._about()
        for name, figure in self.figures.items():
            row |= _with_interval(name, figure, self.intervals.get(name))
        for reference, versus in (("best", self.against_best), ("cheapest", self.against_cheapest)):
            difference = versus.differences[next(iter(self.figures))] if versus else None
            interval = difference.interval if difference else None
            row |= _with_interval(f"against_{reference}", difference.value if difference else None, interval)
            row[f"against_{reference}_p_value"] = versus.p_value if versus else None
            row[f"against_{reference}_p_holm"] = versus.p_holm if versus else None
        return {**row, **self._costs()}

    def to_json(self) -> dict[str, Json]:
        """For machines."""
        return {
            **self._about(),
            "metrics": dict(self.figures),
            "intervals": dict(self.intervals),
            "no_interval": dict(self.no_interval),
            "against_best": None if self.against_best is None else asdict(self.against_best),
            "against_cheapest": None if self.against_cheapest is None else asdict(self.against_cheapest),
            "cost": self._costs(),
        }

    def _about(self) -> dict[str, Json]:
        names = ("method", "head", "backbone", "tap", "set", "n_train")
        path = None if self.path is None else str(self.path)
        return {"run": self.name, "path": path, **{name: getattr(self, name) for name in names}}

    def _costs(self) -> dict[str, Json]:
        cost = self.cost
        plain = {name: value for name, value in asdict(cost).items() if name != "extractions"}
        return {
            "fit_seconds": plain.pop("fit_seconds"),
            "to_best_seconds": plain.pop("to_best_seconds"),
            "extract_seconds": cost.extract_seconds,
            "extract_is_estimated": cost.is_estimated,
            **{f"seconds_of_{k}": cost.seconds(k) for k in EXPERIMENTS},
            **plain,
        }


@dataclass(frozen=True)
class BreakEven:
    """A fine-tuned run beside a head on cached features, by their names.

    ``gain`` is how much better the fine-tuned run is by the deciding figure, ``time_ratio`` how many times as long its
    training took (None if that is unknown), ``experiments`` from how many on the cache has paid for itself (None if
    never, or unknown).
    """

    cached: str
    tuned: str
    gain: float
    interval: list[float] | None
    is_measurable: bool
    time_ratio: float | None
    experiments: int | None


def _with_interval(name: str, value: float | None, interval: Sequence[float] | None) -> dict[str, Json]:
    low, high = interval or (None, None)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


@dataclass(frozen=True)
class Comparison:
    """Runs on the same test samples: which is how good, what each cost, and which to take.

    Parameters
    ----------
    runs : tuple of ComparedRun
        In the order given.
    n : int
        Number of test samples.
    n_groups : int, optional
        Of samples in groups, which are resampled together.
    best : str
        The run with the best deciding figure, which is the first of its task's `figures`.
    cheapest : str, optional
        The run that took the least time; None: unknown.
    extract_seconds : float, optional
        Of all runs together, what they share counted once; None: unknown.
    curves : tuple of ComparedCurves
        Of runs with few-shot protocols or learning curves: which is ahead from how many labels on.
    advice, notes : tuple of str
        Sentences that follow from the numbers, and what limits them.
    """

    runs: tuple[ComparedRun, ...]
    task: str
    label: str
    n: int
    best: str
    cheapest: str | None
    extract_seconds: float | None
    break_even: tuple[BreakEven, ...]
    advice: tuple[str, ...]
    notes: tuple[str, ...]
    provenance: Mapping[str, Json]
    n_groups: int | None = None
    curves: tuple[ComparedCurves, ...] = ()

    @property
    def figure(self) -> str:
        """The name of the figure that decides."""
        return self.figures[0].name

    @property
    def figures(self) -> tuple[Figure, ...]:
        """What the runs are compared by; the first decides."""
        return open_task(self.task).figures

    @property
    def table(self) -> list[dict[str, Json]]:
        """A flat row for each run: ``pandas.DataFrame(comparison.table)``."""
        return [run.row() for run in self.runs]

    def to_json(self) -> dict[str, Json]:
        """For machines: what ``comparison.json`` holds; None for what cannot be computed."""
        found: dict[str, Json] = {
            "task": self.task,
            "label": self.label,
            "split": "test",
            "n": self.n,
            **({} if self.n_groups is None else {"n_groups": self.n_groups}),
            "figure": self.figure,
            "best": self.best,
            "cheapest": self.cheapest,
            "extract_seconds": self.extract_seconds,
            "runs": [run.to_json() for run in self.runs],
            "break_even": [asdict(each) for each in self.break_even],
            "advice": list(self.advice),
            "notes": list(self.notes),
            **({"curves": curves_json(self.curves)} if self.curves else {}),
            "provenance": dict(self.provenance),
        }
        return {name: _without_nan(part) for name, part in found.items()}

    def show(self) -> None:
        """Show the tables and the advice: in a notebook as tables, else as text on stdout."""
        from rich.console import Console

        if in_notebook():
            display(self)
            return

        print(comparison_text(self, Console().width if sys.stdout.isatty() else WIDTH))

    def save(self, path: str | os.PathLike[str], overwrite: bool = False, plots: PlotFormat = "png") -> Path:
        """Write ``comparison.csv``, ``comparison.json``, plots and a page, whole or not at all.

        Parameters
        ----------
        path : path
        overwrite : bool
            Replace the comparison that lies there.
        plots : {"png", "svg", "both", "none"}

        Raises
        ------
        ConfigError
            The directory is not empty, and ``overwrite`` was not said or it holds no comparison.
        StorageError
            It cannot be written; what was there before is as it was.
        """
        target = Path(expanded(path))
        check_target(target, overwrite)
        CompareConfig(runs=[], plots=plots, seed=0)
        write_folder(target, lambda folder: write_comparison(self, folder, plots))
        return target

    def __repr__(self) -> str:
        return comparison_text(self)

    def _repr_html_(self) -> str:
        return comparison_html(self)


def _without_nan(value: Json) -> Json:
    """JSON has no word for what is not finite."""
    if isinstance(value, dict):
        return {name: _without_nan(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def comparison_text(comparison: Comparison, width: int = WIDTH) -> str:
    """The tables and the sentences.

    A table that is wider than the terminal is turned, a column for each run, if it is narrower so; nothing is cut.
    """
    from rich.console import Console
    from rich.text import Text

    buffer = io.StringIO()
    for title, header, rows in tables_of(comparison):
        turned = [list(line) for line in zip(header, *rows, strict=True)]
        if _width([header, *rows]) > max(width, _width(turned)):
            header, *rows = turned
        # A console in a notebook would show what it is given, beside what the notebook shows of this; and a kernel asks
        # for colours by a variable, whose codes would stand in the text.
        console = Console(
            file=buffer,
            width=max(width, _width([header, *rows])),
            force_jupyter=False,
            force_terminal=False,
        )
        console.print(Text(title), soft_wrap=True)
        console.print(_rich(header, rows))
    lines = [line.rstrip() for line in buffer.getvalue().splitlines()]
    return "\n".join([*lines, *sentences_of(comparison)])


def _width(lines: Sequence[Sequence[str]]) -> int:
    """How wide a table is with its gaps."""
    from rich.cells import cell_len

    return sum(max(map(cell_len, column)) + 3 for column in zip(*lines, strict=True))


def _rich(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Any:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(header):
        # Text, for a name in square brackets would be taken for markup.
        table.add_column(Text(name), justify="right" if place else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def tables_of(comparison: Comparison) -> list[Table]:
    """How good the runs are, how they differ, what they cost, and how they do on fewer labels."""
    tables = [_quality(comparison), _differences(comparison), _costs(comparison)]
    return [*tables, *curve_tables(comparison.curves)]


def sentences_of(comparison: Comparison) -> list[str]:
    """The advice, and what limits it."""
    return [*comparison.advice, *(f"note: {note}" for note in comparison.notes)]


def _quality(comparison: Comparison) -> Table:
    figures, noun = comparison.figures, open_task(comparison.task).noun
    said = {run.name: f"{run.backbone} {run.tap}" for run in comparison.runs}
    is_one = len(set(said.values())) == 1
    over = over_groups({"n_groups": comparison.n_groups})
    title = (
        f"{comparison.n:,} test samples, {noun} {comparison.label!r}; in brackets 95 % {over or 'intervals'}"
    )
    header = ["run", *([] if is_one else ["features"]), *(figure.title for figure in figures)]
    rows = [
        [run.name, *([] if is_one else [said[run.name]]), *(_figure(run, figure.name) for figure in figures)]
        for run in comparison.runs
    ]
    return title + (f"; {next(iter(said.values()))}" if is_one else ""), header, rows


def _differences(comparison: Comparison) -> Table:
    """Each run against the best and against the cheapest, by the deciding figure."""
    figure, best, cheapest = comparison.figures[0], comparison.best, comparison.cheapest
    has_two = cheapest not in (None, best)
    title = f"differences in {figure.title}; the best is {best}" + (
        f", the cheapest {cheapest}" if cheapest else ""
    )
    names = ["best", "cheapest"] if has_two else ["best"]
    header = ["run", *(column for name in names for column in (f"against the {name}", "alone right", "p"))]
    rows = [
        [run.name, *(cell for name in names for cell in _against(getattr(run, f"against_{name}"), figure))]
        for run in comparison.runs
    ]
    return title, header, rows


def _figure(run: ComparedRun, name: str) -> str:
    intervals = {"intervals": run.intervals, "no_interval": run.no_interval}
    return with_interval({name: run.figures[name], **intervals}, name)


def _against(versus: Versus | None, figure: Figure) -> list[str]:
    if versus is None:
        return ["", "", ""]
    difference = versus.differences[figure.name]
    scale, precision = (100, ".1f") if figure.is_share else (1, ".3g")
    said = f"{scale * difference.value:+{precision}}"
    if difference.interval is not None:
        said += f" ± {scale * difference.half_width:{'.1f' if figure.is_share else '.2g'}}"
    said += " points" if figure.is_share else ""
    alone = "-" if versus.only_this is None else f"{versus.only_this:,} to {versus.only_other:,}"
    p_value = "-" if versus.p_holm is None else f"{versus.p_holm:.2g}"
    return [said + (" *" if versus.is_significant(figure.name) else ""), alone, p_value]


def _costs(comparison: Comparison) -> Table:
    total = comparison.extract_seconds
    said = "unknown" if total is None else written_seconds(total)
    title = (
        f"what they cost, start-up and loading aside; extraction of all runs together, counted once: {said}"
    )
    costs = {run.name: _cost_cells(run.cost) for run in comparison.runs}
    names = next(iter(costs.values()))
    shown = [name for name in names if any(cells[name] != "-" for cells in costs.values())]
    return title, ["run", *shown], [[run, *(cells[name] for name in shown)] for run, cells in costs.items()]


def _cost_cells(cost: Cost) -> dict[str, str]:
    extraction = ("~" if cost.is_estimated else "") + written_seconds(cost.extract_seconds)
    return {
        "training": written_seconds(cost.fit_seconds),
        "to the best epoch": written_seconds(cost.to_best_seconds),
        "extraction": "unknown" if cost.extractions is None else extraction if cost.extractions else "none",
        **{f"{k} experiment{'s' if k > 1 else ''}": written_seconds(cost.seconds(k)) for k in EXPERIMENTS},
        "peak memory": written_bytes(cost.peak_resident_bytes),
        "above loading": written_bytes(cost.above_loading_bytes),
        "GPU memory": written_bytes(cost.peak_gpu_bytes),
        "trained parameters": written_count(cost.parameters),
        "of": written_count(cost.total_parameters),
        "features": written_bytes(cost.feature_bytes),
    }


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; a bar in a name is no bar of the table."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def comparison_html(comparison: Comparison) -> str:
    """The tables and the sentences for a notebook."""
    parts = [html_table(*table) for table in tables_of(comparison)]
    return "".join([*parts, *(f"<p>{html.escape(line)}</p>" for line in sentences_of(comparison))])


def check_target(target: Path, overwrite: bool) -> None:
    """Refuse a directory that holds something else, before any work is done."""
    check_free(target, overwrite, FILE, "a comparison")


def write_comparison(comparison: Comparison, folder: Path, asked: PlotFormat) -> None:
    """Write tables, plots and a page into a folder that exists."""
    write_json(folder / FILE, comparison.to_json())
    write_durably(folder / "comparison.csv", csv_of(comparison.table))
    drawn = draw_here(plots_of(comparison), asked)
    write_files(folder / "plots", drawn)
    shown = [name for name in drawn if asked != "both" or name.endswith(".png")]
    write_durably(folder / "README.md", _page(comparison, shown).encode("utf-8"))


def csv_of(rows: Sequence[Mapping[str, Json]]) -> bytes:
    """Flat rows as CSV; a row may lack columns that others have."""
    table, names = io.StringIO(), dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(table, list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return table.getvalue().encode("utf-8")


def plots_of(comparison: Comparison) -> dict[str, Plot]:
    """The plots by name: bars of the deciding figure, and that figure against the time it took where one is known."""
    from headstart.plots import bar_plot, cost_plot

    figure, title = comparison.figure, comparison.figures[0].title
    values = {run.name: value for run in comparison.runs if (value := run.figures[figure]) is not None}
    intervals = {run.name: run.intervals[figure] for run in comparison.runs}
    heading = f"{title.capitalize()} on {comparison.n:,} test samples"
    plots = {"figures": bar_plot(values, intervals, title, heading)}
    known = {run.name: run.cost for run in comparison.runs if run.cost.fit_seconds and run.name in values}
    if known:
        plots["cost"] = cost_plot(
            {name: cost.fit_seconds or 0.0 for name, cost in known.items()},
            {name: values[name] for name in known},
            {name: intervals[name] for name in known},
            {name: seconds for name, cost in known.items() if (seconds := cost.seconds()) is not None},
            title,
            f"{title.capitalize()} against time",
        )
    return {**plots, **curve_plots(comparison.curves)}


def _page(comparison: Comparison, plots: list[str]) -> str:
    """The page: advice first, then what it rests on."""
    tables = [
        f"## {title[0].upper()}{title[1:]}\n\n{markdown_table(header, rows)}"
        for title, header, rows in tables_of(comparison)
    ]
    provenance = comparison.provenance
    parts = [
        f"# {comparison.n:,} test samples, {len(comparison.runs)} runs",
        "\n".join(f"- {sentence}" for sentence in comparison.advice),
        "\n".join(f"- Note: {note}." for note in comparison.notes),
        *tables,
        "±: half the 95 % interval of the difference, of accuracy by Newcombe's method, of others by paired bootstrap, "
        "all runs on the same resamples, of whole groups where samples have any; none where the samples cannot say. "
        "p: McNemar's exact test, after Holm for all runs together. *: the interval leaves out 0, and p, where there "
        "is one, is below 0.05. Alone right: samples that this run has right and the other wrong, and the reverse. "
        "Experiments: extraction once, training each time.",
        *(f"![{Path(name).stem}](plots/{name})" for name in plots),
        f"Made by headstart {provenance['headstart']}, {provenance['created']}, with {provenance['resamples']:,} "
        f"resamples, seed {provenance['seed']}.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
