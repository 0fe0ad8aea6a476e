"""A space: all features of one recipe, in immutable shards."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headstart.cache.indexing import KeptIndex, disappearing
from headstart.cache.reading.places import RowLocations, locate, runs
from headstart.cache.reading.stored import StoredRows
from headstart.cache.recipe import Recipe
from headstart.cache.shards import LISTINGS, CommittedShard, ShardFolder
from headstart.cache.uses import record_use
from headstart.errors import CorruptShardError, MismatchError
from headstart.files import make_directory, read_json, sweep_partials, write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.index import Index
    from headstart.contracts import ShardFormat, ShardReader
    from headstart.types import Features

__all__ = ["CommittedShard", "Space", "open_space"]


class ForeignIndexError(CorruptShardError):
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
        self.index = KeptIndex(path / "index.npz", self.shards)

    def __reduce__(self) -> tuple[type[Space], tuple[Path, Recipe]]:
        # Another process opens it anew: what is open here would be copied whole.
        return Space, (self.path, self.recipe)

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
        return self.index.path

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
        return self.index.refresh()

    def distrust_index(self) -> None:
        """Index the shards themselves from now on, whatever was saved of it."""
        self.index.distrust()

    def save_index(self) -> None:
        """Keep the index for the next process, if it covers more than the one that is kept."""
        self.index.save()

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
        return self.rows(keys).features(keys)

    def rows(self, keys: NDArray[np.uint8], places: RowLocations | None = None) -> StoredRows:
        """Open the rows of keys, shape (N, 16), in their order.

        The index is derived and may come from another machine, so it is never believed: whatever it says, a
        vector is handed out under the key that stands beside it in the shard.

        Parameters
        ----------
        keys : ndarray of uint8, shape (N, 16)
        places : RowLocations, optional
            Where they were found before; that may not hold any more.

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
            with contextlib.suppress(FileNotFoundError, ForeignIndexError):
                return self._open(keys, locate(self.refresh(), keys) if places is None else places)
            places = None
        raise disappearing(self.shards)

    def _open(self, keys: NDArray[np.uint8], places: RowLocations) -> StoredRows:
        if len(places) != len(keys):
            raise MismatchError(f"space {self.id} lacks {len(keys) - len(places)} of {len(keys)} features")
        shards = {}
        for number, start, stop in runs(places.shard):
            shards[number] = self.reader(places.names[number]).features()
            expected = np.take(keys, places.samples[start:stop], axis=0)
            if not _has_keys(shards[number].keys, places.row[start:stop], expected):
                self.index.forget()
                name = places.names[number]
                raise ForeignIndexError(
                    f"the index of space {self.id} did not fit {name}; run the command again"
                )
        if not shards and places.names:  # no row, as wide as the rows that there are
            shards[0] = self.reader(places.names[0]).features()
        return StoredRows(shards, places)

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


def _has_keys(keys: NDArray[np.uint8], rows: NDArray[np.uint32], expected: NDArray[np.uint8]) -> bool:
    return bool(rows.max() < len(keys)) and np.array_equal(np.take(np.asarray(keys), rows, axis=0), expected)


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
