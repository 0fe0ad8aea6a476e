"""`cache verify`: is everything that is committed what it says it is? With repair, it is afterwards.

Repair deletes nothing: what is corrupt goes to the trash. What may be moved concurrently is moved first and
judged again where it lies then, so that a good file that took the bad one's place in between is put back.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headstart.arrow import keys_from_arrow
from headstart.cache.formats import open_shard
from headstart.cache.home import Home, in_force, turn
from headstart.cache.index import Index, empty_index, load_index
from headstart.cache.layout import STATE_NAME, check_no_link
from headstart.cache.maintenance.trash import Trash
from headstart.cache.recipe import Recipe
from headstart.cache.sets import FeatureSet
from headstart.cache.shards import DigestCheck
from headstart.cache.space import FOLDERS, Space, open_space
from headstart.cache.store import Cache
from headstart.contracts import Progress
from headstart.errors import FormatError, HeadstartError, StorageError
from headstart.files import PARTIAL, storage_errors, write_json
from headstart.keys import KEY_BYTES, first_occurrences
from headstart.parquet_file import open_parquet
from headstart.progress import shown
from headstart.trust import note

Verdict = Literal["sound", "corrupt", "newer", "gone"]
"""newer: of a format that this version does not know, which is no damage."""
BEING_MADE = 120.0  # seconds for which a folder without a recipe may be one that is just being made


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and what was done about it; None if nothing was."""

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

    With ``repair``, what is corrupt is taken out, so that the next extract computes just that. What a later version
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
        with shown(self._progress, "verifying spaces", len(paths)):
            for path in paths:
                self._space(path)
                self._progress.advance(1)
        names = self._cache.set_names()
        for name in names:
            self._set(name)
        return Verification(self._n_shards, self._n_rows, len(names), tuple(self._findings))

    def _trash_for(self, *folders: Path) -> Trash | None:
        """Where what is corrupt in some folders goes; None without repair, and where a link leads elsewhere."""
        try:
            for folder in folders:
                check_no_link(self._cache.root, folder)
        except StorageError as error:
            finding = Finding(str(folders[0]), str(error))
            self._findings += [finding] if finding not in self._findings else []
            return None
        return self._trash

    def _space(self, path: Path) -> None:
        trash = self._trash_for(*(path / name for name in FOLDERS))
        home = self._cache.home
        home.renew(path)
        try:
            space = open_space(path)
        except HeadstartError as error:
            if _is_unfinished(home, path) and (trash is None or _may_be_being_made(path)):
                return
            action = _mend_recipe(home, path, trash) if trash else None
            self._findings.append(Finding(home.named(path), str(error), action))
            self._mended.add(path.name)
            if not action or not path.is_dir():
                return
            space = open_space(path)
        with space.digests.together():
            keys = self._shards(space, trash)
        if problem := check_index(space, keys):
            if trash:
                space.index_path.unlink(missing_ok=True)
            self._findings.append(Finding(str(space.index_path), problem, "deleted" if trash else None))

    def _shards(self, space: Space, trash: Trash | None) -> dict[str, NDArray[np.uint8]]:
        """Check all shards of a space; those of a merge that ends meanwhile as well."""
        keys: dict[str, NDArray[np.uint8]] = {}
        seen: set[str] = set()
        while new := [name for name in space.shard_names() if name not in seen]:
            for name in new:
                seen.add(name)
                with contextlib.suppress(FileNotFoundError):
                    space.home.fetch_again(space.shards_dir / name)
                checked = check_shard(space.shards_dir / name, space.carried, space.digests)
                self._n_shards += checked.verdict != "gone"
                self._n_rows += len(checked.keys)
                if checked.verdict == "sound":
                    keys[name] = checked.keys
                elif checked.problem:
                    action = None
                    if trash and checked.verdict == "corrupt":
                        action = _drop_shard(space, name, trash)
                        self._mended.add(space.id)
                    self._findings.append(
                        Finding(space.home.named(space.shards_dir / name), checked.problem, action)
                    )
        return keys

    def _set(self, name: str) -> None:
        folder = self._cache.set_dir(name)
        self._cache.home.renew(folder)
        trash, current = self._trash_for(folder), in_force(folder)
        if current is None or not (STATE_NAME.fullmatch(current) and (folder / current).is_dir()):
            action = _mend_current(self._cache, folder, trash) if trash else None
            self._findings.append(
                Finding(f"set {name}", f"its current names no state of it: {current!r}", action)
            )
        for digest in self._cache.home.state_names(folder):
            verdict, problem = check_state(self._cache, folder, digest)
            if problem:
                place = f"set {name}" if digest == current else f"set {name}, earlier state {digest}"
                action = None
                if trash and verdict == "corrupt":
                    action = _drop_state(self._cache, folder, digest, trash)
                self._findings.append(Finding(place, problem, action))
        current = in_force(folder)
        if current is not None and check_state(self._cache, folder, current)[0] == "sound":
            self._findings.extend(self._missing(name, self._cache.open_set(name)))

    def _missing(self, name: str, features: FeatureSet) -> Iterator[Finding]:
        for feature, entry in zip(features.features, features.info["features"], strict=True):
            missing = count_missing(self._cache, features, feature.space, entry.get("rows"))
            if missing:
                was_mended = self._trash and feature.space in self._mended
                yield Finding(
                    f"set {name}",
                    f"{missing} samples have no feature in space {feature.space} ({feature.backbone}); "
                    "run headstart extract on its data again",
                    "what was dropped is computed by the next extract" if was_mended else None,
                )


def count_missing(cache: Cache, features: FeatureSet, space_id: str, rows: int | None) -> int:
    """Samples that had a feature when the set was committed, and have none now."""
    keys = keys_from_arrow(features.columns(["key"]).column("key"))
    try:
        space = cache.open_space(space_id)
        space.distrust_index()
        held = space.held(keys)
    except HeadstartError:
        return len(keys) if rows is None else rows
    if rows is not None:
        return max(rows - int(held.sum()), 0)
    return features.count_unexplained(keys[~held], space_id)


@dataclass(frozen=True, slots=True)
class Checked:
    """What a look at a shard gave, and its keys, as far as they can be read; no problem if it is sound or gone."""

    verdict: Verdict
    problem: str = ""
    keys: NDArray[np.uint8] = field(default_factory=lambda: np.empty((0, KEY_BYTES), dtype=np.uint8))


def check_shard(path: Path, recipe: str, digests: DigestCheck) -> Checked:
    """Read a whole shard, which must carry a recipe, whatever this machine has checked before."""
    try:
        _refuse_newer(path)
        digests.check(path, again=True)
        reader = open_shard(path)
        keys = np.array(reader.keys())
        problem = _problem_of(path, reader.recipe, recipe, keys)
        return Checked("corrupt" if problem else "sound", problem, keys)
    except FileNotFoundError:
        return Checked("gone")
    except FormatError as error:
        return Checked("newer", str(error))
    except HeadstartError as error:
        return Checked("corrupt", str(error))


def check_index(space: Space, keys: Mapping[str, NDArray[np.uint8]]) -> str:
    """What is wrong with the saved index, given the keys of the space's shards; empty: nothing."""
    if not space.index_path.exists():
        return ""
    saved = load_index(space.index_path, list(keys))
    if not saved.shards:
        covers = load_index(space.index_path, None)
        return "" if covers.shards else "cannot be read"
    true = empty_index().extended({name: keys[name] for name in saved.shards})
    return "" if _is_same(saved, true) else "does not say where the rows are"


def check_state(cache: Cache, folder: Path, digest: str) -> tuple[Verdict, str]:
    """What is wrong with one state of a set, all of its files read."""
    try:
        features = cache.open_state(folder, digest)
        n_samples, n_named = _count_rows(features.path / "samples.parquet"), len(features)
        _ = features.features, features.label_names, features.failures, features.corrections
    except FormatError as error:
        return "newer", str(error)
    except (
        HeadstartError,
        pa.ArrowException,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        OSError,
    ) as error:
        return "corrupt", f"cannot be read: {error}"
    if n_samples != n_named:
        return "corrupt", f"has {n_samples} rows where set.json says {n_named}"
    return "sound", ""


def _count_rows(path: Path) -> int:
    """Read a whole table of samples, with the checksums of its pages where it has them, a row group at a time."""
    n_rows = 0
    with open_parquet(path, page_checksum_verification=True) as file:
        keys_from_arrow(file.schema_arrow.empty_table().column("key"))
        for number in range(file.num_row_groups):
            group = file.read_row_group(number)
            keys_from_arrow(group.column("key"))
            n_rows += group.num_rows
    return n_rows


def _refuse_newer(path: Path) -> None:
    """Raise FormatError for a newer shard; anything else that is wrong is found later.

    First of all, because a newer format may also take its digest otherwise, and what is merely newer
    must never be dropped as corrupt.
    """
    try:
        open_shard(path)
    except (FormatError, FileNotFoundError):
        raise
    except HeadstartError:
        return


def _problem_of(path: Path, carried: str, recipe: str, keys: NDArray[np.uint8]) -> str:
    if carried != recipe:
        return "carries another recipe than its space"
    if not len(keys) or f"{keys[:, 0].min():02x}" != path.name[:2]:
        return "its name does not begin with its first bucket"
    if len(first_occurrences(keys)) != len(keys):
        return "holds a key twice"
    return ""


def _is_same(one: Index, other: Index) -> bool:
    pairs = ((one.hi, other.hi), (one.lo, other.lo), (one.shard, other.shard), (one.row, other.row))
    return one.shards == other.shards and all(np.array_equal(*pair) for pair in pairs)


def _drop_shard(space: Space, name: str, trash: Trash) -> str:
    """Take a corrupt shard out of its space; say what was done."""
    path = space.shards_dir / name
    try:
        moved = trash.take(path)
    except FileNotFoundError:
        return "it is gone"
    if check_shard(moved, space.carried, space.digests).verdict == "sound":
        # Names are digests: another writer has just committed the rows anew, and that file was moved.
        space.home.move(moved, path)
        return "another process wrote it anew"
    return "moved to the trash; the next extract computes its rows"


def _mend_recipe(home: Home, space: Path, trash: Trash) -> str | None:
    """Write ``recipe.json`` from what a sound shard carries; without one, the space is of no use."""
    is_newer = False
    for name in home.shard_names(space / "shards"):
        try:
            home.fetch_again(space / "shards" / name)
            recipe = _recipe_of(space / "shards" / name)
        except FileNotFoundError:
            continue
        except FormatError:
            is_newer = True
            continue
        if recipe is not None and recipe.id == space.name:
            write_json(space / "recipe.json", dict(recipe.entries))
            home.publish_again(space / "recipe.json")
            return "recipe.json written again from what a shard carries"
    if is_newer or _may_be_being_made(space):
        return None
    with contextlib.suppress(FileNotFoundError):
        trash.take(space)
    return "no sound shard of it; moved to the trash"


def _drop_state(cache: Cache, folder: Path, digest: str, trash: Trash) -> str | None:
    """Take a broken state of a set out, and put an earlier one in force if it was in force."""
    with storage_errors(folder / "current"), turn(folder):
        if check_state(cache, folder, digest)[0] != "corrupt":
            return "another process wrote it anew"
        with contextlib.suppress(FileNotFoundError):
            trash.take(folder / digest)
        if in_force(folder) != digest:
            return "moved to the trash"
        return _fall_back(cache, folder, trash)


def _mend_current(cache: Cache, folder: Path, trash: Trash) -> str | None:
    """Put a state in force where ``current`` names none that is there."""
    with storage_errors(folder / "current"), turn(folder):
        digest = in_force(folder)
        if digest and STATE_NAME.fullmatch(digest) and (folder / digest).is_dir():
            return "another process wrote it anew"
        return _fall_back(cache, folder, trash)


def _fall_back(cache: Cache, folder: Path, trash: Trash) -> str | None:
    sound: list[tuple[str, str]] = []
    for name in cache.home.state_names(folder):
        verdict = check_state(cache, folder, name)[0]
        if verdict == "newer":
            return None  # what a later version knows to be in force, this one does not judge
        if verdict == "sound":
            sound.append((_created(folder / name), name))
    if sound:
        digest = max(sound)[1]
        cache.home.put_in_force(folder, digest)
        return f"its newest sound state {digest} is in force again"
    with contextlib.suppress(FileNotFoundError):
        if any(path.name.endswith(PARTIAL) for path in folder.iterdir()):
            trash.take(folder / "current")  # somebody is committing: the folder stays for them
        else:
            trash.take(folder)
    return "no sound state of it; moved to the trash"


def _recipe_of(path: Path) -> Recipe | None:
    """The recipe that a sound shard carries."""
    try:
        carried = open_shard(path).recipe
        if check_shard(path, carried, DigestCheck()).verdict != "sound":
            return None
        entries = json.loads(carried)
        note(entries, carried.encode("utf-8"), path)
        recipe = Recipe(entries)
        return recipe if recipe.canonical == carried else None
    except FormatError:
        raise
    except (HeadstartError, OSError, ValueError, TypeError):
        return None


def _is_unfinished(home: Home, space: Path) -> bool:
    """Whether a writer stopped between making a space's folder and its recipe: nothing of it is there, nor missing."""
    return not (space / "recipe.json").exists() and not home.shard_names(space / "shards")


def _may_be_being_made(space: Path) -> bool:
    """Whether a writer may have made the folder just now, and be about to write its recipe."""
    try:
        if (space / "recipe.json").exists():
            return False
        return abs(time.time() - space.stat().st_mtime) < BEING_MADE
    except OSError:
        return True


def _created(state: Path) -> str:
    """When a state was made, in a form that sorts."""
    try:
        return str(json.loads((state / "set.json").read_bytes())["created"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
