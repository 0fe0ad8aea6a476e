"""A cache in a bucket, and the folder in which this machine keeps what it has needed of it.

The bucket is the truth. What is read is fetched first, each shard compared with the digest in its name; what is
written counts once it is in the bucket. The folder may be deleted, and shards leave it that were not used for longest
once it holds more than its bound.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.cache.bucket_claims import BucketClaims, abandoned_claims, has_live_writer
from headstart.cache.home import Home, ShardFile, in_force
from headstart.cache.layout import STATE_NAME
from headstart.errors import ConfigError, StorageError
from headstart.files import make_directory, whole_files, write_durably
from headstart.remote.cache_objects import (
    CURRENT,
    HEADER,
    RECIPE,
    STATE_INFO,
    CacheObjects,
    Current,
    at_once,
    current_path,
)
from headstart.remote.store import TRIES, ConflictError, MissingObjectError, TransferError

if TYPE_CHECKING:
    from headstart.cache.claims import Claims
    from headstart.remote.store import Store

LIMIT_NAME, LIMIT_GB = "HEADSTART_MIRROR_GB", 50.0
"""How many bytes of shards are kept of a bucket, and the variable that says another number."""
IN_USE = 600.0
"""Seconds for which a shard that was opened stays, whatever the bound: whoever opened it may open it again."""
LOOK_AGAIN = 30.0
"""Seconds between two looks whether the bound is exceeded."""
USED = "used"
"""The folder with an empty file for each shard, as old as its last use."""
CLOCK_SECONDS = 10.0
"""For so long the server is not asked again what time it is."""
TRASH = "trash"
LITTLE = 1 << 16
"""Bytes of hints that are put without a look whether they are there."""
RECENT = 2.0
"""Seconds for which a listing is good enough for whoever looks what others have committed meanwhile."""
ABANDONED = 3600.0
"""Seconds after which nobody can still be putting what lies here and not in the bucket."""


class Mirror(Home):
    """The cache under an address, and its folder ``root`` on this machine."""

    is_remote = True

    def __init__(self, store: Store, root: Path) -> None:
        super().__init__(root)
        self.objects = CacheObjects(store)
        self._looked = -LOOK_AGAIN
        self._listed: dict[Path, tuple[list[str], float]] = {}
        self._hints: set[Path] = set()  # that the bucket has
        self._current: dict[Path, Current] = {}  # as it was read last
        self._asked: tuple[float, float] | None = None  # what time it was there, and when that was

    @property
    def location(self) -> str:
        """Its address; no credentials are in it."""
        return self.objects.address

    def named(self, path: Path) -> str:
        """The address of an object."""
        return self.objects.store.at(self._name(path))

    def refresh_header(self) -> None:
        """Fetch the header."""
        try:
            self.objects.fetch(HEADER, self.root / HEADER)
        except MissingObjectError:
            (self.root / HEADER).unlink(missing_ok=True)

    def space_paths(self) -> list[Path]:
        """The spaces of the bucket, with their recipes and what is known of them."""
        paths = [self.root / "spaces" / space for space in self.objects.space_ids()]
        at_once(self.refresh_space, paths)
        self._tidy(self.root / "spaces", {path.name for path in paths})
        return [path for path in paths if path.is_dir()]

    def refresh_space(self, space: Path) -> None:
        """Fetch its recipe, unless it is here, and what is known of it."""
        if not (space / RECIPE).exists():
            try:
                self.objects.fetch(self._name(space / RECIPE), space / RECIPE)
            except MissingObjectError:
                if shards := self.objects.shards(space.name):
                    make_directory(space)  # a space without a recipe, which is said, and mended
                    _set_time(space, max(one.modified.timestamp() for one in shards.values()))
                return
        self.refresh_hints(space / "known")

    def refresh_hints(self, folder: Path) -> None:
        """Fetch what others have noted; where that is not possible, go without."""
        with contextlib.suppress(StorageError):
            listed = list(self.objects.store.listed(self._name(folder)))
            self._hints |= {self.root / one.path for one in listed}
            missing = [one.path for one in listed if not (self.root / one.path).exists()]
            at_once(lambda path: self.objects.fetch(path, self.root / path), missing)

    def set_paths(self) -> list[Path]:
        """The sets of the bucket, with which state is in force."""
        paths = [self.root / "sets" / name for name in self.objects.set_names()]
        at_once(self.refresh_set, paths)
        self._tidy(self.root / "sets", {path.name for path in paths})
        return paths

    def refresh_set(self, folder: Path) -> None:
        """Fetch which state of a set is in force."""
        self._current[folder] = self.objects.current(folder.name)
        self._note_current(folder, self._current[folder].digest)

    def _note_current(self, folder: Path, digest: str | None) -> None:
        if digest is None:
            (folder / "current").unlink(missing_ok=True)
        elif digest != in_force(folder):
            make_directory(folder)
            write_durably(folder / "current", digest.encode("utf-8") + b"\n")

    def fetch_state(self, state: Path) -> None:
        """Fetch the files of a state, unless they are here."""
        if not (state / "set.json").exists() and STATE_NAME.fullmatch(state.name):
            self.objects.fetch_state(state.parent.name, state.name, state)

    def state_names(self, folder: Path) -> list[str]:
        """The states of a set that the bucket has, with their files, as old as the server says."""
        there = {}
        for found in self.objects.store.listed(self._name(folder)):
            state, _, file = found.path.removeprefix(f"{self._name(folder)}/").partition("/")
            if file == STATE_INFO and STATE_NAME.fullmatch(state):
                there[state] = found.modified.timestamp()
            elif state == CURRENT:
                self.refresh_set(folder)
                _set_time(folder / CURRENT, found.modified.timestamp())
        for digest, modified in there.items():
            self.fetch_state(folder / digest)
            _set_time(folder / digest / STATE_INFO, modified)
        self._tidy(folder, {*there, CURRENT})
        return sorted(there)

    def _tidy(self, folder: Path, there: set[str]) -> None:
        """Delete copies of what the bucket has no more; what is young may be about to be put there."""
        for path in folder.glob("*"):
            with contextlib.suppress(FileNotFoundError):
                if path.name not in there and time.time() - path.stat().st_mtime > ABANDONED:
                    super().delete(path)

    def refresh_uses(self, space: Path) -> None:
        """Fetch what every host has noted."""
        with contextlib.suppress(StorageError):
            for found in list(self.objects.store.listed(self._name(space / "uses"))):
                self.objects.fetch(found.path, self.root / found.path)

    def refresh_trash(self) -> None:
        """Fetch what the trash holds but its shards: of those files without content stand in, as large and as old."""
        super().delete(self.root / TRASH)
        others = []
        for found in self.objects.store.listed(TRASH):
            path = self.root / found.path
            if path.parent.name != "shards":
                others.append(found.path)
                continue
            make_directory(path.parent)
            with open(path, "wb") as file:
                file.truncate(found.size)
            _set_time(path, found.modified.timestamp())
        at_once(lambda path: self.objects.fetch(path, self.root / path), others)

    def renew(self, folder: Path) -> None:
        """Fetch what describes a space, or the states of a set, over what is here."""
        if folder.parent.name != "spaces":
            listed = self.objects.store.listed(self._name(folder))
            at_once(lambda one: self.objects.fetch(one.path, self.root / one.path), listed)
            return
        with contextlib.suppress(FileNotFoundError):
            self.fetch_again(folder / RECIPE)
        self.refresh_space(folder)

    def fetch_again(self, path: Path) -> None:
        """Fetch an object, whatever is in it."""
        try:
            self.objects.fetch(self._name(path), path)
        except MissingObjectError as error:
            path.unlink(missing_ok=True)
            raise FileNotFoundError(str(error)) from error

    def shard_names(self, folder: Path, recent: bool = False) -> list[str]:
        """The shards that the bucket has; with ``recent`` not asked again at once."""
        names, when = self._listed.get(folder, ([], -RECENT))
        if not recent or time.monotonic() - when >= RECENT:
            when = time.monotonic()
            names = list(self.objects.shards(folder.parent.name))
            self._listed[folder] = names, when
        return names

    def list_shards(self, folders: Sequence[Path]) -> None:
        """A request for each, all under way together."""
        at_once(self.shard_names, folders)

    def shard_files(self, folder: Path) -> dict[str, ShardFile]:
        """The shards that the bucket has, with their sizes, and times by the server's clock."""
        found = self.objects.shards(folder.parent.name)
        return {name: ShardFile(one.size, one.modified.timestamp()) for name, one in found.items()}

    def fetch_shards(self, folder: Path, names: Sequence[str]) -> None:
        """Fetch those that are not here; make room for them by the bound."""
        missing = [name for name in names if not (folder / name).exists()]
        try:
            at_once(lambda name: self.objects.fetch_shard(folder.parent.name, name, folder / name), missing)
        except MissingObjectError as error:
            raise FileNotFoundError(str(error)) from error
        self._note_use(names)
        if missing:
            self._make_room()

    def is_renewed(self, shard: Path) -> bool:
        """Drop a copy that has rotted here."""
        shard.unlink(missing_ok=True)
        return True

    def publish(self, path: Path) -> None:
        """Put a file into the bucket, where it is not."""
        self.objects.put(self._name(path), path.read_bytes())
        if path.parent.name == "shards":
            self._listed.pop(path.parent, None)
            self._note_use([path.name])

    def publish_hint(self, path: Path) -> None:
        """Put a hint into the bucket, or those of a folder that are not there."""
        with contextlib.suppress(StorageError, OSError):
            if path.is_dir():
                new = [one for one in whole_files(path) if one not in self._hints]
                if sum(map(_size, new)) > LITTLE:  # less is put as fast as it is asked what is there
                    self._hints |= {
                        self.root / one.path for one in self.objects.store.listed(self._name(path))
                    }
                at_once(self._put_hint, [one for one in new if one not in self._hints])
            else:
                self.objects.store.write(self._name(path), path)

    def _put_hint(self, path: Path) -> None:
        self.objects.put(self._name(path), path)
        self._hints.add(path)

    def publish_state(self, state: Path) -> None:
        """Put the files of a state into the bucket."""
        os.utime(state)  # it may have lain here for long, without being there
        self.objects.put_state(state.parent.name, state.name, state)

    def swap_current(self, folder: Path, digest: str, replaces: str | object | None = ...) -> bool:
        """Compare and swap: of several who replace one state, one succeeds, and the others hear of it."""
        read = self._current.pop(folder, None)
        if read is None or read.digest != replaces or read.digest == digest:
            read = self.objects.current(folder.name)  # else the swap itself says whether it is in force still
        for attempt in count():
            if replaces is not ... and read.digest not in (replaces, digest):
                self._note_current(folder, read.digest)
                return False
            if read.digest == digest:  # or an earlier try came through, and its answer was lost
                break
            try:
                self.objects.swap_current(folder.name, digest, read)
                break
            except ConflictError:
                pass
            except TransferError:  # it may have come through: what is in force says so
                if attempt >= TRIES:
                    raise
            read = self.objects.current(folder.name)
        self._note_current(folder, digest)
        return True

    def put_in_force(self, folder: Path, digest: str) -> None:
        """Put a state of a set in force, whichever was."""
        self.objects.store.write(current_path(folder.name), digest.encode("ascii") + b"\n")
        self._note_current(folder, digest)

    def publish_again(self, path: Path) -> None:
        """Write a file over the one in the bucket."""
        self.objects.store.write(self._name(path), path)

    def claims(self, folder: Path) -> Claims:
        """Claims that are objects, whose leases end by the server's clock."""
        return BucketClaims(self.objects.store, self._name(folder))

    def has_writer(self, folder: Path) -> bool:
        """Whether a writer is at work in a space, by the server's clock."""
        return has_live_writer(self.objects.store, self._name(folder), self.now())

    def abandoned_hints(self, folder: Path) -> list[Path]:
        """Claims of writers that died or fell silent, as paths."""
        found = abandoned_claims(self.objects.store, self._name(folder), self.now())
        return [self.root / path for path in found]

    def now(self) -> float:
        """The server's clock, in seconds since the epoch: as it was a moment ago, and what has passed since."""
        if self._asked is None or time.monotonic() - self._asked[1] > CLOCK_SECONDS:
            self._asked = self.objects.now(), time.monotonic()
        return self._asked[0] + time.monotonic() - self._asked[1]

    def move(self, source: Path, target: Path) -> None:
        """Have the server copy objects to where they shall lie, and delete them; what made them count goes first.

        The recipe of a space goes last, and stays if a writer has put a shard there meanwhile; claims stay.
        """
        self._forget()
        names = [name for name in self._objects_of(source) if "claims" not in name.split("/")[2:3]]
        if not names:
            raise FileNotFoundError(f"{self.objects.store.at(self._name(source))} is gone")
        old, new = self._name(source), self._name(target)
        try:
            at_once(lambda name: self.objects.store.copy(name, new + name.removeprefix(old)), names)
        except MissingObjectError as error:
            raise FileNotFoundError(str(error)) from error
        info = [name for name in names if name.endswith(f"/{STATE_INFO}")]
        recipes = [name for name in names if name.endswith(f"/{RECIPE}")]
        self.objects.store.delete(info)
        self.objects.store.delete([name for name in names if name not in (*info, *recipes)])
        if recipes and not self.objects.shards(source.name):
            self.objects.store.delete(recipes)
        self._move_copies(source, target)

    def _move_copies(self, source: Path, target: Path) -> None:
        if source.is_file():
            make_directory(target.parent)
            with contextlib.suppress(FileNotFoundError):
                os.replace(source, target)
        else:
            super().delete(source)

    def delete(self, path: Path) -> None:
        """Delete objects for good, and their copies."""
        self._forget()
        self.objects.store.delete(list(self._objects_of(path)))
        super().delete(path)

    def _forget(self) -> None:
        """What was seen of the bucket holds no more."""
        self._listed.clear()
        self._hints.clear()
        self._current.clear()

    def size_of(self, path: Path) -> int:
        """The bytes of objects."""
        return sum(self._objects_of(path).values())

    def _objects_of(self, path: Path) -> dict[str, int]:
        """The objects that a path stands for, one or all in a folder, with their sizes."""
        name = self._name(path)
        one = self.objects.store.look(name)
        found = [one] if one else self.objects.store.listed(name)
        return {each.path: each.size for each in found}

    def _name(self, path: Path) -> str:
        """The object that a path of the folder stands for."""
        return path.relative_to(self.root).as_posix()

    def _note_use(self, names: Sequence[str]) -> None:
        folder = self.root / USED
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            for name in names:
                (folder / name).touch()

    def _make_room(self) -> None:
        """Delete copies of shards that were not used for longest, until they are within the bound."""
        if time.monotonic() - self._looked < LOOK_AGAIN:
            return
        self._looked = time.monotonic()
        files = [(self._last_use(path), path) for path in (self.root / "spaces").glob("*/shards/*")]
        sizes = {path: _size(path) for _, path in files}
        excess = sum(sizes.values()) - mirror_limit()
        for used, path in sorted(files):
            if excess <= 0 or time.time() - used < IN_USE:
                break
            path.unlink(missing_ok=True)
            (self.root / USED / path.name).unlink(missing_ok=True)
            excess -= sizes[path]

    def _last_use(self, shard: Path) -> float:
        for path in (self.root / USED / shard.name, shard):
            with contextlib.suppress(OSError):
                return path.stat().st_mtime
        return 0.0


def mirror_limit() -> float:
    """How many bytes of shards a mirror keeps."""
    said = os.environ.get(LIMIT_NAME)
    try:
        gigabytes = float(said) if said else LIMIT_GB
    except ValueError:
        gigabytes = -1.0
    if not gigabytes >= 0:
        raise ConfigError(f"${LIMIT_NAME} is {said!r}; it takes a number of gigabytes")
    return gigabytes * 1e9


def _set_time(path: Path, seconds: float) -> None:
    """Let a copy be as old as the server says."""
    with contextlib.suppress(OSError):
        os.utime(path, (seconds, seconds))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
