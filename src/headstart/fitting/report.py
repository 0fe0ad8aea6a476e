"""What a run directory holds of a fitted head."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headstart.arrow import with_columns
from headstart.backbones.pooling import display_tap
from headstart.cache.store import Cache
from headstart.fitting.evaluation import plots_of, plots_of_protocols, tables_of
from headstart.registry.environment import describe_environment
from headstart.registry.run import Run
from headstart.tasks import open_task

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.config import FitConfig
    from headstart.contracts import Progress
    from headstart.fitting.data import FitData
    from headstart.fitting.evaluation import Evaluation
    from headstart.fitting.stage import Fit
    from headstart.heads.predictor import Predictor
    from headstart.types import FeatureRef, Json


def make_record(
    config: FitConfig,
    fit: Fit,
    predictor: Predictor,
    bare: Predictor,
    found: Evaluation,
    timings: Mapping[str, float],
    held: Mapping[str, int],
    more: Mapping[str, Json],
    progress: Progress,
) -> Run:
    """The run of a fit, in memory.

    Parameters
    ----------
    config : FitConfig
        As the user gave it.
    fit : Fit
        With prepared features.
    predictor, bare : Predictor
        With and without the preparation.
    found : Evaluation
    timings : mapping
        Seconds.
    held : mapping
        Bytes of memory: ``loaded_resident_bytes``, once the features were read, and ``peak_resident_bytes``, the most
        from then on until the head was fitted.
    more : mapping
        Further entries of the report.
    progress : Progress
    """
    head = predictor.head
    history = list(getattr(head, "history_", []))
    report: dict[str, Json] = {
        "metrics": found.metrics,
        "timings": dict(timings),
        "cost": {**_cost(predictor, fit), **held},
        "seed": config.seed,
        "head": {"name": fit.config.head, "params": _plain(_params(head)), **_outcome(head)},
        "task": fit.data.kind,
        "data": _describe_data(fit.features, fit.data),
        **({"prepare": config.prepare} if config.prepare else {}),
        **({"calibration": {"temperature": predictor.temperature}} if predictor.temperature != 1 else {}),
        **({"views": fit.views.report} if fit.views else {}),
        **({"sweep": fit.searched.to_json()} if fit.searched else {}),
        **more,
        **_tables(tables_of(fit.features, fit.data, found)),
        "provenance": _provenance(fit.features),
    }
    _say_unseen(report["data"], progress)
    return Run(
        config=_resolved(config, fit).dump(),
        report=report,
        labels={
            "column": fit.data.column,
            "kind": fit.data.kind,
            "names": list(fit.data.names),
            "classes": open_task(fit.data.kind).class_names(predictor.classes, fit.data.names),
        },
        features=describe_features(config.cache, fit.features, fit.data),
        environment=describe_environment(),
        history=history or _one_entry(found),
        predictions=_predictions(fit.data, found),
        split=fit.features.samples.select(["id", "key", "split"]),
        predictor=predictor,
        plots={**plots_of(fit.data, found, history), **plots_of_protocols(report)},
    )


def _resolved(config: FitConfig, fit: Fit) -> FitConfig:
    refs = fit.data.refs
    taps = list(dict.fromkeys(display_tap(ref.tap) for ref in refs))
    backbones = list(dict.fromkeys(ref.backbone for ref in refs))
    update: dict[str, Any] = {"digest": fit.features.digest, "label": fit.data.column}
    # Several backbones may each have a latest tap of their own: then nothing but the set's digest names them.
    if not (fit.searched and "tap" in config.sweep) and (config.tap is not None or len(taps) == 1):
        update["tap"] = taps[0] if len(taps) == 1 else taps
    update["backbone"] = backbones[0] if len(backbones) == 1 else backbones
    return config.model_copy(update=update)


def _cost(predictor: Predictor, fit: Fit) -> dict[str, Json]:
    tensors = predictor.head.tensors()
    views = fit.views.n_bytes if fit.views else 0
    scales = ("mean", "scale", "target_mean", "target_scale")
    return {
        "feature_bytes": sum(_n_bytes(part.X) for part in fit.data.parts.values()) + views,
        "model_bytes": sum(tensor.nbytes for tensor in tensors.values()),
        "parameters": int(sum(np.size(tensor) for name, tensor in tensors.items() if name not in scales)),
    }


def _n_bytes(X: Any) -> int:
    if hasattr(X, "nbytes"):
        return int(X.nbytes)
    return 4 * int(np.prod(X.shape)) if hasattr(X, "shape") else 0


def _params(head: Any) -> dict[str, Any]:
    return {name: value for name, value in head.get_params().items() if name != "spec"}


def _outcome(head: Any) -> dict[str, Json]:
    """What fitting found besides tensors, by its name without the underscore."""
    hidden = ("n_outputs_", "is_multi_", "is_flat_")
    return {name.rstrip("_"): _plain(getattr(head, name, None)) for name in head.fitted if name not in hidden}


def _describe_data(features: FeatureSet, data: FitData) -> dict[str, Json]:
    counts = {f"n_{split}": len(part) for split, part in data.parts.items()}
    spaces = {ref.space for ref in data.refs}
    n_failed = len({f.id for f in features.failures if f.space == "" or f.space in spaces})
    in_table = len({f.id for f in features.failures if f.space in spaces})
    return {
        **counts,
        "n_unlabelled": max(len(features) - sum(counts.values()) - in_table, 0),
        "n_skipped": n_failed,
        "unseen_in_train": _unseen(data),
    }


def _unseen(data: FitData) -> list[str]:
    """Label names that occur, and not in train."""
    occurring = {split: open_task(data.kind).occurring(part.y) for split, part in data.parts.items()}
    seen = occurring.pop("train")
    return [data.names[code] for code in sorted(set().union(*occurring.values()) - seen)]


def _say_unseen(data: Mapping[str, Json], progress: Progress) -> None:
    if data["unseen_in_train"]:
        progress.say(
            "warning: train has no sample of "
            + ", ".join(repr(name) for name in data["unseen_in_train"][:5])
            + "; the head can never predict it, and every such sample counts as wrong"
        )


def _tables(tables: Mapping[str, Json]) -> dict[str, Json]:
    return {"errors": dict(tables)} if tables else {}


def _provenance(features: FeatureSet) -> dict[str, Json]:
    return {
        "headstart": metadata.version("headstart"),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "set": features.name,
        "digest": features.digest,
        "source": features.info["source"],
        "split": features.info["split"],
    }


def _one_entry(found: Evaluation) -> list[dict[str, Json]]:
    names = ("accuracy", "macro_f1", "r2", "rmse")
    return [{split: {name: m[name] for name in names if name in m} for split, m in found.metrics.items()}]


def describe_features(cache: str | None, features: FeatureSet, data: FitData) -> dict[str, Json]:
    """What a head reads, as ``features.json`` holds it: the backbone can be opened again by it."""
    parts = [_describe_part(cache, features, ref) for ref in data.refs]
    return {
        "set": features.name,
        "digest": features.digest,
        "cache": str(features.cache.resolve()),
        **parts[0],
        "modality": features.info["source"]["modality"],
        "columns": features.info["source"]["columns"],
        **({"parts": parts} if len(parts) > 1 else {}),
    }


def _describe_part(cache: str | None, features: FeatureSet, ref: FeatureRef) -> dict[str, Json]:
    entry = next(e for e in features.info["features"] if e["space"] == ref.space)
    return {
        "backbone": ref.backbone,
        "tap": display_tap(ref.tap),
        "space": ref.space,
        "located": entry.get("located", ref.backbone),
        "options": entry.get("options", {}),
        "recipe": dict(Cache(cache).open_space(ref.space).recipe.entries),
    }


def _predictions(data: FitData, found: Evaluation) -> pa.Table:
    task, tables = open_task(data.kind), []
    for split, said in found.predictions.items():
        part = data.parts[split]
        table = part.table.select(["id", "key", "split"])
        table = table.append_column("label", task.decode(part.y, data.names))
        tables.append(with_columns(table, task.columns(said.outputs, said.classes, said.names)))
    return pa.concat_tables(tables)


def _plain(value: Any) -> Json:
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value
