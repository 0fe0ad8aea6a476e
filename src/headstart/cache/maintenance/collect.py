"""`cache gc`: what no set refers to goes to the trash; what lay there long enough is deleted."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from headstart.cache.claims import ClaimBoard, abandoned_hints, clock_of, has_live_writer
from headstart.cache.formats import format_of, shard_format
from headstart.cache.maintenance.compact import Component, find_components, pack_groups, replace
from headstart.cache.maintenance.trash import (
    State,
    Trash,
    read_states,
    restore_rows,
    restore_states,
    retired_at,
    taken_at,
    trash_runs,
    wanted_keys,
)
from headstart.cache.space import read_uses, trim_uses
from headstart.errors import ConfigError, CorruptShardError, FormatError, HeadstartError
from headstart.files import EXPIRY, PARTIAL, size_of
from headstart.keys import contains

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.index import Index
    from headstart.cache.space import Space
    from headstart.cache.store import Cache
    from headstart.contracts import Progress


DAY = 24 * 3600.0
GRACE_DAYS = 7.0
IN_USE = 3600.0  # seconds for which a command that found rows may not have committed its set yet
Kind = Literal["space", "rows", "state", "partial", "claim", "trash"]


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

    Parameters
    ----------
    restored : list of str
        What was fetched back from the trash, because a set refers to it now.
    spared : list of str
        What was left alone, and why.
    problems : list of str
        What could not be looked at, and why.
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

    Parameters
    ----------
    cache : Cache
    progress : Progress
    apply : bool
        False: only say what would be done.
    grace_days : float
        In [0, inf): what is younger is spared, as an unfinished extraction may still want it.
    earlier : bool
        Also states of sets that are no longer in force, and what only they refer to.

    Raises
    ------
    StorageError
        A set cannot be read, so that nobody knows what it refers to.
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
        return clock_of(self._cache.root) if self._apply else time.time()

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
                self._add("trash", str(run), n_bytes=size_of(run))
                if self._apply:
                    shutil.rmtree(run, ignore_errors=True)

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
        self._progress.begin("collecting spaces", len(paths))
        try:
            for path in paths:
                if has_live_writer(path / "claims", self._now()):
                    self._done.spared.append(f"space {path.name}: a writer is at work in it")
                elif path.name in referenced:
                    self._rows(path.name, wanted_keys(states, path.name))
                else:
                    self._space(path)
                self._progress.advance(1)
        finally:
            self._progress.end()

    def _space(self, path: Path) -> None:
        """A space that no set refers to, unless something in it is young or it was used lately."""
        if _last_sign_of_life(path) > self._cutoff:
            self._done.spared.append(f"space {path.name}: no set refers to it, but it is younger")
            return
        moved = self._move("space", path, f"space {path.name}", _count_rows(self._cache, path))
        if moved is not None and has_live_writer(moved / "claims", self._now()):
            with contextlib.suppress(OSError):  # where a writer made it anew, the next gc fetches rows back
                os.rename(moved, path)

    def _rows(self, space_id: str, wanted: NDArray[np.uint8]) -> None:
        """Rows of a space that sets refer to, whose keys none of them has."""
        try:
            space = self._cache.open_space(space_id)
            space.distrust_index()
            index = space.refresh()
            keep = contains(wanted, index.keys(np.arange(len(index))))
            if keep.all():
                return
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
        with ClaimBoard(space.claims_dir) as board:
            if board.has_company():
                self._done.spared.append(f"space {space.id}: a writer is at work in it")
                return
            for names in pack_groups(list(kept_bytes), kept_bytes):
                largest = max(names, key=lambda name: (space.shards_dir / name).stat().st_size)
                shape = shard_format(format_of(Path(largest)))
                replace(space, index, names, shape, self._trash.take, keep)
        space.refresh()
        space.save_index()

    def _leftovers(self) -> None:
        """What writers left that died: partial files, claims, lines about uses."""
        now = self._now()
        for path in _partials(self._cache.root):
            with contextlib.suppress(OSError):
                if now - path.stat().st_mtime > EXPIRY:
                    self._move("partial", path, str(path))
        for space in self._cache.space_paths():
            for hint in abandoned_hints(space / "claims", self._now()):
                self._move("claim", hint, str(hint))
            if self._apply:
                trim_uses(space)

    def _move(self, kind: Kind, path: Path, place: str, n_rows: int = 0) -> Path | None:
        self._add(kind, place, n_rows, size_of(path))
        with contextlib.suppress(FileNotFoundError):
            return self._trash.take(path) if self._apply else None
        return None

    def _add(self, kind: Kind, place: str, n_rows: int = 0, n_bytes: int = 0) -> None:
        self._done.items.append(Collected(kind, place, n_rows, n_bytes))


def _last_sign_of_life(path: Path) -> float:
    """When a space was last written to or used, in seconds since the epoch."""
    times = [read_uses(path).last or 0.0]
    for part in [path / "recipe.json", *(path / "shards").glob("*")]:
        with contextlib.suppress(OSError):
            times.append(part.stat().st_mtime)
    if len(times) == 1:  # an empty folder: somebody may be making it
        with contextlib.suppress(OSError):
            times.append(path.stat().st_mtime)
    return max(times)


def _count_rows(cache: Cache, path: Path) -> int:
    """The rows of a space, as far as they can be read."""
    try:
        return len(cache.open_space(path.name))
    except (HeadstartError, OSError):
        return 0


def _partials(root: Path) -> Iterator[Path]:
    """Everything in a cache that is being written, or that nobody finished."""
    for pattern in ("", "spaces/*/", "spaces/*/shards/", "spaces/*/known/", "spaces/*/uses/", "sets/*/"):
        yield from sorted(root.glob(f"{pattern}*{PARTIAL}"))
