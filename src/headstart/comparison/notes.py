"""What limits a comparison, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headstart.errors import StorageError
from headstart.files import read_json

if TYPE_CHECKING:
    from headstart.comparison.comparison import ComparedRun
    from headstart.comparison.runs import OpenedRun
    from headstart.types import Json

SHOWN = 5
"""How many runs a note names."""


def notes_on(opened: Sequence[OpenedRun], runs: Sequence[ComparedRun]) -> list[str]:
    """What limits a comparison: other training samples, other machines, times that are unknown or estimated."""
    return [
        *_other_training(runs),
        *_other_machines(opened),
        *_named("how long extraction took is unknown of", [r for r in runs if r.cost.extractions is None]),
        *_named(
            "how long extraction took is estimated, from the rate in this cache, for",
            [r for r in runs if r.cost.is_estimated],
        ),
        *_named("how long training took is unknown of", [r for r in runs if r.cost.fit_seconds is None]),
    ]


def _named(what: str, runs: Sequence[ComparedRun]) -> list[str]:
    return [f"{what} {_some([run.name for run in runs])}"] if runs else []


def _some(names: Sequence[str]) -> str:
    """The first few, and how many more."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _other_training(runs: Sequence[ComparedRun]) -> list[str]:
    counts = {run.n_train for run in runs}
    if len(counts - {None}) < 2:
        return []
    said = _some([f"{run.name} {run.n_train:,}" for run in runs if run.n_train is not None])
    return [f"the runs were trained on different numbers of samples: {said}"]


def _other_machines(opened: Sequence[OpenedRun]) -> list[str]:
    machines = {machine for run in opened if (machine := _machine(run)) is not None}
    return (
        ["the runs were made on different machines, so their times do not compare"]
        if len(machines) > 1
        else []
    )


def _machine(run: OpenedRun) -> Json:
    """What tells machines apart; None: the run does not say."""
    if run.path is None:
        return None
    try:
        said = read_json(run.path / "environment.json")
    except (OSError, StorageError):
        return None
    return (
        tuple(said.get(name) for name in ("platform", "machine", "cores")) if isinstance(said, dict) else None
    )
