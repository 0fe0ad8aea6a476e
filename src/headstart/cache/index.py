"""The index of a space as a process keeps it: brought up to date with the shards, saved for the next one."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from headstart.errors import StorageError
from headstart.files import write_durably
from headstart.keys import first_by_key, places, search, slices, words

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Index:
    """Sorted columns of one entry a key.

    Parameters
    ----------
    shards : tuple of str
        The shards that it covers, sorted; ``shard`` counts into them.
    hi, lo : ndarray of uint64, shape (N,)
        The keys, sorted.
    shard, row : ndarray of uint32, shape (N,)
        Where a key's row lies. Of a key that lies in several shards, the first by name.
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
        if len(self):
            for rows in slices(len(keys)):
                positions, found[rows] = search(self.hi, self.lo, keys[rows])
                shard[rows], row[rows] = self.shard[positions], self.row[positions]
        return shard, row, found

    def holds(self, keys: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which keys, shape (N, 16), have an entry; shape (N,)."""
        found = np.zeros(len(keys), dtype=bool)
        for rows in slices(len(keys)):
            found[rows] = search(self.hi, self.lo, keys[rows])[1]
        return found

    def extended(self, new: Mapping[str, NDArray[np.uint8]]) -> Index:
        """The index with more shards, given the keys of each, shape (n, 16).

        Only what is new is sorted: a space grows by hundreds of shards, and to sort all of it anew for
        each would take longer than a cheap backbone does.
        """
        names = tuple(sorted({*self.shards, *new}))
        number = {name: position for position, name in enumerate(names)}
        renumbered = np.array([number[name] for name in self.shards], dtype=np.uint32)
        mine = _Entries(self.hi, self.lo, renumbered[self.shard], self.row)
        return Index(names, *_merged(mine, _sorted_entries({number[name]: new[name] for name in new})))

    def save(self, path: Path) -> None:
        """Keep it; where nothing may be written, go without."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            shards=np.array(self.shards, dtype=np.str_),
            hi=self.hi,
            lo=self.lo,
            shard=self.shard,
            row=self.row,
        )
        try:
            write_durably(path, buffer.getbuffer())
        except StorageError:
            return


def empty_index() -> Index:
    """The index of a space without shards."""
    words64, numbers = np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.uint32)
    return Index((), words64, words64, numbers, numbers)


def load_index(path: Path, present: Sequence[str] | None) -> Index:
    """The saved index if it is sound and covers only shards that are present, else an empty one.

    Parameters
    ----------
    path : Path
    present : sequence of str, optional
        None: whatever it covers.
    """
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


class _Entries(NamedTuple):
    """The columns of an index."""

    hi: NDArray[np.uint64]
    lo: NDArray[np.uint64]
    shard: NDArray[np.uint32]
    row: NDArray[np.uint32]


def _sorted_entries(shards: Mapping[int, NDArray[np.uint8]]) -> _Entries:
    """The entries of shards by their numbers; of a key in several, the one in the lowest."""
    numbers = sorted(shards)
    keys = np.concatenate([shards[number] for number in numbers])
    lengths = [len(shards[number]) for number in numbers]
    first = first_by_key(keys)
    shard = np.repeat(np.array(numbers, dtype=np.uint32), lengths)[first]
    row = np.concatenate([np.arange(length, dtype=np.uint32) for length in lengths])[first]
    return _Entries(*words(keys[first]), shard, row)


def _merged(old: _Entries, new: _Entries) -> _Entries:
    """Two parts, each sorted and without copies, as one; of a key in both, the lower shard's entry."""
    at = places(old.hi, old.lo, new.hi, new.lo)
    both = np.flatnonzero(at < len(old.hi))
    both = both[(old.hi[at[both]] == new.hi[both]) & (old.lo[at[both]] == new.lo[both])]
    added = np.delete(np.arange(len(at)), both)
    came = at[added] + np.arange(len(added))  # where the added ones stand in the whole
    stayed = np.ones(len(old.hi) + len(added), dtype=bool)
    stayed[came] = False

    def woven(before: NDArray[Any], more: NDArray[Any]) -> NDArray[Any]:
        column = np.empty(len(stayed), dtype=before.dtype)
        column[stayed], column[came] = before, more[added]
        return column

    shard, row = woven(old.shard, new.shard), woven(old.row, new.row)
    lower = both[new.shard[both] < old.shard[at[both]]]
    where = at[lower] + np.searchsorted(at[added], at[lower], side="right")
    shard[where], row[where] = new.shard[lower], new.row[lower]
    return _Entries(woven(old.hi, new.hi), woven(old.lo, new.lo), shard, row)


def _is_sound(index: Index) -> bool:
    words64 = all(column.dtype == np.uint64 for column in (index.hi, index.lo))
    numbers = all(column.dtype == np.uint32 for column in (index.shard, index.row))
    shapes = {index.hi.shape, index.lo.shape, index.shard.shape, index.row.shape}
    sound = words64 and numbers and len(shapes) == 1 and index.hi.ndim == 1
    return sound and (not len(index) or int(index.shard.max()) < len(index.shards))
