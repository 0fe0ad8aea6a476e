"""extract: run the frozen backbone once over every sample that the cache lacks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from headstart.backbones import located_spec, short_name
from headstart.cache.commit import commit_set
from headstart.cache.layout import check_set_name, set_name_from
from headstart.cache.store import Cache
from headstart.errors import DataError, HeadstartError, SkippedError
from headstart.extraction.samples import register
from headstart.keys import contains, pack
from headstart.pooling import display_tap
from headstart.sources import open_source
from headstart.stages.computing import OpenedBackbone, check_modality, fill, forbid_network
from headstart.stages.labelling import label_samples
from headstart.stages.spaces import plan_work

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Progress, Source
    from headstart.extraction.plan import ExtractionPlan
    from headstart.stages.config import ExtractConfig
    from headstart.stages.labelling import Labelled
    from headstart.types import Failure, Json


@dataclass(frozen=True, slots=True)
class Extraction:
    """A set, and what it took to make it.

    Parameters
    ----------
    features : FeatureSet
    n_samples, n_computed : int
    failures : list of Failure
        Samples without the features asked for.
    seconds : float
        Wall time of the stage.
    """

    features: FeatureSet
    n_samples: int
    n_computed: int
    failures: list[Failure]
    seconds: float


def extract(config: ExtractConfig, progress: Progress) -> Extraction:
    """Run the frozen backbone once over every sample that the cache lacks."""
    start = perf_counter()
    if config.offline:
        forbid_network()
    cache = Cache(config.cache)
    name = check_set_name(config.set) if config.set else default_set_name(config.data, config.backbone)
    source = open_source(config.data, config.source_options())
    progress.say(source.description)
    options = config.backbone_options(pair=source.modality == "text-pair")
    opened = OpenedBackbone(config.backbone, options, cache, progress)
    check_modality(source, opened.info)
    said = source.description
    samples = register(source, cache.keys, progress)
    if source.description != said:  # a folder knows its classes, and what it ignored, after the scan
        progress.say(source.description)
    given_up = _given_up(None if config.retry_failed else cache.find_set(name))
    work = plan_work(cache, config, opened.info, source, samples, given_up)
    plan = work.plan
    progress.say(f"{plan.summary()} ({config.backbone}, {_names(plan.taps)}, {work.precision}: {work.why})")
    n_computed, failed = fill(work, opened, config, progress)
    cache.prepare()
    features, failures = _commit(cache, name, config, source, plan, failed, progress)
    return Extraction(features, len(samples), n_computed, failures, perf_counter() - start)


def _commit(
    cache: Cache,
    name: str,
    config: ExtractConfig,
    source: Source,
    plan: ExtractionPlan,
    failed: Sequence[Failure],
    progress: Progress,
) -> tuple[FeatureSet, list[Failure]]:
    """Commit the set, on top of whatever it has become while we computed.

    Returns
    -------
    FeatureSet
    list of Failure
        Those of the features asked for.
    """
    while True:
        earlier = cache.find_set(name)
        mine = [*plan.samples.failures, *_still_missing(earlier, plan, failed), *failed]
        _check_any_held(plan, mine)
        labelled = label_samples(plan.samples, source, earlier, config.split_seed)
        entries = _feature_entries(cache, config, source, plan, earlier)
        failures = [*mine, *_failures_of_others(earlier, plan, entries)]
        info = _describe(config, source, labelled, entries, failures)
        features = commit_set(
            cache, name, labelled.table, info, failures, replaces=earlier.digest if earlier else None
        )
        if features is not None:
            _say_splits(labelled, progress)
            return features, mine


def default_set_name(data: Any, backbone: str) -> str:
    """A set is named after the data and the backbone."""
    if isinstance(data, str | os.PathLike):
        path = Path(data).resolve()
        stem = path.stem if path.is_file() else path.name
    else:
        stem = "samples"
    return set_name_from(f"{stem}-{short_name(backbone)}")


def _names(taps: Sequence[str]) -> str:
    return ", ".join(display_tap(tap) for tap in taps)


def _given_up(earlier: FeatureSet | None) -> frozenset[tuple[str, str]]:
    """Permanent failures of the set so far: they count as held until their bytes change."""
    failures = earlier.failures if earlier else []
    return frozenset((f.key, f.space) for f in failures if f.kind == "permanent" and f.space)


def _still_missing(
    earlier: FeatureSet | None, plan: ExtractionPlan, failed: Sequence[Failure]
) -> list[Failure]:
    """Earlier failures in the plan's spaces of samples that are there and still have no feature."""
    spaces = {space.id: space for space in plan.spaces}
    again = {(failure.key, failure.space) for failure in failed}
    return [
        failure
        for failure in _of_present_samples(earlier, plan)
        if failure.space in spaces
        and (failure.key, failure.space) not in again
        and not spaces[failure.space].held(pack([bytes.fromhex(failure.key)]))[0]
    ]


def _failures_of_others(
    earlier: FeatureSet | None, plan: ExtractionPlan, entries: Sequence[dict[str, Json]]
) -> list[Failure]:
    """Earlier failures in the spaces of the set's other features."""
    others = {entry["space"] for entry in entries} - {space.id for space in plan.spaces}
    return [failure for failure in _of_present_samples(earlier, plan) if failure.space in others]


def _of_present_samples(earlier: FeatureSet | None, plan: ExtractionPlan) -> list[Failure]:
    """The failures that some backbone had, of samples that are still in the data."""
    failures = [f for f in earlier.failures if f.space] if earlier else []
    if not failures:
        return []
    present = contains(plan.samples.keys, pack(bytes.fromhex(f.key) for f in failures))
    return [failure for failure, is_present in zip(failures, present, strict=True) if is_present]


def _check_any_held(plan: ExtractionPlan, failures: Sequence[Failure]) -> None:
    for space in plan.spaces:
        if not space.held(plan.samples.keys).any():
            first = failures[0] if failures else None
            detail = f"; the first: {first.id}: {first.reason}" if first else ""
            raise DataError(
                f"none of the {len(plan.samples):,} samples gave a feature, and no set was made{detail}"
            )


def _say_splits(labelled: Labelled, progress: Progress) -> None:
    made = labelled.split["made"]
    counts = ", ".join(f"{n:,} {name}" for name, n in list(labelled.counts().items())[1:])
    progress.say(f"splits: {counts}" + (f" (made: {made}, stratified)" if made else ""))
    if labelled.n_leaking:
        progress.say(
            f"warning: {labelled.n_leaking:,} samples are in more than one split of the data, byte for byte"
        )


def _feature_entries(
    cache: Cache,
    config: ExtractConfig,
    source: Source,
    plan: ExtractionPlan,
    earlier: FeatureSet | None,
) -> list[dict[str, Json]]:
    """The features of the set: those of this extraction first, then those that it had."""
    options = config.backbone_options(pair=source.modality == "text-pair")
    new: list[dict[str, Json]] = [
        {
            "backbone": config.backbone,
            "tap": tap,
            "view": None,
            "space": space.id,
            "located": located_spec(config.backbone),
            "options": options.given(),
        }
        for tap, space in zip(plan.taps, plan.spaces, strict=True)
    ]
    named = {(entry["backbone"], entry["tap"]) for entry in new}
    before = earlier.info["features"] if earlier else []
    kept = [entry for entry in before if (entry["backbone"], entry["tap"]) not in named]
    for entry in new:
        entry["rows"] = _count_held(plan, cache, entry["space"])
    # Samples that came since a feature was extracted lack it; the set says how many have it.
    return [*new, *({**entry, "rows": _count_held(plan, cache, entry["space"])} for entry in kept)]


def _count_held(plan: ExtractionPlan, cache: Cache, space_id: str) -> int:
    """How many of the samples have a feature in a space."""
    try:
        return int(cache.open_space(space_id).held(plan.samples.keys).sum())
    except HeadstartError:
        return 0  # somebody deleted the space; reading the feature will say so


def _describe(
    config: ExtractConfig,
    source: Source,
    labelled: Labelled,
    entries: Sequence[dict[str, Json]],
    failures: Sequence[Failure],
) -> dict[str, Json]:
    """What set.json says."""
    return {
        "source": {
            "location": os.path.abspath(config.data) if isinstance(config.data, str | os.PathLike) else None,
            "description": source.description,
            "modality": source.modality,
            "columns": {
                name: value
                for name, value in config.model_dump(mode="json").items()
                if name.endswith("_column") and value
            },
        },
        "labels": labelled.labels,
        "features": list(entries),
        "counts": {**labelled.counts(), "failures": len(failures)},
        "split": labelled.split,
    }


def check_strict(config: ExtractConfig, done: Extraction) -> None:
    """Under ``strict``, say with an error of its own that samples were skipped.

    Raises
    ------
    SkippedError
        Samples were skipped; everything else is kept.
    """
    if config.strict and done.failures:
        first = done.failures[0]
        raise SkippedError(
            f"{len(done.failures):,} samples were skipped, the first: {first.id}: {first.reason}; "
            f"all are named in {done.features.path / 'failures.jsonl'}"
        )
