"""predict: raw inputs in, labels by name and probabilities out; features come from the cache."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headstart.arrow import mask_of
from headstart.backbones.options import BackboneOptions
from headstart.cache.formats import shard_format
from headstart.cache.store import Cache
from headstart.errors import MismatchError
from headstart.extraction.plan import plan_extraction
from headstart.extraction.samples import register
from headstart.heads.storage import load_head
from headstart.pooling import canonical_tap
from headstart.recipe import Recipe, make_recipe
from headstart.runs.record import MODEL_DIR, load_run
from headstart.sources import open_source
from headstart.stages.computing import OpenedBackbone, check_modality, fill, forbid_network
from headstart.stages.config import PredictConfig
from headstart.stages.predicting import prediction_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headstart.contracts import Head, Progress, Source
    from headstart.extraction.samples import Samples
    from headstart.types import Failure, Json

ERROR = "error"


def predict(run: str | os.PathLike[str], config: PredictConfig, progress: Progress) -> pa.Table:
    """Predict with a saved run.

    Returns
    -------
    pyarrow.Table
        A row for every sample of the data, in its order: ``id``, ``label`` (where the data has one
        in the column that the head was fitted on), ``prediction``, ``p:<class>``…. A sample that
        could not be used has nulls, and a column ``error`` says why.
    """
    saved = load_run(run)
    head = load_head(saved.path / MODEL_DIR)
    return predict_with(head, saved.features, saved.labels, config, progress)


def predict_with(
    head: Head,
    features: Mapping[str, Json],
    labels: Mapping[str, Json],
    config: PredictConfig,
    progress: Progress,
) -> pa.Table:
    """Predict with a head in memory; see `predict`."""
    if config.offline:
        forbid_network()
    source = _open(config, features)
    progress.say(source.description)
    cache = Cache(config.cache or _cache_of(features))
    samples = register(source, cache.keys, progress)
    failures = _compute(source, samples, features, cache, config, progress)
    space = cache.space(Recipe(features["recipe"]))
    held = space.held(samples.keys)
    X = space.gather(samples.keys[held]).values.astype(np.float32, copy=False)
    table = _identify(samples.table, str(labels["column"]))
    usable = prediction_table(table.filter(mask_of(held)), head, X)
    return _with_failures(usable, table, held.tolist(), [*samples.failures, *failures])


def _open(config: PredictConfig, features: Mapping[str, Json]) -> Source:
    """The data, read with the columns that the set was made with unless the user says otherwise."""
    remembered = {
        name: value
        for name, value in features["columns"].items()
        if name in ("text_column", "text_pair_column", "image_column") and getattr(config, name) is None
    }
    config = config.model_copy(update=remembered)
    labels = config.label_column is not None
    return open_source(config.data, config.source_options(labels), features["modality"])


def _cache_of(features: Mapping[str, Json]) -> str | None:
    """The cache of the run if it is still there, else the user's own."""
    return features["cache"] if os.path.isdir(features["cache"]) else None


def _compute(
    source: Source,
    samples: Samples,
    features: Mapping[str, Json],
    cache: Cache,
    config: PredictConfig,
    progress: Progress,
) -> list[Failure]:
    """Bring what is missing into the run's space, with the very backbone that the run names."""
    recipe = Recipe(features["recipe"])
    tap = canonical_tap(features["tap"])
    space = cache.space(recipe)
    plan = plan_extraction(source, samples, [space], [tap], shard_format(config.format))
    progress.say(plan.summary())
    if not len(plan.todo):
        return []
    given = dict(features["options"])
    weights = given.pop("weights", None)
    options = BackboneOptions(
        weights=Path(weights) if weights else None,
        pair=features["modality"] == "text-pair",
        offline=config.offline,
        **given,
    )
    opened = OpenedBackbone(features["located"], options, cache, progress)
    check_modality(source, opened.info)
    now = make_recipe(opened.info, tap, recipe.entries["compute"], recipe.entries["stored"])
    if now.id != recipe.id:
        changes = ", ".join(
            f"{name} was {then!r} and is {is_now!r}"
            for name, (then, is_now) in recipe.differences(now).items()
        )
        raise MismatchError(
            f"{features['backbone']} is not the backbone that this head was fitted on: {changes}; "
            "bring back what it was, or fit the head anew"
        )
    return fill(plan, opened, config, recipe.entries["compute"], recipe.entries["stored"], progress)


def _identify(table: pa.Table, column: str) -> pa.Table:
    """The id, and the label where the data has it."""
    chosen = table.select(["id"])
    label = f"label:{column}"
    return chosen.append_column("label", table.column(label)) if label in table.column_names else chosen


def _with_failures(
    usable: pa.Table, table: pa.Table, held: Sequence[bool], failures: Sequence[Failure]
) -> pa.Table:
    """A row for every sample, in the order of the data, with what went wrong beside the bad ones."""
    if not failures and all(held):
        return usable
    reasons = {failure.id: failure.reason for failure in failures}
    position = iter(range(usable.num_rows))
    indices: list[int | None] = [next(position) if ok else None for ok in held]
    whole = usable.take(pa.array(indices, pa.int64()))
    whole = whole.set_column(0, "id", table.column("id"))
    ids: list[Any] = table.column("id").to_pylist()
    errors = [None if ok else reasons.get(name, "no feature") for ok, name in zip(held, ids, strict=True)]
    whole = whole.append_column(ERROR, pa.array(errors, pa.string()))
    unread = [failure for failure in failures if not failure.space]
    extra = pa.table(
        {"id": pa.array([f.id for f in unread], pa.string()),
         ERROR: pa.array([f.reason for f in unread], pa.string())}
    )  # fmt: skip
    return pa.concat_tables([whole, extra], promote_options="default")
