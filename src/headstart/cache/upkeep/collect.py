"""`cache gc`: what no set refers to goes to the trash; what lay there long enough is deleted."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from headstart.cache.claims import ClaimBoard, abandoned_hints, clock_of, has_live_writer
from headstart.cache.upkeep.dropping import drop_rows, plan_drop
from headstart.cache.upkeep.leftovers import count_rows_of, last_sign_of_life, partials
from headstart.cache.upkeep.merging import Component, find_components
from headstart.cache.upkeep.references import State, read_states, retired_at, wanted_keys
from headstart.cache.upkeep.restore import restore_rows, restore_states
from headstart.cache.upkeep.trash import Trash, delete, size_of, taken_at, trash_runs
from headstart.cache.uses import read_uses, trim_uses
from headstart.errors import ConfigError, CorruptShardError, FormatError
from headstart.files import EXPIRY
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
    """One thing that goes.

    Parameters
    ----------
    n_rows : int
        Of spaces and rows; else 0.
    n_bytes : int
        About how much the disk has back once the trash is emptied.
    """

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
                    delete(run)

    def _states(self, states: list[State]) -> list[State]:
        """Take away earlier states, if asked to; those that are left."""
        if not self._earlier:
            return states
        old = [s for s in states if not s.is_current and retired_at(s, states) <= self._cutoff]
        for state in old:
            self._move("state", state.path, f"set {state.name}, state {state.digest}")
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
        if last_sign_of_life(path) > self._cutoff:
            self._done.spared.append(f"space {path.name}: no set refers to it, but it is younger")
            return
        moved = self._move("space", path, f"space {path.name}", count_rows_of(self._cache, path))
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
        drop = plan_drop(index, keep, old)
        if not drop.components:
            return
        self._add("rows", f"space {space.id}", drop.n_rows, drop.n_bytes)
        if not self._apply:
            return
        with ClaimBoard(space.claims_dir) as board:
            if board.has_company():
                self._done.spared.append(f"space {space.id}: a writer is at work in it")
                return
            drop_rows(space, index, keep, drop, self._trash.take)
        space.refresh()
        space.save_index()

    def _leftovers(self) -> None:
        """What writers left that died: partial files, claims, lines about uses."""
        now = self._now()
        for path in partials(self._cache.root):
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
