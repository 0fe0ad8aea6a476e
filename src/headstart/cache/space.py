"""A space: all features of one recipe, in immutable shards."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headstart.cache.index import Index, empty_index, load_index
from headstart.cache.rows import take, together
from headstart.cache.shards import LISTINGS, CommittedShard, ShardFolder
from headstart.cache.uses import record_use
from headstart.errors import CorruptShardError, MismatchError, StorageError
from headstart.files import make_directory, read_json, sweep_partials, write_json
from headstart.recipe import Recipe
from headstart.types import Features

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import ShardFormat, ShardReader

__all__ = ["CommittedShard", "Space", "open_space"]


class _ForeignIndexError(CorruptShardError):
    """The saved index said what is not in the shards; it is deleted, or at least not used again."""


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
        self.shards = ShardFolder(path / "shards", recipe.canonical)
        self._index: Index | None = None
        self._saved: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """16 hex digits."""
        return self.path.name

    @property
    def shards_dir(self) -> Path:
        """Where the shards lie."""
        return self.shards.path

    @property
    def claims_dir(self) -> Path:
        """Where writers say what they are at."""
        return self.path / "claims"

    @property
    def index_path(self) -> Path:
        """Where the index is kept between processes."""
        return self.path / "index.npz"

    def __len__(self) -> int:
        return len(self.refresh())

    def shard_names(self) -> list[str]:
        """The committed shards, sorted; the directory is the truth."""
        return self.shards.names()

    def prepare(self) -> None:
        """Make the folders and write ``recipe.json`` if this is a new space."""
        make_directory(self.path)
        target = self.path / "recipe.json"
        if not target.exists():
            write_json(target, dict(self.recipe.entries))
        make_directory(self.shards_dir)
        sweep_partials(self.shards_dir)

    def record_use(self, held: int, computed: int) -> None:
        """Note how many rows a command found here and how many it computed; a hint for `cache ls`."""
        record_use(self.path, held, computed)

    def refresh(self) -> Index:
        """List the shards again and bring the index up to date."""
        for _ in range(LISTINGS):
            # A shard that is gone since it was listed was compacted. Its rows may be in one that came
            # after the listing, so without another look a held key would be taken for missing.
            with contextlib.suppress(FileNotFoundError):
                self._index = self._up_to_date(self.shard_names())
                return self._index
        raise self._disappearing()

    def distrust_index(self) -> None:
        """Index the shards themselves from now on, whatever was saved of it."""
        self._index, self._saved = empty_index(), ()

    def save_index(self) -> None:
        """Keep the index for the next process, if it covers more than the one that is kept."""
        if self._index is not None and self._index.shards != self._saved:
            self._index.save(self.index_path)
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
        return self.shards.commit(features, shard_format)

    def gather(self, keys: NDArray[np.uint8]) -> Features:
        """The rows of keys, in their order; dense or ragged as the space is.

        Raises
        ------
        MismatchError
            A key has no row.
        CorruptShardError
            A shard does not hold what its name says.
        """
        for _ in range(LISTINGS):
            # A shard that is gone since it was listed was compacted: its rows are in another one. And
            # an index that lied is not asked again: the shards themselves are.
            with contextlib.suppress(FileNotFoundError, _ForeignIndexError):
                return self._gather_listed(keys)
        raise self._disappearing()

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
            raise _ForeignIndexError(
                f"the index of space {self.id} did not fit {name}; run the command again"
            )
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return take(part, back)

    def reader(self, name: str) -> ShardReader:
        """An opened shard, whose digest this machine has checked once.

        Raises
        ------
        CorruptShardError
            The file's digest, recipe or structure is wrong.
        FileNotFoundError
            It is gone: another process compacted or repaired the space.
        """
        return self.shards.reader(name)

    def _up_to_date(self, present: list[str]) -> Index:
        index = self._index
        if index is None:
            index = load_index(self.index_path, present)
            self._saved = index.shards
        if not set(index.shards) <= set(present):
            index = empty_index()
            self.shards.forget()
        covered = set(index.shards)
        new = {name: np.asarray(self.reader(name).keys()) for name in present if name not in covered}
        return index.extended(new) if new else index

    def _gather_listed(self, keys: NDArray[np.uint8]) -> Features:
        index = self.refresh()
        shard, row, found = index.locate(keys)
        if not found.all():
            raise MismatchError(f"space {self.id} lacks {int((~found).sum())} of {len(keys)} features")
        if not len(keys):
            return self._nothing(index)
        parts = []
        for number in np.unique(shard):
            at = np.flatnonzero(shard == number)
            parts.append((at, self.rows(index.shards[number], row[at].astype(np.int64), keys[at])))
        return together(keys, parts)

    def _nothing(self, index: Index) -> Features:
        """No row, as wide as the rows that there are."""
        if index.shards:
            return take(self.reader(index.shards[0]).features(), np.empty(0, dtype=np.int64))
        return Features(np.empty((0, 16), dtype=np.uint8), np.empty((0, 1), dtype=np.float32))

    def _forget_index(self) -> None:
        self.distrust_index()
        with contextlib.suppress(OSError):  # on a read-only cache it stays, and is not used
            self.index_path.unlink(missing_ok=True)

    def _disappearing(self) -> StorageError:
        return StorageError(f"the shards of {self.path} keep disappearing; run the command again")


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
        raise CorruptShardError(
            f"{path} has no recipe.json; `headstart cache verify --repair` mends it"
        ) from error
    try:
        recipe = Recipe(dict(entries))
        found = recipe.id
    except (TypeError, ValueError) as error:
        raise CorruptShardError(
            f"{path / 'recipe.json'} is not a recipe; `headstart cache verify --repair` mends it"
        ) from error
    if found != path.name:
        raise CorruptShardError(
            f"{path / 'recipe.json'} does not belong to its folder (it is the recipe of {found})"
        )
    return Space(path, recipe)
