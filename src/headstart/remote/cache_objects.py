"""A cache in a bucket: the objects that docs/spec.md names, put only where nothing else can be lost by it.

Names are those of a cache on disk. Truth is what a listing says, a set's `current` excepted, which is swapped only
for what was read before. What is named after its content is created: that it is there already is success.
"""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from headstart.cache.layout import SET_NAME, SHARD_NAME, SPACE_NAME, STATE_NAME
from headstart.errors import CorruptShardError
from headstart.files import make_directory, partial_path, storage_errors, whole_files
from headstart.remote.store import (
    PAUSE,
    TRIES,
    ConflictError,
    MissingObjectError,
    Object,
    Store,
    TransferError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")
HEADER, CURRENT, RECIPE, STATE_INFO = "headstart.json", "current", "recipe.json", "set.json"
CLOCK = "clock"
"""Written to learn what time it is where the objects lie."""
AT_ONCE = 16
"""Requests side by side."""
ONE_ANSWER = 1000
"""Objects that a server lists in one answer, which is one moment."""


@dataclass(frozen=True, slots=True)
class Current:
    """Which state of a set is in force, and the tag of the object that says so; None, None if there is no set."""

    digest: str | None
    tag: str | None


class CacheObjects:
    """The objects of one cache; it may be used by several threads."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def address(self) -> str:
        """Where they lie; without credentials, which come from the environment."""
        return self.store.address

    # What there is

    def space_ids(self) -> list[str]:
        """The ids of all spaces, sorted."""
        return self._folders("spaces", SPACE_NAME.fullmatch)

    def set_names(self) -> list[str]:
        """The names of all sets and of what may become one, sorted."""
        return self._folders("sets", SET_NAME.fullmatch)

    def state_names(self, name: str) -> list[str]:
        """The digests of all states of a set, sorted; those that are being put may be among them."""
        return self._folders(f"sets/{name}", STATE_NAME.fullmatch)

    def shards(self, space: str) -> dict[str, Object]:
        """The shards of a space by name, sorted."""
        found = {_name(one): one for one in self._settled(shard_folder(space))}
        return {name: found[name] for name in sorted(found) if SHARD_NAME.fullmatch(name)}

    def state_files(self, name: str, digest: str) -> dict[str, Object]:
        """The files of a state by name; none if it is not there, or not yet."""
        found = {_name(one): one for one in self.store.listed(state_folder(name, digest))}
        return found if STATE_INFO in found else {}

    def current(self, name: str) -> Current:
        """Which state of a set is in force."""
        try:
            content, tag = self.store.read_tagged(current_path(name))
        except MissingObjectError:
            return Current(None, None)
        return Current(content.decode("utf-8", errors="replace").strip(), tag)

    def now(self) -> float:
        """The time by the server's clock, in seconds since the epoch; it has whole seconds."""
        path = f"{CLOCK}/{secrets.token_hex(8)}"
        self.store.write(path, b"")
        found = self.store.look(path)
        self.store.delete([path])
        if found is None:
            raise MissingObjectError(f"{self.store.at(path)} is gone as soon as it is written")
        return found.modified.timestamp()

    # Putting

    def put(self, path: str, content: bytes | os.PathLike[str]) -> bool:
        """Create an object; False if it is there already, and stays as it is: perhaps by a try without an answer."""
        for attempt in range(TRIES):
            try:
                self.store.create(path, content)
            except ConflictError:
                return False
            except TransferError:
                if attempt + 1 == TRIES:
                    raise
                time.sleep(PAUSE * 2**attempt)
            else:
                break
        return True

    def put_shard(self, space: str, name: str, content: bytes | os.PathLike[str]) -> bool:
        """Put a shard; False if it was there: its name is its content."""
        return self.put(f"{shard_folder(space)}/{name}", content)

    def put_state(self, name: str, digest: str, folder: Path) -> None:
        """Put the files of a state, the one last without which there is none."""
        files = [path for path in whole_files(folder) if path.name != STATE_INFO]
        at_once(lambda path: self.put(f"{state_folder(name, digest)}/{path.name}", path), files)
        self.put(f"{state_folder(name, digest)}/{STATE_INFO}", folder / STATE_INFO)

    def swap_current(self, name: str, digest: str, read: Current) -> None:
        """Put a state in force, if that one is in force still which was read.

        Raises
        ------
        ConflictError
            Another one is by now: or this one is, and the answer to an earlier try was lost.
        """
        content = digest.encode("ascii") + b"\n"
        if read.tag is None:
            self.store.create(current_path(name), content)
        else:
            self.store.replace(current_path(name), content, read.tag)

    # Fetching

    def fetch_shard(self, space: str, name: str, target: Path) -> Object:
        """Fetch a shard into its place; see `fetch`."""
        match = SHARD_NAME.fullmatch(name)
        return self.fetch(f"{shard_folder(space)}/{name}", target, match["digest"] if match else None)

    def fetch_state(self, name: str, digest: str, folder: Path) -> bool:
        """Fetch the files of a state into a folder, the one last without which there is none; False if it is not there.

        Files that lie there already are not fetched again.
        """
        files = self.state_files(name, digest)
        wanted = [one for one in files if not (folder / one).exists() and one != STATE_INFO]
        at_once(lambda one: self.fetch(files[one].path, folder / one), wanted)
        if files and not (folder / STATE_INFO).exists():
            self.fetch(files[STATE_INFO].path, folder / STATE_INFO)
        return bool(files)

    def fetch(self, path: str, target: Path, digest: str | None = None) -> Object:
        """Fetch an object into its place, as old as the server says; whoever looks there sees all of it or nothing.

        Raises
        ------
        MissingObjectError
        CorruptShardError
            It does not have this BLAKE2b, of 8 bytes in hex, however often it is fetched.
        StorageError
        """
        make_directory(target.parent)
        partial = partial_path(target)
        try:
            for attempt in range(TRIES):
                try:
                    found, came = self._download(path, partial)
                except TransferError:
                    if attempt + 1 == TRIES:
                        raise
                    continue
                if digest in (None, came):
                    with storage_errors(target):
                        modified = found.modified.timestamp()
                        os.utime(partial, (modified, modified))
                        os.replace(partial, target)
                    return found
        finally:
            partial.unlink(missing_ok=True)
        raise CorruptShardError(
            f"{self.store.at(path)} is corrupt: its content does not have the digest in its name; "
            "`headstart cache verify --repair` drops it, and the next extract computes its rows anew"
        )

    def _download(self, path: str, partial: Path) -> tuple[Object, str]:
        digest = blake2b(digest_size=8)
        found, parts = self.store.stream(path)
        with storage_errors(partial), open(partial, "wb") as file:
            for part in parts:
                digest.update(part)
                file.write(part)
        return found, digest.hexdigest()

    def _folders(self, parent: str, is_one: Callable[[str], object]) -> list[str]:
        names = (path.rpartition("/")[2] for path in self.store.folders(parent)[0])
        return sorted(name for name in names if is_one(name))

    def _settled(self, folder: str) -> list[Object]:
        """The objects in a folder as they were at one moment: of several answers, two listings that agree."""
        found = list(self.store.listed(folder))
        for _ in range(TRIES):
            if len(found) < ONE_ANSWER:
                break
            before, found = found, list(self.store.listed(folder))
            if [one.path for one in before] == [one.path for one in found]:
                break
        return found


def space_folder(space: str) -> str:
    """Where the objects of a space lie."""
    return f"spaces/{space}"


def shard_folder(space: str) -> str:
    """Where the shards of a space lie."""
    return f"spaces/{space}/shards"


def state_folder(name: str, digest: str) -> str:
    """Where the files of a state of a set lie."""
    return f"sets/{name}/{digest}"


def current_path(name: str) -> str:
    """The object that says which state of a set is in force."""
    return f"sets/{name}/{CURRENT}"


def at_once(do: Callable[[T], object], things: Iterable[T]) -> None:
    """Do the same to several things, some at a time; what goes wrong with one is raised after all."""
    things = list(things)
    if len(things) < 2:
        for thing in things:
            do(thing)
        return
    from concurrent.futures import ThreadPoolExecutor  # only where there is something to do side by side

    with ThreadPoolExecutor(min(AT_ONCE, len(things)), "headstart-objects") as pool:
        list(pool.map(do, things))


def _name(found: Object) -> str:
    return found.path.rpartition("/")[2]
