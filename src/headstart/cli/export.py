"""``headstart export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headstart.cli import options
from headstart.cli.guard import guarded


@guarded
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")],
    to: Annotated[
        str,
        typer.Option("--to", metavar="FORMAT", help="hf (transformers), onnx, or timm."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to write.")],
    overwrite: options.Overwrite = False,
    offline: Annotated[bool, typer.Option("--offline", help="Open no socket.")] = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Write backbone and head of a run as one model that others load without headstart."""
    from headstart.exporting.stage import export as stage
    from headstart.network import forbid_network
    from headstart.progress import open_progress
    from headstart.registry.run import Run

    if offline:
        forbid_network()
    done = stage(Run.load(run), to, out, open_progress(quiet), overwrite, offline)
    if as_json:
        options.write_json(done.as_json)
