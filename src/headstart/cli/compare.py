"""``headstart compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headstart.cli import options
from headstart.cli.guard import guarded


@guarded
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run directories, two or more.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="Write comparison.csv, comparison.json, plots and a page there."
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    cache: options.Cache = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the bootstrap.")] = 0,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Compare runs on the same test samples: figures with intervals, costs, and which one to take."""
    from headstart.comparison.comparison import check_target
    from headstart.comparison.stage import compare as stage
    from headstart.progress import open_progress

    if out is not None:
        check_target(out, overwrite)
    comparison = stage(runs, cache, seed)
    if out is not None:
        comparison.save(out, overwrite)
    if as_json:
        options.write_json(comparison.to_json())
    else:
        comparison.show()
    if out is not None:
        open_progress(quiet).say(f"the comparison lies in {out}")
