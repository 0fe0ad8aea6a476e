"""``headstart search``: the samples of a set that are nearest to a query."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headstart import api
from headstart.cli.command import AsJson, Quiet, Said, made_from, write_json
from headstart.errors import ConfigError
from headstart.words import counted


@made_from(api.search)
def search(
    said: Said,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the answers: .parquet, .csv or .jsonl."),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Write the answers as CSV to stdout.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    from headstart.progress import open_progress
    from headstart.table_files import check_writable, write_table

    if as_csv and as_json:
        raise ConfigError("--csv and --json both write to stdout; leave one out")
    check_writable(out)
    found = api.search(**said.values, quiet=quiet)
    if as_json:
        write_json(found.table().to_pylist())
    elif as_csv:
        write_table(found.table(), None)
    elif out is None:
        for line in found.lines():
            typer.echo(line)
    if out is not None:
        write_table(found.table(), out)
        open_progress(quiet).say(f"{counted(len(found), 'row')} written to {out}")
    if said["sheet"] is not None:
        open_progress(quiet).say(f"contact sheet written to {said['sheet']}")
