"""The folder of a space's shards: listing it, opening one, committing one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headstart.cache.digests import DigestCheck, shard_digest
from headstart.cache.formats import open_shard
from headstart.cache.layout import SHARD_NAME
from headstart.cache.rows import take
from headstart.errors import CorruptShardError
from headstart.files import write_durably
from headstart.keys import words

if TYPE_CHECKING:
    from headstart.contracts import ShardFormat, ShardReader
    from headstart.types import Features

LISTINGS = 5  # how often a reader lists the shards again before it gives up


@dataclass(frozen=True, slots=True)
class CommittedShard:
    """What a commit wrote."""

    path: Path
    n_rows: int
    n_bytes: int


class ShardFolder:
    """``shards/`` of one space.

    Parameters
    ----------
    path : Path
    recipe : str
        As canonical JSON: what every shard here must carry.
    """

    def __init__(self, path: Path, recipe: str) -> None:
        self.path = path
        self.recipe = recipe
        self.digests = DigestCheck()
        self._readers: dict[str, ShardReader] = {}

    def names(self) -> list[str]:
        """The committed shards, sorted; the directory is the truth.

        A listing of many files is not one moment: while `compact` replaces a shard, one listing may
        miss both the old one and the new one. Two that agree miss nothing.
        """
        found = self._list()
        for _ in range(LISTINGS):
            before, found = found, self._list()
            if before == found:
                break
        return found

    def reader(self, name: str) -> ShardReader:
        """An opened shard, whose digest this machine has checked once; see `Space.reader`."""
        if name not in self._readers:
            path = self.path / name
            self.digests.check(path)
            reader = open_shard(path)
            if reader.recipe != self.recipe:
                raise CorruptShardError(
                    f"{path} carries another recipe than its space; `headstart cache verify --repair` drops it"
                )
            self._readers[name] = reader
        return self._readers[name]

    def forget(self) -> None:
        """Drop all opened shards."""
        self._readers.clear()

    def commit(self, features: Features, shard_format: ShardFormat) -> CommittedShard:
        """Write features as one shard, durably; see `Space.commit`."""
        in_order = _in_order(features)
        content = shard_format.encode(in_order, self.recipe)
        name = f"{in_order.keys[0, 0]:02x}-{shard_digest(content)}{shard_format.suffix}"
        write_durably(self.path / name, content)
        return CommittedShard(self.path / name, len(features), len(content))

    def _list(self) -> list[str]:
        try:
            with os.scandir(self.path) as entries:
                return sorted(entry.name for entry in entries if SHARD_NAME.fullmatch(entry.name))
        except FileNotFoundError:
            return []


def _in_order(features: Features) -> Features:
    """Sorted by key; not copied where they are already, as a copy would double what a commit takes."""
    hi, lo = words(features.keys)
    rises = (hi[1:] > hi[:-1]) | ((hi[1:] == hi[:-1]) & (lo[1:] >= lo[:-1]))
    return features if rises.all() else take(features, np.lexsort((lo, hi)))
