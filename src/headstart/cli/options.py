"""Options that several commands share, each said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

Cache = Annotated[
    str | None,
    typer.Option("--cache", metavar="DIR", help="The cache. Default: $HEADSTART_CACHE, else yours."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing on stderr but errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show tracebacks.")]
Offline = Annotated[bool, typer.Option("--offline", help="Open no network socket.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write the result as JSON to stdout.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps …")]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", min=1, help="Samples a batch; changes no feature.")
]
Format = Annotated[str, typer.Option("--format", help="Of new shards: hdf5 (speed) or parquet (exchange).")]
TextColumn = Annotated[str | None, typer.Option("--text-column", metavar="NAME")]
TextPairColumn = Annotated[str | None, typer.Option("--text-pair-column", metavar="NAME")]
ImageColumn = Annotated[str | None, typer.Option("--image-column", metavar="NAME", help="Paths of images.")]
LabelColumn = Annotated[
    str | None, typer.Option("--label-column", metavar="NAMES", help="One, or several by comma.")
]
LabelNames = Annotated[
    str | None,
    typer.Option("--label-names", metavar="NAMES", help="Names of integer labels 0 to n - 1, by comma."),
]
IdColumn = Annotated[str | None, typer.Option("--id-column", metavar="NAME")]
SplitColumn = Annotated[str | None, typer.Option("--split-column", metavar="NAME")]
Encoding = Annotated[str, typer.Option("--encoding", help="Of CSV, TSV and JSONL files.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run that lies there.")]
Weights = Annotated[
    Path | None, typer.Option("--weights", metavar="FILE", help="Local weights for a timm: backbone.")
]


def listed(names: str | None) -> list[str] | None:
    """Names by comma, as a list; None where none were given."""
    if names is None:
        return None
    return [name.strip() for name in names.split(",") if name.strip()]


def as_options(given: dict[str, Any], *lists: str) -> dict[str, Any]:
    """A command's arguments as a configuration takes them.

    Parameters
    ----------
    given : dict
        ``locals()`` of the command.
    *lists : str
        The names of those that are lists by comma.
    """
    for_the_shell = {"quiet", "verbose", "as_json", "out", "overwrite", "config", "run", "param"}
    return {
        name: listed(value) if name in lists else value
        for name, value in given.items()
        if name not in for_the_shell
    }
