"""``headstart runs ls|show|best``, ``headstart compare`` and ``headstart plots``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart import api
from headstart.cli.command import AsJson, Quiet, Said, guarded, made_from, write_json, write_result
from headstart.columns import cell, columns, with_deviation
from headstart.curves.report import curve_lines
from headstart.registry.labels import reports_by_label

if TYPE_CHECKING:
    from headstart.registry.known_runs import Skipped
    from headstart.registry.metric import Metric
    from headstart.registry.run import Run

app = typer.Typer(help="Look through your own runs.", no_args_is_help=True)

Root = Annotated[Path, typer.Argument(metavar="DIR", help="The folder that they lie in, at any depth.")]
MetricName = Annotated[
    str | None,
    typer.Option(
        "--metric",
        metavar="NAME",
        help="As in report.json: validation.log_loss, or log_loss alone. Default: accuracy, or r2 where only "
        "that is there.",
    ),
]
Split = Annotated[
    str | None,
    typer.Option("--split", help="Of a metric that names none: train, validation (the default) or test."),
]
SetName = Annotated[str | None, typer.Option("--set", metavar="NAME", help="Of this set only. Default: all.")]


@app.command("ls")
@guarded
def ls(
    root: Root = Path("runs"),
    metric: MetricName = None,
    split: Split = None,
    set: SetName = None,
    sort: Annotated[
        str, typer.Option("--sort", help="metric (the best first), created, seconds or run.")
    ] = "metric",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List runs with a metric of each."""
    from headstart.progress import open_progress
    from headstart.registry.known_runs import list_runs, sort_runs

    found, wanted, asked = list_runs(root, metric, split, set)
    runs = sort_runs(wanted, asked, sort)
    if as_json:
        skipped = [{"path": str(one.path), "reason": one.reason} for one in found.skipped]
        write_json({"runs": [_as_json(run, asked) for run in runs], "skipped": skipped})
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
    as_json: AsJson = False,
) -> None:
    """Show the report of a run: what was fitted on what, and how good it is."""
    from headstart.registry.run import Run

    found = Run.listed(run)
    write_result(found.report, as_json, lambda: _page(found))


@app.command("best")
@guarded
def best(
    root: Root = Path("runs"),
    metric: MetricName = None,
    split: Split = None,
    set: SetName = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write the path of the best run; of an error (log_loss, brier, ece, mae, rmse …) the lowest is best."""
    from headstart.registry.known_runs import best_run, list_runs

    found, runs, asked = list_runs(root, metric, split, set)
    _say_skipped(found.skipped, quiet)
    chosen = best_run(runs, asked)
    write_result(_as_json(chosen, asked), as_json, lambda: [str(chosen.path)])


@made_from(api.compare)
def compare(said: Said, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Compare runs on the same test samples: figures with intervals, costs, and which one to take."""
    from headstart.progress import open_progress

    comparison = api.compare(**said.values)
    if as_json:
        write_json(comparison.to_json())
    else:
        comparison.show()
    if said["out"] is not None:
        open_progress(quiet).say(f"the comparison lies in {said['out']}")


@made_from(api.draw_plots)
def plots(said: Said, quiet: Quiet = False) -> None:
    from headstart.progress import open_progress

    own = said["out"] is None
    target = Path(said["run"]) / "plots" if own else said["out"]
    values = {**said.values, "out": target, "overwrite": own or said["overwrite"]}
    drawn = api.draw_plots(**values, quiet=quiet)
    if not drawn:
        open_progress(quiet).say(f"{said['run']} has nothing to draw")
        return
    open_progress(quiet).say(f"{', '.join(drawn)} in {target}")


def _say_skipped(skipped: tuple[Skipped, ...], quiet: bool) -> None:
    from headstart.progress import open_progress

    for one in skipped:
        open_progress(quiet).say(f"skipped {one.path}: {one.reason}")


def _as_json(run: Run, metric: Metric) -> dict[str, Any]:
    return {
        "run": str(run.path),
        "set": run.set,
        "method": run.strategy,
        "head": run.head_name,
        "backbone": run.backbone,
        "tap": run.tap,
        **({"labels": list(run.report["labels"])} if run.has_several else {}),
        "metric": str(metric),
        "value": run.value(metric),
        "interval": run.interval(metric),
        "seconds": None if math.isnan(run.seconds) else run.seconds,
        "created": run.created,
    }


def _table(runs: Sequence[Run], metric: Metric) -> list[str]:
    header = ["run", "set", "method", "head", "features", str(metric), "95 %", "seconds", "created"]
    return columns(header, [_row(run, metric) for run in runs])


def _row(run: Run, metric: Metric) -> list[str | float | None]:
    interval = run.interval(metric)
    return [
        cell(str(run.path), None),  # to be copied from here
        cell(run.set),
        cell(run.strategy),
        cell(run.head_name),
        cell(f"{run.backbone} {run.tap}"),
        run.value(metric),
        f"{interval[0]:.4f} to {interval[1]:.4f}" if interval else None,
        None if math.isnan(run.seconds) else f"{run.seconds:,.1f}",
        run.created[:16].replace("T", " "),
    ]


def _page(run: Run) -> list[str]:
    from headstart.registry.card import corrections_of, names_said, params_of, search_of

    report = run.report
    about = [
        ("run", str(run.path)),
        ("method", run.strategy),
        ("head", f"{run.head_name} {_said(params_of(report))}".rstrip()),
        ("search", search_of(report)),
        ("classes", names_said(report)),
        ("set", f"{run.set} ({report.get('provenance', {}).get('digest', '?')})"),
        ("labels", f"corrected: {by_hand}" if (by_hand := corrections_of(report)) else ""),
        ("features", f"{run.backbone} {run.tap}"),
        ("created", f"{run.created}, seed {report.get('seed', '?')}"),
        ("seconds", _said(report.get("timings", {}), ", ")),
        ("data", _said(report.get("data", {}), ", ")),
        ("sweep", _sweep(report.get("sweep", {})) if run.has_several else ""),
    ]
    lines = [_about(name, value) for name, value in about if value]
    for label, own in reports_by_label(report).items():
        title = ["", f"[{cell(label, None)}]"] if label else []
        found = [("sweep", _sweep(own.get("sweep", {}))), ("seeds", _seeds(own.get("seeds", {})))]
        said = [_about(name, value) for name, value in found if value]
        gap = [] if label else [""]
        lines += [*title, *said, *gap, *_metrics(own), *curve_lines(own), *_classes(own)]
    return lines


def _about(name: str, value: str) -> str:
    return f"{name + ':':<10}{cell(value, None)}"


def _said(values: Mapping[str, Any], between: str = " ") -> str:
    """Names and plain values, in a line."""
    shown = (f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
             for name, value in values.items() if isinstance(value, str | int | float))  # fmt: skip
    return between.join(shown)


def _sweep(sweep: Mapping[str, Any]) -> str:
    """What was chosen, from how many, by which figures."""
    if not sweep:
        return ""
    best, trials = sweep["best"], sweep["trials"]
    figures: Mapping[str, Any] = next(
        (trial["validation"] for trial in trials if trial["params"] == best), {}
    )
    judged_on = f"{sweep['folds']} folds" if sweep.get("folds") else "validation"
    said = ", ".join(
        f"{_worded(name)} {with_deviation(spread['mean'], spread['deviation'])}"
        for name, spread in figures.items()
    )
    return f"{_said(best)} is the best of {len(trials):,} on {judged_on}" + (f": {said}" if said else "")


def _seeds(seeds: Mapping[str, Any]) -> str:
    if not seeds or not seeds.get("mean"):
        return ""
    said = [
        f"{_worded(name)} {with_deviation(mean, seeds['deviation'][name])}"
        for name, mean in seeds["mean"].items()
    ]
    return f"{seeds['n']} on {seeds['split']}: {', '.join(said)}"


def _worded(name: str) -> str:
    return name.replace("_", " ")


def _metrics(report: Mapping[str, Any]) -> list[str]:
    """A row a metric, a column a split, with its interval where the report has one."""
    from headstart.registry.metric import Metric

    splits = list(report["metrics"])
    names = dict.fromkeys(
        name
        for values in report["metrics"].values()
        for name, value in values.items()
        if isinstance(value, int | float)
    )
    rows = [[name, *(_figure(report, Metric(split, name)) for split in splits)] for name in names]
    return columns(["metric", *splits], rows)


def _figure(report: Mapping[str, Any], metric: Metric) -> str | None:
    from headstart.registry.metric import interval_in, value_in

    value, interval = value_in(report, metric), interval_in(report, metric)
    if value is None:
        return None
    text = f"{value:,.0f}" if metric.name == "n" else f"{value:.4f}"
    return f"{text} ({interval[0]:.4f} to {interval[1]:.4f})" if interval else text


def _classes(report: Mapping[str, Any], shown: int = 10) -> list[str]:
    """The classes that the run does worst on, of the last split that it was tried on."""
    split = next(reversed(report["metrics"]), "")
    classes = report["metrics"].get(split, {}).get("per_class", {})
    if not classes:
        return []
    worst = sorted(classes.items(), key=lambda item: item[1].get("f1", 0))[:shown]
    rows = [
        [cell(name), *(v.get(part) for part in ("precision", "recall", "f1", "support"))] for name, v in worst
    ]
    title = f"the {len(worst)} classes with the lowest F1 on {split}, of {len(classes):,}"
    return ["", title, *columns(["class", "precision", "recall", "F1", "samples"], rows)]
