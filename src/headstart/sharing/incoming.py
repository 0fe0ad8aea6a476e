"""Pull: a set of a cache that lies elsewhere, copied to this one. Only what is not here travels.

What arrives is checked before it counts: a shard by the digest in its name, its numbers and its recipe, a state by
reading all of it. The state comes last, so that a pull that was killed leaves shards, which the next one finds.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from headstart.arrow import keys_from_arrow
from headstart.cache.corrections import lineage
from headstart.cache.home import in_force
from headstart.cache.layout import STATE_NAME, check_no_link
from headstart.cache.maintenance.verify import check_shard, check_state, count_missing
from headstart.cache.recipe import Recipe
from headstart.cache.shards import DigestCheck
from headstart.errors import (
    CorruptShardError,
    DataError,
    FormatError,
    MismatchError,
    StorageError,
)
from headstart.files import (
    make_directory,
    partial_path,
    read_json,
    storage_errors,
    sweep_partials,
    sync_directory,
)
from headstart.options import did_you_mean
from headstart.remote.store import MissingObjectError
from headstart.sharing.folder import put_state
from headstart.sharing.merge import merge_states
from headstart.sharing.place import SET_FILE, OutgoingFile, OutgoingState
from headstart.sharing.shard_keys import shards_of
from headstart.sharing.standing import standing
from headstart.sharing.transfer import Asked, Transfer, check_room, transferring

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.cache.space import Space
    from headstart.cache.store import Cache
    from headstart.contracts import Progress
    from headstart.sharing.place import Advance, CachePlace
    from headstart.sharing.standing import Standing
    from headstart.sharing.transfer import Outcome

THREADS = 4
"""Files that come at once."""
TRIES = 3
"""How often a file is fetched that arrives otherwise than it should."""


@dataclass(frozen=True, slots=True)
class _Shard:
    """A shard that is to come."""

    space: Space
    name: str
    size: int

    @property
    def path(self) -> str:
        return f"spaces/{self.space.id}/shards/{self.name}"


def pull_set(
    name: str, digest: str | None, place: CachePlace, cache: Cache, asked: Asked, progress: Progress
) -> Transfer:
    """Copy a set of a cache elsewhere to this one, in its state in force or in the one of a digest.

    Raises
    ------
    DataError
        There is no such set or state.
    MismatchError
        Another state is in force here that cannot be merged with it, or features of its samples are missing there.
    CorruptShardError
        What arrives is not what its name says.
    """
    wanted = _digest_of(name, digest, place)
    with _scratch(cache, asked) as scratch:
        files = place.files(f"sets/{name}/{wanted}")
        here = _state_here(cache, asked.name, wanted)
        state = _fetch_state(name, wanted, files, place, cache, scratch) if here is None else here
        found = _standing(state, place, name, cache, asked)
        if found == "apart" and not (asked.replace or asked.is_earlier):
            merge_states(cache, asked.name, state, dry_run=True)  # refused before anything travels
        spaces = _spaces(state, place, cache, scratch)
        shards = _lacking(state, spaces, place)
        n_files = len(shards) + (len(files) if here is None else 0)
        n_bytes = sum(shard.size for shard in shards) + (sum(files.values()) if here is None else 0)
        done = Transfer(asked.name, wanted, place.said, n_files, n_bytes, "not done")
        if asked.dry_run:
            return done
        check_room(cache.root, n_bytes)
        with transferring(progress, f"pulling {asked.name}", n_bytes) as advance:
            _fetch_all(shards, state, spaces, place, advance)
            _check_complete(state, cache, place)
            _put_state(state, cache, asked.name, advance)
        in_force_now, outcome = _settle(state, found, place, name, cache, asked)
        return Transfer(asked.name, in_force_now, place.said, n_files, n_bytes, outcome)


def _digest_of(name: str, digest: str | None, place: CachePlace) -> str:
    found = place.in_force(name)
    if found is None:
        names = place.set_names()
        hint = did_you_mean(name, names) if names else "; it has none"
        raise DataError(f"there is no set {name!r} in {place.said}{hint}")
    if digest is None:
        digest = found
    if not STATE_NAME.fullmatch(digest):
        raise StorageError(f"set {name!r} of {place.said} points to {digest[:60]!r}, which names no state")
    states = place.states(name)
    if digest not in states:
        raise DataError(
            f"set {name!r} of {place.said} has no state {digest}{did_you_mean(digest, states, 'it has')}"
        )
    return digest


def _state_here(cache: Cache, name: str, digest: str) -> FeatureSet | None:
    """The same state of a set in this cache, if it is here and sound."""
    folder = cache.set_dir(name)
    verdict, problem = check_state(cache, folder, digest)
    if verdict == "sound":
        return cache.open_state(folder, digest)
    if (folder / digest / SET_FILE).exists():
        raise CorruptShardError(
            f"set {name!r} of this cache, state {digest}: {problem}; `headstart cache verify --repair` takes it out: "
            "then pull it again"
        )
    return None


@contextlib.contextmanager
def _scratch(cache: Cache, asked: Asked) -> Iterator[Path]:
    """Where things lie that have not been checked: beside where they are to be, unless they are only looked at."""
    if asked.dry_run:
        with TemporaryDirectory() as temporary:
            yield Path(temporary)
        return
    cache.prepare()
    check_no_link(cache.root, cache.set_dir(asked.name))
    sweep_partials(cache.root)
    folder = partial_path(cache.root / "pull")
    make_directory(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fetch_state(
    name: str, digest: str, files: dict[str, int], place: CachePlace, cache: Cache, scratch: Path
) -> FeatureSet:
    """The state, read and found sound."""
    folder = scratch / name / digest
    make_directory(folder)
    for path, size in files.items():
        file = path.rpartition("/")[2]
        if (
            path == f"sets/{name}/{digest}/{file}"
        ):  # what a later version has in folders, this one does not know
            place.fetch(path, folder / file, lambda n: None)
            _check_size(folder / file, size, path, place)
    verdict, problem = check_state(cache, folder.parent, digest)
    if verdict != "sound":
        kind = FormatError if verdict == "newer" else CorruptShardError
        raise kind(f"set {name!r} of {place.said}, state {digest}: {problem}")
    return cache.open_state(folder.parent, digest)


def _check_size(path: Path, size: int, said: str, place: CachePlace) -> None:
    if path.stat().st_size != size:
        raise StorageError(
            f"{said} of {place.said} arrived with {path.stat().st_size:,} bytes of {size:,}; run the same command again"
        )


def _standing(state: FeatureSet, place: CachePlace, name: str, cache: Cache, asked: Asked) -> Standing:
    mine = cache.find_set(asked.name)
    known_here = (
        set() if mine is None else {*cache.home.state_names(cache.set_dir(asked.name)), *lineage(mine.info)}
    )
    return standing(
        state.digest, {*place.states(name), *lineage(state.info)}, mine.digest if mine else None, known_here
    )


def _spaces(state: FeatureSet, place: CachePlace, cache: Cache, scratch: Path) -> list[Space]:
    """The spaces of a set as they are or will be here, by the recipes that are there."""
    spaces = []
    for space_id in dict.fromkeys(ref.space for ref in state.features):
        path = f"spaces/{space_id}/recipe.json"
        content = place.read(path)
        if content is None:
            raise MismatchError(f"{place.said} lacks {path}, of which set {state.name!r} has features")
        (scratch / f"{space_id}.json").write_bytes(content)
        try:
            recipe = Recipe(dict(read_json(scratch / f"{space_id}.json")))
            found = recipe.id
        except (StorageError, TypeError, ValueError):
            found = "none"
        if found != space_id:
            raise CorruptShardError(
                f"{path} of {place.said} does not belong to its folder (it is the recipe of {found})"
            )
        spaces.append(cache.space(recipe))
    return spaces


def _lacking(state: FeatureSet, spaces: Sequence[Space], place: CachePlace) -> list[_Shard]:
    """The shards in which the rows of a set lie that are not held here."""
    keys = keys_from_arrow(state.columns(["key"]).column("key"))
    found = []
    for space in spaces:
        here = set(space.shard_names())
        sizes = {name: size for name, size in place.shards(space.id).items() if name not in here}
        wanted = shards_of(keys[~space.held(keys)], place, space.id, sizes)
        found += [_Shard(space, name, sizes[name]) for name in wanted]
    return found


def _fetch_all(
    shards: Sequence[_Shard], state: FeatureSet, spaces: Sequence[Space], place: CachePlace, advance: Advance
) -> None:
    """Fetch shards; those that are gone since they were listed were compacted, and their rows lie in others."""
    for _ in range(TRIES):
        try:
            return _fetch_shards(shards, place, advance)
        except MissingObjectError:
            place.refresh()
            shards = _lacking(state, spaces, place)
    raise StorageError(f"the shards of {place.said} keep disappearing; run the same command again")


def _fetch_shards(shards: Sequence[_Shard], place: CachePlace, advance: Advance) -> None:
    for space in {shard.space.id: shard.space for shard in shards}.values():
        space.prepare()
    with ThreadPoolExecutor(THREADS) as pool:
        coming = [pool.submit(_fetch_shard, shard, place, advance) for shard in shards]
        try:
            for one in as_completed(coming):
                one.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _fetch_shard(shard: _Shard, place: CachePlace, advance: Advance) -> None:
    """Fetch a shard beside its place, check it, and put it there."""
    target = shard.space.shards_dir / shard.name
    folder = partial_path(target)
    make_directory(folder)
    try:
        for attempt in range(TRIES):
            arrived = folder / str(attempt) / shard.name
            make_directory(arrived.parent)
            place.fetch(shard.path, arrived, advance if not attempt else lambda n: None)
            checked = check_shard(arrived, shard.space.carried, DigestCheck())
            if checked.verdict == "sound":
                with storage_errors(target):
                    os.utime(arrived)  # young: a collection spares what no set refers to yet
                    arrived.replace(target)
                    sync_directory(target.parent)
                shard.space.home.publish(target)
                return
        kind = FormatError if checked.verdict == "newer" else CorruptShardError
        problem = checked.problem.replace(str(arrived), shard.name)
        raise kind(f"{shard.path} of {place.said}: {problem.partition('; `')[0]}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_complete(state: FeatureSet, cache: Cache, place: CachePlace) -> None:
    for ref, entry in zip(state.features, state.info["features"], strict=True):
        missing = count_missing(cache, state, ref.space, entry.get("rows"))
        if missing:
            raise MismatchError(
                f"{place.said} lacks the features of {missing:,} samples of set {state.name!r} in space {ref.space} "
                f"({ref.backbone}); push the set there again, from where it is whole"
            )


def _put_state(state: FeatureSet, cache: Cache, name: str, advance: Advance) -> None:
    folder = cache.set_dir(name)
    if (folder / state.digest / SET_FILE).exists():
        cache.home.publish_state(folder / state.digest)  # of a mirror it may be a copy alone
        return
    make_directory(folder)
    files = tuple(OutgoingFile(path.name, path) for path in sorted(state.path.iterdir()))
    put_state(folder, OutgoingState(name, state.digest, files), advance)
    cache.home.publish_state(folder / state.digest)


def _settle(
    state: FeatureSet, found: Standing, place: CachePlace, name: str, cache: Cache, asked: Asked
) -> tuple[str, Outcome]:
    """Which state is in force here afterwards, and why."""
    folder = cache.set_dir(asked.name)
    while True:
        cache.home.refresh_set(folder)
        before = in_force(folder)
        if asked.puts_in_force(found):
            if cache.home.swap_current(folder, state.digest, before):
                return state.digest, "in force"
        elif found == "apart" and not asked.is_earlier:
            merged = merge_states(cache, asked.name, state)
            if merged is not None:
                return merged.digest, "merged"
        else:
            outcomes: dict[str, Outcome] = {"same": "unchanged", "earlier": "older"}
            return before or state.digest, outcomes.get(found, "beside")
        found = _standing(state, place, name, cache, asked)
