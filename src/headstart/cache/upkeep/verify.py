"""`cache verify`: is everything that is committed what it says it is? With repair, it is afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headstart.arrow import keys_from_arrow
from headstart.cache.layout import STATE_NAME
from headstart.cache.space import Space, open_space
from headstart.cache.store import Cache
from headstart.cache.upkeep.checks import Checked, Verdict, check_index, check_shard, check_state
from headstart.cache.upkeep.repair import drop_shard, drop_state, in_force, mend_current, mend_recipe
from headstart.cache.upkeep.trash import Trash
from headstart.errors import HeadstartError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Progress


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Parameters
    ----------
    action : str, optional
        What was done about it; None: nothing.
    """

    place: str
    problem: str
    action: str | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` looked at and found."""

    n_shards: int
    n_rows: int
    n_sets: int
    findings: tuple[Finding, ...]

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong, or no longer."""
        return all(finding.action for finding in self.findings)


def verify(cache: Cache, progress: Progress, repair: bool = False) -> Verification:
    """Read every shard and every set of a cache, whatever this machine has checked before.

    Parameters
    ----------
    cache : Cache
    progress : Progress
    repair : bool
        Take what is corrupt out, so that the next extract computes just that. What a later version
        wrote is left alone.
    """
    return _Run(cache, progress, Trash(cache.root) if repair else None).all()


class _Run:
    """One verification, with what it has found so far."""

    def __init__(self, cache: Cache, progress: Progress, trash: Trash | None) -> None:
        self._cache = cache
        self._progress = progress
        self._trash = trash
        self._findings: list[Finding] = []
        self._mended: set[str] = set()  # spaces that lost something just now
        self._n_shards = self._n_rows = 0

    def all(self) -> Verification:
        """Spaces first: what a set lacks is known only then."""
        paths = self._cache.space_paths()
        self._progress.begin("verifying spaces", len(paths))
        try:
            for path in paths:
                self._space(path)
                self._progress.advance(1)
        finally:
            self._progress.end()
        names = self._cache.set_names()
        for name in names:
            self._set(name)
        return Verification(self._n_shards, self._n_rows, len(names), tuple(self._findings))

    def _found(self, place: str, problem: str, action: str | None = None) -> None:
        self._findings.append(Finding(place, problem, action))

    def _space(self, path: Path) -> None:
        try:
            space = open_space(path)
        except HeadstartError as error:
            action = mend_recipe(path, self._trash) if self._trash else None
            self._found(str(path), str(error), action)
            self._mended.add(path.name)
            if not action or not path.is_dir():
                return
            space = open_space(path)
        keys = self._shards(space)
        if problem := check_index(space, keys):
            if self._trash:
                space.index_path.unlink(missing_ok=True)
            self._found(str(space.index_path), problem, "deleted" if self._trash else None)

    def _shards(self, space: Space) -> dict[str, NDArray[np.uint8]]:
        """Check all shards of a space; those of a merge that ends meanwhile as well."""
        keys: dict[str, NDArray[np.uint8]] = {}
        seen: set[str] = set()
        while new := [name for name in space.shard_names() if name not in seen]:
            for name in new:
                seen.add(name)
                checked = check_shard(space.shards_dir / name, space.recipe.canonical, space.shards.digests)
                self._count(checked)
                if checked.verdict == "sound":
                    keys[name] = checked.keys
                elif checked.problem:
                    self._shard(space, name, checked)
        return keys

    def _count(self, checked: Checked) -> None:
        self._n_shards += checked.verdict != "gone"
        self._n_rows += len(checked.keys)

    def _shard(self, space: Space, name: str, checked: Checked) -> None:
        action = None
        if self._trash and checked.verdict == "corrupt":
            action = drop_shard(space, name, self._trash)
            self._mended.add(space.id)
        self._found(str(space.shards_dir / name), checked.problem, action)

    def _set(self, name: str) -> None:
        folder = self._cache.set_dir(name)
        current = in_force(folder)
        if current is None or not (STATE_NAME.fullmatch(current) and (folder / current).is_dir()):
            action = mend_current(self._cache, folder, self._trash) if self._trash else None
            self._found(f"set {name}", f"its current names no state of it: {current!r}", action)
        for digest in sorted(path.name for path in folder.glob("*") if STATE_NAME.fullmatch(path.name)):
            verdict, problem = check_state(self._cache, folder, digest)
            if problem:
                place = f"set {name}" if digest == current else f"set {name}, earlier state {digest}"
                self._found(place, problem, self._state(folder, digest, verdict))
        current = in_force(folder)
        if current is not None and check_state(self._cache, folder, current)[0] == "sound":
            self._findings.extend(self._missing(name, self._cache.open_set(name)))

    def _state(self, folder: Path, digest: str, verdict: Verdict) -> str | None:
        if self._trash is None or verdict != "corrupt":
            return None
        return drop_state(self._cache, folder, digest, self._trash)

    def _missing(self, name: str, features: FeatureSet) -> Iterator[Finding]:
        for feature, entry in zip(features.features, features.info["features"], strict=True):
            missing = _count_missing(self._cache, features, feature.space, entry.get("rows"))
            if missing:
                was_mended = self._trash and feature.space in self._mended
                yield Finding(
                    f"set {name}",
                    f"{missing} samples have no feature in space {feature.space} ({feature.backbone}); "
                    "run headstart extract on its data again",
                    "what was dropped is computed by the next extract" if was_mended else None,
                )


def _count_missing(cache: Cache, features: FeatureSet, space_id: str, rows: int | None) -> int:
    """Samples that had a feature when the set was committed, and have none now."""
    keys = keys_from_arrow(features.samples.column("key"))
    try:
        space = cache.open_space(space_id)
        space.distrust_index()
        held = space.held(keys)
    except HeadstartError:
        return len(keys) if rows is None else rows
    if rows is not None:
        return max(rows - int(held.sum()), 0)
    failed = {failure.key for failure in features.failures if failure.space in ("", space_id)}
    return sum(key.tobytes().hex() not in failed for key in keys[~held])
