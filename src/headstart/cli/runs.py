"""``headstart runs ls|show|best``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options
from headstart.cli.columns import columns
from headstart.cli.guard import guarded

if TYPE_CHECKING:
    from headstart.runs.registry import KnownRun, Metric, Skipped

app = typer.Typer(help="Look through your own runs.", no_args_is_help=True)

Root = Annotated[Path, typer.Argument(metavar="DIR", help="The folder that they lie in, at any depth.")]
MetricName = Annotated[
    str,
    typer.Option("--metric", metavar="NAME", help="As in report.json: test.accuracy, or accuracy alone."),
]
Split = Annotated[
    str | None,
    typer.Option("--split", help="Of a metric that names none: train, validation or test (the default)."),
]


@app.command("ls")
@guarded
def ls(
    root: Root = Path("runs"),
    metric: MetricName = "test.accuracy",
    split: Split = None,
    sort: Annotated[
        str, typer.Option("--sort", help="metric (the best first), created, seconds or run.")
    ] = "metric",
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """List runs with a metric of each."""
    from headstart.progress import open_progress
    from headstart.runs.registry import find_runs, parse_metric, sort_runs

    asked = parse_metric(metric, split)
    found = find_runs(root)
    runs = sort_runs(found.runs, asked, sort)
    if as_json:
        skipped = [{"path": str(one.path), "reason": one.reason} for one in found.skipped]
        options.write_json({"runs": [_as_json(run, asked) for run in runs], "skipped": skipped})
        return
    _say_skipped(found.skipped, quiet)
    if not runs:
        open_progress(quiet).say(f"there are no runs in {root}; headstart fit-head SET makes one")
        return
    for line in _table(runs, asked):
        typer.echo(line)


@app.command("show")
@guarded
def show(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")],
    as_json: options.AsJson = False,
    verbose: options.Verbose = False,
) -> None:
    """Show the report of a run: what was fitted on what, and how good it is."""
    from headstart.runs.registry import open_known_run

    found = open_known_run(run)
    if as_json:
        options.write_json(found.report)
        return
    for line in _page(found):
        typer.echo(line)


@app.command("best")
@guarded
def best(
    root: Root = Path("runs"),
    metric: MetricName = "test.accuracy",
    split: Split = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Write the path of the best run; of an error (log_loss, brier, ece, mae, rmse …) the lowest is best."""
    from headstart.runs.registry import best_run, find_runs, parse_metric

    asked = parse_metric(metric, split)
    found = find_runs(root)
    _say_skipped(found.skipped, quiet)
    chosen = best_run(found.runs, asked)
    if as_json:
        options.write_json(_as_json(chosen, asked))
        return
    typer.echo(str(chosen.path))


def _say_skipped(skipped: tuple[Skipped, ...], quiet: bool) -> None:
    from headstart.progress import open_progress

    for one in skipped:
        open_progress(quiet).say(f"skipped {one.path}: {one.reason}")


def _as_json(run: KnownRun, metric: Metric) -> dict[str, Any]:
    return {
        "run": str(run.path),
        "set": run.set,
        "head": run.head,
        "backbone": run.backbone,
        "tap": run.tap,
        "metric": str(metric),
        "value": run.value(metric),
        "interval": run.interval(metric),
        "seconds": None if math.isnan(run.seconds) else run.seconds,
        "created": run.created,
    }


def _table(runs: Sequence[KnownRun], metric: Metric) -> list[str]:
    header = ["run", "set", "head", "features", str(metric), "95 %", "seconds", "created"]
    return columns(header, [_row(run, metric) for run in runs])


def _row(run: KnownRun, metric: Metric) -> list[str | float | None]:
    interval = run.interval(metric)
    return [
        str(run.path),
        run.set,
        run.head,
        f"{run.backbone} {run.tap}",
        run.value(metric),
        f"{interval[0]:.4f} to {interval[1]:.4f}" if interval else None,
        None if math.isnan(run.seconds) else f"{run.seconds:,.1f}",
        run.created[:16].replace("T", " "),
    ]


def _page(run: KnownRun) -> list[str]:
    report = run.report
    about = [
        ("run", str(run.path)),
        ("head", f"{run.head}{_said(report.get('head', {}).get('params', {}))}"),
        ("set", f"{run.set} ({report.get('provenance', {}).get('digest', '?')})"),
        ("features", f"{run.backbone} {run.tap}"),
        ("created", f"{run.created}, seed {report.get('seed', '?')}"),
        ("seconds", _said(report.get("timings", {}), ", ")),
        ("data", _said(report.get("data", {}), ", ")),
    ]
    lines = [f"{name + ':':<10}{value}" for name, value in about if value]
    return [*lines, "", *_metrics(run), *_classes(run)]


def _said(values: dict[str, Any], between: str = " ") -> str:
    """Names and plain values, in a line."""
    shown = (f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
             for name, value in values.items() if isinstance(value, str | int | float))  # fmt: skip
    text = between.join(shown)
    return f" {text}" if text and between == " " else text


def _metrics(run: KnownRun) -> list[str]:
    """A row a metric, a column a split, with its interval where the report has one."""
    from headstart.runs.registry import Metric

    splits = list(run.report["metrics"])
    names = dict.fromkeys(
        name
        for values in run.report["metrics"].values()
        for name, value in values.items()
        if isinstance(value, int | float)
    )
    rows = [[name, *(_figure(run, Metric(split, name)) for split in splits)] for name in names]
    return columns(["metric", *splits], rows)


def _figure(run: KnownRun, metric: Metric) -> str | None:
    value, interval = run.value(metric), run.interval(metric)
    if value is None:
        return None
    text = f"{value:,.0f}" if metric.name == "n" else f"{value:.4f}"
    return f"{text} ({interval[0]:.4f} to {interval[1]:.4f})" if interval else text


def _classes(run: KnownRun, shown: int = 10) -> list[str]:
    """The classes that the run does worst on, of the last split that it was tried on."""
    split = next(reversed(run.report["metrics"]), "")
    classes = run.report["metrics"].get(split, {}).get("per_class", {})
    if not classes:
        return []
    worst = sorted(classes.items(), key=lambda item: item[1].get("f1", 0))[:shown]
    rows = [[name, *(v.get(part) for part in ("precision", "recall", "f1", "support"))] for name, v in worst]
    title = f"the {len(worst)} classes with the lowest F1 on {split}, of {len(classes):,}"
    return ["", title, *columns(["class", "precision", "recall", "F1", "samples"], rows)]
