"""The index of a space as a process keeps it: brought up to date with the shards, saved for the next one."""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import StorageError
from headstart.files import write_durably
from headstart.keys import first_by_key, places, search, slices, words


@dataclass(frozen=True, slots=True)
class Index:
    """Columns of one entry per key, sorted by key: ``hi`` and ``lo``, the halves of the keys, and where their rows lie.

    ``shard`` counts into ``shards``, which are sorted. Of a key that lies in several, it is the first by name.
    """

    shards: tuple[str, ...]
    hi: NDArray[np.uint64]
    lo: NDArray[np.uint64]
    shard: NDArray[np.uint32]
    row: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.hi)

    def keys(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The keys of some of its entries, shape (n, 16)."""
        both = np.stack([self.hi[rows], self.lo[rows]], axis=1).astype(">u8")
        return both.view(np.uint8).reshape(-1, 16)

    def locate(
        self, keys: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.bool_]]:
        """Shard and row of each key, and whether there is one; each of shape (N,)."""
        shard, row = np.zeros(len(keys), dtype=np.uint32), np.zeros(len(keys), dtype=np.uint32)
        found = np.zeros(len(keys), dtype=bool)
        for rows in slices(len(keys) if len(self) else 0):
            positions, found[rows] = search(self.hi, self.lo, keys[rows])
            shard[rows], row[rows] = self.shard[positions], self.row[positions]
        return shard, row, found

    def holds(self, keys: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which keys it has, shape (N,)."""
        found = np.zeros(len(keys), dtype=bool)
        for rows in slices(len(keys) if len(self) else 0):
            found[rows] = search(self.hi, self.lo, keys[rows])[1]
        return found

    def extended(self, new: Mapping[str, NDArray[np.uint8]]) -> Index:
        """The index with more shards, given the keys of each, shape (n, 16).

        Only what is new is sorted: a space grows by hundreds of shards, and to sort all of it anew for
        each would take longer than a cheap backbone does.
        """
        return _merged(self, _index_of(new))

    def save(self, path: Path) -> None:
        """Keep it; where nothing may be written, go without."""
        buffer = io.BytesIO()
        columns: dict[str, Any] = {"hi": self.hi, "lo": self.lo, "shard": self.shard, "row": self.row}
        np.savez(buffer, shards=np.array(self.shards, dtype=np.str_), **columns)
        with contextlib.suppress(StorageError):
            write_durably(path, buffer.getbuffer())


def empty_index() -> Index:
    """The index of a space without shards."""
    words64, numbers = np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.uint32)
    return Index((), words64, words64, numbers, numbers)


def load_index(path: Path, present: Sequence[str] | None) -> Index:
    """The saved index if it is sound and covers only shards that are present (None: any), else an empty one."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as saved:
            shards = tuple(str(name) for name in saved["shards"])
            index = Index(shards, saved["hi"], saved["lo"], saved["shard"], saved["row"])
    except Exception:  # zipfile and numpy raise a dozen kinds for a damaged file; none is worth stopping for
        return empty_index()
    fits = present is None or set(shards) <= set(present)
    return index if fits and _is_sound(index) else empty_index()


def peek_index(path: Path) -> tuple[tuple[str, ...], int]:
    """The shards that a saved index covers and how many keys it has, without reading those."""
    try:
        with zipfile.ZipFile(path) as archive:
            with archive.open("shards.npy") as file:
                shards = np.lib.format.read_array(file, allow_pickle=False)
            with archive.open("hi.npy") as file:
                np.lib.format.read_magic(file)
                (n_keys,), *_ = np.lib.format.read_array_header_1_0(file)
    except Exception:  # see `load_index`
        return (), 0
    return tuple(str(name) for name in shards), n_keys


def _index_of(shards: Mapping[str, NDArray[np.uint8]]) -> Index:
    """The index of shards by the keys of each."""
    names = tuple(sorted(shards))
    keys = np.concatenate([shards[name] for name in names])
    lengths = [len(shards[name]) for name in names]
    first = first_by_key(keys)
    shard = np.repeat(np.arange(len(names), dtype=np.uint32), lengths)[first]
    row = np.concatenate([np.arange(length, dtype=np.uint32) for length in lengths])[first]
    return Index(names, *words(keys[first]), shard, row)


def _renumbered(index: Index, names: Sequence[str]) -> NDArray[np.uint32]:
    """The shards of its entries, counted among more of them."""
    number = {name: position for position, name in enumerate(names)}
    return np.array([number[name] for name in index.shards], dtype=np.uint32)[index.shard]


def _merged(old: Index, new: Index) -> Index:
    """Two indexes of different shards as one; of a key in both, the lower shard's entry."""
    names = tuple(sorted({*old.shards, *new.shards}))
    old_shard, new_shard = _renumbered(old, names), _renumbered(new, names)
    at = places(old.hi, old.lo, new.hi, new.lo)
    both = np.flatnonzero(at < len(old))
    both = both[(old.hi[at[both]] == new.hi[both]) & (old.lo[at[both]] == new.lo[both])]
    added = np.delete(np.arange(len(at)), both)
    came = at[added] + np.arange(len(added))  # where the added ones stand in the whole
    stayed = np.ones(len(old) + len(added), dtype=bool)
    stayed[came] = False

    def woven(before: NDArray[Any], more: NDArray[Any]) -> NDArray[Any]:
        column = np.empty(len(stayed), dtype=before.dtype)
        column[stayed], column[came] = before, more[added]
        return column

    shard, row = woven(old_shard, new_shard), woven(old.row, new.row)
    lower = both[new_shard[both] < old_shard[at[both]]]
    where = at[lower] + np.searchsorted(at[added], at[lower], side="right")
    shard[where], row[where] = new_shard[lower], new.row[lower]
    return Index(names, woven(old.hi, new.hi), woven(old.lo, new.lo), shard, row)


def _is_sound(index: Index) -> bool:
    words64 = all(column.dtype == np.uint64 for column in (index.hi, index.lo))
    numbers = all(column.dtype == np.uint32 for column in (index.shard, index.row))
    shapes = {index.hi.shape, index.lo.shape, index.shard.shape, index.row.shape}
    sound = words64 and numbers and len(shapes) == 1 and index.hi.ndim == 1
    return sound and (not len(index) or int(index.shard.max()) < len(index.shards))
