"""What a run directory holds of a fitted head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headstart.arrow import column_of, with_columns
from headstart.cache.corrections import ENTRY
from headstart.cache.layout import GROUP
from headstart.cache.store import Cache
from headstart.extraction.backbone import describe_feature
from headstart.fitting.data import with_choice
from headstart.fitting.evaluation import feature_plot, plots_of, plots_of_protocols, tables_of
from headstart.fitting.views import TrainViews
from headstart.registry.machine import describe_environment, provenance
from headstart.registry.run import Run
from headstart.tasks import open_task

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.config import FitConfig
    from headstart.contracts import Progress
    from headstart.fitting.evaluation import Evaluation
    from headstart.heads.predictor import Predictor
    from headstart.samples import LabelledSamples
    from headstart.types import FeatureRef, Json


@dataclass(frozen=True)
class FitOutcome:
    """What a fit came to: the configuration with what was chosen, samples as the head saw them, and how it does.

    ``timings`` are seconds, ``more`` further entries of the report. ``memory`` has bytes: ``loaded_resident_bytes``,
    once the features were read, and ``peak_resident_bytes``, the most from then on until the head was fitted.
    ``history`` has the epochs of a training behind which the head was fitted; without it they are the head's own.
    """

    config: FitConfig
    features: FeatureSet
    splits: Mapping[str, LabelledSamples]
    predictor: Predictor
    evaluation: Evaluation
    timings: Mapping[str, float]
    more: Mapping[str, Json] = field(default_factory=dict)
    memory: Mapping[str, int] = field(default_factory=dict)
    marks: pa.Table | None = None
    """The marks of each draw of a protocol, see `Curves.table`."""
    n_left_out: int = 0
    """Train samples with a label that were not drawn."""
    history: Sequence[Mapping[str, Json]] = ()

    @property
    def train(self) -> LabelledSamples:
        """The training samples, of which it is known what the labels are."""
        return self.splits["train"]


def make_record(config: FitConfig, outcome: FitOutcome, progress: Progress) -> Run:
    """The run of a fit, in memory; the configuration is as the user gave it."""
    predictor, train, splits = outcome.predictor, outcome.train, outcome.splits
    history = list(outcome.history or getattr(predictor.head, "history_", []))
    report = _report(config, outcome)
    _say_unseen(report["data"], progress)
    _say_no_interval(outcome.evaluation, open_task(train.kind).headline, progress)
    _say_neighbours(predictor.head, progress)
    return Run(
        config=with_choice(config, outcome.features, train.features, [train.column]).dump(),
        report=report,
        labels={
            "column": train.column,
            "kind": train.kind,
            "names": list(train.names),
            "classes": open_task(train.kind).class_names(predictor.classes, train.names),
        },
        features=describe_features(config.cache, outcome.features, train.features, train.beside),
        environment=describe_environment(),
        history=history or _one_entry(outcome.evaluation),
        predictions=_predictions(splits, outcome.evaluation),
        split=outcome.features.samples.select(["id", "key", "split"]),
        predictor=predictor,
        marks=outcome.marks,
        plot_format=config.plots,
        plots={
            **plots_of(train, outcome.evaluation, history),
            **feature_plot(splits),
            **plots_of_protocols(report),
        },
    )


def _report(config: FitConfig, outcome: FitOutcome) -> dict[str, Json]:
    features, predictor, views = outcome.features, outcome.predictor, outcome.train.views
    head = predictor.head
    return {
        "metrics": outcome.evaluation.metrics,
        "timings": dict(outcome.timings),
        "cost": {**_cost(outcome), **outcome.memory},
        "seed": config.seed,
        "head": {"name": outcome.config.head, **params_of(head)},
        "task": outcome.train.kind,
        "data": _describe_data(features, outcome.splits, config.refit, outcome.n_left_out),
        **({"prepare": config.prepare} if config.prepare else {}),
        **({"calibration": {"temperature": predictor.temperature}} if predictor.temperature != 1 else {}),
        **({"views": views.report} if isinstance(views, TrainViews) else {}),
        **outcome.more,
        "errors": tables_of(features, open_task(outcome.train.kind), outcome.evaluation),
        "provenance": provenance_of(features),
    }


def _cost(outcome: FitOutcome) -> dict[str, Json]:
    views = outcome.train.views
    return {
        "feature_bytes": sum(samples.n_bytes for samples in outcome.splits.values())
        + len(views) * outcome.train.n_bytes,
        **cost_of_head(outcome.predictor),
    }


def cost_of_head(predictor: Predictor) -> dict[str, Json]:
    """Bytes and parameters of a head, without the scales of its features and targets."""
    tensors = predictor.head.tensors()
    scales = ("mean", "scale", "target_mean", "target_scale")
    return {
        "model_bytes": sum(tensor.nbytes for tensor in tensors.values()),
        "parameters": int(sum(np.size(tensor) for name, tensor in tensors.items() if name not in scales)),
    }


def params_of(head: Any) -> dict[str, Json]:
    """What a head was made with, and what fitting found besides tensors."""
    params = {name: value for name, value in head.get_params().items() if name != "spec"}
    return {"params": _plain(params), **_outcome(head)}


def _outcome(head: Any) -> dict[str, Json]:
    """What fitting found besides tensors, by its name without the underscore."""
    hidden = ("n_outputs_", "is_multi_", "is_flat_")
    return {name.rstrip("_"): _plain(getattr(head, name, None)) for name in head.fitted if name not in hidden}


def _describe_data(
    features: FeatureSet, splits: Mapping[str, LabelledSamples], is_refitted: bool, n_left_out: int
) -> dict[str, Json]:
    counts = {f"n_{split}": len(part) for split, part in splits.items()}
    spaces = {ref.space for ref in splits["train"].features}
    n_failed = len({f.id for f in features.failures if f.space == "" or f.space in spaces})
    in_table = len({f.id for f in features.failures if f.space in spaces})
    return {
        **counts,
        "n_unlabelled": max(len(features) - sum(counts.values()) - in_table - n_left_out, 0),
        "n_skipped": n_failed,
        "unseen_in_train": _unseen(splits, is_refitted),
    }


def _unseen(splits: Mapping[str, LabelledSamples], is_refitted: bool) -> list[str]:
    """Label names that occur, and not in what the head was trained on: train, after a refit validation too."""
    names = splits["train"].names
    occurring = {split: open_task(part.kind).occurring(part.y) for split, part in splits.items()}
    trained_on = ("train", "validation") if is_refitted else ("train",)
    seen: set[int] = set().union(*(occurring.pop(split, set()) for split in trained_on))
    return [names[code] for code in sorted(set().union(*occurring.values()) - seen)]


def _say_unseen(data: Mapping[str, Json], progress: Progress) -> None:
    if data["unseen_in_train"]:
        progress.say(
            "warning: train has no sample of "
            + ", ".join(repr(name) for name in data["unseen_in_train"][:5])
            + "; the head can never predict it, and every such sample counts as wrong"
        )


def _say_no_interval(found: Evaluation, headline: Mapping[str, str], progress: Progress) -> None:
    """Why a figure that is shown has a dash for an interval, on the split that says most of new data."""
    reasons = found.metrics[found.last].get("no_interval", {})
    for title, name in headline.items():
        if name in reasons:
            progress.say(f"no interval of {title} on {found.last}: {reasons[name]}")


def _say_neighbours(head: Any, progress: Progress) -> None:
    """How good neighbours are that were to be approximate."""
    if getattr(head, "neighbours", "exact") == "exact":
        return
    from headstart.heads.approximate import Recall, why_exact  # which few heads need

    found = Recall.read(head.search_)
    progress.say(f"neighbours are approximate: {found}" if found else why_exact(len(head.rows_)))


def provenance_of(features: FeatureSet) -> dict[str, Json]:
    """Which set was fitted on, and when."""
    info = features.info
    corrections = {ENTRY: info[ENTRY]} if ENTRY in info else {}
    return provenance(
        set=features.name, digest=features.digest, source=info["source"], split=info["split"], **corrections
    )


def _one_entry(found: Evaluation) -> list[dict[str, Json]]:
    names = ("accuracy", "macro_f1", "r2", "rmse", "chrf", "bleu")
    return [{split: {name: m[name] for name in names if name in m} for split, m in found.metrics.items()}]


def describe_features(
    cache: str | None, features: FeatureSet, refs: Sequence[FeatureRef], beside: Sequence[FeatureRef] = ()
) -> dict[str, Json]:
    """What a head reads, as ``features.json`` holds it: the backbone can be opened again by it.

    ``beside`` is what comes out of the same pass, such as where tokens stand.
    """
    opened = Cache(cache)
    parts = [describe_feature(opened, features, ref) for ref in refs]
    return {
        "set": features.name,
        "digest": features.digest,
        "cache": _location(features.cache),
        **parts[0],
        "modality": features.info["source"]["modality"],
        "columns": features.info["source"]["columns"],
        **({"parts": parts} if len(parts) > 1 else {}),
        **({"beside": [describe_feature(opened, features, ref) for ref in beside]} if beside else {}),
    }


def _location(cache: str | Path) -> str:
    """Where a cache lies, as it is found from any working directory."""
    return str(cache.resolve()) if isinstance(cache, Path) else cache


def _predictions(splits: Mapping[str, LabelledSamples], found: Evaluation) -> pa.Table:
    tables = []
    for split, said in found.predictions.items():
        part, task = splits[split], open_task(splits[split].kind)
        table = part.table.select(["id", "key", "split"])
        table = table.append_column("label", task.decode(part.y, part.names))
        if part.is_grouped and GROUP in part.table.column_names:
            table = table.append_column(GROUP, part.table.column(GROUP))
        tables.append(with_columns(table, task.columns(said.outputs, said.classes, said.names)))
    return _stacked(tables)


def _stacked(tables: Sequence[pa.Table]) -> pa.Table:
    """One table; a class that one of several heads did not know (before and after a refit) has the probability 0."""
    fullest = max(tables, key=lambda table: table.num_columns)
    filled = []
    for table in tables:
        lacking = [field for field in fullest.schema if field.name not in table.column_names]
        nothing = {field.name: column_of(np.zeros(table.num_rows, dtype=np.float32)) for field in lacking}
        filled.append(with_columns(table, nothing).select(fullest.column_names))
    return pa.concat_tables(filled)


def _plain(value: Any) -> Json:
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value
