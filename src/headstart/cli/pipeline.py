"""``headstart run``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from headstart import api
from headstart.cli.command import AsJson, Quiet, Said, made_from, this_command, write_json
from headstart.columns import with_interval
from headstart.registry.labels import LABELS
from headstart.words import counted

if TYPE_CHECKING:
    from headstart.pipelines.run import PipelineOutcome, StepOutcome


@made_from(api.run_pipeline, optional=["pipeline"])
def run(said: Said, as_json: AsJson = False, quiet: Quiet = False) -> None:
    from headstart.errors import HeadstartError
    from headstart.pipelines.run import foresee, run_pipeline
    from headstart.pipelines.schema import load_pipeline
    from headstart.pipelines.shipped import find_pipeline
    from headstart.progress import open_progress

    if said["pipeline"] is None:
        _list(as_json)
        return
    found = load_pipeline(find_pipeline(str(said["pipeline"])), said["set"] or [])
    target, progress = said["out"] or Path("runs") / found.name, open_progress(quiet)
    cache = None if said["cache"] is None else str(said["cache"])
    if said["dry_run"]:
        outcome = foresee(found, target, progress, cache)
    else:
        try:
            outcome = run_pipeline(found, target, progress, cache, said["offline"], said["replace"])
        except HeadstartError as error:
            error.args = (f"{error}. What was done is kept; go on with: {this_command()}",)
            raise
    if as_json:
        write_json(outcome.to_json())
        return
    _show(outcome)
    if not said["dry_run"]:
        progress.say(f"everything lies in {outcome.folder}")


def _list(as_json: bool) -> None:
    """The pipelines that come along."""
    from headstart.pipelines.schema import about_pipeline
    from headstart.pipelines.shipped import shipped_pipelines

    found = {name: about_pipeline(path) for name, path in shipped_pipelines().items()}
    if as_json:
        write_json(found)
        return
    width = max(map(len, found), default=0)
    for name, about in found.items():
        typer.echo(f"{name:<{width}}  {about}")


def _show(outcome: PipelineOutcome) -> None:
    """A line a step, then what the comparisons advise."""
    widths = [max(len(getattr(step, part)) for step in outcome.steps) for part in ("name", "verb")]
    for step in outcome.steps:
        typer.echo(f"{step.name:<{widths[0]}}  {step.verb:<{widths[1]}}  {_state(step)}".rstrip())
    for step in outcome.steps:
        for sentence in step.result.get("advice", []):
            typer.echo(f"{step.name}: {sentence}")


def _state(step: StepOutcome) -> str:
    match step.state:
        case "to do" | "to resume":
            return f"{step.state}: {step.reason}"
        case "there":
            said = "is there"
        case _:
            said = f"done in {step.seconds:.1f} s"
    return f"{said:<15} {_headline(step)}"


def _headline(step: StepOutcome) -> str:
    """What a step has found, in a few words; of several labels one after the other."""
    result: Mapping[str, Any] = step.result
    if LABELS not in result:
        return _figures(result)
    return "; ".join(
        f"{label} {_figures(part if 'figures' in part else {'metrics': part})}"
        for label, part in result[LABELS].items()
    )


def _figures(result: Mapping[str, Any]) -> str:
    if "samples" in result:
        return f"{counted(result['samples'], 'sample')} in the set {result['set']}"
    if "metrics" in result:
        split = "test" if "test" in result["metrics"] else next(iter(result["metrics"]), "")
        metrics = result["metrics"].get(split, {})
        name = next((name for name in ("accuracy", "r2", "mae", "chrf") if name in metrics), None)
        return f"{split} {name} {with_interval(metrics, name)}" if name else ""
    if "figures" in result:
        figures = ", ".join(f"{name} {value:.4f}" for name, value in result["figures"].items())
        return f"{result['figure']} on {counted(result['n'], 'sample')}: {figures}"
    if "rows" in result:
        return f"{counted(result['rows'], 'row')} in {result['predictions']}"
    return str(result.get("path", ""))
