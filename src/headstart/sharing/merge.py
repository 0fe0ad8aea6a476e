"""Two states of a set that were made apart: the same samples, with the features of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headstart.cache.commit import MEASURED, commit_set
from headstart.errors import MismatchError

if TYPE_CHECKING:
    import pyarrow as pa

    from headstart.cache.sets import FeatureSet
    from headstart.cache.store import Cache
    from headstart.types import Failure, Json

SAYS_WHERE = "origin"
"""What may differ: where somebody's files lie."""


def merge_states(cache: Cache, name: str, other: FeatureSet, dry_run: bool = False) -> FeatureSet | None:
    """The state in force with the features of another one, committed as `extract` does it; those of the other first.

    None if another process committed a state meanwhile, or in a dry run.

    Raises
    ------
    MismatchError
        They have other samples, splits, labels or corrections.
    """
    mine = cache.open_set(name)
    differs = _difference(mine, other)
    if differs:
        raise MismatchError(
            f"set {name!r} is in another state here ({mine.digest}), which was made apart from {other.digest} and has "
            f"other {differs}; pull it under another name (--as), or put it in this one's place (--replace)"
        )
    if dry_run:
        return None
    return commit_set(cache, name, mine.samples, _info(mine, other), _failures(mine, other), mine.digest)


def _difference(mine: FeatureSet, other: FeatureSet) -> str:
    """What two states differ in, besides their features; nothing if they can be merged."""
    if mine.corrections or other.corrections:
        return "corrections"
    one, two = mine.samples, other.samples
    if one.num_rows != two.num_rows or not _equal(one, two, ["key", "id"]):
        return "samples"
    if not _equal(one, two, ["split"]):
        return "splits"
    if (mine.label_names, mine.label_kinds) != (other.label_names, other.label_kinds):
        return "labels"
    others = [name for name in one.column_names if name not in ("key", "id", "split", SAYS_WHERE)]
    if set(one.column_names) != set(two.column_names) or not _equal(one, two, others):
        return "labels or columns"
    return ""


def _equal(one: pa.Table, two: pa.Table, names: list[str]) -> bool:
    return all(one.column(name).equals(two.column(name)) for name in names)


def _info(mine: FeatureSet, other: FeatureSet) -> dict[str, Json]:
    named = {_name_of(entry) for entry in other.info["features"]}
    features = [*other.info["features"], *(e for e in mine.info["features"] if _name_of(e) not in named)]
    info = {name: value for name, value in mine.info.items() if name not in ("format", "created", MEASURED)}
    counts = {**mine.info["counts"], "failures": len(_failures(mine, other))}
    spaces = {entry["space"] for entry in features}
    both = {**mine.info.get(MEASURED, {}), **other.info.get(MEASURED, {})}
    measured = {space: found for space, found in both.items() if space in spaces}
    return {**info, "features": features, "counts": counts, **({MEASURED: measured} if measured else {})}


def _name_of(entry: dict[str, Json]) -> tuple[Json, ...]:
    return entry["backbone"], entry["tap"], entry.get("view")


def _failures(mine: FeatureSet, other: FeatureSet) -> list[Failure]:
    """Of both, each sample once in each space; those of samples that none could read are the same in both."""
    by_place = {(one.key, one.id, one.space): one for one in [*mine.failures, *other.failures]}
    return list(by_place.values())
