"""``headstart predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from headstart.cli import options as shared
from headstart.cli.guard import guarded


@guarded
@shared.takes(shared.READING, shared.COMPUTING)
def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")],
    data: shared.Data,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help=".parquet, .csv or .jsonl. Default: CSV on stdout."),
    ] = None,
    cache: shared.Cache = None,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
    **options: Any,
) -> None:
    """Predict raw inputs: labels by name and probabilities, through the cache."""
    values = shared.as_options(locals(), "label_column", "label_names")
    from headstart.cli.tables import check_writable, write_table
    from headstart.config import PredictConfig
    from headstart.prediction.stage import predict as stage
    from headstart.progress import open_progress
    from headstart.registry.run import Run

    check_writable(out, data, run)
    progress = open_progress(quiet)
    table = stage(Run.load(run), PredictConfig(**values), progress)
    write_table(table, out)
    n_bad = table.column("prediction").null_count
    if n_bad:
        progress.say(f"{n_bad:,} of {table.num_rows:,} inputs could not be used; see the column 'error'")
    if out is not None:
        progress.say(f"{table.num_rows:,} predictions written to {out}")
