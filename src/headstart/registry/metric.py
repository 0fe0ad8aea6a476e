"""A figure of a report, by its split and its name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headstart.registry.labels import has_several, reports_by_label

if TYPE_CHECKING:
    from headstart.types import Json

LOWER_IS_BETTER = ("log_loss", "brier", "ece", "mce", "mae", "mse", "rmse", "hamming_loss", "error")
"""Metrics of which the smallest value is the best; of all others it is the largest."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of a report: ``metrics.<split>.<name>``, with dots for what lies deeper: ``per_class.cat.f1``.

    Of a run of several labels the name begins with one of them: ``mood.accuracy``.
    """

    split: str
    name: str

    def __str__(self) -> str:
        return f"{self.split}.{self.name}"

    @property
    def lower_is_better(self) -> bool:
        """Whether it measures an error."""
        return self.name.rpartition(".")[2] in LOWER_IS_BETTER


def value_in(report: Mapping[str, Json], metric: Metric, column: str = "") -> float | None:
    """A figure of a report; None if it has no such number. ``column`` is the label of a run that has one."""
    for values, name in _places(report, metric, column):
        found = _within(values, name)
        if isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found):
            return float(found)
    return None


def interval_in(report: Mapping[str, Json], metric: Metric, column: str = "") -> tuple[float, float] | None:
    """The 95 % interval of a figure; None if the report has none."""
    for values, name in _places(report, metric, column):
        found = _within(values, f"intervals.{name}")
        if isinstance(found, Sequence) and len(found) == 2:
            return float(found[0]), float(found[1])
    return None


def _places(report: Mapping[str, Json], metric: Metric, column: str) -> list[tuple[Json, str]]:
    """The figures that a metric may be among, and its name there.

    Of a run with one label it may begin with that label, as it does among runs of several.
    """
    if has_several(report):
        parts = reports_by_label(report).items()
        return [
            (part["metrics"].get(metric.split, {}), metric.name.removeprefix(f"{label}."))
            for label, part in parts
            if metric.name.startswith(f"{label}.")
        ]
    values = report["metrics"].get(metric.split, {})
    found = [(values, metric.name)]
    if column and metric.name.startswith(f"{column}."):
        found.append((values, metric.name.removeprefix(f"{column}.")))
    return found


def _within(values: Json, name: str) -> Json:
    """What a dotted name means; names of classes may have dots of their own."""
    if not isinstance(values, dict):
        return None
    if name in values:
        return values[name]
    dots = [i for i, letter in enumerate(name) if letter == "."]
    found = (_within(values[name[:i]], name[i + 1 :]) for i in dots if name[:i] in values)
    return next((value for value in found if value is not None), None)
