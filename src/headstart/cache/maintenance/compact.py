"""`cache compact`: few large shards in the place of many small ones, while everybody reads and writes.

Of a key that lies in several shards, readers take the row of the shard whose name sorts first. So that no
reader ever gets another row than before:

- Shards are replaced in *components*: whoever shares a key with one of them is one of them. No row of a
  shard that stays can become the first by the disappearance of one that goes.
- What replaces them holds, of every key, the row that readers see, and is committed before anything goes.
- They go in descending order of their names: a row that readers do not see, before the one they see.
- If another writer commits one of their keys in between, they stay. Rows lie twice then, until the next
  `compact` sees all of them as one component.

Stopped anywhere, this leaves rows twice and nothing else; where two processes do it at once, both come to
the same rows.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headstart.cache.formats import FormatName, concatenated, format_of, open_shard, shard_format, take
from headstart.cache.index import Index
from headstart.cache.layout import SHARD_BYTES
from headstart.cache.maintenance.trash import Trash
from headstart.cache.rows import runs
from headstart.cache.space import Space
from headstart.cache.store import Cache
from headstart.contracts import Progress, ShardFormat, ShardReader
from headstart.errors import CorruptShardError, FormatError, HeadstartError
from headstart.keys import KEY_BYTES, search
from headstart.progress import shown
from headstart.types import Features

SETTLED = 120.0  # seconds after which no writer can still be about to commit a key that is there


@dataclass(frozen=True, slots=True)
class Compacted:
    """What became of one space: its shards and their bytes, or why it was left as it is."""

    space: str
    n_before: int
    n_after: int
    bytes_before: int
    bytes_after: int
    problem: str | None = None


def compact(cache: Cache, progress: Progress, format_name: FormatName | None = None) -> list[Compacted]:
    """Merge the small shards of every space, and the shards that share keys; no vector changes.

    With a format, shards of the other one are written anew as well; without, merged shards have the one that most of
    their bytes had. If the disk is full, every vector can be read as before.
    """
    paths = cache.space_paths()
    done = []
    with shown(progress, "compacting spaces", len(paths)):
        for path in paths:
            done.append(_compact_or_say_why_not(cache, path, format_name))
            progress.advance(1)
    return done


def _compact_or_say_why_not(cache: Cache, path: Path, format_name: FormatName | None) -> Compacted:
    problem = None
    before = _sizes(cache, path)
    try:
        compact_space(cache.open_space(path.name), format_name)
    except FileNotFoundError:
        problem = "another process is replacing its shards; run the command again later"
    except HeadstartError as error:
        if not isinstance(error, CorruptShardError | FormatError) and (path / "recipe.json").exists():
            raise
        problem = str(error)
    after = _sizes(cache, path)
    return Compacted(path.name, len(before), len(after), sum(before.values()), sum(after.values()), problem)


def compact_space(space: Space, format_name: FormatName | None = None) -> None:
    """Merge the small shards of one space; see `compact`."""
    names = space.shard_names()
    if len(names) < 2 and not _converts(names, format_name):
        return
    space.distrust_index()
    # Nobody has a file of a bucket mapped: whoever begins to fetch one may do so for a while.
    dispose = Trash(space.home.root).take if space.home.is_remote else _delete
    with space.claims() as board:
        company, now = board.has_company(), board.now()  # before listing: who leaves now has committed
        index = space.refresh()
        found = find_components(space, index)
        settled = [one for one in found if not company or now - one.newest > SETTLED]
        for names in _choose_groups(settled, format_name):
            chosen = format_name or _prevailing(space, names)
            replace(space, index, names, shard_format(chosen), dispose)
    space.refresh()
    space.save_index()


def _choose_groups(components: Sequence[Component], format_name: FormatName | None) -> list[list[str]]:
    """The shards to merge with each other: small ones, those that share keys, those to convert."""
    sizes = {
        one: one.n_bytes
        for one in components
        if one.n_bytes < SHARD_BYTES // 2 or len(one.names) > 1 or _converts(one.names, format_name)
    }
    groups = pack_groups(sizes)
    return [names for names in groups if len(names) > 1 or _converts(names, format_name)]


def _converts(names: Sequence[str], format_name: FormatName | None) -> bool:
    return format_name is not None and any(format_of(Path(name)) != format_name for name in names)


def _prevailing(space: Space, names: Sequence[str]) -> FormatName:
    """The format that most of the bytes have."""
    sizes: Counter[FormatName] = Counter()
    for name, file in space.home.shard_files(space.shards_dir).items():
        if name in names:
            sizes[format_of(Path(name))] += file.n_bytes
    return max(("hdf5", "parquet"), key=lambda name: sizes[name])


def _sizes(cache: Cache, path: Path) -> dict[str, int]:
    """The sizes of a space's shards."""
    return {name: file.n_bytes for name, file in cache.home.shard_files(path / "shards").items()}


def _delete(path: Path) -> None:
    path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Component:
    """Shards of which none shares a key with a shard outside, sorted by name, and their latest mtime."""

    names: tuple[str, ...]
    n_bytes: int
    newest: float


def find_components(space: Space, index: Index) -> list[Component]:
    """The components of all shards that an index covers, sorted by name.

    Every holder of a key is joined to the one whose row readers see, so one shard's keys in memory are
    enough.
    """
    parent = list(range(len(index.shards)))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    for number, name in enumerate(index.shards):
        winners = index.locate(np.asarray(space.reader(name).keys()))[0]
        for winner in np.unique(winners).tolist():
            parent[root(number)] = root(winner)
    members: dict[int, list[str]] = {}
    for number, name in enumerate(index.shards):
        members.setdefault(root(number), []).append(name)
    found, files = [], space.home.shard_files(space.shards_dir)
    for names in members.values():
        if not files.keys() >= set(names):
            raise FileNotFoundError(f"a shard of {space.path} was replaced")
        size = sum(files[name].n_bytes for name in names)
        newest = max(files[name].modified for name in names)
        found.append(Component(tuple(names), size, newest))
    return found


def pack_groups(sizes: Mapping[Component, int]) -> Iterator[list[str]]:
    """Put the shards of components together until what is written of them makes about one full shard."""
    names: list[str] = []
    n_bytes = 0
    for component, size in sizes.items():
        if names and n_bytes + size > SHARD_BYTES:
            yield names
            names, n_bytes = [], 0
        names += component.names
        n_bytes += size
    if names:
        yield names


def replace(
    space: Space,
    index: Index,
    names: Sequence[str],
    shard_format: ShardFormat,
    dispose: Callable[[Path], object],
    keep: NDArray[np.bool_] | None = None,
) -> None:
    """Commit what readers see of some shards anew, and take the shards away.

    ``index`` is of the shards themselves, as they were when the components were found, ``names`` are whole components,
    and ``keep`` says which rows of the index to keep. ``dispose`` deletes a shard or moves it to the trash; it may be
    gone already. Where a shard is not what its name says, nothing was changed; where the disk is full, none was taken.
    """
    mine = np.isin(np.array(index.shards), np.array(names))[index.shard]
    rows = np.flatnonzero(mine if keep is None else mine & keep)
    files = space.home.shard_files(space.shards_dir)
    newest = max((files[name].modified for name in names if name in files), default=0.0)
    outputs = []
    for features in _merged(space, index, rows, names):
        path = space.commit(features, shard_format).path
        outputs.append(path.name)
        with contextlib.suppress(OSError):  # as old as the newest of them: its rows are no younger for it
            os.utime(path, (newest, newest))
    known = {*index.shards, *outputs}
    for name in sorted(set(names) - set(outputs), reverse=True):
        # Before each, and not once: what takes long is what others write into.
        if _somebody_shares(space, known, index.hi[mine], index.lo[mine]):
            break
        with contextlib.suppress(FileNotFoundError):
            dispose(space.shards_dir / name)


def _merged(space: Space, index: Index, rows: NDArray[np.int64], names: Sequence[str]) -> Iterator[Features]:
    """The given rows of the index, in shards of about the right size and in the order of their keys."""
    space.home.fetch_shards(space.shards_dir, names)
    with space.digests.together():
        for name in names:
            # From the disk, whatever is remembered: a bit that rotted must not get a digest that fits.
            space.digests.check(space.shards_dir / name, again=True)
    sizes = _row_bytes(space, index, rows)
    part = (np.cumsum(sizes) - sizes) // SHARD_BYTES
    for number in np.unique(part):
        yield _read(space, index, rows[part == number])


def _read(space: Space, index: Index, rows: NDArray[np.int64]) -> Features:
    """Rows of the index, in their order."""
    parts, places = [], []
    for name, reader, at, wanted in _by_shard(space, index, rows):
        parts.append(reader.features(wanted))
        places.append(at)
        if not np.array_equal(parts[-1].keys, index.keys(rows[at])):
            raise CorruptShardError(f"{space.shards_dir / name} changed while it was read")
    return take(concatenated(parts), np.argsort(np.concatenate(places)))


def _row_bytes(space: Space, index: Index, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many bytes each row takes."""
    sizes = np.empty(len(rows), dtype=np.int64)
    for _, reader, at, wanted in _by_shard(space, index, rows):
        whole = reader.features()
        lengths = 1 if whole.offsets is None else np.diff(whole.offsets)[wanted]
        sizes[at] = KEY_BYTES + lengths * (whole.values.shape[1] * whole.values.dtype.itemsize)
    return sizes


def _by_shard(
    space: Space, index: Index, rows: NDArray[np.int64]
) -> Iterator[tuple[str, ShardReader, NDArray[np.int64], NDArray[np.int64]]]:
    """Each shard that holds some of the rows, which of them, and its own rows.

    Opened and dropped again, not kept by the space: a Parquet shard lies in memory as a whole.
    """
    shard = index.shard[rows]
    order = np.argsort(shard, kind="stable")  # once: no walk through all rows for each of a thousand shards
    for number, start, stop in runs(shard[order]):
        name = index.shards[number]
        space.home.fetch_shards(space.shards_dir, [name])
        reader = open_shard(space.shards_dir / name)
        if reader.recipe != space.carried:
            raise CorruptShardError(f"{space.shards_dir / name} carries another recipe than its space")
        at = order[start:stop]
        yield name, reader, at, index.row[rows[at]].astype(np.int64)


def _somebody_shares(space: Space, known: set[str], hi: NDArray[np.uint64], lo: NDArray[np.uint64]) -> bool:
    """Whether a shard that came since holds one of the keys; those that do not become known."""
    for name in space.shard_names():
        if name in known:
            continue
        with contextlib.suppress(FileNotFoundError):
            try:
                if search(hi, lo, np.asarray(space.reader(name).keys()))[1].any():
                    return True
            except HeadstartError:
                return True  # what cannot be read may hold any key
            known.add(name)
    return False
