"""``headstart predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headstart.cli import options
from headstart.cli.guard import guarded


@guarded
def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")],
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A folder, an image, or a CSV/TSV/JSONL/Parquet file.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help=".parquet, .csv or .jsonl. Default: CSV on stdout."),
    ] = None,
    cache: options.Cache = None,
    format: options.Format = "hdf5",
    device: options.Device = "auto",
    batch_size: options.BatchSize = None,
    text_column: options.TextColumn = None,
    text_pair_column: options.TextPairColumn = None,
    image_column: options.ImageColumn = None,
    label_column: options.LabelColumn = None,
    label_names: options.LabelNames = None,
    id_column: options.IdColumn = None,
    split_column: options.SplitColumn = None,
    encoding: options.Encoding = "utf-8",
    offline: options.Offline = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Predict raw inputs: labels by name and probabilities, through the cache."""
    values = options.as_options(locals(), "label_column", "label_names")
    from headstart.cli.tables import check_writable, write_table
    from headstart.progress import open_progress
    from headstart.stages.config import PredictConfig
    from headstart.stages.predict import predict as stage

    check_writable(out)
    progress = open_progress(quiet)
    table = stage(run, PredictConfig(**values), progress)
    write_table(table, out)
    n_bad = table.column("prediction").null_count
    if n_bad:
        progress.say(f"{n_bad:,} of {table.num_rows:,} inputs could not be used; see the column 'error'")
    if out is not None:
        progress.say(f"{table.num_rows:,} predictions written to {out}")
