"""What a tracker is, and what it is told of a run."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from headstart.registry.labels import reports_by_label

if TYPE_CHECKING:
    from pathlib import Path

    from headstart.types import Json


class Tracker(Protocol):
    """Follows one run at a time: `start`, then `log` any number of times, then `finish`.

    It may have an attribute ``place``, a str: where people see what it writes, such as
    ``tensorboard --logdir tensorboard``; see `place_of`.
    """

    def start(self, config: Mapping[str, Json], name: str) -> None:
        """A run begins, with its configuration and a name for people."""

    def log(self, step: int, values: Mapping[str, Json]) -> None:
        """Figures of a step, such as an epoch; what is no number is left out."""

    def finish(self, report: Mapping[str, Json] | None, files: Sequence[Path] = ()) -> None:
        """The run is over: its ``report.json`` and files worth keeping with it. None: it failed."""


class Several:
    """Several trackers as one.

    Parameters
    ----------
    each : sequence of Tracker
    """

    def __init__(self, each: Sequence[Tracker]) -> None:
        self._each = tuple(each)
        self._started: list[Tracker] = []

    @property
    def place(self) -> str:
        """The places of those that have one."""
        return ", ".join(place for tracker in self._each if (place := place_of(tracker)))

    def start(self, config: Mapping[str, Json], name: str) -> None:
        """Start all; if one cannot, those that could are told that the run failed."""
        self._started = []
        try:
            for tracker in self._each:
                tracker.start(config, name)
                self._started.append(tracker)
        except BaseException:
            self.finish(None)
            raise

    def log(self, step: int, values: Mapping[str, Json]) -> None:
        """Tell all."""
        for tracker in self._started:
            tracker.log(step, values)

    def finish(self, report: Mapping[str, Json] | None, files: Sequence[Path] = ()) -> None:
        """Finish all."""
        while self._started:
            self._started.pop(0).finish(report, files)


def place_of(tracker: Tracker) -> str:
    """Where people see what a tracker writes, to be said once when the run has started; empty: it does not say."""
    return str(getattr(tracker, "place", None) or "")


def figures(values: Mapping[str, Json]) -> dict[str, float]:
    """The numbers among some values.

    Examples
    --------
    >>> figures({"loss": 0.5, "best": None, "done": True, "note": "x"})
    {'loss': 0.5}
    """
    return {name: float(value) for name, value in values.items() if _is_number(value)}


def figures_of(report: Mapping[str, Json]) -> dict[str, float]:
    """The single figures of a report, by names that every tracker takes.

    Examples
    --------
    >>> figures_of({"metrics": {"test": {"accuracy": 0.5, "per_class": {}}}, "timings": {"fit": 2}, "seed": 0})
    {'test/accuracy': 0.5, 'seconds/fit': 2.0}
    """
    found: dict[str, float] = {}
    for label, part in reports_by_label(report).items():
        before = f"{plain_name(label)}/" if label else ""
        for split, values in part.get("metrics", {}).items():
            found |= {f"{split}/{before}{name}": value for name, value in figures(values).items()}
    for group, title in (("timings", "seconds"), ("cost", "cost")):
        found |= {f"{title}/{name}": value for name, value in figures(report.get(group, {})).items()}
    return found


def plain_name(label: str) -> str:
    """A label as part of a name that every tracker takes.

    Examples
    --------
    >>> plain_name("size, in cm")
    'size- in cm'
    """
    return re.sub(r"[^\w\-. ]", "-", label)


def settings(config: Mapping[str, Json]) -> dict[str, str | float | int | bool]:
    """A configuration in one level, without what is not set.

    Examples
    --------
    >>> settings({"head": "mlp", "params": {"depth": 2}, "tap": None, "shots": [1, 2]})
    {'head': 'mlp', 'params.depth': 2, 'shots': '[1, 2]'}
    """
    return {
        name: value if isinstance(value, str | int | float) else str(value)
        for name, value in _flat(config, "")
        if value is not None
    }


def _flat(values: Mapping[str, Json], before: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isinf(value)
