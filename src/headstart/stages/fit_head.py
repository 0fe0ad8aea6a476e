"""fit-head: train a head on the cached features of a set. The backbone is never loaded."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headstart.arrow import mask_of, names_by_code
from headstart.cache.sets import FeatureSet, SetRows
from headstart.cache.store import Cache
from headstart.errors import ConfigError, DataError
from headstart.evaluation.metrics import evaluate
from headstart.evaluation.plots import plot_confusion, plot_history
from headstart.heads import open_head
from headstart.heads.linear import LinearHead
from headstart.heads.storage import save_head
from headstart.pooling import display_tap
from headstart.runs.environment import describe_environment, peak_resident_bytes
from headstart.runs.record import RunRecord
from headstart.stages.predicting import prediction_table
from headstart.stages.train_views import TrainViews, gather_views, views_of
from headstart.types import SPLITS

if TYPE_CHECKING:
    from headstart.contracts import Progress
    from headstart.heads.affine import AffineClassifier
    from headstart.stages.config import FitConfig
    from headstart.types import Json


@dataclass(frozen=True, slots=True)
class FittedHead:
    """A head in memory, with the record that its run directory will hold.

    Parameters
    ----------
    head : AffineClassifier
    record : RunRecord
    """

    head: AffineClassifier
    record: RunRecord


def fit_head(config: FitConfig, progress: Progress) -> FittedHead:
    """Train a head on the train split, and report on every split."""
    start = perf_counter()
    features = Cache(config.cache).open_set(config.set, config.digest)
    _check_kind(features, config, progress)
    head = open_head(config.head, config.params, config.seed)
    rows = {
        split: _labelled(features.rows(split, config.tap, config.label, config.backbone)) for split in SPLITS
    }
    _check_train(rows["train"], features, config)
    views = _choose_views(features, head, rows["train"], config, progress)
    loaded = perf_counter()
    _fit(head, rows["train"], rows["validation"], views, progress)
    fitted = perf_counter()
    metrics = {split: _evaluate(head, part) for split, part in rows.items() if len(part)}
    evaluated = perf_counter()
    report: dict[str, Json] = {
        "metrics": metrics,
        "timings": {
            "load": loaded - start,
            "fit": fitted - loaded,
            "evaluate": evaluated - fitted,
            "total": evaluated - start,
        },
        "cost": _cost(head, rows, views),
        "seed": config.seed,
        "head": {"name": config.head, "params": _plain(head.get_params()), **_outcome(head)},
        "data": _describe_data(features, rows),
        **({"views": views.report} if views else {}),
        "provenance": _provenance(features),
    }
    _say_unseen(report["data"], progress)
    return FittedHead(head, _record(config, features, head, rows, report))


def _check_kind(features: FeatureSet, config: FitConfig, progress: Progress) -> None:
    column = features.label_column(config.label)
    kind = features.label_kinds[column]
    if config.label is None and len(features.label_names) > 1:
        progress.say(f"label {column!r} of {', '.join(map(repr, features.label_names))}; --label chooses")
    if kind != "single":
        says = {"multi": "several labels a sample", "regression": "numbers to regress on"}[kind]
        raise ConfigError(
            f"the label {column!r} of set {features.name!r} holds {says}, and the heads here take one class "
            "a sample: choose another with --label, or fit your own on "
            f"headstart.open_set({features.name!r}).arrays('train', label={column!r})"
        )


def _labelled(rows: SetRows) -> SetRows:
    """The rows that have a label."""
    known = rows.y >= 0
    if known.all():
        return rows
    return SetRows(rows.table.filter(mask_of(known)), rows.X[known], rows.y[known], rows.names, rows.feature)


def _check_train(train: SetRows, features: FeatureSet, config: FitConfig) -> None:
    column = features.label_column(config.label)
    if not len(train):
        raise DataError(f"set {features.name!r} has no train sample with a label in {column!r}")
    classes = np.unique(train.y)
    if len(classes) < 2:
        raise DataError(
            f"a head needs at least two classes, and all {len(train):,} train samples of set "
            f"{features.name!r} are {train.names[classes[0]]!r} in {column!r}; add samples of another class"
        )


def _choose_views(
    features: FeatureSet, head: AffineClassifier, train: SetRows, config: FitConfig, progress: Progress
) -> TrainViews | None:
    """The views to draw in training; None: there are none, or none are wanted, or the head has no epochs."""
    refs = views_of(features, train.feature) if config.views else []
    if refs and not isinstance(head, LinearHead):
        progress.say(
            f"the set has {len(refs)} views of this feature; a {config.head} head is fitted on the plain one "
            "alone (--head linear draws views)"
        )
        return None
    views = gather_views(features, refs, train, progress) if refs else None
    if views:
        progress.say(
            f"each epoch shows a train sample plain or in one of {len(views)} views, drawn at random"
        )
    return views or None


def _fit(
    head: AffineClassifier,
    train: SetRows,
    validation: SetRows,
    views: TrainViews | None,
    progress: Progress,
) -> None:
    """Fit on label names, so that they travel with the head."""
    names = np.array(train.names, dtype=np.str_)
    if not isinstance(head, LinearHead):
        head.fit(train.X, names[train.y])
        return
    progress.begin("training", None)
    try:
        X_val, y_val = (validation.X, names[validation.y]) if len(validation) else (None, None)
        head.fit(
            train.X, names[train.y], X_val, y_val, callback=lambda _: progress.advance(1), views=views or ()
        )
    finally:
        progress.end()


def _evaluate(head: AffineClassifier, rows: SetRows) -> dict[str, Json]:
    names = np.array(rows.names, dtype=np.str_)
    return evaluate(names[rows.y], head.predict(rows.X), rows.names)


def _cost(head: AffineClassifier, rows: Mapping[str, SetRows], views: TrainViews | None) -> dict[str, Json]:
    tensors = head.tensors().values()
    learned = (head.coef_, head.intercept_)
    return {
        "feature_bytes": sum(part.X.nbytes for part in rows.values()) + (views.n_bytes if views else 0),
        "model_bytes": sum(tensor.nbytes for tensor in tensors),
        "parameters": int(sum(np.size(tensor) for tensor in learned)),
        "peak_resident_bytes": peak_resident_bytes(),
    }


def _outcome(head: AffineClassifier) -> dict[str, Json]:
    names = ("n_iter_", "converged_", "best_epoch_")
    return {name.rstrip("_"): _plain(getattr(head, name)) for name in names if hasattr(head, name)}


def _describe_data(features: FeatureSet, rows: Mapping[str, SetRows]) -> dict[str, Json]:
    counts = {f"n_{split}": len(part) for split, part in rows.items()}
    seen = set(np.unique(rows["train"].y).tolist())
    others = np.concatenate([part.y for split, part in rows.items() if split != "train"])
    unseen = [rows["train"].names[y] for y in np.unique(others).tolist() if y not in seen]
    n_used = sum(counts.values())
    n_failed = len({f.id for f in features.failures if f.space in ("", rows["train"].feature.space)})
    in_table = sum(1 for f in features.failures if f.space == rows["train"].feature.space)
    return {
        **counts,
        "n_unlabelled": max(len(features) - n_used - in_table, 0),
        "n_skipped": n_failed,
        "unseen_in_train": unseen,
    }


def _provenance(features: FeatureSet) -> dict[str, Json]:
    return {
        "headstart": metadata.version("headstart"),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "set": features.name,
        "digest": features.digest,
        "source": features.info["source"],
        "split": features.info["split"],
    }


def _say_unseen(data: Mapping[str, Json], progress: Progress) -> None:
    if data["unseen_in_train"]:
        progress.say(
            "warning: train has no sample of "
            + ", ".join(repr(name) for name in data["unseen_in_train"][:5])
            + "; the head can never predict it, and every such sample counts as wrong"
        )


def _record(
    config: FitConfig,
    features: FeatureSet,
    head: AffineClassifier,
    rows: Mapping[str, SetRows],
    report: dict[str, Json],
) -> RunRecord:
    feature = rows["train"].feature
    entry = next(e for e in features.info["features"] if e["space"] == feature.space)
    space = Cache(config.cache).open_space(feature.space)
    history = getattr(head, "history_", None) or [
        {
            split: {"accuracy": m["accuracy"], "macro_f1": m["macro_f1"]}
            for split, m in report["metrics"].items()
        }
    ]
    shown = next(split for split in ("test", "validation", "train") if split in report["metrics"])
    plots = {"confusion": plot_confusion(report["metrics"][shown]["confusion"], f"Confusion on {shown}")}
    if hasattr(head, "history_"):
        plots["history"] = plot_history(history)
    all_rows = [part for part in rows.values() if len(part)]
    resolved = config.model_copy(
        update={"digest": features.digest, "tap": display_tap(feature.tap), "backbone": feature.backbone,
                "label": features.label_column(config.label)}
    )  # fmt: skip
    return RunRecord(
        config=resolved.dump(),
        report=report,
        labels={
            "column": features.label_column(config.label),
            "names": list(rows["train"].names),
            "classes": [str(name) for name in head.classes_],
        },
        features={
            "set": features.name,
            "digest": features.digest,
            "cache": str(features.cache.resolve()),
            "backbone": feature.backbone,
            "tap": display_tap(feature.tap),
            "space": feature.space,
            "located": entry.get("located", feature.backbone),
            "options": entry.get("options", {}),
            "modality": features.info["source"]["modality"],
            "columns": features.info["source"]["columns"],
            "recipe": dict(space.recipe.entries),
        },
        environment=describe_environment(),
        history=history,
        predictions=pa.concat_tables([_predictions(head, part) for part in all_rows]),
        split=features.samples.select(["id", "key", "split"]),
        save_model=partial(save_head, head),
        plots=plots,
    )


def _predictions(head: AffineClassifier, rows: SetRows) -> pa.Table:
    table = rows.table.select(["id", "key", "split"])
    table = table.append_column("label", names_by_code(rows.y, rows.names))
    return prediction_table(table, head, rows.X)


def _plain(value: Any) -> Json:
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    return value.item() if isinstance(value, np.generic) else value
