"""Experiments as YAML."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from headstart.api import shared
from headstart.options import Option, StrPath, public

if TYPE_CHECKING:
    from headstart.pipelines.run import PipelineOutcome


@public
def run_pipeline(
    pipeline: Annotated[
        StrPath,
        Option(
            "A YAML file, or the name of one that comes along. None: list those.",
            metavar="PIPELINE",
            is_argument=True,
        ),
    ],
    *,
    set: Annotated[
        Mapping[str, Any] | None,
        Option(
            "Change it: data=photos, extract.backbone=…, steps.full.epochs=3; repeatable.",
            metavar="PATH=VALUE",
            repeats=True,
        ),
    ] = None,
    out: Annotated[StrPath | None, Option("Default: runs/<name of the pipeline>.", metavar="DIR")] = None,
    dry_run: Annotated[
        bool, Option("Check it, say what would run and what is there, and do nothing.")
    ] = False,
    replace: shared.Replace = False,
    offline: shared.OfflineAlone = False,
    cache: shared.CacheDir = None,
    trust: shared.Trust = None,
    quiet: bool = False,
) -> "PipelineOutcome":
    """Run extract, fit-head, fine-tune and compare as one experiment; what is there is skipped.

    ``outcome["full"]`` says what became of the step ``full``.

    Parameters
    ----------
    pipeline : path
        A YAML file, or the name of one that comes along.
    set : mapping, optional
        What to change, by path: ``{"data": "photos", "fine-tune.epochs": 3, "steps.full.lr": 1e-4}``.
    quiet : bool
        Show no progress.

    Raises
    ------
    ConfigError
        The pipeline is wrong; the message names the line.
    HeadstartError
        A step failed; the message begins with its name, and what was done before it is kept.
    """
    import json
    import os
    from pathlib import Path

    from headstart.pipelines.run import foresee, run_pipeline
    from headstart.pipelines.schema import load_pipeline
    from headstart.pipelines.shipped import find_pipeline
    from headstart.progress import open_progress

    # JSON is YAML, so that a value here is what it would be in the file.
    changes = [
        f"{path}={json.dumps(value, default=str, ensure_ascii=False)}" for path, value in (set or {}).items()
    ]
    found = load_pipeline(find_pipeline(str(pipeline)), changes)
    target = Path(out) if out is not None else Path("runs") / found.name
    place = None if cache is None else os.fspath(cache)
    if dry_run:
        return foresee(found, target, open_progress(quiet), place)
    return run_pipeline(found, target, open_progress(quiet), place, offline, replace)
