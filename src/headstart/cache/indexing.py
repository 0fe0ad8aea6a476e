"""The index of a space as a process keeps it: brought up to date with the shards, saved for the next one."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headstart.cache.index import Index, empty_index, load_index
from headstart.cache.shards import LISTINGS
from headstart.errors import StorageError

if TYPE_CHECKING:
    from headstart.cache.shards import ShardFolder


class KeptIndex:
    """The index of one space.

    Parameters
    ----------
    path : Path
        Where it is kept between processes.
    shards : ShardFolder
        What it is about.
    """

    def __init__(self, path: Path, shards: ShardFolder) -> None:
        self.path = path
        self._shards = shards
        self._index: Index | None = None
        self._saved: tuple[str, ...] = ()

    def refresh(self) -> Index:
        """List the shards again and bring the index up to date."""
        for _ in range(LISTINGS):
            # A shard that is gone since it was listed was compacted. Its rows may be in one that came
            # after the listing, so without another look a held key would be taken for missing.
            with contextlib.suppress(FileNotFoundError):
                self._index = self._up_to_date(self._shards.names())
                return self._index
        raise disappearing(self._shards)

    def distrust(self) -> None:
        """Index the shards themselves from now on, whatever was saved of them."""
        self._index, self._saved = empty_index(), ()

    def forget(self) -> None:
        """Distrust what was saved, and delete it: it did not fit the shards."""
        self.distrust()
        with contextlib.suppress(OSError):  # on a read-only cache it stays, and is not used
            self.path.unlink(missing_ok=True)

    def save(self) -> None:
        """Keep it for the next process, if it covers more than what is kept."""
        if self._index is not None and self._index.shards != self._saved:
            self._index.save(self.path)
            self._saved = self._index.shards

    def _up_to_date(self, present: list[str]) -> Index:
        index = self._index
        if index is None:
            index = load_index(self.path, present)
            self._saved = index.shards
        if not set(index.shards) <= set(present):
            index = empty_index()
            self._shards.forget()
        covered = set(index.shards)
        new = [name for name in present if name not in covered]
        keys = {name: np.asarray(self._shards.reader(name).keys()) for name in new}
        return index.extended(keys) if keys else index


def disappearing(shards: ShardFolder) -> StorageError:
    """What to say when every listing names shards that are gone when they are opened."""
    return StorageError(f"the shards of {shards.path.parent} keep disappearing; run the command again")
