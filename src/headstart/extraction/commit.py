"""Committing what an extraction found: the set's features, its failures by name, its splits."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.backbones import located_spec
from headstart.cache.commit import MEASURED, commit_set
from headstart.cache.corrections import LINEAGE, lineage, turn_of
from headstart.cache.made_columns import MADE_COLUMNS
from headstart.data.streams import STANDARD_INPUT
from headstart.errors import DataError, HeadstartError, StorageError
from headstart.extraction.corrected import RemainingPayloads, about_these, kept_corrections
from headstart.extraction.samples import label_samples
from headstart.keys import contains, pack
from headstart.places import absolute
from headstart.tasks import USUAL
from headstart.words import counted

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from headstart.cache.sets import FeatureSet
    from headstart.cache.space import Space
    from headstart.cache.store import Cache
    from headstart.config import ExtractConfig
    from headstart.contracts import Progress, Source
    from headstart.extraction.backbone import OpenedBackbone
    from headstart.extraction.corrected import Reapplied
    from headstart.extraction.fill import FillResult
    from headstart.extraction.plan import ExtractionPlan
    from headstart.extraction.samples import Labelled, Samples
    from headstart.types import BackboneInfo, Failure, Json

READING = (
    *("encoding", "header", "columns", "delimiter", "quoting", "split_map", "label_names", "label_kind"),
    *("label_separator", "streaming", "class_from"),
)
"""Options that say how data is read, beside those that name its columns."""


def commit(
    name: str,
    config: ExtractConfig,
    source: Source,
    opened: OpenedBackbone,
    filled: FillResult,
    progress: Progress,
) -> tuple[FeatureSet, list[Failure]]:
    """Commit the set, on top of whatever it has become while we computed.

    The failures are those of the features asked for.
    """
    cache = opened.cache
    while True:
        found = cache.find_set(name)
        earlier = None if config.replace else found
        corrections = kept_corrections(found, config.drop_corrections)
        if config.replace:
            corrections = about_these(filled.plan.samples.table, corrections)
        labelled = label_samples(filled.plan.samples, source, earlier, config.split_seed, corrections)
        plan = replace(filled.plan, samples=labelled.samples)
        labelled = labelled.with_columns_of(earlier)
        of_backbone = [*_still_missing(earlier, plan, filled.failures), *filled.failures]
        mine = [*plan.samples.failures, *_by_sample(of_backbone, plan)]
        _check_any_held(plan, mine)
        entries = _feature_entries(config, source, opened, plan, earlier)
        others = {entry["space"] for entry in entries} - {space.id for space in plan.spaces}
        failures = [*mine, *failures_in(others, earlier, plan.samples)]
        info = describe_set(_describe_source(config, source), labelled, entries, failures)
        if measured := _measured(filled, earlier, entries):
            info[MEASURED] = measured
        held, replaces = labelled.again.held, found.digest if found else None
        if held is not None:
            info[LINEAGE] = lineage_of(found)
        if earlier is not None and MADE_COLUMNS in earlier.info:
            info[MADE_COLUMNS] = earlier.info[MADE_COLUMNS]
        features = commit_set(cache, name, labelled, info, failures, replaces, held)
        if features is not None:
            _check_still_there(cache, plan, entries)
            _say_splits(labelled, progress)
            # Those that are dropped were left out before anything was computed, unless the data is a stream.
            left_out = len(plan.source.left_out) if isinstance(plan.source, RemainingPayloads) else 0
            say_corrections(labelled.again, found, progress, left_out)
            return features, mine


def lineage_of(found: FeatureSet | None) -> dict[str, int]:
    """The states that a set with corrections was in before."""
    return {} if found is None else {**lineage(found.info), found.digest: turn_of(found.info)}


def say_corrections(
    again: Reapplied, found: FeatureSet | None, progress: Progress, n_left_out: int = 0
) -> None:
    """What became of the decisions that a set stood on; so many samples were left out by them before."""
    again = replace(again, n_applied=again.n_applied + n_left_out)
    if str(again):
        progress.say(str(again))
    n_ended = len(found.corrections) - len(again.held.rows if again.held else ()) if found else 0
    if n_ended:
        progress.say(f"{counted(n_ended, 'correction')} of the set {'ends' if n_ended == 1 else 'end'} here")


def _by_sample(failures: Sequence[Failure], plan: ExtractionPlan) -> list[Failure]:
    """The same failures under every sample that has the key, by the names that samples have now."""
    by_key: dict[str, dict[str, Failure]] = {}
    for failure in failures:
        by_key.setdefault(failure.key, {})[failure.space] = failure
    if not by_key:
        return []
    keys, table = plan.samples.keys, plan.samples.table
    named = []
    for row in np.flatnonzero(contains(pack(map(bytes.fromhex, by_key)), keys)).tolist():
        id, origin = (table.column(name)[row].as_py() for name in ("id", "origin"))
        for failure in by_key[keys[row].tobytes().hex()].values():
            named.append(replace(failure, id=id, origin=origin))
    return named


def _check_still_there(cache: Cache, plan: ExtractionPlan, entries: Sequence[dict[str, Json]]) -> None:
    """Refuse to call a set done whose features went away between the count and the commit."""
    for entry in entries:
        lost = entry["rows"] - count_held(cache, entry["space"], plan.samples, plan.spaces)
        if lost > 0:
            raise StorageError(
                f"{lost:,} features of space {entry['space']} were taken away while the set was committed; "
                "run the same command again"
            )


def _still_missing(
    earlier: FeatureSet | None, plan: ExtractionPlan, failed: Sequence[Failure]
) -> list[Failure]:
    """Earlier failures in the plan's spaces of samples that are there and still have no feature."""
    spaces = {space.id: space for space in plan.spaces}
    again = {(failure.key, failure.space) for failure in failed}
    return [
        failure
        for failure in failures_in(spaces, earlier, plan.samples)
        if (failure.key, failure.space) not in again
        and not spaces[failure.space].held(pack([bytes.fromhex(failure.key)]))[0]
    ]


def failures_in(spaces: Container[str], earlier: FeatureSet | None, samples: Samples) -> list[Failure]:
    """The failures of a set in some spaces, of samples that are still in the data."""
    failures = [failure for failure in earlier.failures if failure.space in spaces] if earlier else []
    if not failures:
        return []
    present = contains(samples.keys, pack(bytes.fromhex(failure.key) for failure in failures))
    return [failure for failure, is_present in zip(failures, present, strict=True) if is_present]


def _check_any_held(plan: ExtractionPlan, failures: Sequence[Failure]) -> None:
    for space in plan.spaces:
        if not space.held(plan.samples.keys, recent=True).any():
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
    config: ExtractConfig,
    source: Source,
    opened: OpenedBackbone,
    plan: ExtractionPlan,
    earlier: FeatureSet | None,
) -> list[dict[str, Json]]:
    """The features of the set: those of this extraction first, then those that it had."""
    options = config.backbone_options(source.modality)
    new: list[dict[str, Json]] = [
        {
            "backbone": config.backbone,
            "tap": tap,
            "view": None if view is None else view.name,
            "space": plan.spaces[number * len(plan.taps) + place].id,
            "located": located_spec(config.backbone),
            "options": options.given(),
            **_layers(opened.info),
        }
        for number, view in enumerate(plan.views)
        for place, tap in enumerate(plan.taps)
    ]
    # Samples that came since a feature was extracted lack it; the set says how many have it.
    return [
        {**entry, "rows": count_held(opened.cache, entry["space"], plan.samples, plan.spaces, recent=True)}
        for entry in [*new, *other_features(new, earlier)]
    ]


def other_features(new: Sequence[Mapping[str, Json]], earlier: FeatureSet | None) -> list[dict[str, Json]]:
    """The features that a set had beside the new ones."""
    named = {_name_of(entry) for entry in new}
    return [entry for entry in earlier.info["features"] if _name_of(entry) not in named] if earlier else []


def _name_of(entry: Mapping[str, Json]) -> tuple[Json, ...]:
    return entry["backbone"], entry["tap"], entry.get("view")


def _layers(info: BackboneInfo) -> dict[str, Json]:
    """What `FeatureSet.feature` needs to know ``-4.cls`` by its number."""
    if not info.n_layers:
        return {}
    return {"n_layers": info.n_layers, "first_layer": info.first_layer, "closing_norm": info.closing_norm}


def count_held(
    cache: Cache, space_id: str, samples: Samples, known: Sequence[Space] = (), recent: bool = False
) -> int:
    """How many of the samples have a feature in a space; ``recent`` as for `Space.refresh`."""
    # Opened anew, it would read its index once more, which is as large as the keys of all samples.
    space = next((space for space in known if space.id == space_id), None)
    try:
        space = cache.open_space(space_id) if space is None else space
        return int(space.held(samples.keys, recent).sum())
    except HeadstartError:
        return 0  # somebody deleted the space; reading the feature will say so


def describe_set(
    source: Mapping[str, Json],
    labelled: Labelled,
    entries: Sequence[dict[str, Json]],
    failures: Sequence[Failure],
) -> dict[str, Json]:
    """What set.json says."""
    kinds = {column: kind for column, kind in labelled.kinds.items() if kind != USUAL}
    return {
        "source": source,
        "labels": labelled.labels,
        **({"label_kinds": kinds} if kinds else {}),
        "features": list(entries),
        "counts": {**labelled.counts(), "failures": len(failures)},
        "split": labelled.split,
    }


def _describe_source(config: ExtractConfig, source: Source) -> dict[str, Json]:
    """Where the data was, and how it was read."""
    names = {name for name in type(config).model_fields if name.endswith("_column") or name in READING}
    return {
        "location": _location(config.data),
        "description": source.description,
        "modality": source.modality,
        "columns": {
            name: value
            for name, value in config.model_dump(mode="json", include=names).items()
            if value not in (None, "auto", "utf-8", {})
        }
        | dict(source.found_columns),
    }


def _measured(
    filled: FillResult, earlier: FeatureSet | None, entries: Sequence[dict[str, Json]]
) -> dict[str, Json]:
    """What was measured by space: now, or by the run that last computed something for it."""
    before = earlier.info.get(MEASURED, {}) if earlier else {}
    spaces = {entry["space"] for entry in entries}
    said = {space: dict(found) for space, found in before.items() if space in spaces}
    if filled.timings is not None:
        timings = filled.timings.to_json()
        for space in filled.plan.spaces:
            said[space.id] = {"timings": timings, **filled.drift.get(space.id, {})}
    if filled.long is not None:
        for number in filled.plan.spaces_of(0):
            said.setdefault(filled.plan.spaces[number].id, {})[filled.long.entry_name] = filled.long.entry
    return said


def _location(data: Any) -> str | None:
    """Where the data was, so that it can be found again from any working directory; None if it cannot."""
    if not isinstance(data, str | os.PathLike):
        return None
    text = os.fspath(data)
    if text == STANDARD_INPUT:
        return None
    return text if text.startswith("hf:") else absolute(text)
