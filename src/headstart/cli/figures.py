"""The line of figures that several commands end with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart.columns import over_groups, with_interval
from headstart.words import counted


def figures_line(title: str, task: str, metrics: Mapping[str, Any]) -> str:
    """The headline figures of a split, or of other data, with their intervals."""
    from headstart.tasks import open_task

    shown = open_task(task).headline
    figures = "  ".join(f"{label} {with_interval(metrics, name)}" for label, name in shown.items())
    over = over_groups(metrics) if "intervals" in metrics else ""
    counts = ", ".join(filter(None, [counted(metrics["n"], "sample"), over]))
    return f"{title:<10}  {figures}  ({counts})"
