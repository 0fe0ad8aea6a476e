"""The folder of a space's shards: listing it, opening one, committing one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.cache.formats import open_shard, take
from headstart.cache.layout import SHARD_NAME, check_no_link
from headstart.cache.memos import FingerprintMemo
from headstart.cache.open_home import home_of
from headstart.contracts import ShardFormat, ShardReader
from headstart.errors import CorruptShardError
from headstart.files import CLOCK_TICK_NS, content_digest, fingerprint, write_durably
from headstart.keys import KEY_BYTES, pack, slices, words
from headstart.places import machine_dir
from headstart.types import Features

DIGEST_BYTES = 8
ROWS_AT_A_TIME = 16_384
REMEMBERED_TOGETHER = 64  # shards; a command that dies has that many checked for nothing


class DigestCheck:
    """Compares shards with the digests in their names, looks for numbers in them that are none, and remembers which."""

    def __init__(self) -> None:
        self.memo = FingerprintMemo(machine_dir() / "shards")
        self._waiting: list[tuple[bytes, bytes]] | None = None

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Remember the shards that are checked meanwhile in few writes: each is flushed to the disk."""
        if self._waiting is not None:
            yield
            return
        self._waiting = []
        try:
            yield
        finally:
            self._write()
            self._waiting = None

    def check(self, path: Path, again: bool = False) -> None:
        """Compare a shard with its name, and read its numbers, unless this machine has done so before.

        A CorruptShardError says that its content is not what the name says, or that a value is not finite: what made
        it may have kept to other rules. ``again``, whatever is remembered: a bit that rots on a disk changes no time
        of the file.
        """
        stat = path.stat()
        match = SHARD_NAME.fullmatch(path.name)
        named = match["digest"] if match else ""
        if not again and self._remembered(stat) == named:
            return
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, lambda: blake2b(digest_size=DIGEST_BYTES)).hexdigest()
        if digest != named:
            raise CorruptShardError(
                f"{path} is corrupt: its content does not have the digest in its name; "
                "`headstart cache verify --repair` drops it, and the next extract computes its rows anew"
            )
        if not _is_finite(open_shard(path).features().values):
            raise CorruptShardError(
                f"{path} holds a value that is not finite; `headstart cache verify --repair` drops it, and the next "
                "extract computes its rows anew"
            )
        self._remember(stat, named)

    def _remembered(self, stat: os.stat_result) -> str | None:
        value, known = self.memo.lookup(pack([fingerprint(stat)]))
        return value[0, :DIGEST_BYTES].tobytes().hex() if known[0] else None

    def _remember(self, stat: os.stat_result, digest: str) -> None:
        if max(stat.st_mtime_ns, stat.st_ctime_ns) > time.time_ns() - CLOCK_TICK_NS:
            return  # so young that it could change again and keep its times
        checked = fingerprint(stat), bytes.fromhex(digest).ljust(KEY_BYTES, b"\0")
        if self._waiting is None:
            self.memo.remember(*(pack([part]) for part in checked))
            return
        self._waiting.append(checked)
        if len(self._waiting) >= REMEMBERED_TOGETHER:
            self._write()

    def _write(self) -> None:
        if self._waiting:
            self.memo.remember(*map(pack, zip(*self._waiting, strict=True)))
            self._waiting.clear()


@dataclass(frozen=True, slots=True)
class CommittedShard:
    """What a commit wrote."""

    path: Path
    n_rows: int
    n_bytes: int


class ShardFolder:
    """The shards of one space, whose recipe, as canonical JSON, every shard must carry."""

    def __init__(self, shards_dir: Path, carried: str) -> None:
        self.shards_dir = shards_dir
        self.carried = carried
        self.digests = DigestCheck()
        self.home = home_of(shards_dir.parents[2])
        self._readers: dict[str, ShardReader] = {}

    def shard_names(self, recent: bool = False) -> list[str]:
        """The committed shards, sorted; what is listed is the truth. See `Home.shard_names`."""
        return self.home.shard_names(self.shards_dir, recent)

    def reader(self, name: str) -> ShardReader:
        """An opened shard, whose digest this machine has checked once.

        A CorruptShardError says that its digest, recipe or structure is wrong; a FileNotFoundError, that another
        process compacted or repaired the space.
        """
        if name not in self._readers:
            self.home.fetch_shards(self.shards_dir, [name])
            try:
                self._readers[name] = self._opened(name)
            except CorruptShardError:
                if not self.home.is_renewed(self.shards_dir / name):
                    raise
                self.home.fetch_shards(self.shards_dir, [name])
                self._readers[name] = self._opened(name)
        return self._readers[name]

    def _opened(self, name: str) -> ShardReader:
        path = self.shards_dir / name
        self.digests.check(path)
        reader = open_shard(path)
        if reader.recipe != self.carried:
            raise CorruptShardError(
                f"{path} carries another recipe than its space; `headstart cache verify --repair` drops it"
            )
        return reader

    def close_shards(self) -> None:
        """Drop all opened shards."""
        self._readers.clear()

    def commit(self, features: Features, shard_format: ShardFormat) -> CommittedShard:
        """Write features as one shard, durably; after a StorageError nothing of it is in the space."""
        check_no_link(self.shards_dir.parents[2], self.shards_dir)
        in_order = _in_order(features)
        content = shard_format.encode(in_order, self.carried)
        name = f"{in_order.keys[0, 0]:02x}-{content_digest(content)}{shard_format.suffix}"
        write_durably(self.shards_dir / name, content)
        self.home.publish(self.shards_dir / name)
        return CommittedShard(self.shards_dir / name, len(features), len(content))


def _is_finite(values: NDArray[np.floating[Any]]) -> bool:
    """Whether no value is NaN or infinite, by the bits: of float16 numpy would look one by one."""
    exponent: Any = np.uint16(0x7C00) if values.dtype == np.float16 else np.uint32(0x7F800000)
    bits: NDArray[Any] = values.view(exponent.dtype)
    return not any((bits[rows] & exponent == exponent).any() for rows in slices(len(bits), ROWS_AT_A_TIME))


def _in_order(features: Features) -> Features:
    """Sorted by key; not copied where they are already, as a copy would double what a commit takes."""
    hi, lo = words(features.keys)
    rises = (hi[1:] > hi[:-1]) | ((hi[1:] == hi[:-1]) & (lo[1:] >= lo[:-1]))
    return features if rises.all() else take(features, np.lexsort((lo, hi)))
