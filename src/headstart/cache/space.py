"""A space: all features of one recipe, in immutable shards, with an index of them and hints of how it served."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headstart.cache.claims import Claims, host_name
from headstart.cache.home import LISTINGS
from headstart.cache.index import Index, empty_index, load_index
from headstart.cache.layout import check_no_link
from headstart.cache.open_home import home_at
from headstart.cache.recipe import Recipe
from headstart.cache.rows import RowLocations, StoredRows, locate, runs
from headstart.cache.shards import ShardFolder
from headstart.cache.token_counts import TokenCounts
from headstart.errors import CorruptShardError, MismatchError, StorageError
from headstart.files import make_directory, read_json, sweep_partials, write_durably, write_json
from headstart.keys import ROWS_AT_ONCE
from headstart.types import Features

KEPT_LINES = 1000  # in a file of uses; gc trims it
FOLDERS = ("shards", "claims", "uses", "known", "tokens")
"""What lies in a space that is written to."""


class ForeignIndexError(CorruptShardError):
    """The saved index said what is not in the shards; it is deleted, or at least not used again."""


@dataclass(frozen=True, slots=True)
class _Lookup:
    """Which of some keys were held, as an index of some shards had it."""

    keys: weakref.ref[NDArray[np.uint8]]
    shards: tuple[str, ...]
    found: NDArray[np.bool_]


class Space(ShardFolder):
    """One folder of ``spaces/``; ``recipe.json`` says the recipe, or will once something is committed."""

    def __init__(self, path: Path, recipe: Recipe) -> None:
        super().__init__(path / "shards", recipe.canonical)
        self.path = path
        self.recipe = recipe
        self.claims_dir = path / "claims"  # where writers say what they are at
        self.index_path = path / "index.npz"  # where the index is kept between processes
        self._tokens = TokenCounts(path / "tokens")  # how long texts were before they were cut
        self._index: Index | None = None
        self._saved: tuple[str, ...] = ()
        self._lookup: _Lookup | None = None

    def __reduce__(self) -> tuple[Callable[[str | Path, Recipe], Space], tuple[str | Path, Recipe]]:
        # Another process, on another machine maybe, opens it anew: what is open here would be copied whole.
        return space_at, (self.home.location, self.recipe)

    @property
    def id(self) -> str:
        """16 hex digits."""
        return self.path.name

    def __len__(self) -> int:
        return len(self.refresh())

    def prepare(self) -> None:
        """Make the folders and write ``recipe.json`` if this is a new space."""
        self.check_writable()
        make_directory(self.path)
        self._describe()
        make_directory(self.shards_dir)
        sweep_partials(self.shards_dir)

    def _describe(self) -> None:
        target = self.path / "recipe.json"
        for _ in range(LISTINGS):  # a copy of a bucket's may be tidied away just now
            if not target.exists():
                write_json(target, dict(self.recipe.entries))
            with contextlib.suppress(FileNotFoundError):
                self.home.publish(target)
                return

    def claims(self) -> Claims:
        """What a writer claims in it; a context manager."""
        return self.home.claims(self.claims_dir)

    def check_writable(self) -> None:
        """Refuse to write where a link leads elsewhere; see `check_no_link`."""
        for name in FOLDERS:
            check_no_link(self.path.parents[1], self.path / name)

    def record_use(self, held: int, computed: int) -> None:
        """Note how many rows a command found here and how many it computed; where that is not possible, go without."""
        if not self.path.is_dir():
            return
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        line = json.dumps({"at": now, "held": int(held), "computed": int(computed)}) + "\n"
        with contextlib.suppress(OSError, StorageError):
            self.check_writable()
            folder = self.path / "uses"
            folder.mkdir(exist_ok=True)
            # One write to a file that is only ever appended to: lines of several processes do not mix.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
            descriptor = os.open(folder / f"{host_name()}.jsonl", flags, 0o666)
            try:
                os.write(descriptor, line.encode("ascii"))
            finally:
                os.close(descriptor)
            self.home.publish_hint(folder / f"{host_name()}.jsonl")

    def n_tokens(self, keys: NDArray[np.uint8]) -> NDArray[np.int64]:
        """How many tokens the texts of keys had before they were cut, shape (N,); see `TokenCounts`."""
        self.home.refresh_hints(self._tokens.folder)
        return TokenCounts(self._tokens.folder).lookup(keys)  # anew: other processes write there, too

    def note_tokens(self, keys: NDArray[np.uint8], counts: NDArray[np.int64]) -> None:
        """Keep what `n_tokens` says; where that is not possible, go without."""
        with contextlib.suppress(OSError, StorageError):
            self.check_writable()
            self._tokens.remember(keys, counts)
            self.home.publish_hint(self._tokens.folder)

    # The index

    def refresh(self, recent: bool = False) -> Index:
        """List the shards again and bring the index up to date.

        With ``recent``, a listing of a moment ago will do: of a bucket each one is a request.
        """
        for attempt in range(LISTINGS):
            # A shard that is gone since it was listed was compacted. Its rows may be in one that came
            # after the listing, so without another look a held key would be taken for missing.
            with contextlib.suppress(FileNotFoundError):
                self._index = self._up_to_date(self.shard_names(recent and not attempt))
                return self._index
        raise self._disappearing()

    def _up_to_date(self, present: list[str]) -> Index:
        index = self._index
        if index is None:
            index = load_index(self.index_path, present)
            self._saved = index.shards
        if not set(index.shards) <= set(present):
            index = empty_index()
            self.close_shards()
        new = sorted(set(present).difference(index.shards))
        if not new:
            return index
        self.home.fetch_shards(self.shards_dir, new)
        with self.digests.together():
            return index.extended({name: np.asarray(self.reader(name).keys()) for name in new})

    def _disappearing(self) -> StorageError:
        return StorageError(f"the shards of {self.path} keep disappearing; run the command again")

    def distrust_index(self) -> None:
        """Index the shards themselves from now on, whatever was saved of them."""
        self._index, self._saved, self._lookup = empty_index(), (), None

    def save_index(self) -> None:
        """Keep the index for the next process, if it covers more than the one that is kept."""
        if self._index is not None and self._index.shards != self._saved:
            with contextlib.suppress(StorageError):  # it is only derived
                self.check_writable()
                self._index.save(self.index_path)
                self._saved = self._index.shards

    # Rows

    def held(self, keys: NDArray[np.uint8], recent: bool = False) -> NDArray[np.bool_]:
        """Which keys, shape (N, 16), have a row here; shape (N,). For ``recent`` see `refresh`."""
        index = self.refresh(recent)
        if len(keys) < ROWS_AT_ONCE:
            return index.holds(keys)
        known = self._lookup  # a command asks several times which of its millions of samples are here
        if known is None or known.keys() is not keys or not set(known.shards) <= set(index.shards):
            found = index.holds(keys)
        elif known.shards == index.shards:
            return known.found.copy()
        else:  # what came since can only add to it
            found = known.found.copy()
            left = np.flatnonzero(~found)
            found[left] = index.holds(keys[left])
        self._lookup = _Lookup(weakref.ref(keys), index.shards, found)
        return found.copy()

    def gather(self, keys: NDArray[np.uint8]) -> Features:
        """The rows of keys, in their order; dense or ragged as the space is. See `rows`."""
        return self.rows(keys).features(keys)

    def rows(self, keys: NDArray[np.uint8], places: RowLocations | None = None) -> StoredRows:
        """Open the rows of keys, shape (N, 16), in their order.

        The index is derived and may come from another machine, so it is never believed: whatever it says, a
        vector is handed out under the key that stands beside it in the shard.

        ``places`` are where they were found before; that may not hold any more.

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
        raise self._disappearing()

    def _open(self, keys: NDArray[np.uint8], places: RowLocations) -> StoredRows:
        if len(places) != len(keys):
            raise MismatchError(f"space {self.id} lacks {len(keys) - len(places)} of {len(keys)} features")
        shards = {}
        self.home.fetch_shards(self.shards_dir, [places.names[number] for number, _, _ in runs(places.shard)])
        for number, start, stop in runs(places.shard):
            shards[number] = self.reader(places.names[number]).features()
            there, rows = np.asarray(shards[number].keys), places.row[start:stop]
            expected = np.take(keys, places.samples[start:stop], axis=0)
            if rows.max() >= len(there) or not np.array_equal(np.take(there, rows, axis=0), expected):
                self.distrust_index()
                with contextlib.suppress(OSError, StorageError):  # on a read-only cache it stays, unused
                    self.check_writable()
                    self.index_path.unlink(missing_ok=True)
                name = places.names[number]
                raise ForeignIndexError(
                    f"the index of space {self.id} did not fit {name}; run the command again"
                )
        if not shards and places.names:  # no row, as wide as the rows that there are
            shards[0] = self.reader(places.names[0]).features()
        return StoredRows(shards, places)


def space_at(location: str | Path, recipe: Recipe) -> Space:
    """The space of a recipe in a cache, by its folder or address."""
    return Space(home_at(location).root / "spaces" / recipe.id, recipe)


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


@dataclass(frozen=True, slots=True)
class Uses:
    """What is remembered of the uses of one space.

    ``last`` is in seconds since the epoch, None if not known; the others are the rows that commands found and computed.
    """

    last: float | None
    held: int
    computed: int


def read_uses(space: Path) -> Uses:
    """All uses of a space that are remembered, on any host: hints for `cache ls`, and for gc a sign of life."""
    last: float | None = None
    held = computed = 0
    for path in sorted((space / "uses").glob("*.jsonl")):
        with contextlib.suppress(OSError):
            for line in path.read_bytes().splitlines():
                # A line that was torn, or that another version wrote, counts for nothing.
                with contextlib.suppress(KeyError, TypeError, ValueError):
                    use = json.loads(line)
                    at = datetime.datetime.fromisoformat(use["at"]).timestamp()
                    n_held, n_computed = int(use["held"]), int(use["computed"])
                    last = at if last is None else max(last, at)
                    held, computed = held + n_held, computed + n_computed
    return Uses(last, held, computed)


def trim_uses(space: Path) -> None:
    """Keep the last thousand lines of each host."""
    for path in (space / "uses").glob("*.jsonl"):
        with contextlib.suppress(OSError, StorageError):
            lines = path.read_bytes().splitlines(keepends=True)
            if len(lines) > KEPT_LINES:
                write_durably(path, b"".join(lines[-KEPT_LINES:]))
