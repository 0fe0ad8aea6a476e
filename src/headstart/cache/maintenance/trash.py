"""``trash/``: what repair and gc took out of a cache, and fetching back what a set refers to after all."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headstart.arrow import keys_from_arrow
from headstart.cache.formats import format_of, open_shard, shard_format, take
from headstart.cache.layout import SET_FORMAT, SET_NAME, STATE_NAME, check_format
from headstart.cache.maintenance.checks import check_shard
from headstart.cache.set_state import in_force, read_samples, state_names
from headstart.cache.shards import list_shards
from headstart.cache.space import open_space
from headstart.cache.store import folders_in
from headstart.errors import FormatError, HeadstartError, StorageError
from headstart.files import make_directory, read_json, storage_errors
from headstart.keys import contains, first_occurrences

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.space import Space
    from headstart.cache.store import Cache

_RUN = re.compile(r"(?P<time>\d{8}T\d{6})Z-[0-9a-f]{8}")
_TIME = "%Y%m%dT%H%M%S"


class Trash:
    """One run's folder in the trash, made with the first thing that is put there.

    Parameters
    ----------
    root : Path
        The cache.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._run = _new_run(root)

    def take(self, path: Path) -> Path:
        """Move a file or folder of the cache here.

        Returns
        -------
        Path
            Where it lies now.

        Raises
        ------
        FileNotFoundError
            It is gone: another process was faster.
        StorageError
            Nothing may be written.
        """
        target = self._run / path.relative_to(self.root)
        if target.exists():  # the same name a second time, written anew in between
            self._run = _new_run(self.root)
            target = self._run / path.relative_to(self.root)
        make_directory(target.parent)
        try:
            os.rename(path, target)
        except FileNotFoundError:
            raise
        except OSError:
            with storage_errors(path):
                raise
        return target


def trash_runs(root: Path) -> list[Path]:
    """The folders of earlier runs, oldest first."""
    try:
        paths = sorted((root / "trash").iterdir())
    except OSError:
        return []
    return [path for path in paths if _RUN.fullmatch(path.name) and path.is_dir()]


def taken_at(run: Path) -> float:
    """When a run began, in seconds since the epoch."""
    match = _RUN.fullmatch(run.name)
    when = datetime.datetime.strptime(match["time"] if match else "19700101T000000", _TIME)
    return when.replace(tzinfo=datetime.UTC).timestamp()


def _new_run(root: Path) -> Path:
    now = datetime.datetime.now(datetime.UTC).strftime(_TIME)
    return root / "trash" / f"{now}Z-{secrets.token_hex(4)}"


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
    """All states of all sets.

    Raises
    ------
    StorageError
        One cannot be read, so that nobody knows what it refers to; the message names it.
    """
    states: list[State] = []
    for folder in folders_in(cache.root / "sets", SET_NAME):
        try:
            current = (folder / "current").read_text("utf-8").strip()
        except FileNotFoundError:
            current = None
        except (OSError, ValueError) as error:
            raise _unreadable(folder, f"current: {error}") from error
        found = list(filter(None, (_read_state(folder / name, current) for name in state_names(folder))))
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
    """The different keys that any of the states has in a space, shape (N, 16).

    Raises
    ------
    StorageError
        The samples of one cannot be read.
    """
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


def restore_states(cache: Cache) -> Iterator[str]:
    """Fetch back the states that are in force and missing; yield what was fetched.

    A state that is committed again just while gc takes it away as an earlier one ends like this.
    """
    for folder in sorted((cache.root / "sets").glob("*")):
        digest = in_force(folder) or ""
        if not STATE_NAME.fullmatch(digest) or (folder / digest).exists():
            continue
        for run in reversed(trash_runs(cache.root)):
            trashed = run / "sets" / folder.name / digest
            if trashed.is_dir():
                with contextlib.suppress(OSError):
                    os.rename(trashed, folder / digest)
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
    if target.exists() or not (trashed / "recipe.json").exists():
        return False
    make_directory(target.parent)
    try:
        os.rename(trashed, target)
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
        n_rows += (n := _commit_missing(space, trashed / "shards" / name, missing))
        missing = missing[~space.held(missing)] if n else missing
    return n_rows


def _commit_missing(space: Space, path: Path, missing: NDArray[np.uint8]) -> int:
    checked = check_shard(path, space.recipe.canonical, space.shards.digests)
    if checked.verdict != "sound":
        return 0  # repair put it there for being corrupt
    rows = np.flatnonzero(contains(missing, checked.keys))
    rows = rows[first_occurrences(checked.keys[rows])]
    if len(rows):
        space.prepare()
        space.commit(take(open_shard(path).features(), rows), shard_format(format_of(path)))
    return len(rows)
