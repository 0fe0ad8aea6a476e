"""``headstart extract``."""

from __future__ import annotations

from typing import Annotated

import typer

from headstart.cli import options
from headstart.cli.guard import guarded


@guarded
def extract(
    data: Annotated[
        str,
        typer.Argument(metavar="DATA", help="Class folders, a CSV/TSV/JSONL/Parquet file, or split files."),
    ],
    backbone: Annotated[
        str,
        typer.Option(
            "--backbone", metavar="SPEC", help="timm:NAME, hf:NAME, bundled:NAME or py:MODULE:FACTORY."
        ),
    ],
    set: Annotated[str | None, typer.Option("--set", metavar="NAME", help="Name of the set.")] = None,
    taps: Annotated[
        str | None, typer.Option("--taps", help="By comma: pooler, last.cls, last.mean, last.max.")
    ] = None,
    cache: options.Cache = None,
    format: options.Format = "hdf5",
    precision: Annotated[str, typer.Option("--precision", help="auto, fp32, bf16 or fp16.")] = "auto",
    dtype: Annotated[
        str | None, typer.Option("--dtype", help="Stored as float16 or float32. Default: as computed.")
    ] = None,
    max_length: Annotated[int | None, typer.Option("--max-length", help="Tokens a text is cut to.")] = None,
    image_size: Annotated[int | None, typer.Option("--image-size", help="Side of the image, pixels.")] = None,
    crop_pct: Annotated[float | None, typer.Option("--crop-pct", help="Share the centre crop keeps.")] = None,
    weights: options.Weights = None,
    device: options.Device = "auto",
    batch_size: options.BatchSize = None,
    split_seed: Annotated[int, typer.Option("--split-seed", help="Of the splits that are made.")] = 0,
    text_column: options.TextColumn = None,
    text_pair_column: options.TextPairColumn = None,
    image_column: options.ImageColumn = None,
    label_column: options.LabelColumn = None,
    label_names: options.LabelNames = None,
    id_column: options.IdColumn = None,
    split_column: options.SplitColumn = None,
    encoding: options.Encoding = "utf-8",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what failed for good before.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 if samples were skipped.")] = False,
    offline: options.Offline = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Run a frozen backbone once over a data set and keep its features."""
    values = options.as_options(locals(), "taps", "label_column", "label_names")
    from headstart.progress import open_progress
    from headstart.stages.config import ExtractConfig
    from headstart.stages.extract import check_strict
    from headstart.stages.extract import extract as run

    config = ExtractConfig(**values)
    progress = open_progress(quiet)
    done = run(config, progress)
    features = done.features
    if as_json:
        import json

        result = {
            "set": features.name,
            "digest": features.digest,
            "path": str(features.path),
            "samples": done.n_samples,
            "computed": done.n_computed,
            "failures": len(done.failures),
            "seconds": round(done.seconds, 3),
            "spaces": [ref.space for ref in features.features],
        }
        typer.echo(json.dumps(result))
    else:
        rate = f", {done.n_computed / done.seconds:,.0f} a second" if done.n_computed else ""
        typer.echo(
            f"set {features.name}: {done.n_samples:,} samples, {done.n_computed:,} computed "
            f"in {done.seconds:.1f} s{rate}"
        )
        if done.failures:
            typer.echo(f"{len(done.failures):,} skipped, named in {features.path / 'failures.jsonl'}")
        progress.say(f"next: headstart fit-head {features.name}" + (f" --cache {cache}" if cache else ""))
    check_strict(config, done)
