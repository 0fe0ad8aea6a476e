"""Claims on the buckets of a space that lies in a bucket: objects that are created once, with leases.

A claim is an object ``<2 hex>`` whose content is the name of its writer's own object ``<host>.<pid>.<nonce>.live``,
which that writes anew every few seconds: one request refreshes all its claims. How old it is, the server says, and
what time it is: both stand in one listing, of the other's object and of one's own. A claim is a hint, as on a disk.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Sequence

from headstart.cache.claims import (
    HEARTBEAT,
    SILENCE,
    UNIT,
    buckets_of,
    is_dead_here,
    new_live_name,
    writer_said,
)
from headstart.errors import StorageError
from headstart.remote.cache_objects import AT_ONCE, at_once
from headstart.remote.store import ConflictError, MissingObjectError, Object, Store

LOOK_AGAIN = 1.0
"""Seconds for which a listing is good enough for a hint."""


class BucketClaims:
    """One writer's claims on the buckets of one space, under ``folder``; use it as a context manager."""

    together = AT_ONCE

    def __init__(self, store: Store, folder: str) -> None:
        self.mine: set[int] = set()
        self._store = store
        self._folder = folder
        self._name = new_live_name()
        self._content = self._name.encode("ascii")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="headstart-claims", daemon=True)
        self._seen: dict[str, Object] = {}
        self._looked = -LOOK_AGAIN
        self._owners: dict[tuple[str, str], str] = {}  # by claim and its tag

    def __enter__(self) -> BucketClaims:
        self._store.write(self._path(self._name), self._content)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()
        self._delete([*(f"{bucket:02x}" for bucket in self.mine), self._name])
        self.mine.clear()

    @property
    def name(self) -> str:
        """By which other processes know this writer."""
        return self._name

    def is_live(self, name: str) -> bool:
        """Whether a writer of that name says, in this very cache, that it is at work."""
        try:
            return self._store.read(self._path(name)) == name.encode("ascii")
        except StorageError:
            return False

    def take_all(self, buckets: Sequence[int]) -> list[int]:
        """Claim buckets, from nobody or from writers that are dead or silent; those that are claimed now."""
        new = [bucket for bucket in buckets if bucket not in self.mine]
        at_once(self._take, new)
        return [bucket for bucket in buckets if bucket in self.mine]

    def _take(self, bucket: int) -> None:
        path = self._path(f"{bucket:02x}")
        try:
            self._store.create(path, self._content)
        except ConflictError:
            if not self._take_over(bucket, path):
                return
        except StorageError:
            pass  # claims are hints: whether rows can be put is not said here
        self.mine.add(bucket)

    def _take_over(self, bucket: int, path: str) -> bool:
        """Claim what a writer left that is dead or silent, or what was ours though we never heard of it."""
        try:
            content, tag = self._store.read_tagged(path)
            if content == self._content:
                return True
            self._look(again=True)
            if tag is None or not self._is_abandoned(content.decode("ascii", errors="replace")):
                return False
            self._store.replace(path, self._content, tag)
        except StorageError:  # another one was faster
            return False
        return True

    def release(self, buckets: Iterable[int]) -> None:
        """Give buckets back, once their rows are committed."""
        given = [bucket for bucket in buckets if bucket in self.mine]
        self.mine.difference_update(given)
        self._delete([f"{bucket:02x}" for bucket in given])
        self._looked = -LOOK_AGAIN

    def _delete(self, names: Sequence[str]) -> None:
        with contextlib.suppress(StorageError):
            self._store.delete([self._path(name) for name in names])

    def owner(self, bucket: int) -> str | None:
        """Host and process of whoever claims a bucket."""
        owner = self._owner(bucket)
        return owner and writer_said(owner)

    def is_abandoned(self, bucket: int) -> bool:
        """Whether a claim's writer is dead, or has been silent for half a minute."""
        owner = self._owner(bucket)
        return owner is None or self._is_abandoned(owner)

    def has_company(self) -> bool:
        """Whether another writer is at work in this space."""
        self._look(again=True)
        return _has_live_writer(self._seen, self.now(), self._name)

    def claimed(self) -> set[int]:
        """The buckets that other writers have claims on, fresh or not."""
        self._look()
        return buckets_of(self._seen) - self.mine

    def now(self) -> float:
        """The server's clock when it wrote our own object last, in seconds since the epoch; a beat behind at most."""
        self._look()
        mine = self._seen.get(self._name)
        if mine is None:
            self._write()
            self._look(again=True)
            mine = self._seen.get(self._name)
        times = [one.modified.timestamp() for one in self._seen.values()]
        return mine.modified.timestamp() if mine else max(times, default=0.0)

    def _is_abandoned(self, owner: str) -> bool:
        return _is_abandoned(owner, self._seen.get(owner), self.now())

    def _owner(self, bucket: int) -> str | None:
        """The name of the live object of whoever claims a bucket."""
        self._look()
        found = self._seen.get(f"{bucket:02x}")
        if found is None:
            return None
        key = found.path, found.identity
        if key not in self._owners:
            try:
                self._owners[key] = self._store.read(found.path).decode("ascii", errors="replace")
            except MissingObjectError:
                return None
        return self._owners[key]

    def _look(self, again: bool = False) -> None:
        """List who is here."""
        if again or time.monotonic() - self._looked >= LOOK_AGAIN:
            self._seen = _listed(self._store, self._folder)
            self._looked = time.monotonic()

    def _write(self) -> None:
        with contextlib.suppress(StorageError):
            self._store.write(self._path(self._name), self._content)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            self._write()

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}"


def has_live_writer(store: Store, folder: str, now: float) -> bool:
    """Whether a writer is at work that neither died nor fell silent; ``now`` is by the server's clock."""
    return _has_live_writer(_listed(store, folder), now, "")


def abandoned_claims(store: Store, folder: str, now: float) -> list[str]:
    """Live objects of writers that died or fell silent, and, where nobody else is at work, all claims."""
    seen = _listed(store, folder)
    dead = [one for name, one in seen.items() if name.endswith(".live") and _is_abandoned(name, one, now)]
    claims = [one for name, one in seen.items() if UNIT.fullmatch(name)]
    old = [one for one in claims if now - one.modified.timestamp() > SILENCE]
    return [one.path for one in [*dead, *([] if _has_live_writer(seen, now, "") else old)]]


def _listed(store: Store, folder: str) -> dict[str, Object]:
    return {found.path.rpartition("/")[2]: found for found in store.listed(folder)}


def _has_live_writer(seen: dict[str, Object], now: float, but: str) -> bool:
    return any(
        name.endswith(".live") and name != but and not _is_abandoned(name, found, now)
        for name, found in seen.items()
    )


def _is_abandoned(name: str, found: Object | None, now: float) -> bool:
    """Whether the writer of a live object is dead or silent."""
    if found is None or is_dead_here(name):
        return True
    return now - found.modified.timestamp() > SILENCE
