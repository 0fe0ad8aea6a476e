"""A head from names of classes on a set without labels: nothing judges it, and `headstart.predict` labels the data."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headstart.arrow import with_columns
from headstart.errors import ConfigError
from headstart.fitting.class_names import OPTION, class_names
from headstart.fitting.report import cost_of_head, describe_features, params_of, provenance_of
from headstart.fitting.zero_shot import NAMES, asked_for_names, name_classes
from headstart.heads import open_head
from headstart.heads.predictor import Predictor
from headstart.registry.machine import describe_environment
from headstart.registry.run import Run
from headstart.tasks import open_task
from headstart.types import SPLITS

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.config import FitConfig
    from headstart.contracts import Progress

KIND = "single"
COLUMN = "class"
"""What the label that it predicts is called."""


def fit_unlabelled(config: FitConfig, features: FeatureSet, progress: Progress) -> Run:
    """The run of a zero-shot head without figures."""
    start = perf_counter()
    config = asked_for_names(config, KIND)
    if config.class_names is None:
        raise ConfigError(
            f"set {features.name!r} has no labels that could be names of classes; give {OPTION} FILE"
        )
    if config.sweep or config.folds or config.label is not None or config.refit:
        raise ConfigError(
            f"set {features.name!r} has no labels to choose by: leave out --sweep, --folds, --refit and --label"
        )
    [(tap, backbone), *others] = config.choices
    if others:
        raise ConfigError(
            "names of classes are compared with one feature; choose it with --tap and --backbone"
        )
    ref = features.feature(tap, backbone)
    named = name_classes(config, features, ref, class_names(config.class_names, (), COLUMN), progress)
    head = open_head(config.head, config.params, config.seed, KIND)
    head.class_vectors = named.vectors
    n, width = features.mapped(None, tap, None, backbone).shape
    head.fit(np.zeros((0, width)), None)
    seconds = perf_counter() - start
    names, predictor = list(named.vectors.names), Predictor(head)
    progress.say(
        f"set {features.name!r} has no labels, and nothing says how good this is; headstart predict labels it"
    )
    return Run(
        config=config.model_copy(update={"digest": features.digest}).dump(),
        report={
            "metrics": {},
            "timings": {"load": 0.0, "fit": seconds, "evaluate": 0.0, "total": seconds},
            "cost": {"feature_bytes": 0, **cost_of_head(predictor)},
            "seed": config.seed,
            "head": {"name": config.head, **params_of(head)},
            "task": KIND,
            "data": {
                **{f"n_{split}": 0 for split in SPLITS},
                "n_unlabelled": n,
                "n_skipped": 0,
                "unseen_in_train": [],
            },
            NAMES: dict(named.report),
            "provenance": provenance_of(features),
        },
        labels={"column": COLUMN, "kind": KIND, "names": names, "classes": predictor.classes},
        features=describe_features(config.cache, features, [ref]),
        environment=describe_environment(),
        history=[],
        predictions=_no_predictions(features, predictor),
        split=features.samples.select(["id", "key", "split"]),
        predictor=predictor,
        plot_format=config.plots,
        plots={},
    )


def _no_predictions(features: FeatureSet, predictor: Predictor) -> pa.Table:
    """The columns of predictions without rows: nothing here has a label."""
    table = features.samples.select(["id", "key", "split"]).slice(0, 0)
    table = table.append_column("label", pa.array([], open_task(KIND).arrow_type))
    return with_columns(
        table, open_task(KIND).columns(np.zeros((0, len(predictor.classes))), predictor.classes, ())
    )
