"""``headstart project``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headstart import api
from headstart.cli.command import Overwrite, Quiet, Said, Verbose, made_from
from headstart.cli.tables import SUFFIXES, check_writable, write_table

PLOTS = (".png", ".svg")


@made_from(api.project)
def project(
    said: Said,
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="FILE", help=".png or .svg for a plot; .parquet, .csv or .jsonl for points."
        ),
    ],
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    from headstart.files import write_durably
    from headstart.progress import open_progress

    _check_writable(out, overwrite)
    found, suffix = api.project(**said.values, quiet=quiet), out.suffix.lower()
    if suffix in PLOTS:
        plot = found.plot()
        write_durably(out, plot.png() if suffix == ".png" else plot.svg())
    else:
        # A key is bytes, which a table of text cannot hold.
        write_table(found.table if suffix == ".parquet" else found.table.drop_columns(["key"]), out)
    open_progress(quiet).say(f"{found.table.num_rows:,} points written to {out}")


def _check_writable(out: Path, overwrite: bool) -> None:
    from headstart.errors import ConfigError

    if out.suffix.lower() not in PLOTS + SUFFIXES:
        raise ConfigError(f"{out} has none of the endings {', '.join(PLOTS + SUFFIXES)}; choose one of them")
    if out.suffix.lower() not in PLOTS:
        check_writable(out)
    elif not out.parent.is_dir():
        raise ConfigError(f"there is no folder {out.parent} to write {out.name} to")
    if out.exists() and not overwrite:
        raise ConfigError(f"{out} is there already; choose another --out, or pass --overwrite")
