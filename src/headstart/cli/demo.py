"""``headstart demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headstart.cli.command import Verbose
from headstart.cli.guard import guarded


@guarded
def demo(
    folder: Annotated[
        Path, typer.Option("--folder", metavar="DIR", help="Where data, cache and runs go.")
    ] = Path("demo"),
    verbose: Verbose = False,
) -> None:
    """Run the main job on real images and texts, with real pretrained weights."""
    from headstart.pipelines.demo import run_demo

    run_demo(folder)
