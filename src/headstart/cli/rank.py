"""``headstart rank``."""

from __future__ import annotations

import typer

from headstart import api
from headstart.cli.command import AsJson, Quiet, Said, Verbose, made_from, write_json
from headstart.columns import cell, columns


@made_from(api.rank)
def rank(said: Said, as_json: AsJson = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    ranked = api.rank(**said.values, quiet=quiet)
    if as_json:
        write_json(ranked)
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
