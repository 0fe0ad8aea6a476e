"""Replacing shards by others that hold the same rows, while everybody reads and writes.

Of a key that lies in several shards, readers take the row of the shard whose name sorts first. So that no
reader ever gets another row than before:

- Shards are replaced in *components*: whoever shares a key with one of them is one of them. No row of a
  shard that stays can become the first by the disappearance of one that goes.
- What replaces them holds, of every key, the row that readers see, and is committed before anything goes.
- They go in descending order of their names: a row that readers do not see, before the one they see.
- If another writer commits one of their keys in between, they stay. Rows lie twice then, until the next
  `compact` sees all of them as one component.

Stopped anywhere, this leaves rows twice and nothing else; where two processes do it at once, both come to
the same rows.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headstart.cache.formats import open_shard
from headstart.cache.index import Index
from headstart.cache.layout import SHARD_BYTES
from headstart.cache.rows import together
from headstart.errors import CorruptShardError, HeadstartError
from headstart.keys import KEY_BYTES, search

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.space import Space
    from headstart.contracts import ShardFormat, ShardReader
    from headstart.types import Features


@dataclass(frozen=True, slots=True)
class Component:
    """Shards of which none shares a key with a shard outside.

    Parameters
    ----------
    names : tuple of str
        Sorted.
    n_bytes : int
        Of all files together.
    newest : float
        The latest mtime of them, in seconds since the epoch.
    """

    names: tuple[str, ...]
    n_bytes: int
    newest: float


@dataclass(frozen=True, slots=True)
class Replaced:
    """What `replace` did."""

    outputs: tuple[str, ...]
    removed: tuple[str, ...]


def find_components(space: Space, index: Index) -> list[Component]:
    """The components of all shards that an index covers, sorted by name.

    Every holder of a key is joined to the one whose row readers see, so one shard's keys in memory are
    enough.
    """
    parent = list(range(len(index.shards)))
    for number, name in enumerate(index.shards):
        winners = index.locate(np.asarray(space.reader(name).keys()))[0]
        for winner in np.unique(winners):
            parent[_root(parent, number)] = _root(parent, int(winner))
    members: dict[int, list[str]] = {}
    for number, name in enumerate(index.shards):
        members.setdefault(_root(parent, number), []).append(name)
    return sorted((_component(space, names) for names in members.values()), key=lambda one: one.names)


def replace(
    space: Space,
    index: Index,
    names: Sequence[str],
    shard_format: ShardFormat,
    dispose: Callable[[Path], object],
    keep: NDArray[np.bool_] | None = None,
) -> Replaced:
    """Commit what readers see of some shards anew, and take the shards away.

    Parameters
    ----------
    space : Space
    index : Index
        Of the shards themselves, as they were when the components were found.
    names : sequence of str
        Whole components.
    shard_format : ShardFormat
        Of what replaces them.
    dispose : callable
        Takes a shard away: deletes it, or moves it to the trash. It may be gone already.
    keep : ndarray of bool, shape (len(index),), optional
        Which rows of the index to keep; None: all.

    Raises
    ------
    CorruptShardError
        One of them is not what its name says. Nothing was changed.
    StorageError
        The disk is full. No shard was taken away.
    """
    mine = np.isin(np.array(index.shards), np.array(names))[index.shard]
    rows = np.flatnonzero(mine if keep is None else mine & keep)
    newest = max(_mtime(space.shards_dir / name) for name in names)
    outputs = [
        _keep_time(space.commit(features, shard_format).path, newest)
        for features in _merged(space, index, rows, names)
    ]
    removed = []
    known = {*index.shards, *outputs}
    for name in sorted(set(names) - set(outputs), reverse=True):
        # Before each, and not once: what takes long is what others write into.
        if _somebody_shares(space, known, index.hi[mine], index.lo[mine]):
            break
        with contextlib.suppress(FileNotFoundError):
            dispose(space.shards_dir / name)
        removed.append(name)
    return Replaced(tuple(outputs), tuple(removed))


def pack_groups(components: Sequence[Component], sizes: Mapping[Component, int]) -> Iterator[list[Component]]:
    """Put components together until they make about one full shard."""
    group: list[Component] = []
    n_bytes = 0
    for component in components:
        if group and n_bytes + sizes[component] > SHARD_BYTES:
            yield group
            group, n_bytes = [], 0
        group.append(component)
        n_bytes += sizes[component]
    if group:
        yield group


def _merged(space: Space, index: Index, rows: NDArray[np.int64], names: Sequence[str]) -> Iterator[Features]:
    """The given rows of the index, in shards of about the right size and in the order of their keys."""
    for name in names:
        # From the disk, whatever is remembered: a bit that rotted must not get a digest that fits.
        space.shards.digests.check(space.shards_dir / name, again=True)
    sizes = _row_bytes(space, index, rows)
    part = (np.cumsum(sizes) - sizes) // SHARD_BYTES
    for number in np.unique(part):
        yield _take(space, index, rows[part == number])


def _take(space: Space, index: Index, rows: NDArray[np.int64]) -> Features:
    keys = index.keys(rows)
    parts = []
    for number in np.unique(index.shard[rows]):
        at = np.flatnonzero(index.shard[rows] == number)
        # Opened and dropped again, not kept by the space: a Parquet shard lies in memory as a whole.
        reader = _open(space, index.shards[number])
        part = reader.features(index.row[rows[at]].astype(np.int64))
        if not np.array_equal(part.keys, keys[at]):
            raise CorruptShardError(f"{space.shards_dir / index.shards[number]} changed while it was read")
        parts.append((at, part))
    return together(keys, parts)


def _row_bytes(space: Space, index: Index, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many bytes each row takes."""
    sizes = np.empty(len(rows), dtype=np.int64)
    for number in np.unique(index.shard[rows]):
        at = np.flatnonzero(index.shard[rows] == number)
        whole = _open(space, index.shards[number]).features()
        each = whole.values.shape[1] * whole.values.dtype.itemsize
        lengths = 1 if whole.offsets is None else np.diff(whole.offsets)[index.row[rows[at]]]
        sizes[at] = KEY_BYTES + lengths * each
    return sizes


def _open(space: Space, name: str) -> ShardReader:
    reader = open_shard(space.shards_dir / name)
    if reader.recipe != space.recipe.canonical:
        raise CorruptShardError(f"{space.shards_dir / name} carries another recipe than its space")
    return reader


def _somebody_shares(space: Space, known: set[str], hi: NDArray[np.uint64], lo: NDArray[np.uint64]) -> bool:
    """Whether a shard that came since holds one of the keys; those that do not become known."""
    for name in space.shard_names():
        if name in known:
            continue
        try:
            if search(hi, lo, np.asarray(space.reader(name).keys()))[1].any():
                return True
        except FileNotFoundError:
            continue
        except HeadstartError:
            return True  # what cannot be read may hold any key
        known.add(name)
    return False


def _keep_time(path: Path, newest: float) -> str:
    """Let what replaces shards be as old as the newest of them: its rows are no younger for it."""
    with contextlib.suppress(OSError):
        os.utime(path, (newest, newest))
    return path.name


def _component(space: Space, names: Sequence[str]) -> Component:
    stats = [(space.shards_dir / name).stat() for name in names]
    n_bytes = sum(stat.st_size for stat in stats)
    return Component(tuple(sorted(names)), n_bytes, max(stat.st_mtime for stat in stats))


def _root(parent: list[int], number: int) -> int:
    while parent[number] != number:
        parent[number] = parent[parent[number]]
        number = parent[number]
    return number


def _mtime(path: Path) -> float:
    return path.stat().st_mtime
