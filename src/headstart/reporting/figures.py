"""The figures of a run as its report has them, with their intervals or why there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headstart.registry.metric import Metric, interval_in, value_in

if TYPE_CHECKING:
    from headstart.registry.run import Run
    from headstart.reporting.labels import PageLabel
    from headstart.types import Json

ORDER = ("test", "validation", "train")
"""Splits, the one that says most of new data first."""
OTHER_MEANS = ("micro_", "macro_", "weighted_")
"""What figures begin with that are other means of one thing: of these the page has those that runs are compared by."""


def figures_of(run: Run, label: PageLabel) -> list[dict[str, Json]]:
    """Every figure of every split: first those by which runs are compared, then the others that have intervals."""
    metrics = run.part("metrics")
    return [
        one for split in ORDER if split in metrics for one in _of_split(run, label, split, metrics[split])
    ]


def _of_split(run: Run, label: PageLabel, split: str, values: Json) -> list[dict[str, Json]]:
    titles = {figure.name: figure.title for figure in label.task.figures}
    reasons = values.get("no_interval", {}) if isinstance(values, dict) else {}
    others = values.get("intervals", {}) if isinstance(values, dict) else {}
    names = dict.fromkeys([*titles, *(name for name in others if not name.startswith(OTHER_MEANS))])
    found = []
    for name in names:
        metric = Metric(split, name)
        value, interval = value_in(run.report, metric), interval_in(run.report, metric)
        if value is not None:
            title = titles.get(name, name.replace("_", " "))
            shown = None if interval is None else list(interval)
            why = {"interval": shown, "reason": None if shown else reasons.get(name)}
            found.append({"split": split, "name": name, "title": title, "value": value, **why})
    return found
