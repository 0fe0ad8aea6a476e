"""``headstart fit-head``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from headstart.cli import options
from headstart.cli.guard import guarded


@guarded
def fit_head(
    set: Annotated[str | None, typer.Argument(metavar="SET", help="The name of a set.")] = None,
    head: Annotated[str, typer.Option("--head", help="logistic, ridge or linear.")] = "logistic",
    tap: Annotated[str | None, typer.Option("--tap", help="Which feature of the set.")] = None,
    backbone: Annotated[str | None, typer.Option("--backbone", help="Which feature of the set.")] = None,
    label: Annotated[str | None, typer.Option("--label", metavar="NAME", help="Which label column.")] = None,
    views: Annotated[
        bool,
        typer.Option(
            "--views/--no-views", help="Train on the set's views, too, with a head that can: linear."
        ),
    ] = True,
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param", metavar="NAME=VALUE", help="A parameter of the head, e.g. C=0.1; repeatable."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the head.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="RUN", help="Default: runs/<set>-<head>.")
    ] = None,
    overwrite: options.Overwrite = False,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Repeat a run from its config.yaml.")
    ] = None,
    cache: options.Cache = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Fit a head on cached features, in seconds. The backbone is never loaded."""
    values = options.as_options(locals())
    from headstart.errors import ConfigError
    from headstart.progress import open_progress
    from headstart.runs.record import check_free
    from headstart.stages.config import FitConfig
    from headstart.stages.fit_head import fit_head as run

    if (set is None) == (config is None):
        raise ConfigError("say which set to fit on: headstart fit-head SET, or --config FILE")
    resolved = FitConfig.load(config) if config else FitConfig(**values, params=_params(param or []))
    target = out or Path("runs") / f"{resolved.set}-{resolved.head}"
    check_free(target, overwrite)
    record = run(resolved, open_progress(quiet)).record
    record.save(target, overwrite)
    if as_json:
        import json

        typer.echo(json.dumps({"run": str(target), **record.report}))
        return
    for split, metrics in record.report["metrics"].items():
        typer.echo(
            f"{split:<10}  accuracy {metrics['accuracy']:.4f}  macro-F1 {metrics['macro_f1']:.4f}  "
            f"({metrics['n']:,} samples)"
        )
    typer.echo(f"fitted in {record.report['timings']['fit']:.2f} s; the run lies in {target}")


def _params(given: list[str]) -> dict[str, Any]:
    from headstart.errors import ConfigError

    params = {}
    for entry in given:
        name, equals, value = entry.partition("=")
        if not equals or not name:
            raise ConfigError(f"--param takes NAME=VALUE, e.g. --param C=0.1 (got {entry!r})")
        params[name.strip()] = value.strip()
    return params
