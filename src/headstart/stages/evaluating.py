"""How good a fitted head is: figures with intervals, tables and plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.evaluation.calibration import fit_temperature
from headstart.evaluation.multi import evaluate_multi
from headstart.evaluation.plots import (
    Plot,
    confusion_plot,
    history_plot,
    learning_curve_plot,
    precision_recall_plot,
    reliability_plot,
    roc_plot,
    sweep_plot,
)
from headstart.evaluation.regression import evaluate_regression
from headstart.evaluation.single import evaluate_single
from headstart.evaluation.tables import errors_by, most_confident_mistakes
from headstart.heads.predictor import Predictor
from headstart.stages.inputs import inputs_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.stages.fit_data import FitData, Part
    from headstart.types import Json

MISTAKES = 50
META = "meta:"


@dataclass
class Evaluated:
    """What a head does on the samples of each split.

    Parameters
    ----------
    metrics : dict of str to dict
        By split, as `headstart.evaluation` gives them.
    outputs : dict of str to ndarray
        By split, see `Predictor.outputs`.
    """

    metrics: dict[str, Json] = field(default_factory=dict)
    outputs: dict[str, NDArray[Any]] = field(default_factory=dict)


def evaluate_splits(predictor: Predictor, data: FitData, seed: int) -> Evaluated:
    """Judge a head on every split that has samples; ``X`` is prepared already."""
    found = Evaluated()
    for split, part in data.parts.items():
        if len(part):
            outputs = predictor.outputs(part.X)
            found.outputs[split] = outputs
            found.metrics[split] = _judge(outputs, predictor.classes, data, part, seed)
    return found


def _judge(
    outputs: NDArray[np.float64], classes: Sequence[str], data: FitData, part: Part, seed: int
) -> dict[str, Json]:
    if data.kind == "regression":
        return evaluate_regression(part.y, outputs, seed=seed)
    if data.kind == "multi":
        return evaluate_multi(part.y, outputs, data.names, seed=seed)
    return evaluate_single(data.targets(part), outputs, classes, data.names, seed=seed)


def calibrated(predictor: Predictor, data: FitData) -> Predictor:
    """The same with the temperature that fits the validation samples best."""
    validation = data.parts["validation"]
    if data.kind == "regression" or not len(validation):
        return predictor
    logits = predictor.logits(validation.X)
    if data.kind == "multi":
        codes = validation.y
    else:
        places = {name: place for place, name in enumerate(predictor.classes)}
        codes = np.array([places.get(name, -1) for name in data.names])[validation.y]
    temperature = fit_temperature(logits, codes)
    return Predictor(predictor.head, predictor.preparation, temperature)


def tables_of(predictor: Predictor, features: FeatureSet, data: FitData, found: Evaluated) -> dict[str, Json]:
    """The most confident mistakes of the last split, and its errors by each metadata column."""
    split = next(name for name in ("test", "validation", "train") if name in found.outputs)
    if data.kind != "single":
        return {}
    part, outputs = data.parts[split], found.outputs[split]
    true = data.targets(part)
    predicted = np.array(predictor.classes)[outputs.argmax(axis=1)]
    ids = part.table.column("id").to_pylist()
    columns = {
        name.removeprefix(META): _as_text(part.table.column(name))
        for name in part.table.column_names
        if name.startswith(META)
    }
    mistakes = most_confident_mistakes(ids, true, outputs, predictor.classes, MISTAKES)
    rows = pc.index_in(
        pa.array([m["id"] for m in mistakes], pa.string()), part.table.column("id").combine_chunks()
    )
    inputs = inputs_of(features, part.table.take(rows))
    for mistake, shown in zip(mistakes, inputs, strict=True):
        mistake["input"] = shown
    return {"split": split, "mistakes": mistakes, "errors_by": errors_by(columns, predicted == true)}


def _as_text(column: pa.ChunkedArray) -> NDArray[Any]:
    return np.array(["" if value is None else str(value) for value in column.to_pylist()], dtype=np.str_)


def plots_of(
    predictor: Predictor, data: FitData, found: Evaluated, history: Sequence[Mapping[str, Json]]
) -> dict[str, Plot]:
    """The plots of a run, by name."""
    split = next(name for name in ("test", "validation", "train") if name in found.outputs)
    plots: dict[str, Plot] = {}
    if data.kind == "single":
        part, outputs = data.parts[split], found.outputs[split]
        true = data.targets(part)
        classes = predictor.classes
        confidence, predicted = outputs.max(axis=1), np.array(classes)[outputs.argmax(axis=1)]
        plots["confusion"] = confusion_plot(found.metrics[split]["confusion"], f"Confusion on {split}")
        plots["reliability"] = reliability_plot(confidence, predicted == true, f"Reliability on {split}")
        plots["roc"] = roc_plot(true, outputs, classes, f"ROC on {split}")
        plots["precision-recall"] = precision_recall_plot(
            true, outputs, classes, title=f"Precision and recall on {split}"
        )
    if history:
        plots["history"] = history_plot(history)
    return plots


def plots_of_protocols(report: Mapping[str, Json]) -> dict[str, Plot]:
    """Plots of a sweep, of few-shot protocols and of learning curves, where there were any."""
    plots: dict[str, Plot] = {}
    metric = "r2" if "rmse" in _first_scores(report) else "accuracy"
    if trials := [t for t in report.get("sweep", {}).get("trials", []) if t["validation"]]:
        names = [name for name in trials[0]["params"] if len({str(t["params"][name]) for t in trials}) > 1][
            :2
        ]
        if names:
            values = {name: [trial["params"][name] for trial in trials] for name in names}
            scores = [trial["validation"][metric]["mean"] for trial in trials]
            plots["sweep"] = sweep_plot(values, scores, f"validation {metric}")
    for name, x in (("shots", "samples of each class"), ("curve", "training samples")):
        if rows := report.get(name):
            sizes = [row["size"] for row in rows]
            scores = [row["values"][metric] for row in rows]
            plots[name] = learning_curve_plot({report["head"]["name"]: (sizes, scores)}, metric, x)
    return plots


def _first_scores(report: Mapping[str, Json]) -> Mapping[str, Json]:
    for rows in (report.get("shots"), report.get("curve")):
        if rows:
            first: Mapping[str, Json] = rows[0]["values"]
            return first
    trials = report.get("sweep", {}).get("trials", [])
    return trials[0]["validation"] if trials else {}
