"""``headstart fit-head``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options
from headstart.cli.guard import guarded
from headstart.tasks import open_task

if TYPE_CHECKING:
    from headstart.config import FitConfig
    from headstart.registry.run import Run

SEARCH, PROTOCOLS, WATCH = "Choosing parameters", "Protocols", "Watching"


@guarded
def fit_head(
    context: typer.Context,
    set: Annotated[str | None, typer.Argument(metavar="SET", help="The name of a set.")] = None,
    head: Annotated[
        str,
        typer.Option(
            "--head",
            help="logistic, ridge, knn, centroid, svm, linear, mlp, residual, attention or py:module:factory.",
        ),
    ] = "logistic",
    tap: Annotated[
        list[str] | None,
        typer.Option("--tap", help="Which feature of the set; several are put side by side."),
    ] = None,
    backbone: Annotated[
        list[str] | None, typer.Option("--backbone", help="Which backbone's; several are put side by side.")
    ] = None,
    label: Annotated[str | None, typer.Option("--label", metavar="NAME", help="Which label column.")] = None,
    views: Annotated[
        bool,
        typer.Option(
            "--views/--no-views", help="Train on the set's views, too, with a head that trains by epochs."
        ),
    ] = True,
    prepare: Annotated[
        str | None,
        typer.Option(
            "--prepare", metavar="STEPS", help="l2, standardise, pca=K and whiten=K, with commas between."
        ),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param", metavar="NAME=VALUE", help="A parameter of the head, e.g. C=0.1; repeatable."
        ),
    ] = None,
    sweep: Annotated[
        str | None,
        typer.Option(
            "--sweep",
            metavar="GRID",
            help="lr=1e-4..1e-1:7,weight_decay=0,1e-2: all combinations; head=ridge,mlp and tap=2.mean,last.mean too.",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    search: Annotated[str, typer.Option("--search", help="grid or optuna.", rich_help_panel=SEARCH)] = "grid",
    trials: Annotated[int, typer.Option("--trials", min=1, help="Of optuna.", rich_help_panel=SEARCH)] = 50,
    seeds: Annotated[
        int,
        typer.Option("--seeds", min=1, help="So many seeds from --seed on.", rich_help_panel=SEARCH),
    ] = 1,
    folds: Annotated[
        int | None,
        typer.Option(
            "--folds",
            min=2,
            help="Choose by cross-validation on train and validation.",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    refit: Annotated[
        bool,
        typer.Option(
            "--refit", help="In the end fit on train and validation together.", rich_help_panel=SEARCH
        ),
    ] = False,
    shots: Annotated[
        str | None,
        typer.Option(
            "--shots",
            metavar="1,2,4",
            help="Few-shot: so many samples of each class.",
            rich_help_panel=PROTOCOLS,
        ),
    ] = None,
    curve: Annotated[
        str | None,
        typer.Option(
            "--curve", metavar="100,300,1000", help="Learning curve: train sizes.", rich_help_panel=PROTOCOLS
        ),
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate/--no-calibrate", help="Scale probabilities on validation data."),
    ] = True,
    mapped: Annotated[
        bool | None,
        typer.Option(
            "--mapped/--in-memory", help="Where features are read; chosen by their size if not given."
        ),
    ] = None,
    track: Annotated[
        list[str] | None,
        typer.Option("--track", help="tensorboard, wandb or mlflow; repeatable.", rich_help_panel=WATCH),
    ] = None,
    callback: Annotated[
        list[str] | None,
        typer.Option(
            "--callback", metavar="py:…", help="Your own, told after each epoch.", rich_help_panel=WATCH
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the head.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="RUN", help="Default: runs/<set>-<head>.")
    ] = None,
    overwrite: options.Overwrite = False,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Repeat a run; other options change it."),
    ] = None,
    cache: options.Cache = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Fit a head on cached features, in seconds. The backbone is never loaded."""
    values = options.as_options(locals())
    from headstart.config import FitConfig
    from headstart.errors import ConfigError
    from headstart.files import make_directory
    from headstart.plots.studio import open_studio
    from headstart.progress import open_progress
    from headstart.registry.run import check_free

    if (set is None) == (config is None):
        raise ConfigError("say which set to fit on: headstart fit-head SET, or --config FILE")
    given = _resolve(values, param or [])
    if config:
        given = options.said(context, given, param="params")
        resolved = FitConfig.load(config, given)
    else:
        resolved = FitConfig(**given)
    name = resolved.head.removeprefix("py:").replace(":", "-")
    target = out or Path("runs") / f"{resolved.set}-{name}"
    check_free(target, overwrite)
    make_directory(target.parent)
    checkpoint = target.with_name(f".{target.name}.training")
    with open_studio() as studio:
        from headstart.fitting.stage import fit_head as run

        record = run(resolved, open_progress(quiet), checkpoint)
        record.save(target, overwrite, studio.draw)
    checkpoint.unlink(missing_ok=True)
    if as_json:
        import json

        typer.echo(json.dumps({"run": str(target), **record.report}))
        return
    _show(record, resolved)
    typer.echo(f"fitted in {record.report['timings']['fit']:.2f} s; the run lies in {target}")


def _resolve(values: Mapping[str, Any], param: list[str]) -> dict[str, Any]:
    """Options as the configuration takes them."""
    written = ("sweep", "shots", "curve", "prepare")
    given = {name: value for name, value in values.items() if name not in written and value is not None}
    for name in ("tap", "backbone"):
        if isinstance(given.get(name), list) and len(given[name]) == 1:
            given[name] = given[name][0]
    from headstart.fitting.grids import parse_sweep

    if sweep := values.get("sweep"):
        given["sweep"] = parse_sweep(sweep)
    for name in ("shots", "curve"):
        if values.get(name):
            given[name] = _numbers(name, values[name])
    if steps := values.get("prepare"):
        given["prepare"] = [step.strip() for step in steps.split(",")]
    return {**given, "params": _params(param)}


def _numbers(name: str, text: str) -> list[int]:
    from headstart.errors import ConfigError

    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"--{name} takes whole numbers with commas between (got {text!r})") from None


def _params(given: list[str]) -> dict[str, Any]:
    from headstart.errors import ConfigError

    params = {}
    for entry in given:
        name, equals, value = entry.partition("=")
        if not equals or not name:
            raise ConfigError(f"--param takes NAME=VALUE, e.g. --param C=0.1 (got {entry!r})")
        if name.strip() in params:
            raise ConfigError(f"--param {name.strip()} is given twice; --sweep tries several values")
        params[name.strip()] = value.strip()
    return params


def _show(record: Run, config: FitConfig) -> None:
    """The figures of a run, as a person reads them."""
    report = record.report
    if "sweep" in report:
        show_sweep(report["sweep"])
    if importance := report.get("importance"):
        drops = ", ".join(f"{one['name']} {one['drop']:.4f} ± {one['deviation']:.4f}" for one in importance)
        typer.echo(f"{importance[0]['metric']} lost where a feature is shuffled: {drops}")
    show_metrics(report)
    if "seeds" in report:
        _show_spread(report["seeds"], f"{report['seeds']['n']} seeds, {report['seeds']['split']}")
    for name, noun in (("shots", "of each class"), ("curve", "train samples")):
        for row in report.get(name, []):
            _show_spread(row, f"{row['size']:,} {noun}, {row['split']}")


def show_metrics(report: Mapping[str, Any]) -> None:
    """A line of figures for each split."""
    for split, metrics in report["metrics"].items():
        shown = open_task(report["task"]).headline
        figures = "  ".join(f"{label} {_figure(metrics, name)}" for label, name in shown.items())
        typer.echo(f"{split:<10}  {figures}  ({metrics['n']:,} samples)")


def show_sweep(sweep: Mapping[str, Any]) -> None:
    """What was chosen, and how well it did."""
    judged_on = f"{sweep['folds']} folds" if sweep["folds"] else "validation"
    if sweep["best"]:
        best = ", ".join(f"{name}={value}" for name, value in sweep["best"].items())
        typer.echo(f"best of {len(sweep['trials'])} on {judged_on}: {best}")
    spread = {
        part: {name: each[part] for name, each in sweep["validation"].items()}
        for part in ("mean", "deviation")
    }
    _show_spread(spread, judged_on)


def _figure(metrics: Mapping[str, Any], name: str) -> str:
    if metrics.get(name) is None:
        return "-"
    interval = metrics.get("intervals", {}).get(name)
    return f"{metrics[name]:.4f}" + (f" [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else "")


def _show_spread(row: Mapping[str, Any], title: str) -> None:
    figures = "  ".join(
        f"{name.replace('_', ' ')} {mean:.4f}"
        + (f" ± {row['deviation'][name]:.4f}" if row["deviation"][name] is not None else "")
        for name, mean in row["mean"].items()
    )
    typer.echo(f"{title}: {figures}")
