"""`cache verify`: is everything that is committed what it says it is?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headstart.arrow import keys_from_arrow
from headstart.cache.formats import open_shard
from headstart.cache.space import Space, open_space
from headstart.cache.store import Cache
from headstart.errors import HeadstartError
from headstart.keys import first_occurrences

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Progress

ROWS_AT_A_TIME = 16_384


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and what to do."""

    place: str
    problem: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` looked at and found."""

    n_shards: int
    n_rows: int
    n_sets: int
    findings: tuple[Finding, ...]


def verify(cache: Cache, progress: Progress) -> Verification:
    """Read every shard and every set of a cache, whatever this machine has checked before."""
    findings: list[Finding] = []
    n_shards = n_rows = 0
    paths = cache.space_paths()
    progress.begin("verifying spaces", len(paths))
    for path in paths:
        try:
            space = open_space(path)
        except HeadstartError as error:
            findings.append(Finding(str(path), str(error)))
            continue
        for name in space.shard_names():
            n_shards += 1
            rows, problem = _check_shard(space, space.shards_dir / name)
            n_rows += rows
            if problem:
                findings.append(Finding(str(space.shards_dir / name), problem))
        progress.advance(1)
    progress.end()
    names = cache.set_names()
    for name in names:
        findings.extend(_check_set(cache, name))
    return Verification(n_shards, n_rows, len(names), tuple(findings))


def _check_shard(space: Space, path: Path) -> tuple[int, str | None]:
    """The rows of a shard, and what is wrong with it."""
    try:
        space.check_digest(path, again=True)
        reader = open_shard(path)
        keys = np.asarray(reader.keys())
        problem = _problem_of(space, path, reader.recipe, keys)
        if problem is None and any(not np.isfinite(block).all() for block in _blocks(path, len(keys))):
            problem = "holds a value that is not finite; delete the file and run extract again"
        return len(keys), problem
    except FileNotFoundError:
        return 0, None  # compacted away while we looked
    except HeadstartError as error:
        return 0, str(error)


def _problem_of(space: Space, path: Path, recipe: str, keys: NDArray[np.uint8]) -> str | None:
    if recipe != space.recipe.canonical:
        return "carries another recipe than its space; delete the file"
    if not len(keys) or f"{keys[:, 0].min():02x}" != path.name[:2]:
        return "its name does not begin with its first bucket; delete the file"
    if len(first_occurrences(keys)) != len(keys):
        return "holds a key twice; delete the file and run extract again"
    return None


def _blocks(path: Path, n_rows: int) -> Iterator[NDArray[np.floating]]:
    reader = open_shard(path)
    for start in range(0, n_rows, ROWS_AT_A_TIME):
        yield reader.features(np.arange(start, min(start + ROWS_AT_A_TIME, n_rows))).values


def _check_set(cache: Cache, name: str) -> Iterator[Finding]:
    try:
        feature_set = cache.open_set(name)
        n_samples, n_named = feature_set.samples.num_rows, len(feature_set)
        features = feature_set.features
    except (HeadstartError, KeyError, TypeError) as error:
        yield Finding(f"set {name}", f"cannot be read: {error}")
        return
    if n_samples != n_named:
        yield Finding(f"set {name}", f"has {n_samples} rows where set.json says {n_named}")
    for feature, entry in zip(features, feature_set.info["features"], strict=True):
        missing = _count_missing(cache, feature_set, feature.space, entry.get("rows"))
        if missing:
            yield Finding(
                f"set {name}",
                f"{missing} samples have no feature in space {feature.space} ({feature.backbone}); "
                "run headstart extract on its data again",
            )


def _count_missing(cache: Cache, feature_set: FeatureSet, space_id: str, rows: int | None) -> int:
    """Samples that had a feature when the set was committed, and have none now."""
    keys = keys_from_arrow(feature_set.samples.column("key"))
    try:
        space = cache.open_space(space_id)
        space.distrust_index()
        held = space.held(keys)
    except HeadstartError:
        return len(keys) if rows is None else rows
    if rows is not None:
        return max(rows - int(held.sum()), 0)
    failed = {failure.key for failure in feature_set.failures if failure.space in ("", space_id)}
    return sum(key.tobytes().hex() not in failed for key in keys[~held])
