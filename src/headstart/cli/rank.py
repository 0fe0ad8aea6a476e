"""``headstart rank``."""

from __future__ import annotations

from typing import Annotated

import typer

from headstart.cli import options
from headstart.cli.columns import columns
from headstart.cli.guard import guarded
from headstart.cli.tables import cell


@guarded
def rank(
    set: Annotated[str, typer.Argument(metavar="SET", help="The name of a set.")],
    label: Annotated[str | None, typer.Option("--label", metavar="NAME", help="Which label column.")] = None,
    cache: options.Cache = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Rank the taps and backbones of a set for its labels, without training anything; on train alone."""
    from headstart.inspection.rank import rank as stage
    from headstart.progress import open_progress

    ranked = stage(set, open_progress(quiet), label, cache)
    if as_json:
        options.write_json(ranked)
        return
    metric = ranked[0].metric
    header = ["backbone", "tap", "width", f"loo {metric}", "loo mse", "logme", f"knn {metric}", "seconds"]
    rows: list[list[str | float]] = [
        [
            cell(one.backbone, None),  # to be copied from here
            cell(one.tap, None),
            str(one.width),
            one.loo,
            one.loo_error,
            one.logme,
            one.knn,
            f"{one.seconds:.1f}",
        ]
        for one in ranked
    ]
    for line in columns(header, rows):
        typer.echo(line)
