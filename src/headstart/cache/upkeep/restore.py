"""Fetching back from the trash what a set refers to."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headstart.cache.formats import format_of, open_shard, shard_format
from headstart.cache.layout import SHARD_NAME, STATE_NAME
from headstart.cache.rows import take
from headstart.cache.space import open_space
from headstart.cache.upkeep.checks import check_shard
from headstart.cache.upkeep.references import wanted_keys
from headstart.cache.upkeep.trash import trash_runs
from headstart.errors import HeadstartError
from headstart.files import make_directory
from headstart.keys import contains, first_occurrences

if TYPE_CHECKING:
    from headstart.cache.space import Space
    from headstart.cache.store import Cache
    from headstart.cache.upkeep.references import State


def restore_states(cache: Cache) -> Iterator[str]:
    """Fetch back the states that are in force and missing; yield what was fetched.

    A state that is committed again just while gc takes it away as an earlier one ends like this.
    """
    for folder in sorted((cache.root / "sets").glob("*")):
        with contextlib.suppress(OSError, ValueError):
            digest = (folder / "current").read_text("utf-8").strip()
            if not STATE_NAME.fullmatch(digest) or (folder / digest).exists():
                continue
            for run in reversed(trash_runs(cache.root)):
                trashed = run / "sets" / folder.name / digest
                if trashed.is_dir():
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
    names = sorted(path.name for path in (trashed / "shards").glob("*") if SHARD_NAME.fullmatch(path.name))
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


def _commit_missing(space: Space, path: Path, missing: np.ndarray) -> int:
    checked = check_shard(path, space.recipe.canonical, space.shards.digests)
    if checked.verdict != "sound":
        return 0  # repair put it there for being corrupt
    rows = np.flatnonzero(contains(missing, checked.keys))
    rows = rows[first_occurrences(checked.keys[rows])]
    if len(rows):
        space.prepare()
        space.commit(take(open_shard(path).features(), rows), shard_format(format_of(path)))
    return len(rows)
