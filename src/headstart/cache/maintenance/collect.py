"""`cache gc`: what no set refers to goes to the trash; what lay there long enough is deleted."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from headstart.cache.formats import format_of, open_shard, shard_format, take
from headstart.cache.home import Home, in_force, list_shards
from headstart.cache.index import Index
from headstart.cache.layout import STATE_NAME, check_no_link
from headstart.cache.maintenance.compact import Component, find_components, pack_groups, replace
from headstart.cache.maintenance.trash import (
    State,
    Trash,
    read_states,
    retired_at,
    taken_at,
    trash_runs,
    wanted_keys,
)
from headstart.cache.maintenance.verify import check_shard
from headstart.cache.space import FOLDERS, Space, open_space, read_uses, trim_uses
from headstart.cache.store import Cache
from headstart.contracts import Progress
from headstart.errors import ConfigError, CorruptShardError, FormatError, HeadstartError, StorageError
from headstart.files import EXPIRY, PARTIAL
from headstart.keys import contains, first_occurrences
from headstart.progress import shown

DAY = 24 * 3600.0
GRACE_DAYS = 7.0
IN_USE = 3600.0  # seconds for which a command that found rows may not have committed its set yet
Kind = Literal["space", "rows", "state", "partial", "claim", "trash", "model"]


@dataclass(frozen=True, slots=True)
class Collected:
    """One thing that goes: how many rows, if any, and about how many bytes the disk has back afterwards."""

    kind: Kind
    place: str
    n_rows: int
    n_bytes: int


@dataclass
class Collection:
    """What gc found, and did if it was to apply it.

    ``restored`` was fetched back from the trash, because a set refers to it now; ``spared`` was left alone, and
    ``problems`` could not be looked at, and why.
    """

    applied: bool
    items: list[Collected] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    spared: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def collect(
    cache: Cache,
    progress: Progress,
    apply: bool = False,
    grace_days: float = GRACE_DAYS,
    earlier: bool = False,
) -> Collection:
    """Find what no set refers to and, if asked to, move it to the trash.

    What is younger than ``grace_days``, in [0, inf), is spared, as an unfinished extraction may still want it.
    ``earlier``: also states of sets that are no longer in force, and what only they refer to. A StorageError says that
    a set cannot be read, so that nobody knows what it refers to.
    """
    if not grace_days >= 0:
        raise ConfigError(f"a grace period of {grace_days} days is none; give 0 or more")
    return _Run(cache, progress, apply, grace_days * DAY, earlier).all()


class _Run:
    """One collection."""

    def __init__(self, cache: Cache, progress: Progress, apply: bool, grace: float, earlier: bool) -> None:
        self._cache = cache
        self._progress = progress
        self._apply = apply
        self._grace = grace
        self._cutoff = self._now() - grace
        self._earlier = earlier
        self._trash = Trash(cache.root)
        self._done = Collection(apply)

    def _now(self) -> float:
        """The time at this moment: by an old one, writers that live would seem to be from the future."""
        return self._cache.home.now() if self._apply or self._cache.home.is_remote else time.time()

    def all(self) -> Collection:
        """Fetch back, empty the trash, collect, and look again whether a set wants some of it."""
        states = self._restore()
        self._empty_trash()
        states = self._states(states)
        self._spaces(states)
        self._leftovers()
        self._restore()
        return self._done

    def _restore(self) -> list[State]:
        if self._apply:
            self._done.restored += restore_states(self._cache)
        states = read_states(self._cache)
        if self._apply:
            self._done.restored += restore_rows(self._cache, states)
        return states

    def _empty_trash(self) -> None:
        for run in trash_runs(self._cache.root):
            if taken_at(run) <= self._cutoff:
                self._add("trash", self._cache.home.named(run), n_bytes=self._cache.home.size_of(run))
                if self._apply:
                    self._cache.home.delete(run)

    def _states(self, states: list[State]) -> list[State]:
        """Take away earlier states, if asked to; those that are left."""
        if not self._earlier:
            return states
        old = [s for s in states if not s.is_current and retired_at(s, states) <= self._cutoff]
        for state in old:
            self._move("state", state.path, f"set {state.name}, state {state.path.name}")
        return [state for state in states if state not in old]

    def _spaces(self, states: Sequence[State]) -> None:
        referenced = {space for state in states for space in state.spaces}
        paths = self._cache.space_paths()
        with shown(self._progress, "collecting spaces", len(paths)):
            for path in paths:
                if self._is_behind_link(path):
                    continue
                if self._has_writer(path):
                    self._done.spared.append(f"space {path.name}: a writer is at work in it")
                elif path.name in referenced:
                    self._rows(path.name, wanted_keys(states, path.name))
                else:
                    self._space(path)
                self._progress.advance(1)

    def _space(self, path: Path) -> None:
        """A space that no set refers to, unless something in it is young or it was used lately."""
        if _last_sign_of_life(self._cache.home, path) > self._cutoff:
            self._done.spared.append(f"space {path.name}: no set refers to it, but it is younger")
            return
        moved = self._move("space", path, f"space {path.name}", _count_rows(self._cache, path))
        if moved is not None and (self._has_writer(moved) or self._has_writer(path)):
            with contextlib.suppress(OSError):  # where a writer made it anew, the next gc fetches rows back
                self._cache.home.move(moved, path)

    def _has_writer(self, space: Path) -> bool:
        return self._cache.home.has_writer(space / "claims")

    def _rows(self, space_id: str, wanted: NDArray[np.uint8]) -> None:
        """Rows of a space that sets refer to, whose keys none of them has."""
        try:
            space = self._cache.open_space(space_id)
            if not self._cache.home.is_remote:  # the index of a mirror is this machine's own
                space.distrust_index()
            index = space.refresh()
            keep = contains(wanted, index.keys(np.arange(len(index))))
            if keep.all():
                return
            self._cache.home.refresh_uses(space.path)
            if self._now() - (read_uses(space.path).last or 0.0) < min(self._grace, IN_USE):
                self._done.spared.append(f"space {space_id}: it is in use")
                return
            old = [one for one in find_components(space, index) if one.newest <= self._cutoff]
            self._drop_rows(space, index, keep, old)
        except FileNotFoundError:
            self._done.spared.append(f"space {space_id}: another process is replacing its shards")
        except (CorruptShardError, FormatError) as error:
            self._done.problems.append(str(error))

    def _drop_rows(
        self, space: Space, index: Index, keep: NDArray[np.bool_], old: Sequence[Component]
    ) -> None:
        """Write what is kept of the components anew that hold a row which is not, and take their shards away."""
        n_rows = np.bincount(index.shard, minlength=len(index.shards))
        n_kept = np.bincount(index.shard[keep], minlength=len(index.shards))
        number = {name: position for position, name in enumerate(index.shards)}
        kept_bytes, n_dropped = {}, 0
        for one in old:
            at = [number[name] for name in one.names]
            n, n_left = int(n_rows[at].sum()), int(n_kept[at].sum())
            if n_left < n:
                kept_bytes[one] = int(one.n_bytes * (n_left / n))
                n_dropped += n - n_left
        if not kept_bytes:
            return
        freed = sum(one.n_bytes - left for one, left in kept_bytes.items())
        self._add("rows", f"space {space.id}", n_dropped, freed)
        if not self._apply:
            return
        with space.claims() as board:
            if board.has_company():
                self._done.spared.append(f"space {space.id}: a writer is at work in it")
                return
            files = space.home.shard_files(space.shards_dir)
            for names in pack_groups(kept_bytes):
                largest = max(names, key=lambda name: files[name].n_bytes if name in files else 0)
                replace(space, index, names, shard_format(format_of(Path(largest))), self._trash.take, keep)
        space.refresh()
        space.save_index()

    def _leftovers(self) -> None:
        """What writers left that died: partial files, claims, lines about uses."""
        if not self._cache.home.is_remote:
            self._partials()
        for space in self._cache.space_paths():
            if self._is_behind_link(space):
                continue
            for hint in self._cache.home.abandoned_hints(space / "claims"):
                self._move("claim", hint, self._cache.home.named(hint))
            if self._apply:
                trim_uses(space)

    def _partials(self) -> None:
        now = self._now()
        in_spaces = ("", *(f"{name}/" for name in FOLDERS if name != "claims"))
        for folder in ("", *(f"spaces/*/{name}" for name in in_spaces), "sets/*/"):
            for path in sorted(self._cache.root.glob(f"{folder}*{PARTIAL}")):
                with contextlib.suppress(OSError):
                    if now - path.lstat().st_mtime > EXPIRY:
                        self._move("partial", path, str(path))

    def _move(self, kind: Kind, path: Path, place: str, n_rows: int = 0) -> Path | None:
        if self._leads_elsewhere(path.parent):
            return None
        self._add(kind, place, n_rows, 0 if path.is_symlink() else self._cache.home.size_of(path))
        with contextlib.suppress(FileNotFoundError):
            return self._trash.take(path) if self._apply else None
        return None

    def _is_behind_link(self, space: Path) -> bool:
        return any(self._leads_elsewhere(space / name) for name in FOLDERS)

    def _leads_elsewhere(self, folder: Path) -> bool:
        """Whether a folder is reached through a link, which is said once: what lies there is not the cache's."""
        try:
            check_no_link(self._cache.root, folder)
        except StorageError as error:
            if str(error) not in self._done.problems:
                self._done.problems.append(str(error))
            return True
        return False

    def _add(self, kind: Kind, place: str, n_rows: int = 0, n_bytes: int = 0) -> None:
        self._done.items.append(Collected(kind, place, n_rows, n_bytes))


def _last_sign_of_life(home: Home, path: Path) -> float:
    """When a space was last written to or used, in seconds since the epoch."""
    home.refresh_uses(path)
    times = [read_uses(path).last or 0.0]
    times += [file.modified for file in home.shard_files(path / "shards").values()]
    for part in [path / "recipe.json", *(path / "shards").glob(f"*{PARTIAL}")]:
        with contextlib.suppress(OSError):
            times.append(part.stat().st_mtime)
    if len(times) == 1:  # an empty folder: somebody may be making it
        with contextlib.suppress(OSError):
            times.append(path.stat().st_mtime)
    return max(times)


def _count_rows(cache: Cache, path: Path) -> int:
    """The rows of a space, as far as they can be read; of a bucket nothing is fetched for it."""
    if cache.home.is_remote:
        return 0
    try:
        return len(cache.open_space(path.name))
    except (HeadstartError, OSError):
        return 0


def restore_states(cache: Cache) -> Iterator[str]:
    """Fetch back the states that are in force and missing; yield what was fetched.

    A state that is committed again just while gc takes it away as an earlier one ends like this.
    """
    for folder in cache.home.set_paths():
        digest = in_force(folder) or ""
        if (
            folder.is_symlink()
            or not STATE_NAME.fullmatch(digest)
            or digest in cache.home.state_names(folder)
        ):
            continue
        for run in reversed(trash_runs(cache.root)):
            trashed = run / "sets" / folder.name / digest
            if trashed.is_dir():
                with contextlib.suppress(OSError):
                    cache.home.move(trashed, folder / digest)
                    yield f"set {folder.name}, state {digest}"
                break


def restore_rows(cache: Cache, states: Sequence[State]) -> Iterator[str]:
    """Fetch back spaces and rows that a state refers to and that are missing; yield what was fetched."""
    referenced = {space for state in states for space in state.spaces}
    for run in reversed(trash_runs(cache.root)):  # what was taken last is what a set saw last
        for trashed in sorted((run / "spaces").glob("*")):
            if trashed.name not in referenced:
                continue
            if _whole_space_back(cache, trashed):
                yield f"space {trashed.name}"
            elif n_rows := _rows_back(cache, trashed, states):
                yield f"{n_rows:,} rows of space {trashed.name}"


def _whole_space_back(cache: Cache, trashed: Path) -> bool:
    """Put a space back where there is none now."""
    target = cache.root / "spaces" / trashed.name
    cache.home.refresh_space(target)
    if target.exists() or not (trashed / "recipe.json").exists():
        return False
    try:
        cache.home.move(trashed, target)
    except OSError:
        return False  # somebody made it anew in between; its rows are looked at one by one
    return True


def _rows_back(cache: Cache, trashed: Path, states: Sequence[State]) -> int:
    """Commit those rows of trashed shards again that are wanted and missing.

    The rows, and not the shard as it was: that could sort before others, and so change vectors.
    """
    names = list_shards(trashed / "shards")
    if not names:
        return 0
    try:
        space = open_space(cache.root / "spaces" / trashed.name)
        keys = wanted_keys(states, trashed.name)
        missing = keys[~space.held(keys)]
    except HeadstartError:
        return 0  # of a space that is broken nothing is known to be missing; verify says so
    n_rows = 0
    for name in names:
        if not len(missing):
            break
        n = 0
        with contextlib.suppress(FileNotFoundError):  # another gc has emptied the trash
            n = _commit_missing(space, trashed / "shards" / name, missing)
        n_rows += n
        missing = missing[~space.held(missing)] if n else missing
    return n_rows


def _commit_missing(space: Space, path: Path, missing: NDArray[np.uint8]) -> int:
    space.home.fetch_again(path)
    checked = check_shard(path, space.carried, space.digests)
    if checked.verdict != "sound":
        return 0  # repair put it there for being corrupt
    rows = np.flatnonzero(contains(missing, checked.keys))
    rows = rows[first_occurrences(checked.keys[rows])]
    if len(rows):
        space.prepare()
        space.commit(take(open_shard(path).features(), rows), shard_format(format_of(path)))
    return len(rows)
