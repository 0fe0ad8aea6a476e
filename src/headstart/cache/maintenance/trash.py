"""``trash/``: what repair and gc took out of a cache; and what the sets of a cache refer to, which never goes there."""

from __future__ import annotations

import datetime
import os
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headstart.arrow import keys_from_arrow
from headstart.cache.home import Home, folders_in, in_force
from headstart.cache.layout import SET_FORMAT, check_format, check_no_link
from headstart.cache.open_home import home_of
from headstart.cache.set_state import read_samples
from headstart.cache.store import Cache
from headstart.errors import FormatError, HeadstartError, StorageError
from headstart.files import read_json, storage_errors
from headstart.keys import first_occurrences

_RUN = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
_TIME = "%Y%m%dT%H%M%S"


class Trash:
    """One run's folder in the trash of a cache, made with the first thing that is put there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._home = home_of(root)
        self._run: Path | None = None

    def take(self, path: Path) -> Path:
        """Move a file or folder of the cache here, and say where it lies now.

        A FileNotFoundError says that another process was faster, a StorageError that a link leads elsewhere.
        """
        self._run = self._run or _new_run(self._home)
        target = self._run / path.relative_to(self.root)
        if target.exists():  # the same name a second time, written anew in between
            self._run = _new_run(self._home)
            target = self._run / path.relative_to(self.root)
        check_no_link(self.root, path.parent)
        check_no_link(self.root, target.parent)
        try:
            self._home.move(path, target)
        except FileNotFoundError:
            raise
        except OSError:
            with storage_errors(path):
                raise
        return target


def trash_runs(root: Path) -> list[Path]:
    """The folders of earlier runs, oldest first; none behind a link."""
    home_of(root).refresh_trash()
    trash = root / "trash"
    return [] if trash.is_symlink() else [run for run in folders_in(trash, _RUN) if not run.is_symlink()]


def taken_at(run: Path) -> float:
    """When a run began, in seconds since the epoch."""
    when = datetime.datetime.strptime(run.name.partition("Z")[0], _TIME)
    return when.replace(tzinfo=datetime.UTC).timestamp()


def _new_run(home: Home) -> Path:
    now = datetime.datetime.fromtimestamp(home.now(), datetime.UTC).strftime(_TIME)
    return home.root / "trash" / f"{now}Z-{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True)
class State:
    """One state of a set.

    ``spaces`` are the ids of the spaces of its features, ``written`` is when it was committed, in seconds since the
    epoch, and ``is_current`` says whether it is in force.
    """

    path: Path
    spaces: frozenset[str]
    is_current: bool
    written: float

    @property
    def name(self) -> str:
        """Of the set."""
        return self.path.parent.name


def read_states(cache: Cache) -> list[State]:
    """All states of all sets; a StorageError if one cannot be read, so that nobody knows what it refers to."""
    states: list[State] = []
    for folder in cache.home.set_paths():
        current = in_force(folder)
        if current is None and os.path.lexists(folder / "current"):
            raise _unreadable(folder, "its current is no digest")
        found = list(
            filter(None, (_read_state(folder / name, current) for name in cache.home.state_names(folder)))
        )
        if current is not None and not any(state.is_current for state in found):
            raise _unreadable(folder, f"its current names {current!r}, which is not there")
        states += found
    return states


def _read_state(path: Path, current: str | None) -> State | None:
    try:
        info = read_json(path / "set.json")
        check_format(info.get("format"), SET_FORMAT, f"set {path.parent.name!r} is")
        spaces = frozenset(entry["space"] for entry in info["features"])
        if not all(isinstance(space, str) for space in spaces):
            raise TypeError(f"{sorted(map(str, spaces))} are not all spaces")
        written = (path / "set.json").stat().st_mtime
    except FormatError as error:
        raise StorageError(f"{error}; until then gc cannot know what the set refers to") from error
    except FileNotFoundError as error:
        if not path.is_dir():
            return None  # another process put it into the trash just now
        raise _unreadable(path, "set.json is missing") from error
    except (HeadstartError, OSError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(path, str(error)) from error
    return State(path, spaces, path.name == current, written)


def wanted_keys(states: Iterable[State], space_id: str) -> NDArray[np.uint8]:
    """The different keys that any of the states has in a space, shape (N, 16)."""
    keys = np.empty((0, 16), dtype=np.uint8)
    for state in states:
        if space_id in state.spaces:
            keys = np.concatenate([keys, _keys_of(state)])
            keys = keys[first_occurrences(keys)]
    return keys


def retired_at(state: State, states: Sequence[State]) -> float:
    """When an earlier state was replaced, as far as that can be told, in seconds since the epoch."""
    later = [one.written for one in states if one.name == state.name and one.written > state.written]
    if later:
        return min(later)
    try:  # the newest state is not the one in force: somebody went back to an earlier one
        return (state.path.parent / "current").stat().st_mtime
    except OSError:
        return state.written


def _keys_of(state: State) -> NDArray[np.uint8]:
    try:
        return keys_from_arrow(read_samples(state.path, ["key"]).column("key"))
    except (KeyError, HeadstartError) as error:
        if not state.path.is_dir():
            return np.empty((0, 16), dtype=np.uint8)
        raise _unreadable(state.path, str(error)) from error


def _unreadable(place: Path, problem: str) -> StorageError:
    return StorageError(
        f"{place} cannot be read ({problem}), so gc cannot know what it refers to; "
        "run `headstart cache verify --repair` first"
    )
