"""``headstart extract``."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Any

import typer

from headstart import api
from headstart.cli.command import AsJson, Quiet, Said, made_from, write_json
from headstart.tasks import open_task
from headstart.words import counted

if TYPE_CHECKING:
    from headstart.contracts import Progress
    from headstart.extraction.stage import ExtractionResult


@made_from(api.extract)
def extract(said: Said, as_json: AsJson = False, quiet: Quiet = False) -> None:
    from headstart.config import ExtractConfig
    from headstart.extraction.stage import check_strict
    from headstart.extraction.stage import extract as run
    from headstart.progress import open_progress

    config = said.config(ExtractConfig)
    progress = open_progress(quiet)
    done = run(config, progress)
    if as_json:
        write_json(_as_json(done))
    else:
        _show(done, progress)
        if (fitting := _fitting(done)) is not None:
            where = f" --cache {config.cache}" if config.cache else ""
            progress.say(f"next: headstart fit-head {done.features.name}{fitting}{where}")
    check_strict(config, done)


def _as_json(done: ExtractionResult) -> dict[str, Any]:
    features = done.features
    return {
        "set": features.name,
        "digest": features.digest,
        "path": str(features.path),
        "found": done.n_found,
        "samples": done.n_samples,
        "counts": {backbone: counts.to_json() for backbone, counts in done.counts.items()},
        "ignored": dict(done.ignored),
        "computed": done.n_computed,
        "failures": done.n_skipped,
        "unlabelled": dict(done.n_unlabelled),
        "seconds": round(done.seconds, 3),
        "long_texts": {
            backbone: {"on_long": "windows" if found.in_windows else "truncate", **found.entry}
            for backbone, found in done.long.items()
        },
        "timings": None if done.timings is None else done.timings.to_json(),
        "spaces": [ref.space for ref in features.features],
    }


def _show(done: ExtractionResult, progress: Progress) -> None:
    """What was computed and what was left out."""
    n, computed = done.n_samples, done.n_computed
    rate = f", {computed / done.seconds:,.0f} a second" if computed else ""
    typer.echo(
        f"set {done.features.name}: {counted(n, 'sample')}, {computed:,} computed in {done.seconds:.1f} s{rate}"
    )
    for backbone, counts in done.counts.items():
        typer.echo(f"{backbone}: {counts}" if len(done.counts) > 1 else str(counts))
    if done.timings is not None:
        progress.say(str(done.timings))
    if done.failures:
        typer.echo(f"{done.n_skipped:,} skipped, named in {done.features.path / 'failures.jsonl'}")
    for name, missing in done.n_unlabelled.items():
        if missing:
            typer.echo(f"{missing:,} of {n:,} samples have no label in {name!r}; heads leave them out")


def _fitting(done: ExtractionResult) -> str | None:
    """The options of ``fit-head`` that fit what was extracted; None: there is no label to learn."""
    from headstart.backbones.pooling import is_ragged

    features = done.features
    for place, (name, kind) in enumerate(features.label_kinds.items()):
        if _n_values(done, name) > 1:
            label = f" --label {quote(name)}" if place else ""
            if open_task(kind).form == "tags":
                return f" --head logistic{label}"
            if is_ragged(features.feature().tap):
                return f" --head attention{label}"
            return f" --head ridge{label}" if open_task(kind).form == "numbers" else label
    return None


def _n_values(done: ExtractionResult, label: str) -> int:
    """Classes or labels by name, or samples that have a number: of one alone nothing can be learnt."""
    if not open_task(done.features.label_kinds[label]).has_names:
        return done.n_samples - done.n_unlabelled[label]
    return len(done.features.label_names[label])
