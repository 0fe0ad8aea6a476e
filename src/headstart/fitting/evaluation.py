"""How good a fitted head is: figures with intervals, tables and plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.fitting.excerpts import inputs_of
from headstart.heads.predictor import Predictor
from headstart.metrics.calibration import fit_temperature
from headstart.metrics.multi import evaluate_multi
from headstart.metrics.regression import evaluate_regression
from headstart.metrics.resampling import RESAMPLES
from headstart.metrics.single import evaluate_single
from headstart.metrics.tables import errors_by, most_confident_mistakes
from headstart.plots import (
    Plot,
    bar_plot,
    confusion_plot,
    distribution_plot,
    history_plot,
    learning_curve_plot,
    precision_recall_plot,
    prediction_plot,
    reliability_plot,
    roc_plot,
    sweep_plot,
)
from headstart.prediction.table import LIKELY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
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
        By split, as `headstart.metrics` gives them.
    outputs : dict of str to ndarray
        By split, see `Predictor.outputs`.
    """

    metrics: dict[str, Json] = field(default_factory=dict)
    outputs: dict[str, NDArray[Any]] = field(default_factory=dict)


def evaluate_splits(predictor: Predictor, splits: Mapping[str, LabelledSamples], seed: int) -> Evaluation:
    """Judge a head on every split that has samples; ``X`` is prepared already."""
    found = Evaluation()
    for split, part in splits.items():
        if len(part):
            outputs = predictor.outputs(part.X)
            found.outputs[split] = outputs
            # How the training samples would have come out otherwise says nothing of others.
            resamples = 0 if split == "train" else RESAMPLES
            found.metrics[split] = _judge(outputs, predictor.classes, part, seed, resamples)
    return found


def _judge(
    outputs: NDArray[np.float64],
    classes: Sequence[str],
    part: LabelledSamples,
    seed: int,
    resamples: int,
) -> dict[str, Json]:
    if part.kind == "regression":
        return evaluate_regression(part.y, outputs, resamples=resamples, seed=seed)
    if part.kind == "multi":
        return evaluate_multi(part.y, outputs, part.names, resamples=resamples, seed=seed)
    return evaluate_single(part.targets, outputs, classes, part.names, resamples=resamples, seed=seed)


def after_refit(before: Evaluation, after: Evaluation) -> Evaluation:
    """The refitted head has seen the validation samples: for them, what the head before it said holds."""
    return Evaluation(
        {**after.metrics, "validation": before.metrics["validation"]},
        {**after.outputs, "validation": before.outputs["validation"]},
    )


def calibrated(predictor: Predictor, validation: LabelledSamples) -> Predictor:
    """The same with the temperature that fits the validation samples best."""
    if validation.kind == "regression" or not len(validation):
        return predictor
    logits = predictor.logits(validation.X)
    if validation.kind == "multi":
        codes = validation.y
    else:
        places = {name: place for place, name in enumerate(predictor.classes)}
        codes = np.array([places.get(name, -1) for name in validation.names])[validation.y]
    temperature = fit_temperature(logits, codes)
    return Predictor(predictor.head, predictor.preparation, temperature)


def tables_of(
    predictor: Predictor, features: FeatureSet, splits: Mapping[str, LabelledSamples], found: Evaluation
) -> dict[str, Json]:
    """Where a head is wrong on the last split.

    Returns
    -------
    dict
        ``split``; ``mistakes``: the most confident ones, or of numbers the largest errors, each with its
        ``id``, ``input``, ``label`` and ``prediction``; ``errors_by`` each metadata column, where a sample of
        several labels is right if all of them are.
    """
    split = _last(found)
    part, outputs = splits[split], found.outputs[split]
    tables: dict[str, Json] = {"split": split}
    if part.kind == "regression":
        mistakes = _largest_errors(part, outputs)
        return {**tables, "mistakes": _with_inputs(mistakes, features, part)}
    columns = {
        name.removeprefix(META): _as_text(part.table.column(name))
        for name in part.table.column_names
        if name.startswith(META)
    }
    if part.kind == "multi":
        is_right = ((outputs > LIKELY) == (part.y > 0)).all(axis=1)
        return {**tables, "errors_by": errors_by(columns, is_right)}
    true = part.targets
    ids = part.table.column("id").to_pylist()
    mistakes = most_confident_mistakes(ids, true, outputs, predictor.classes, MISTAKES)
    is_right = np.array(predictor.classes)[outputs.argmax(axis=1)] == true
    return {
        **tables,
        "mistakes": _with_inputs(mistakes, features, part),
        "errors_by": errors_by(columns, is_right),
    }


def _last(found: Evaluation) -> str:
    """The split that says most of new data."""
    return next(name for name in ("test", "validation", "train") if name in found.outputs)


def _largest_errors(part: LabelledSamples, outputs: NDArray[np.float64]) -> list[dict[str, Json]]:
    """The samples of which the prediction is furthest from the label, the worst first."""
    said = outputs.reshape(len(part))
    errors = said - part.y
    wrong = np.flatnonzero(errors)
    rows = wrong[np.argsort(-np.abs(errors[wrong]), kind="stable")[:MISTAKES]].tolist()
    ids = part.table.column("id").take(pa.array(rows, pa.int64())).to_pylist()
    return [
        {"id": name, "label": float(part.y[row]), "prediction": float(said[row]), "error": float(errors[row])}
        for name, row in zip(ids, rows, strict=True)
    ]


def _with_inputs(
    mistakes: list[dict[str, Json]], features: FeatureSet, part: LabelledSamples
) -> list[dict[str, Json]]:
    """The same, with what people see of each sample."""
    ids = pa.array([mistake["id"] for mistake in mistakes], pa.string())
    rows = pc.index_in(ids, part.table.column("id").combine_chunks())
    inputs = inputs_of(features, part.table.take(rows))
    return [{**mistake, "input": shown} for mistake, shown in zip(mistakes, inputs, strict=True)]


def _as_text(column: pa.ChunkedArray) -> NDArray[Any]:
    return np.array(["" if value is None else str(value) for value in column.to_pylist()], dtype=np.str_)


def plots_of(
    predictor: Predictor,
    splits: Mapping[str, LabelledSamples],
    found: Evaluation,
    history: Sequence[Mapping[str, Json]],
) -> dict[str, Plot]:
    """The plots of a run, by name."""
    split = _last(found)
    part, outputs = splits[split], found.outputs[split]
    if part.kind == "regression":
        plots = _plots_of_numbers(part, outputs, part.column, split)
    elif part.kind == "multi":
        plots = _plots_of_labels(part, outputs, part.names, found.metrics[split], split)
    else:
        plots = _plots_of_classes(
            part.targets, outputs, predictor.classes, found.metrics[split]["confusion"], split
        )
    return {**plots, "history": history_plot(history)} if history else plots


def _plots_of_classes(
    true: NDArray[Any],
    outputs: NDArray[np.float64],
    classes: list[str],
    confusion: Mapping[str, Json],
    split: str,
) -> dict[str, Plot]:
    confidence, predicted = outputs.max(axis=1), np.array(classes)[outputs.argmax(axis=1)]
    is_right = predicted == true
    return {
        "confusion": confusion_plot(confusion, f"Confusion on {split}"),
        "reliability": reliability_plot(confidence, is_right, f"Reliability on {split}"),
        "confidence": distribution_plot(
            confidence[:, None],
            ["confidence; shares of the right and of the wrong predictions"],
            np.where(is_right, "right", "wrong"),
            f"Confidence on {split}",
        ),
        "roc": roc_plot(true, outputs, classes, f"ROC on {split}"),
        "precision-recall": precision_recall_plot(
            true, outputs, classes, title=f"Precision and recall on {split}"
        ),
    }


def _plots_of_labels(
    part: LabelledSamples,
    outputs: NDArray[np.float64],
    names: Sequence[str],
    metrics: Mapping[str, Json],
    split: str,
) -> dict[str, Plot]:
    by_label = sorted(metrics["per_class"].items(), key=lambda item: -item[1]["f1"])
    scores = {name: figures["f1"] for name, figures in by_label}
    return {
        "f1": bar_plot(scores, metric="F1", title=f"F1 of each label on {split}"),
        "roc": roc_plot(part.y, outputs, names, f"ROC on {split}"),
        "precision-recall": precision_recall_plot(
            part.y, outputs, names, title=f"Precision and recall on {split}"
        ),
    }


def _plots_of_numbers(
    part: LabelledSamples, outputs: NDArray[np.float64], column: str, split: str
) -> dict[str, Plot]:
    said = outputs.reshape(len(part))
    return {
        "predictions": prediction_plot(part.y, said, f"Predictions on {split}", column),
        "residuals": distribution_plot(
            (said - part.y)[:, None], [f"predicted − true {column}"], title=f"Residuals on {split}"
        ),
    }


def plots_of_protocols(report: Mapping[str, Json]) -> dict[str, Plot]:
    """Plots of a sweep, of few-shot protocols and of learning curves, where there were any."""
    metric = "r2" if report.get("task") == "regression" else "accuracy"
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
