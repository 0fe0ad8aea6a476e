"""The work for each label of a fit: its samples read, its heads opened, and every mistake in it found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from headstart.distillation.asked import check_asked
from headstart.errors import ConfigError, DataError
from headstart.fitting.data import FitData, LabelReader, read_taps
from headstart.fitting.grids import as_grid
from headstart.fitting.head_training import LabelJob
from headstart.fitting.label_columns import is_all
from headstart.fitting.search import open_heads, with_neighbours
from headstart.fitting.zero_shot import asked_for_names, with_names
from headstart.heads import head_beside
from headstart.registry.labels import check_columns

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.config import FitConfig
    from headstart.contracts import Head, Progress
    from headstart.fitting.grids import TapChoice
    from headstart.types import Json


def open_jobs(
    config: FitConfig, columns: Sequence[str], reader: LabelReader, progress: Progress
) -> list[LabelJob]:
    """The work for each label, its samples read and every mistake in it found; features are read once for all."""
    features = reader.features
    check_columns([{"column": name, "classes": features.label_names[name]} for name in columns])
    jobs, refused = list[LabelJob](), list[DataError]()
    for column in columns:
        try:
            jobs.append(open_job(config, column, reader, len(columns) > 1, progress))
        except DataError as error:
            if not is_all(features, config.label):
                raise
            refused.append(error)
            progress.say(f"label {column!r} is left out: {error}")
    if not jobs:
        raise refused[0]
    _check_features(jobs)
    return jobs


def _check_features(jobs: Sequence[LabelJob]) -> None:
    """Refuse labels whose heads read other features than those of the first: one pass is for all of them."""
    first, *others = jobs
    for other in others:
        if other.reads != first.reads:
            raise ConfigError(
                f"label {first.config.label!r} is learnt from {first.reads}, and {other.config.label!r} from "
                f"{other.reads}; the heads of one run read the same: say --tap, or fit them one by one"
            )


def open_job(
    config: FitConfig, column: str, reader: LabelReader, is_one_of_several: bool, progress: Progress
) -> LabelJob:
    """The work for one label."""
    kind, own = reader.features.label_kinds[column], config.for_label(column)
    if config.shared_trunk:  # whose parameters are chosen for all labels at once
        own = own.model_copy(update={"sweep": {}})
    if is_one_of_several and (head := head_beside(config.head, kind)) != config.head:
        progress.say(f"label {column!r}: a {config.head} head is not for it, and it gets a {head} head")
        own = own.model_copy(update={"head": head})
    try:
        own = asked_for_names(own, kind)
        own = with_neighbours(own, kind)
        heads = open_heads(own, kind)
    except ConfigError as error:
        if not is_one_of_several:
            raise
        raise ConfigError(f"label {column!r}: {error}") from error
    check_asked(own, heads)
    read = read_taps(own, column, reader, heads, progress)
    taps, taught = _taught(own, reader.features, read, progress)
    _say_neighbours(own, heads, next(iter(taps.values())), progress)
    taps, named = with_names(own, reader.features, heads, taps, progress)
    return LabelJob(own, reader.features, heads, taps, progress, {**taught, **named})


def _taught(
    config: FitConfig, features: FeatureSet, taps: Mapping[TapChoice, FitData], progress: Progress
) -> tuple[Mapping[TapChoice, FitData], dict[str, Json]]:
    """What is fitted on with what a teacher says of it, and what a report says of that; as it is without a teacher."""
    if config.teacher is None:
        return taps, {}
    from headstart.distillation.stage import ask_teacher  # which predicts, and few fits do

    # Where validation samples are trained on in the end, or by turns, they have a teacher, too.
    splits = ("train", "validation") if config.refit or config.folds else ("train",)
    asked = [data.raw[split] for split in splits for data in taps.values()]
    lessons = ask_teacher(config, features, asked, progress)
    found = {tap: data.map(splits, lessons.of) for tap, data in taps.items()}
    return found, {"distillation": dict(lessons.report)}


def _say_neighbours(config: FitConfig, heads: Sequence[Head], data: FitData, progress: Progress) -> None:
    """Where a head is to ask more neighbours than there are samples."""
    train = data.splits["train"]
    given = as_grid({"k": config.sweep.get("k", config.params.get("k", 1))})["k"]
    most = max((k for k in given if isinstance(k, int | float)), default=1)
    for head in heads:
        unlabelled = train.unlabelled if head.takes_unlabelled else None
        n = len(train) + (0 if unlabelled is None else len(unlabelled))
        if "k" in head.get_params() and most > n:
            progress.say(f"k={most:g}, and there are {n:,} train samples: all of them are asked")
            return
