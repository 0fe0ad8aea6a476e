"""How good a fitted head is: figures with intervals, tables and plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.fitting.excerpts import inputs_of
from headstart.metrics.resampling import RESAMPLES
from headstart.metrics.tables import errors_by
from headstart.plots import Plot, history_plot, learning_curve_plot, sweep_plot
from headstart.tasks import open_task
from headstart.types import Predictions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Task
    from headstart.heads.predictor import Predictor
    from headstart.samples import LabelledSamples
    from headstart.types import Json

MISTAKES = 50
META = "meta:"


@dataclass
class Evaluation:
    """What a head does on the samples of each split.

    Parameters
    ----------
    metrics : dict of str to dict
        By split, see `Task.report`.
    predictions : dict of str to Predictions
        By split.
    """

    metrics: dict[str, Json] = field(default_factory=dict)
    predictions: dict[str, Predictions] = field(default_factory=dict)

    @property
    def last(self) -> str:
        """The split that says most of new data."""
        return next(name for name in ("test", "validation", "train") if name in self.predictions)


def evaluate_splits(predictor: Predictor, splits: Mapping[str, LabelledSamples], seed: int) -> Evaluation:
    """Judge a head on every split that has samples; ``X`` is prepared already."""
    found = Evaluation()
    for split, part in splits.items():
        if len(part):
            outputs = predictor.outputs(part.X)
            said = Predictions(part.targets, outputs, predictor.classes, part.names, part.table)
            # How the training samples would have come out otherwise says nothing of others.
            resamples = 0 if split == "train" else RESAMPLES
            found.predictions[split] = said
            found.metrics[split] = open_task(part.kind).report(said, resamples, seed)
    return found


def after_refit(before: Evaluation, after: Evaluation) -> Evaluation:
    """The refitted head has seen the validation samples: for them, what the head before it said holds."""
    return Evaluation(
        {**after.metrics, "validation": before.metrics["validation"]},
        {**after.predictions, "validation": before.predictions["validation"]},
    )


def calibrated(predictor: Predictor, validation: LabelledSamples) -> Predictor:
    """The same with the temperature that fits the validation samples best."""
    logits = predictor.logits(validation.X) if len(validation) else None
    if logits is None:
        return predictor
    temperature = open_task(validation.kind).temperature(logits, validation.targets, predictor.classes)
    return replace(predictor, temperature=temperature)


def tables_of(features: FeatureSet, task: Task, found: Evaluation) -> dict[str, Json]:
    """Where a head is wrong on the last split.

    Returns
    -------
    dict
        ``split``; ``mistakes``: the worst ones, each with its ``id``, ``input``, ``label`` and ``prediction``;
        ``errors_by`` each metadata column.
    """
    split = found.last
    said, tables = found.predictions[split], dict[str, "Json"](split=split)
    mistakes, is_right = task.mistakes(said, MISTAKES), task.is_right(said)
    if mistakes is not None:
        tables["mistakes"] = _with_inputs(mistakes, features, said)
    if is_right is not None:
        tables["errors_by"] = errors_by(_meta_columns(said), is_right)
    return tables


def _meta_columns(said: Predictions) -> dict[str, NDArray[Any]]:
    assert said.table is not None
    columns = {
        name.removeprefix(META): said.table.column(name).to_pylist()
        for name in said.table.column_names
        if name.startswith(META)
    }
    return {
        name: np.array(["" if value is None else str(value) for value in values], dtype=np.str_)
        for name, values in columns.items()
    }


def _with_inputs(
    mistakes: list[dict[str, Json]], features: FeatureSet, said: Predictions
) -> list[dict[str, Json]]:
    """The same, with what people see of each sample."""
    assert said.table is not None
    ids = pa.array([mistake["id"] for mistake in mistakes], pa.string())
    rows = pc.index_in(ids, said.table.column("id").combine_chunks())
    inputs = inputs_of(features, said.table.take(rows))
    return [{**mistake, "input": shown} for mistake, shown in zip(mistakes, inputs, strict=True)]


def plots_of(
    train: LabelledSamples, found: Evaluation, history: Sequence[Mapping[str, Json]]
) -> dict[str, Plot]:
    """The plots of a run, by name."""
    split = found.last
    plots = open_task(train.kind).plots(found.predictions[split], found.metrics[split], split, train.column)
    return {**plots, "history": history_plot(history)} if history else plots


def plots_of_protocols(report: Mapping[str, Json]) -> dict[str, Plot]:
    """Plots of a sweep, of few-shot protocols and of learning curves, where there were any."""
    metric = open_task(report["task"]).leading_score
    plots = {"sweep": _sweep(report.get("sweep", {}), metric)}
    for name, x, title, base in (
        ("shots", "samples of each class", "Few shots", 2),
        ("curve", "training samples", "Learning curve", 10),
    ):
        rows = [row for row in report.get(name, []) if row["values"].get(metric)]
        if rows:
            curve = [row["size"] for row in rows], _even([row["values"][metric] for row in rows])
            plots[name] = learning_curve_plot({report["head"]["name"]: curve}, metric, x, title, base)
    return {name: plot for name, plot in plots.items() if plot}


def _sweep(sweep: Mapping[str, Json], metric: str) -> Plot | None:
    """Over the first two parameters of which more than one value was tried; None: there is none."""
    judged = [trial for trial in sweep.get("trials", []) if trial["validation"]]
    names = [name for trial in judged[:1] for name in trial["params"]]
    names = [name for name in names if all(name in trial["params"] for trial in judged)]
    varied = [name for name in names if len({str(trial["params"][name]) for trial in judged}) > 1][:2]
    if not varied:
        return None
    values = {name: [trial["params"][name] for trial in judged] for name in varied}
    scores = [trial["validation"][metric]["mean"] for trial in judged]
    chosen = [trial["params"] for trial in judged].index(sweep["best"])
    return sweep_plot(values, scores, f"validation {metric}", chosen=chosen)


def _even(rows: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Scores of each size, one a seed; NaN for seeds that diverged."""
    even = np.full((len(rows), max(map(len, rows))), np.nan)
    for place, row in enumerate(rows):
        even[place, : len(row)] = row
    return even
