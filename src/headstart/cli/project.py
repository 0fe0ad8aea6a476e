"""``headstart project``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headstart.cli import options
from headstart.cli.guard import guarded

PLOTS = (".png", ".svg")


@guarded
def project(
    set: Annotated[str, typer.Argument(metavar="SET", help="The name of a set.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="FILE", help=".png or .svg for a plot; .parquet, .csv or .jsonl for points."
        ),
    ],
    method: Annotated[
        str, typer.Option("--method", help="pca, tsne, or umap (pip install 'headstart\\[umap]').")
    ] = "pca",
    colour: Annotated[
        str | None,
        typer.Option(
            "--colour",
            metavar="COLUMN",
            help="label, label:NAME, meta:NAME or split; numbers by a colour bar. Default: label.",
        ),
    ] = None,
    tap: Annotated[str | None, typer.Option("--tap", help="Which feature of the set.")] = None,
    backbone: Annotated[str | None, typer.Option("--backbone", help="Which feature of the set.")] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="train, validation or test. Default: all.")
    ] = None,
    samples: Annotated[
        int, typer.Option("--samples", min=4, help="How many at most, drawn at random.")
    ] = 5000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the draw, and of tsne and umap.")] = 0,
    overwrite: options.Overwrite = False,
    cache: options.Cache = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Show the features of a set in two dimensions, coloured by label or by any column."""
    from headstart.inspection.project import ProjectConfig, project_set
    from headstart.progress import open_progress

    _check_writable(out, overwrite)
    config = ProjectConfig(set, method, colour, tap, backbone, split, samples, seed, cache)
    progress = open_progress(quiet)
    found = project_set(config, progress)
    if out.suffix.lower() in PLOTS:
        from headstart.files import write_durably

        plot = found.plot()
        write_durably(out, plot.png() if out.suffix.lower() == ".png" else plot.svg())
    else:
        from headstart.cli.tables import write_table

        # A key is bytes, which a table of text cannot hold.
        table = found.table if out.suffix.lower() == ".parquet" else found.table.drop_columns(["key"])
        write_table(table, out)
    progress.say(f"{found.table.num_rows:,} points written to {out}")


def _check_writable(out: Path, overwrite: bool) -> None:
    from headstart.cli.tables import SUFFIXES, check_writable
    from headstart.errors import ConfigError

    if out.suffix.lower() not in PLOTS + SUFFIXES:
        raise ConfigError(f"{out} has none of the endings {', '.join(PLOTS + SUFFIXES)}; choose one of them")
    if out.suffix.lower() not in PLOTS:
        check_writable(out)
    elif not out.parent.is_dir():
        raise ConfigError(f"there is no folder {out.parent} to write {out.name} to")
    if out.exists() and not overwrite:
        raise ConfigError(f"{out} is there already; choose another --out, or pass --overwrite")
