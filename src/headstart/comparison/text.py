"""A comparison as text: tables in a terminal, in Markdown and in HTML, and the sentences under them."""

from __future__ import annotations

import html
import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headstart.comparison.costs import EXPERIMENTS
from headstart.comparison.formatting import written_bytes, written_count, written_seconds
from headstart.tasks import open_task

if TYPE_CHECKING:
    from headstart.comparison.comparison import ComparedRun, Comparison
    from headstart.metrics.paired import Versus
    from headstart.types import Figure

WIDTH = 200
"""Columns where there is no terminal: nothing is cut."""

Table = tuple[str, list[str], list[list[str]]]
"""A title, the names of the columns, and the rows."""


def print_comparison(comparison: Comparison) -> None:
    """Write it to stdout, as wide as the terminal is."""
    from rich.console import Console

    print(comparison_text(comparison, Console().width if sys.stdout.isatty() else WIDTH))


def comparison_text(comparison: Comparison, width: int = WIDTH) -> str:
    """The tables and the sentences.

    Parameters
    ----------
    comparison : Comparison
    width : int
        Of the terminal. A table that is wider is turned, a column for each run, if it is narrower so; nothing is cut.
    """
    from rich.console import Console
    from rich.text import Text

    buffer = io.StringIO()
    for title, header, rows in tables_of(comparison):
        turned = [list(line) for line in zip(header, *rows, strict=True)]
        if _width([header, *rows]) > max(width, _width(turned)):
            header, *rows = turned
        console = Console(file=buffer, width=max(width, _width([header, *rows])))
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
    """How good the runs are, how they differ, and what they cost."""
    return [_quality(comparison), _differences(comparison), _costs(comparison)]


def sentences_of(comparison: Comparison) -> list[str]:
    """The advice, and what limits it."""
    return [*comparison.advice, *(f"note: {note}" for note in comparison.notes)]


def _quality(comparison: Comparison) -> Table:
    figures, noun = comparison.figures, open_task(comparison.task).noun
    said = {run.name: f"{run.backbone} {run.tap}" for run in comparison.runs}
    is_one = len(set(said.values())) == 1
    title = f"{comparison.n:,} test samples, {noun} {comparison.label!r}; in brackets 95 % intervals"
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
        [
            run.name,
            *_against(run.against_best, figure),
            *(_against(run.against_cheapest, figure) if has_two else []),
        ]
        for run in comparison.runs
    ]
    return title, header, rows


def _figure(run: ComparedRun, name: str) -> str:
    value, interval = run.figures[name], run.intervals.get(name)
    if value is None:
        return "-"
    return f"{value:.4f}" + (f" [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else "")


def _against(versus: Versus | None, figure: Figure) -> list[str]:
    if versus is None:
        return ["", "", ""]
    difference = versus.differences[figure.name]
    if figure.is_share:
        said = f"{100 * difference.value:+.1f} ± {100 * difference.half_width:.1f} points"
    else:
        said = f"{difference.value:+.3g} ± {difference.half_width:.2g}"
    alone = "-" if versus.only_this is None else f"{versus.only_this:,} to {versus.only_other:,}"
    p_value = "-" if versus.p_holm is None else f"{versus.p_holm:.2g}"
    return [said + (" *" if versus.is_significant(figure.name) else ""), alone, p_value]


def _costs(comparison: Comparison) -> Table:
    total = comparison.extract_seconds
    said = "unknown" if total is None else written_seconds(total)
    title = f"what they cost; extraction of all runs together, counted once: {said}"
    columns = {
        "training": lambda run: written_seconds(run.cost.fit_seconds),
        "to the best epoch": lambda run: written_seconds(run.cost.to_best_seconds),
        "extraction": _extraction,
        **{
            f"{k} experiment{'s' if k > 1 else ''}": _spread(k) for k in EXPERIMENTS
        },
        "peak memory": lambda run: written_bytes(run.cost.peak_resident_bytes),
        "above loading": lambda run: written_bytes(run.cost.above_loading_bytes),
        "GPU memory": lambda run: written_bytes(run.cost.peak_gpu_bytes),
        "trained parameters": lambda run: written_count(run.cost.parameters),
        "of": lambda run: written_count(run.cost.total_parameters),
        "features": lambda run: written_bytes(run.cost.feature_bytes),
    }  # fmt: skip
    cells = {name: [say(run) for run in comparison.runs] for name, say in columns.items()}
    shown = {name: column for name, column in cells.items() if any(cell != "-" for cell in column)}
    rows = [[run.name, *(column[place] for column in shown.values())]
            for place, run in enumerate(comparison.runs)]  # fmt: skip
    return title, ["run", *shown], rows


def _extraction(run: ComparedRun) -> str:
    if run.cost.extractions is None:
        return "unknown"
    if not run.cost.extractions:
        return "none"
    return ("~" if run.cost.is_estimated else "") + written_seconds(run.cost.extract_seconds)


def _spread(experiments: int) -> Any:
    return lambda run: written_seconds(run.cost.seconds(experiments))


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; a bar in a name is no bar of the table."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def comparison_html(comparison: Comparison) -> str:
    """The tables and the sentences for a notebook."""
    parts = []
    for title, header, rows in tables_of(comparison):
        head = "".join(f"<th>{html.escape(name)}</th>" for name in header)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
        )
        parts.append(f"<p><b>{html.escape(title)}</b></p><table><tr>{head}</tr>{body}</table>")
    return "".join([*parts, *(f"<p>{html.escape(line)}</p>" for line in sentences_of(comparison))])
