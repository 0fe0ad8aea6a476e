"""Push: a set of this cache, copied to a cache that lies elsewhere. Only what is not there travels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headstart.arrow import keys_from_arrow
from headstart.cache.corrections import lineage
from headstart.cache.layout import CACHE_FORMAT
from headstart.cache.maintenance.verify import check_shard, check_state, count_missing
from headstart.cache.rows import locate
from headstart.errors import CorruptShardError, MismatchError, StorageError
from headstart.files import whole_files
from headstart.progress import shown
from headstart.sharing.place import HEADER, OutgoingFile, OutgoingState
from headstart.sharing.shard_keys import held_in
from headstart.sharing.standing import standing
from headstart.sharing.transfer import Asked, Outcome, Transfer, transferring

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.cache.space import Space
    from headstart.cache.store import Cache
    from headstart.contracts import Progress
    from headstart.sharing.place import CachePlace
    from headstart.sharing.standing import Standing

TRIES = 5
"""How often it is looked again where another process changes what is read or written."""


@dataclass(frozen=True, slots=True)
class _Lacking:
    """What is not there yet: files of the cache, each with the space that it is of (None: of none), and the state."""

    files: tuple[tuple[OutgoingFile, Space | None], ...]
    state: OutgoingState
    has_state: bool

    @property
    def n_files(self) -> int:
        return len(self.files) + (0 if self.has_state else len(self.state.files))

    @property
    def n_bytes(self) -> int:
        files = [file for file, _ in self.files] + ([] if self.has_state else [*self.state.files])
        return sum(file.size for file in files)


def push_set(
    features: FeatureSet, cache: Cache, place: CachePlace, asked: Asked, progress: Progress
) -> Transfer:
    """Copy a set to a cache elsewhere; what was asked decides which state is in force there afterwards.

    Raises
    ------
    MismatchError
        Features of samples are missing, or another state is in force there that this one was not made from.
    CorruptShardError
        A file of the set is not what its name says.
    """
    _check_complete(features, cache)
    for _ in range(TRIES):
        place.refresh()
        in_force = place.in_force(asked.name)
        found = _standing(features, cache, place, asked, in_force)
        _check_apart(features, place, asked, found)
        lacking = _lacking(features, cache, place, asked.name)
        done = Transfer(asked.name, features.digest, place.said, lacking.n_files, lacking.n_bytes, "not done")
        if asked.dry_run:
            return done
        try:
            _check_sound(features, cache, lacking, progress)
        except FileNotFoundError:
            continue  # compacted since it was listed
        outcome = _send(lacking, place, in_force, found, asked, progress)
        if outcome is not None:
            digest = in_force if outcome == "older" and in_force else features.digest
            return Transfer(asked.name, digest, place.said, lacking.n_files, lacking.n_bytes, outcome)
    raise StorageError(f"set {asked.name!r} keeps changing in {place.said}; run the same command again")


def _send(
    lacking: _Lacking,
    place: CachePlace,
    in_force: str | None,
    found: Standing,
    asked: Asked,
    progress: Progress,
) -> Outcome | None:
    """Features first, then the state, then which is in force: whoever reads meanwhile finds all that a state names."""
    puts_in_force = asked.puts_in_force(found)
    with transferring(progress, f"pushing {asked.name}", lacking.n_bytes) as advance:
        place.send([file for file, _ in lacking.files], advance)
        is_put = (lacking.has_state and not puts_in_force) or place.commit_state(
            lacking.state, in_force, puts_in_force, advance
        )
    if not is_put:
        return None
    if puts_in_force:
        return "in force"
    return {"same": "unchanged", "earlier": "older"}.get(found, "beside")  # type: ignore[return-value]


def _standing(
    features: FeatureSet, cache: Cache, place: CachePlace, asked: Asked, in_force: str | None
) -> Standing:
    known = {*cache.home.state_names(cache.set_dir(features.name)), *lineage(features.info)}
    return standing(features.digest, known, in_force, place.states(asked.name) if in_force else ())


def _check_apart(features: FeatureSet, place: CachePlace, asked: Asked, found: Standing) -> None:
    """Refuse to put a state in force over another one that it knows nothing of."""
    if found == "apart" and not (asked.replace or asked.is_earlier):
        raise MismatchError(
            f"{place.said} has another set {asked.name!r}, or a state of it that is not known here; pull it first, "
            "push this one under another name (--as), or put it in the other's place (--replace)"
        )


def _lacking(features: FeatureSet, cache: Cache, place: CachePlace, name: str) -> _Lacking:
    files: list[tuple[OutgoingFile, Space | None]] = []
    if place.read(HEADER) is None:
        files.append((OutgoingFile(HEADER, b'{\n  "format": %d\n}\n' % CACHE_FORMAT), None))
    for space_id in dict.fromkeys(ref.space for ref in features.features):
        space = cache.open_space(space_id)
        there = place.files(f"spaces/{space_id}")
        shards = _shards_of(features, space, place)
        for path in [space.path / "recipe.json", *(space.shards_dir / shard for shard in shards)]:
            said = path.relative_to(cache.root).as_posix()
            if said not in there:
                files.append((OutgoingFile(said, path), space))
    state = OutgoingState(name, features.digest, _state_files(features, name))
    return _Lacking(tuple(files), state, features.digest in place.states(name))


def _shards_of(features: FeatureSet, space: Space, place: CachePlace) -> list[str]:
    """The shards here with the rows of a set that the place lacks: it may have some of them in other shards."""
    keys = keys_from_arrow(features.columns(["key"]).column("key"))
    names = _located(space, keys)
    there = place.shards(space.id)
    if lacking := [name for name in names if name not in there]:
        others = {name: size for name, size in there.items() if name not in space.shard_names()}
        needed = set(_located(space, keys[~held_in(keys, place, space.id, others)]))
        return [name for name in lacking if name in needed]
    return []


def _located(space: Space, keys: NDArray[np.uint8]) -> list[str]:
    """The shards in which readers find the rows of keys."""
    places = locate(space.refresh(), keys)
    return [places.names[number] for number in sorted(set(places.shard.tolist()))]


def _state_files(features: FeatureSet, name: str) -> tuple[OutgoingFile, ...]:
    """``set.json`` last: where files come one by one, it says that the others are there."""
    found = whole_files(features.path)
    found.sort(key=lambda path: path.name == "set.json")
    return tuple(OutgoingFile(f"sets/{name}/{features.digest}/{path.name}", path) for path in found)


def _check_complete(features: FeatureSet, cache: Cache) -> None:
    """Refuse a set of whose samples some have lost their features."""
    verdict, problem = check_state(cache, features.path.parent, features.digest)
    if verdict != "sound":
        raise CorruptShardError(f"set {features.name!r}, state {features.digest}: {problem}")
    for ref, entry in zip(features.features, features.info["features"], strict=True):
        try:
            cache.open_space(ref.space).refresh()
        except CorruptShardError as error:
            raise CorruptShardError(f"set {features.name!r} cannot be pushed: {error}") from None
        missing = count_missing(cache, features, ref.space, entry.get("rows"))
        if missing:
            raise MismatchError(
                f"set {features.name!r} cannot be pushed: {missing:,} of its samples have no feature in space "
                f"{ref.space} ({ref.backbone}); run headstart extract on its data again"
            )


def _check_sound(features: FeatureSet, cache: Cache, lacking: _Lacking, progress: Progress) -> None:
    """Read the shards that are to travel; a FileNotFoundError says that one is gone."""
    shards = [(file, space) for file, space in lacking.files if space is not None and "/shards/" in file.path]
    with shown(progress, f"checking {features.name}", len(shards)):
        for file, space in shards:
            path = cache.root / file.path
            space.home.fetch_shards(path.parent, [path.name])
            checked = check_shard(path, space.carried, space.digests)
            if checked.verdict == "gone":
                raise FileNotFoundError(path)
            if checked.problem:
                raise CorruptShardError(
                    f"set {features.name!r} cannot be pushed: {_named(path, checked.problem)}"
                )
            progress.advance(1)


def _named(path: object, problem: str) -> str:
    return problem if problem.startswith(str(path)) else f"{path}: {problem}"
