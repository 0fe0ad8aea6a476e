"""``headstart predict`` and ``headstart export``: what a run makes of raw inputs, and what it leaves for others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headstart import api
from headstart.cli.command import AsJson, Quiet, Said, made_from, write_json


@made_from(api.predict)
def predict(
    said: Said,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help=".parquet, .csv or .jsonl. Default: CSV on stdout."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    from headstart.cli.tables import check_writable, write_table
    from headstart.progress import open_progress

    check_writable(out, said["data"], said["run"])
    table = api.predict(**said.values, quiet=quiet).table
    progress = open_progress(quiet)
    write_table(table, out)
    n_bad = table.column("prediction").null_count
    if n_bad:
        progress.say(f"{n_bad:,} of {table.num_rows:,} inputs could not be used; see the column 'error'")
    if out is not None:
        progress.say(f"{table.num_rows:,} predictions written to {out}")


@made_from(api.export)
def export(said: Said, as_json: AsJson = False, quiet: Quiet = False) -> None:
    done = api.export(**said.values, quiet=quiet)
    if as_json:
        write_json(done.as_json)
