"""How good a fitted head is: figures with intervals, tables of mistakes, importance of features, and plots."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headstart.arrow import column_of, positions_in, strings
from headstart.backbones.pooling import display_tap
from headstart.curves.report import rows_by_curve
from headstart.data.shown import shown_text
from headstart.errors import DataError
from headstart.extraction.inputs import inputs_of_set
from headstart.groups import Groups
from headstart.metrics.calibration import why_uncalibrated
from headstart.metrics.permutation import block_importance
from headstart.metrics.resampling import RESAMPLES
from headstart.metrics.tables import errors_by
from headstart.plots import (
    Plot,
    distribution_plot,
    history_plot,
    learning_curve_plot,
    sweep_plot,
    trials_plot,
)
from headstart.tasks import open_task
from headstart.types import Predictions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Progress, Task
    from headstart.heads.predictor import Predictor
    from headstart.samples import LabelledSamples
    from headstart.types import FeatureRef, Json

MISTAKES = 50
META = "meta:"
MOST_SAMPLES = 50_000
"""Data of more samples is not read again for the sake of a few."""
MOST_LETTERS = 500
MOST_DRAWN = 20_000
"""Samples of a split whose features are drawn: more look the same."""
TEXTS = ("text", "text-pair", "words")
REPEATS = 10
"""Shuffles of each block of columns."""


@dataclass
class Evaluation:
    """What a head does on the samples of each split; for the metrics see `Task.report`."""

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
            said = Predictions(part.targets, outputs, predictor.classes, part.names, part.table, part.groups)
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


def left_uncalibrated(
    predictor: Predictor, validation: LabelledSamples, progress: Progress
) -> dict[str, Json]:
    """Say why a head that was to be calibrated has the temperature 1, for a report too; nothing where it has not."""
    logits = predictor.logits(validation.X) if len(validation) and predictor.temperature == 1 else None
    if logits is None:
        return {}
    codes = open_task(validation.kind).codes(validation.targets, predictor.classes)
    reason = why_uncalibrated(logits, codes)
    if reason is None:
        return {}
    progress.say(f"probabilities are not calibrated: {reason}")
    return {"calibration": {"temperature": 1.0, "left_at_1": reason}}


def tables_of(features: FeatureSet, task: Task, found: Evaluation) -> dict[str, Json]:
    """Where a head is wrong on the last ``split``: the worst ``mistakes``, and ``errors_by`` each metadata column."""
    split = found.last
    said, tables = found.predictions[split], dict[str, "Json"](split=split)
    mistakes, is_right = task.mistakes(said, MISTAKES), task.is_right(said)
    if mistakes is not None:
        tables["mistakes"] = _with_inputs(mistakes, features, said)
    if is_right is not None:
        tables["errors_by"] = errors_by(meta_columns(said), is_right, Groups.of(said.groups))
    return tables


def meta_columns(said: Predictions) -> dict[str, NDArray[Any]]:
    """What is known of each sample besides its labels, as texts by name."""
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
    rows = positions_in(strings([mistake["id"] for mistake in mistakes]), said.table.column("id"))
    inputs = inputs_of(features, said.table.take(column_of(rows)))
    return [{**mistake, "input": shown} for mistake, shown in zip(mistakes, inputs, strict=True)]


def inputs_of(features: FeatureSet, table: pa.Table) -> list[str]:
    """What each sample is, for people to read, of rows of the set with ``id``, ``key`` and ``origin``.

    The text, cut to 500 letters, where the data is still where it was, and small; else the origin, such as a file or a
    row of a table.
    """
    origins = [origin or "" for origin in table.column("origin").to_pylist()]
    said = features.info["source"]
    if (
        said["modality"] not in TEXTS
        or not said["location"]
        or len(features) > MOST_SAMPLES
        or not len(table)
    ):
        return origins
    found = inputs_of_set(features)
    if found is None:
        return origins  # the data has moved or changed
    payloads = [found.payload(row) if row >= 0 else None for row in found.rows_of(table).tolist()]
    return [
        origin if payload is None else shown_text(payload, MOST_LETTERS)
        for payload, origin in zip(payloads, origins, strict=True)
    ]


def importance_of(predictor: Predictor, validation: LabelledSamples, seed: int) -> dict[str, Json]:
    """How much each of several features side by side carries, on validation samples that are not prepared."""
    if len(validation.widths) < 2 or not len(validation):
        return {}
    task, blocks = open_task(validation.kind), blocks_of(validation.features, validation.widths)
    codes = task.codes(validation.targets, predictor.classes)
    wanted = task.indicators(codes, len(predictor.classes))
    return {"importance": block_report(predictor.outputs, validation.X, wanted, blocks, seed, task)}


def block_report(
    predict: Callable[[NDArray[Any]], NDArray[Any]],
    X: NDArray[Any],
    y: NDArray[Any],
    blocks: Mapping[str, slice],
    seed: int,
    task: Task,
) -> list[dict[str, Json]]:
    """Permutation importance of each block of columns of rows (N, D), for a report; the most important first.

    The rows are some that the head was not fitted on, as they were before any preparation, ``y`` their
    `Task.indicators`. Each entry has ``name``, ``n_columns``, ``metric`` (accuracy, micro_f1 or r2), ``score`` with all
    blocks intact, and what of it is lost without this one: ``drop``, the mean over shuffles, and its ``deviation``.
    It is empty where there is nothing to compare: less than two blocks, or two rows.

    Examples
    --------
    >>> from headstart.tasks import open_task
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> blocks = {"first": slice(0, 2), "last": slice(2, 4)}
    >>> report = block_report(lambda rows: rows[:, 3], X, X[:, 3:], blocks, 0, open_task("regression"))
    >>> [(one["name"], one["score"], round(one["drop"])) for one in report]
    [('last', 1.0, 2), ('first', 1.0, 0)]
    """
    if len(blocks) < 2 or len(X) < 2:
        return []
    if (width := max(block.stop for block in blocks.values())) > X.shape[1]:
        raise DataError(f"blocks of {width:,} columns are not those of rows of {X.shape[1]:,}")
    head: Any = SimpleNamespace(predict=predict)
    found = block_importance(head, X, y, blocks, REPEATS, seed, task.score)
    return [
        {
            "name": one.name,
            "n_columns": one.n_columns,
            "metric": task.indicator_score,
            "score": one.intact if math.isfinite(one.intact) else None,
            "drop": one.drop if math.isfinite(one.drop) else None,
            "deviation": one.deviation if math.isfinite(one.deviation) else None,
            "repeats": REPEATS,
        }
        for one in found
    ]


def blocks_of(refs: Sequence[FeatureRef], widths: Sequence[int]) -> dict[str, slice]:
    """The columns of features that lie side by side, by what tells them apart: tap, backbone or both.

    Examples
    --------
    >>> from headstart.types import FeatureRef
    >>> refs = [FeatureRef("hf:a", "final.mean", "1"), FeatureRef("hf:a", "pooler", "2")]
    >>> blocks_of(refs, [384, 128])
    {'last.mean': slice(0, 384, None), 'pooler': slice(384, 512, None)}
    """
    taps, backbones = [display_tap(ref.tap) for ref in refs], [ref.backbone for ref in refs]
    both = [f"{backbone} {tap}" for backbone, tap in zip(backbones, taps, strict=True)]
    by_tap = taps if len(set(backbones)) == 1 else backbones if len(set(taps)) == 1 else both
    ends = np.cumsum([0, *widths]).tolist()
    names = [name if by_tap.count(name) == 1 else f"{name} {n}" for n, name in enumerate(by_tap, 1)]
    return {name: slice(ends[n], ends[n + 1]) for n, name in enumerate(names)}


def plots_of(
    train: LabelledSamples, found: Evaluation, history: Sequence[Mapping[str, Json]]
) -> dict[str, Plot]:
    """The plots of a run, by name."""
    split = found.last
    plots = open_task(train.kind).plots(found.predictions[split], found.metrics[split], split, train.column)
    return {**plots, "history": history_plot(history)} if history else plots


def feature_plot(splits: Mapping[str, LabelledSamples]) -> dict[str, Plot]:
    """How long the feature vectors of each split are: splits of one kind lie on each other. Of features in memory."""
    lengths = {
        split: np.linalg.norm(np.asarray(part.X[:MOST_DRAWN], dtype=np.float64), axis=1)
        for split, part in splits.items()
        if isinstance(part.X, np.ndarray) and part.X.ndim == 2 and len(part)
    }
    if not lengths:
        return {}
    names = np.repeat(list(lengths), [len(each) for each in lengths.values()])
    drawn = distribution_plot(
        np.concatenate(list(lengths.values())), "length of the feature vectors, by split", names, "Features"
    )
    return {"features": drawn}


def plots_of_protocols(report: Mapping[str, Json]) -> dict[str, Plot]:
    """Plots of a sweep, of few-shot protocols and of learning curves, where there were any."""
    metric = open_task(report["task"]).leading_score
    plots = {"sweep": _sweep(report.get("sweep", {}), metric)}
    for name, x, title, base in (
        ("shots", "samples of each class", "Few shots", 2),
        ("curve", "training samples", "Learning curve", 10),
    ):
        found = {curve: [row for row in rows if row["values"].get(metric)]
                 for curve, rows in rows_by_curve(report, name).items()}  # fmt: skip
        found = {curve: rows for curve, rows in found.items() if rows}
        if found:
            curves = {curve: ([row["size"] for row in rows], _even([row["values"][metric] for row in rows]))
                      for curve, rows in found.items()}  # fmt: skip
            intervals = {curve: _intervals(rows, metric) for curve, rows in found.items()}
            plots[name] = learning_curve_plot(curves, metric, x, title, base, intervals)
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
    if not all(
        metric in trial["validation"] for trial in judged
    ):  # of a training that is watched by its loss
        metric = "loss"
    scores = [trial["validation"][metric]["mean"] for trial in judged]
    chosen = [trial["params"] for trial in judged].index(sweep["best"])
    drawn = trials_plot if sweep.get("search") == "optuna" else sweep_plot  # which tries no value twice
    return drawn(values, scores, f"validation {metric}", chosen=chosen)


def _intervals(rows: Sequence[Mapping[str, Json]], metric: str) -> NDArray[np.float64] | None:
    """The interval of each size, (M, 2); None in runs of older versions."""
    known = [row.get("interval", {}).get(metric) for row in rows]
    if all(each is None for each in known):
        return None
    return np.array([[np.nan, np.nan] if each is None else each for each in known])


def _even(rows: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Scores of each size, one a seed; NaN for seeds that diverged."""
    even = np.full((len(rows), max(map(len, rows))), np.nan)
    for place, row in enumerate(rows):
        even[place, : len(row)] = row
    return even
