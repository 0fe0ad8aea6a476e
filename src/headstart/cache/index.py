"""The index of a space: where each key's row lies. Derived from the shards, and may be deleted."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headstart.errors import StorageError
from headstart.files import write_durably
from headstart.keys import search, words

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
        positions, found = search(self.hi, self.lo, keys)
        if not len(self):
            empty = np.zeros(len(keys), dtype=np.uint32)
            return empty, empty, found
        return self.shard[positions], self.row[positions], found

    def extended(self, new: Mapping[str, NDArray[np.uint8]]) -> Index:
        """The index with more shards, given the keys of each, shape (n, 16)."""
        names = tuple(sorted({*self.shards, *new}))
        number = {name: position for position, name in enumerate(names)}
        renumbered = np.array([number[name] for name in self.shards], dtype=np.uint32)
        columns = [(self.hi, self.lo, renumbered[self.shard], self.row)]
        for name, keys in new.items():
            hi, lo = words(keys)
            shard = np.full(len(keys), number[name], dtype=np.uint32)
            columns.append((hi, lo, shard, np.arange(len(keys), dtype=np.uint32)))
        hi, lo, shard, row = (np.concatenate(parts) for parts in zip(*columns, strict=True))
        order = np.lexsort((shard, lo, hi))
        hi, lo, shard, row = hi[order], lo[order], shard[order], row[order]
        first = np.ones(len(hi), dtype=bool)
        first[1:] = (hi[1:] != hi[:-1]) | (lo[1:] != lo[:-1])
        return Index(names, hi[first], lo[first], shard[first], row[first])

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
            write_durably(path, buffer.getvalue())
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


def _is_sound(index: Index) -> bool:
    words64 = all(column.dtype == np.uint64 for column in (index.hi, index.lo))
    numbers = all(column.dtype == np.uint32 for column in (index.shard, index.row))
    shapes = {index.hi.shape, index.lo.shape, index.shard.shape, index.row.shape}
    sound = words64 and numbers and len(shapes) == 1 and index.hi.ndim == 1
    return sound and (not len(index) or int(index.shard.max()) < len(index.shards))
