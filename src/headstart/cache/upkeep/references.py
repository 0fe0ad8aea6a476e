"""What the sets of a cache refer to: all of their states, not only those in force."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.arrow import keys_from_arrow
from headstart.cache.layout import SET_FORMAT, SET_NAME, STATE_NAME, check_format
from headstart.errors import FormatError, HeadstartError, StorageError
from headstart.files import read_json
from headstart.keys import first_occurrences

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.store import Cache
    from headstart.types import Json


@dataclass(frozen=True, slots=True)
class State:
    """One state of a set.

    Parameters
    ----------
    spaces : frozenset of str
        The ids of the spaces of its features.
    is_current : bool
        Whether it is in force.
    written : float
        When it was committed, in seconds since the epoch.
    """

    name: str
    digest: str
    path: Path
    spaces: frozenset[str]
    is_current: bool
    written: float


def read_states(cache: Cache) -> list[State]:
    """All states of all sets.

    Raises
    ------
    StorageError
        One cannot be read, so that nobody knows what it refers to; the message names it.
    """
    states: list[State] = []
    for folder in sorted(_folders(cache.root / "sets")):
        current = _current(folder)
        found = [
            _read_state(path, current) for path in sorted(folder.iterdir()) if STATE_NAME.fullmatch(path.name)
        ]
        states += [state for state in found if state is not None]
        if current is not None and not any(state is not None and state.is_current for state in found):
            raise _unreadable(folder, f"its current names {current!r}, which is not there")
    return states


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


def _folders(parent: Path) -> list[Path]:
    try:
        return [path for path in parent.iterdir() if SET_NAME.fullmatch(path.name) and path.is_dir()]
    except FileNotFoundError:
        return []


def _read_state(path: Path, current: str | None) -> State | None:
    try:
        info = read_json(path / "set.json")
        check_format(info.get("format"), SET_FORMAT, f"set {path.parent.name!r} is")
        spaces = frozenset(_space_of(entry) for entry in info["features"])
        written = (path / "set.json").stat().st_mtime
    except FormatError as error:
        raise StorageError(f"{error}; until then gc cannot know what the set refers to") from error
    except FileNotFoundError as error:
        if not path.is_dir():
            return None  # another process put it into the trash just now
        raise _unreadable(path, "set.json is missing") from error
    except (HeadstartError, OSError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(path, str(error)) from error
    return State(path.parent.name, path.name, path, spaces, path.name == current, written)


def _space_of(entry: Json) -> str:
    if not isinstance(entry["space"], str):
        raise TypeError(f"{entry['space']!r} is not a space")
    return entry["space"]


def _keys_of(state: State) -> NDArray[np.uint8]:
    try:
        with pq.ParquetFile(state.path / "samples.parquet") as file:
            return keys_from_arrow(file.read(columns=["key"]).column("key"))
    except (OSError, pa.ArrowException, KeyError, HeadstartError) as error:
        if not state.path.is_dir():
            return np.empty((0, 16), dtype=np.uint8)
        raise _unreadable(state.path, f"samples.parquet: {error}") from error


def _current(folder: Path) -> str | None:
    try:
        return (folder / "current").read_text("utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _unreadable(folder, f"current: {error}") from error


def _unreadable(place: Path, problem: str) -> StorageError:
    return StorageError(
        f"{place} cannot be read ({problem}), so gc cannot know what it refers to; "
        "run `headstart cache verify --repair` first"
    )
