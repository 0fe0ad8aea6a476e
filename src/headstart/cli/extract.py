"""``headstart extract``."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options as shared
from headstart.cli.guard import guarded
from headstart.tasks import open_task

if TYPE_CHECKING:
    from headstart.extraction.stage import ExtractionResult


@guarded
@shared.takes(shared.BACKBONE, shared.VIEWS, shared.READING, shared.COMPUTING)
def extract(
    data: shared.Data,
    backbone: shared.BackboneSpecs,
    set: Annotated[str | None, typer.Option("--set", metavar="NAME", help="Name of the set.")] = None,
    split_seed: Annotated[int, typer.Option("--split-seed", help="Of the splits that are made.")] = 0,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what failed for good before.")
    ] = False,
    max_failures: Annotated[
        str | None,
        typer.Option("--max-failures", metavar="N|P%", help="Stop when more samples fail than this."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 if samples were skipped.")] = False,
    as_json: shared.AsJson = False,
    cache: shared.Cache = None,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
    **options: Any,
) -> None:
    """Run a frozen backbone once over a data set and keep its features."""
    values = shared.as_options(locals(), "taps", "label_column", "label_names")
    values["backbone"], *values["more_backbones"] = backbone
    from headstart.config import ExtractConfig
    from headstart.extraction.stage import check_strict
    from headstart.extraction.stage import extract as run
    from headstart.progress import open_progress

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
            "failures": done.n_skipped,
            "unlabelled": dict(done.n_unlabelled),
            "seconds": round(done.seconds, 3),
            "timings": None if done.timings is None else done.timings.to_json(),
            "spaces": [ref.space for ref in features.features],
        }
        typer.echo(json.dumps(result))
    else:
        rate = f", {done.n_computed / done.seconds:,.0f} a second" if done.n_computed else ""
        typer.echo(
            f"set {features.name}: {done.n_samples:,} samples, {done.n_computed:,} computed "
            f"in {done.seconds:.1f} s{rate}"
        )
        if done.timings is not None:
            progress.say(str(done.timings))
        if done.failures:
            typer.echo(f"{done.n_skipped:,} skipped, named in {features.path / 'failures.jsonl'}")
        for name, n in done.n_unlabelled.items():
            if n:
                typer.echo(
                    f"{n:,} of {done.n_samples:,} samples have no label in {name!r}; heads leave them out"
                )
        if (fitting := _fitting(done)) is not None:
            where = f" --cache {config.cache}" if config.cache else ""
            progress.say(f"next: headstart fit-head {features.name}{fitting}{where}")
    check_strict(config, done)


def _fitting(done: ExtractionResult) -> str | None:
    """The options of ``fit-head`` that fit what was extracted; None: there is no label to learn."""
    from headstart.backbones.pooling import is_ragged

    features = done.features
    for place, (name, kind) in enumerate(features.label_kinds.items()):
        if _n_values(done, name) > 1:
            label = f" --label {quote(name)}" if place else ""
            if is_ragged(features.feature().tap):
                return f" --head attention{label}"
            return f" --head ridge{label}" if open_task(kind).form == "numbers" else label
    return None


def _n_values(done: ExtractionResult, label: str) -> int:
    """Classes or labels by name, or samples that have a number: of one alone nothing can be learnt."""
    if not open_task(done.features.label_kinds[label]).has_names:
        return done.n_samples - done.n_unlabelled[label]
    return len(done.features.label_names[label])
