"""diff: why does this command miss? What differs in the recipe, and which samples are new or changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headstart.arrow import keys_from_arrow, mask_of, positions_in
from headstart.backbones.pooling import display_tap
from headstart.cache.store import Cache
from headstart.data import open_source
from headstart.errors import HeadstartError
from headstart.extraction.backbone import OpenedBackbone, check_modality
from headstart.extraction.plan import permanent_failures, plan_extraction, samples_with_views
from headstart.extraction.samples import register
from headstart.extraction.stage import set_name
from headstart.keys import contains, first_occurrences, pack
from headstart.network import forbid_network

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.cache.recipe import Recipe
    from headstart.cache.sets import FeatureSet
    from headstart.config import ExtractConfig
    from headstart.contracts import Progress
    from headstart.extraction.samples import Samples
    from headstart.types import Json

NEAREST = 3
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Near:
    """A space that is nearly the one meant, and how many of the samples it holds."""

    space: str
    n_held: int
    differences: dict[str, tuple[Json, Json]]
    """Each entry of the recipe that differs, dotted: its value there, and the one that is meant."""


@dataclass(frozen=True, slots=True)
class FeatureDiff:
    """What the cache holds of one feature, in different samples.

    One that failed for good is neither held nor missing: extract leaves it alone.
    """

    tap: str
    space: str
    view: str | None
    """None if it is the plain feature."""
    n_held: int
    n_missing: int
    missing: tuple[str, ...]
    """The first ids of those missing."""
    nearest: tuple[Near, ...]
    """Where something is missing: the spaces that hold most of these samples, or differ least."""


@dataclass(frozen=True, slots=True)
class SampleDiff:
    """How the data differs from a set, by ids."""

    set: str
    n_same: int
    new: tuple[str, ...]
    changed: tuple[str, ...]
    """What the set has with other content."""
    gone: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Diff:
    """What an extract command would find and miss."""

    features: tuple[FeatureDiff, ...]
    samples: SampleDiff | None
    precision: str
    why: str


def diff(config: ExtractConfig, progress: Progress) -> Diff:
    """Compare what an extract command asks for with what the cache holds; nothing is computed."""
    if config.offline:
        forbid_network()
    cache = Cache(config.cache)
    source = open_source(config.data, config.source_options())
    progress.say(source.description)
    opened = OpenedBackbone(config.backbone, config.backbone_options(source.modality), cache, progress)
    check_modality(source, opened.info)
    samples = register(source, cache.keys, progress)
    earlier = cache.find_set(set_name(config.set, config.data, config.backbone))
    failures = permanent_failures(earlier)
    viewed = samples_with_views(config, samples, source, earlier)
    plan = plan_extraction(cache, config, opened.info, source, samples, failures)
    unique, ids = first_occurrences(samples.keys), samples.table.column("id")
    meant = [(view, tap) for view in plan.views for tap in plan.taps]
    features = []
    for (view, tap), space in zip(meant, plan.spaces, strict=True):
        rows = unique
        if view is not None and viewed is not None:
            rows = unique[contains(samples.keys[viewed], samples.keys[unique])]
        held = space.held(samples.keys[rows])
        failed = pack(bytes.fromhex(key) for key, space_id in failures if space_id == space.id)
        missing = rows[~held & ~contains(failed, samples.keys[rows])]
        features.append(
            FeatureDiff(
                tap=display_tap(tap),
                space=space.id,
                view=None if view is None else view.name,
                n_held=int(held.sum()),
                n_missing=len(missing),
                missing=tuple(ids[int(row)].as_py() for row in missing[:SHOWN]),
                nearest=_nearest(cache, space.recipe, samples) if len(missing) else (),
            )
        )
    compared = compare_samples(samples, earlier) if earlier else None
    return Diff(tuple(features), compared, plan.precision, plan.why)


def _nearest(cache: Cache, recipe: Recipe, samples: Samples) -> tuple[Near, ...]:
    """Spaces that hold some of these samples, or are of the same weights; the likeliest first."""
    found = []
    for path in cache.space_paths():
        try:
            space = cache.open_space(path.name)
            n_held = int(space.held(samples.keys).sum())
        except HeadstartError:
            continue  # `cache verify` names it
        same_weights = space.recipe.entries.get("weights") == recipe.entries.get("weights")
        if space.id != recipe.id and (n_held or same_weights):
            found.append(Near(space.id, n_held, space.recipe.differences(recipe)))
    found.sort(key=lambda near: (len(near.differences), -near.n_held))
    return tuple(found[:NEAREST])


def compare_samples(samples: Samples, earlier: FeatureSet) -> SampleDiff:
    """Which samples of the data are new, changed or gone since a set was made; by id, then by key."""
    before, now = earlier.samples.column("id"), samples.table.column("id")
    old_keys = keys_from_arrow(earlier.samples.column("key"))
    rows = positions_in(now, before)
    there = rows >= 0
    same = np.zeros(len(now), dtype=bool)
    same[there] = (old_keys[rows[there]] == samples.keys[there]).all(axis=1)
    moved = ~there & contains(old_keys, samples.keys)  # another name, the same content
    gone = (positions_in(before, now) < 0) & ~contains(samples.keys, old_keys)
    return SampleDiff(
        set=earlier.name,
        n_same=int((same | moved).sum()),
        new=_chosen(now, ~there & ~moved),
        changed=_chosen(now, there & ~same),
        gone=_chosen(before, gone),
    )


def _chosen(ids: pa.ChunkedArray, mask: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(ids.filter(mask_of(mask)).to_pylist())
