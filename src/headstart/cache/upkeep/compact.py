"""`cache compact`: few large shards in the place of many small ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.cache.claims import ClaimBoard
from headstart.cache.formats import FormatName, format_of, shard_format
from headstart.cache.layout import SHARD_BYTES
from headstart.cache.space import Space
from headstart.cache.upkeep.merging import Component, find_components, pack_groups, replace
from headstart.errors import CorruptShardError, FormatError, HeadstartError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headstart.cache.store import Cache
    from headstart.contracts import Progress

SETTLED = 120.0  # seconds after which no writer can still be about to commit a key that is there


@dataclass(frozen=True, slots=True)
class Compacted:
    """What became of one space.

    Parameters
    ----------
    space : str
        Its id.
    n_before, n_after : int
        Shards.
    problem : str, optional
        Why it was left as it is.
    """

    space: str
    n_before: int
    n_after: int
    bytes_before: int
    bytes_after: int
    problem: str | None = None


def compact(cache: Cache, progress: Progress, format_name: FormatName | None = None) -> list[Compacted]:
    """Merge the small shards of every space, and the shards that share keys; no vector changes.

    Parameters
    ----------
    cache : Cache
    progress : Progress
    format_name : {"hdf5", "parquet"}, optional
        Of the merged shards; shards of the other format are written anew as well. None: the one that
        most of the merged bytes have.

    Raises
    ------
    StorageError
        The disk is full. Every vector can be read as before.
    """
    paths = cache.space_paths()
    progress.begin("compacting spaces", len(paths))
    done = []
    try:
        for path in paths:
            done.append(_compact_or_say_why_not(cache, path, format_name))
            progress.advance(1)
    finally:
        progress.end()
    return done


def _compact_or_say_why_not(cache: Cache, path: Path, format_name: FormatName | None) -> Compacted:
    problem = None
    before = _sizes(path)
    try:
        compact_space(cache.open_space(path.name), format_name)
    except FileNotFoundError:
        problem = "another process is replacing its shards; run the command again later"
    except (CorruptShardError, FormatError) as error:
        problem = str(error)
    except HeadstartError as error:
        if (path / "recipe.json").exists():
            raise
        problem = str(error)
    after = _sizes(path)
    return Compacted(path.name, len(before), len(after), sum(before.values()), sum(after.values()), problem)


def compact_space(space: Space, format_name: FormatName | None = None) -> None:
    """Merge the small shards of one space; see `compact`."""
    if not _is_worth_a_look(space, format_name):
        return
    space.distrust_index()
    with ClaimBoard(space.claims_dir) as board:
        company, now = board.has_company(), board.now()  # before listing: who leaves now has committed
        index = space.refresh()
        settled = [
            component
            for component in find_components(space, index)
            if not company or now - component.newest > SETTLED
        ]
        for names in choose_groups(settled, format_name):
            chosen = format_name or _prevailing(space, names)
            replace(space, index, names, shard_format(chosen), _delete)
    space.refresh()
    space.save_index()


def choose_groups(components: Sequence[Component], format_name: FormatName | None) -> list[list[str]]:
    """The shards to merge with each other: small ones, those that share keys, those to convert."""
    candidates = [
        component
        for component in components
        if component.n_bytes < SHARD_BYTES // 2
        or len(component.names) > 1
        or _converts(component.names, format_name)
    ]
    groups = pack_groups(candidates, {component: component.n_bytes for component in candidates})
    merged = [[name for component in group for name in component.names] for group in groups]
    return [names for names in merged if len(names) > 1 or _converts(names, format_name)]


def _is_worth_a_look(space: Space, format_name: FormatName | None) -> bool:
    names = space.shard_names()
    return len(names) > 1 or _converts(names, format_name)


def _converts(names: Sequence[str], format_name: FormatName | None) -> bool:
    return format_name is not None and any(format_of(Path(name)) != format_name for name in names)


def _prevailing(space: Space, names: Sequence[str]) -> FormatName:
    """The format that most of the bytes have."""
    sizes: dict[FormatName, int] = {"hdf5": 0, "parquet": 0}
    for name in names:
        sizes[format_of(Path(name))] += (space.shards_dir / name).stat().st_size
    return max(sizes, key=lambda name: sizes[name])


def _sizes(path: Path) -> dict[str, int]:
    """The sizes of a space's shards."""
    sizes = {}
    for shard in (path / "shards").glob("*"):
        try:
            sizes[shard.name] = shard.stat().st_size
        except FileNotFoundError:
            continue
    return sizes


def _delete(path: Path) -> None:
    path.unlink(missing_ok=True)
