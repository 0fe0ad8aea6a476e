"""A space: all features of one recipe, in immutable shards."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headstart.cache.fingerprints import FingerprintMemo
from headstart.cache.formats import open_shard
from headstart.cache.index import Index, empty_index, load_index
from headstart.cache.layout import SHARD_NAME, machine_dir
from headstart.cache.rows import take
from headstart.errors import CorruptShardError, MismatchError, StorageError
from headstart.files import (
    CLOCK_TICK_NS,
    fingerprint,
    make_directory,
    read_json,
    storage_errors,
    sweep_partials,
    write_durably,
    write_json,
)
from headstart.keys import KEY_BYTES, pack, words
from headstart.recipe import Recipe
from headstart.types import Features

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import ShardFormat, ShardReader

DIGEST_BYTES = 8
LISTINGS = 5  # how often a reader lists the shards again before it gives up
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class CommittedShard:
    """What a commit wrote."""

    path: Path
    n_rows: int
    n_bytes: int


def shard_digest(content: bytes | memoryview) -> str:
    """The digest in a shard's name: BLAKE2b-64 of the whole file, 16 hex digits."""
    return blake2b(content, digest_size=DIGEST_BYTES).hexdigest()


class Space:
    """One folder of ``spaces/``.

    Parameters
    ----------
    path : Path
        Its last part is the id.
    recipe : Recipe
        What ``recipe.json`` says, or will say once something is committed.
    """

    def __init__(self, path: Path, recipe: Recipe) -> None:
        self.path = path
        self.recipe = recipe
        self._index: Index | None = None
        self._saved: tuple[str, ...] = ()
        self._readers: dict[str, ShardReader] = {}
        self._verified = FingerprintMemo(machine_dir() / "shards")

    @property
    def id(self) -> str:
        """16 hex digits."""
        return self.path.name

    @property
    def shards_dir(self) -> Path:
        """Where the shards lie."""
        return self.path / "shards"

    @property
    def claims_dir(self) -> Path:
        """Where writers say what they are at."""
        return self.path / "claims"

    def __len__(self) -> int:
        return len(self.refresh())

    def shard_names(self) -> list[str]:
        """The committed shards, sorted; the directory is the truth."""
        try:
            with os.scandir(self.shards_dir) as entries:
                return sorted(entry.name for entry in entries if SHARD_NAME.fullmatch(entry.name))
        except FileNotFoundError:
            return []

    def prepare(self) -> None:
        """Make the folders and write ``recipe.json`` if this is a new space."""
        make_directory(self.path)
        target = self.path / "recipe.json"
        if not target.exists():
            write_json(target, dict(self.recipe.entries))
        make_directory(self.shards_dir)
        sweep_partials(self.shards_dir)

    def refresh(self) -> Index:
        """List the shards again and bring the index up to date."""
        present = self.shard_names()
        index = self._index
        if index is None:
            index = load_index(self._index_path, present)
            self._saved = index.shards
        if not set(index.shards) <= set(present):
            index = empty_index()
            self._readers.clear()
        covered = set(index.shards)
        new = [name for name in present if name not in covered]
        if new:
            index = index.extended(dict(self._keys_of(new)))
        self._index = index
        return index

    def distrust_index(self) -> None:
        """Index the shards themselves from now on, whatever was saved of it."""
        self._index, self._saved = empty_index(), ()

    def save_index(self) -> None:
        """Keep the index for the next process, if it covers more than the one that is kept."""
        if self._index is not None and self._index.shards != self._saved:
            self._index.save(self._index_path)
            self._saved = self._index.shards

    def held(self, keys: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which keys, shape (N, 16), have a row here; shape (N,)."""
        return self.refresh().locate(keys)[2]

    def commit(self, features: Features, shard_format: ShardFormat) -> CommittedShard:
        """Write features as one shard, durably.

        Raises
        ------
        StorageError
            The disk is full, or nothing may be written. Nothing of this shard is then in the space.
        """
        hi, lo = words(features.keys)
        in_order = take(features, np.lexsort((lo, hi)))
        content = shard_format.encode(in_order, self.recipe.canonical)
        digest = shard_digest(content)
        name = f"{in_order.keys[0, 0]:02x}-{digest}{shard_format.suffix}"
        path = self.shards_dir / name
        write_durably(path, content)
        return CommittedShard(path, len(features), len(content))

    def gather(self, keys: NDArray[np.uint8]) -> Features:
        """The rows of dense features, in the order of the keys.

        Raises
        ------
        MismatchError
            A key has no row.
        CorruptShardError
            A shard does not hold what its name says.
        """
        for _ in range(LISTINGS):
            # A shard that is gone since it was listed was compacted: its rows are in another one.
            with contextlib.suppress(FileNotFoundError):
                return self._gather_listed(keys)
        raise StorageError(f"the shards of {self.path} keep disappearing; run the command again")

    def _gather_listed(self, keys: NDArray[np.uint8]) -> Features:
        index = self.refresh()
        shard, row, found = index.locate(keys)
        if not found.all():
            raise MismatchError(f"space {self.id} lacks {int((~found).sum())} of {len(keys)} features")
        values: NDArray[np.floating] | None = None
        for number in np.unique(shard):
            at = np.flatnonzero(shard == number)
            part = self.rows(index.shards[number], row[at].astype(np.int64), keys[at])
            if values is None:
                values = np.empty((len(keys), part.values.shape[1]), dtype=part.values.dtype)
            values[at] = part.values
        return Features(keys, self._no_values() if values is None else values)

    def rows(self, name: str, rows: NDArray[np.int64], expected: NDArray[np.uint8]) -> Features:
        """Rows of one shard, which must hold the expected keys.

        The index is derived and may come from another machine, so it is never believed: whatever
        it says, a vector is handed out under the key that stands beside it in the shard.
        """
        order = np.argsort(rows, kind="stable")
        reader = self.reader(name)
        fits = not len(rows) or rows[order[-1]] < len(reader.keys())
        part = reader.features(rows[order]) if fits else None
        if part is None or not np.array_equal(part.keys, expected[order]):
            self._forget_index()
            raise CorruptShardError(
                f"the index of space {self.id} did not fit {name} and was deleted; run the command again"
            )
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return Features(expected, part.values[back])

    def reader(self, name: str) -> ShardReader:
        """An opened shard, whose digest this machine has checked once.

        Raises
        ------
        CorruptShardError
            The file's digest, recipe or structure is wrong.
        FileNotFoundError
            It is gone: another process compacted or repaired the space.
        """
        if name not in self._readers:
            path = self.shards_dir / name
            self.check_digest(path)
            reader = open_shard(path)
            if reader.recipe != self.recipe.canonical:
                raise CorruptShardError(f"{path} carries another recipe than its space; delete it")
            self._readers[name] = reader
        return self._readers[name]

    def check_digest(self, path: Path, again: bool = False) -> None:
        """Compare a shard with the digest in its name, unless this machine has done so before."""
        mark = pack([fingerprint(path.stat())])
        match = SHARD_NAME.fullmatch(path.name)
        named = match["digest"] if match else ""
        value, known = self._verified.lookup(mark)
        if known[0] and not again and value[0, :DIGEST_BYTES].tobytes().hex() == named:
            return
        digest = blake2b(digest_size=DIGEST_BYTES)
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        if digest.hexdigest() != named:
            raise CorruptShardError(
                f"{path} is corrupt: its content does not have the digest in its name; delete the file "
                "and run extract again to compute its rows anew"
            )
        self._remember(path, named)

    @property
    def _index_path(self) -> Path:
        return self.path / "index.npz"

    def _no_values(self) -> NDArray[np.floating]:
        """No row, as wide as the rows that there are."""
        index = self.refresh()
        width = self.reader(index.shards[0]).features().values.shape[1] if index.shards else 1
        return np.empty((0, width), dtype=np.float32)

    def _forget_index(self) -> None:
        self._index, self._saved = None, ()
        with storage_errors(self._index_path):
            self._index_path.unlink(missing_ok=True)

    def _keys_of(self, names: list[str]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        for name in names:
            try:
                yield name, np.asarray(self.reader(name).keys())
            except FileNotFoundError:
                continue  # gone since it was listed; its rows are in a shard that is listed too

    def _remember(self, path: Path, digest: str) -> None:
        stat = path.stat()
        if max(stat.st_mtime_ns, stat.st_ctime_ns) > time.time_ns() - CLOCK_TICK_NS:
            return  # so young that it could change again and keep its times
        value = bytes.fromhex(digest).ljust(KEY_BYTES, b"\0")
        self._verified.remember(pack([fingerprint(stat)]), pack([value]))


def open_space(path: Path) -> Space:
    """The space in a folder, whose recipe must have the id that is the folder's name.

    Raises
    ------
    StorageError
        ``recipe.json`` is missing or broken.
    """
    try:
        entries = read_json(path / "recipe.json")
    except FileNotFoundError as error:
        raise CorruptShardError(f"{path} has no recipe.json; delete the folder or restore it") from error
    try:
        recipe = Recipe(dict(entries))
        found = recipe.id
    except (TypeError, ValueError) as error:
        raise CorruptShardError(
            f"{path / 'recipe.json'} is not a recipe; delete the folder or restore it"
        ) from error
    if found != path.name:
        raise CorruptShardError(
            f"{path / 'recipe.json'} does not belong to its folder (it is the recipe of {found})"
        )
    return Space(path, recipe)
