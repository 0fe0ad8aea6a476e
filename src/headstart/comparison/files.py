"""A comparison in a directory: a table, JSON, plots, and a page that shows them."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.comparison.text import markdown_table, tables_of
from headstart.files import make_directory, write_durably, write_folder, write_json
from headstart.plots import Plot, bar_plot, cost_plot
from headstart.registry.record import check_free

if TYPE_CHECKING:
    from headstart.comparison.comparison import Comparison

FILE = "comparison.json"


def check_target(target: Path, overwrite: bool) -> None:
    """Refuse a directory that holds something else, before any work is done."""
    check_free(target, overwrite, FILE, "a comparison")


def save_comparison(comparison: Comparison, target: Path, overwrite: bool = False) -> Path:
    """Write the directory, whole or not at all; see `Comparison.save`."""
    check_target(target, overwrite)
    write_folder(target, lambda folder: _write(comparison, folder))
    return target


def _write(comparison: Comparison, folder: Path) -> None:
    write_json(folder / FILE, comparison.to_json())
    write_durably(folder / "comparison.csv", _csv(comparison).encode("utf-8"))
    plots = plots_of(comparison)
    make_directory(folder / "plots")
    for name, plot in plots.items():
        write_durably(folder / "plots" / f"{name}.png", plot.png())
        write_durably(folder / "plots" / f"{name}.svg", plot.svg())
    write_durably(folder / "README.md", _page(comparison, list(plots)).encode("utf-8"))


def _csv(comparison: Comparison) -> str:
    rows = comparison.table
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def plots_of(comparison: Comparison) -> dict[str, Plot]:
    """The plots by name: bars of the deciding figure, and that figure against the time it took where one is known."""
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
    return plots


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
        "±: half the 95 % interval of the difference by paired bootstrap, all runs on the same resamples. p: McNemar's "
        "exact test, after Holm for all runs together. *: the interval leaves out 0, and p is below 0.05. Alone right: "
        "samples that this run has right and the other wrong, and the reverse. Experiments: extraction once, training "
        "each time.",
        *(f"![{name}](plots/{name}.png)" for name in plots),
        f"Made by headstart {provenance['headstart']}, {provenance['created']}, with {provenance['resamples']:,} "
        f"resamples, seed {provenance['seed']}.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
