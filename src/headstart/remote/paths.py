"""Files and folders in buckets, and files on web servers, as paths: what readers of data ask of a local one."""

from __future__ import annotations

import errno
import functools
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote, unquote, urlsplit

from headstart.errors import StorageError
from headstart.network import network_is_forbidden
from headstart.remote.addresses import BUCKETS, checked, plain_address
from headstart.remote.copies import local_copy
from headstart.remote.listing import ALWAYS_NEW, CHANGED, SIZE, Listing, stats_of
from headstart.remote.spool import spool
from headstart.remote.store import MissingObjectError, NoRangesError, Store, open_store

if TYPE_CHECKING:
    from headstart.remote.listing import Stats
    from headstart.remote.store import Object

_SAFE = "/!$&'()*+,;=:@~"


@functools.total_ordering
class RemotePath:
    """A file or a folder elsewhere; ``str()`` is its address without a query.

    Opening it with `open` opens a copy on this machine, which is fetched then. What goes wrong is an `OSError`, as of a
    file. With a listing, or once it was looked at, what is read must be what was seen then.
    """

    __slots__ = ("_found", "key", "listing", "store")

    def __init__(
        self, store: Store, key: str, listing: tuple[str, Listing] | None = None, found: Stats | None = None
    ) -> None:
        self.store, self.key, self.listing = store, key, listing
        self._found = found

    @classmethod
    def of(cls, address: str) -> RemotePath:
        """What has an address; nothing is asked of the server yet.

        Raises
        ------
        ConfigError, MissingDependencyError
            As `headstart.remote.store.open_store`.
        """
        root, key, query = _parts(address)
        checked(plain_address(address), network_is_forbidden())  # a store that is open already would not ask
        return cls(_store_at(root, query), key)

    def __reduce__(self) -> tuple[Any, ...]:
        return RemotePath, (self.store, self.key, self.listing, self._found)

    def __str__(self) -> str:
        if not self.key:
            return self.store.address
        return f"{self.store.address}/{self.key if self.is_in_bucket else quote(self.key, safe=_SAFE)}"

    def __repr__(self) -> str:
        return f"RemotePath({str(self)!r})"

    def __fspath__(self) -> str:
        return str(local_copy(self))

    def __hash__(self) -> int:
        return hash(str(self))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and str(self) == str(other)

    def __lt__(self, other: RemotePath) -> bool:
        return str(self) < str(other)

    @property
    def signed(self) -> str:
        """Its address with the query by which it is asked for; never to be kept."""
        return f"{self}?{self.store.query}" if self.store.is_signed else str(self)

    @property
    def is_in_bucket(self) -> bool:
        """Whether folders can be listed."""
        return self.store.address.partition("://")[0].lower() in BUCKETS

    @property
    def name(self) -> str:
        """The last part."""
        return PurePosixPath(self.key).name or urlsplit(self.store.address).netloc

    @property
    def suffix(self) -> str:
        """The last ending of the name, with its dot."""
        return PurePosixPath(self.key).suffix

    @property
    def parent(self) -> RemotePath:
        """The folder that it lies in; of a bucket the bucket itself."""
        return self._at(self.key.rpartition("/")[0])

    @property
    def parents(self) -> list[RemotePath]:
        """The folders above it."""
        return [self._at("" if str(each) == "." else str(each)) for each in PurePosixPath(self.key).parents]

    def __truediv__(self, name: str) -> RemotePath:
        joined = os.path.normpath(f"{self.key}/{name}" if self.key else name)
        return self._at("" if joined == "." else joined)

    def with_name(self, name: str) -> RemotePath:
        """Another file in the same folder."""
        return self.parent / name

    def relative_to(self, folder: RemotePath) -> PurePosixPath:
        """Its path within a folder."""
        return PurePosixPath(self.key).relative_to(folder.key)

    def _at(self, key: str) -> RemotePath:
        return RemotePath(self.store, key, self.listing)

    def is_file(self) -> bool:
        """Whether there is such an object."""
        try:
            return bool(self.key) and self.stats() is not None
        except OSError:
            return False

    def is_dir(self) -> bool:
        """Whether something lies below it."""
        return next(self._entries(), None) is not None

    def exists(self) -> bool:
        """Whether it is a file or a folder."""
        return self.is_file() or self.is_dir()

    def stats(self) -> Stats:
        """What the file is known by; FileNotFoundError if there is none."""
        if self._found is None:
            self._found = self._listed_stats() if self._is_listed else self._looked()
        return self._found

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.stats()[SIZE]

    @property
    def is_known(self) -> bool:
        """Whether the server says something by which the content can be remembered."""
        return self.stats()[CHANGED] != ALWAYS_NEW

    def listed(self) -> RemotePath:
        """The folder with all that is in it, listed now."""
        with self._as_os_errors():
            found = Listing.of(self.store.listed(self.key), self.key, str(self))
        return RemotePath(self.store, self.key, (self.key, found))

    def entries(self) -> list[tuple[str, bool]]:
        """What it holds, and whether that is a folder; nothing of what cannot be listed."""
        try:
            return list(self._entries())
        except OSError:
            return []

    def with_listing(self) -> tuple[Listing, str]:
        """The listing that it lies in, and its path there with a slash at its end; empty at its top."""
        return self._listing()

    def below(self) -> Iterator[str]:
        """The paths of all files below it, relative to it, in their order."""
        listing, folder = self._listing()
        return (listing.name(place)[len(folder) :] for place in listing.within(folder))

    def read_bytes(self) -> bytes:
        """The whole content."""
        if (name := self._kept_name()) is not None and (kept := spool().get(name)) is not None:
            return kept
        with self._as_os_errors():
            content, found = self.store.fetch(self.key)
        stats = self._check(found)
        if self.is_known:
            spool().keep((str(self), stats), content)
        return content

    @property
    def is_at_hand(self) -> bool:
        """Whether this process has read it, and still has the content."""
        name = self._kept_name()
        return name is not None and spool().has(name)

    def _kept_name(self) -> tuple[Any, ...] | None:
        """What the content is called in the spool: as it was seen, else as it was read last."""
        known = self._found or (self._listed_stats() if self._is_listed else None)
        return spool().latest(str(self)) if known is None else (str(self), known)

    def read_range(self, offset: int, size: int) -> bytes:
        """Some bytes, of a file that is as it was; fewer at its end."""
        size = max(min(size, self.size - offset), 0)
        if not size:
            return b""
        with self._as_os_errors():
            content, found = self.store.fetch(self.key, offset, size)
        self._check(found)
        return content

    def stream(self) -> Iterator[bytes]:
        """The whole content, some megabytes at a time."""
        with self._as_os_errors():
            yield from self.store.stream(self.key)[1]

    def open(self, mode: str = "rb") -> BinaryIO:
        """Its copy on this machine, to be read."""
        return open(self, mode)  # type: ignore[return-value]

    def _check(self, found: Object) -> Stats:
        """Refuse content of another object than was seen before; what it is known by."""
        if self._found is None:
            self._found = self._listed_stats() if self._is_listed else self._stats_of(found)
        if self.is_known and self._found != stats_of(str(self), found):
            raise OSError(errno.ESTALE, "it changed while it was being read")
        return self._found

    def _stats_of(self, found: Object) -> Stats:
        """What the file is known by; by this path alone where the server says nothing that would change with it."""
        stats = stats_of(str(self), found)
        return stats if stats[CHANGED] != ALWAYS_NEW else (secrets.randbits(62), *stats[1:])

    @property
    def _is_listed(self) -> bool:
        return self.listing is not None and _is_below(self.key, self.listing[0])

    def _listed_stats(self) -> Stats:
        listing, name = self._listing(self.key)
        if (place := listing.find(name)) is None:
            raise FileNotFoundError(errno.ENOENT, "there is no such object", str(self))
        first, second, size, changed, again = listing.stats[place].tolist()
        return first, second, size, changed, again

    def _listing(self, key: str | None = None) -> tuple[Listing, str]:
        """The listing that holds a file, and the file's path there; without a file this folder's, with a slash."""
        if not self._is_listed or self.listing is None:
            self.listing = self.listed().listing
        assert self.listing is not None
        top, listing = self.listing
        if key is not None:
            return listing, key[len(top) :].lstrip("/")
        below = self.key[len(top) :].lstrip("/")
        return listing, f"{below}/" if below else ""

    def _entries(self) -> Iterator[tuple[str, bool]]:
        if self._is_listed:
            listing, folder = self._listing()
            yield from listing.entries(folder)
        elif self.is_in_bucket:
            with self._as_os_errors():
                folders, objects = self.store.folders(self.key)
            found = [(path, True) for path in folders] + [(each.path, False) for each in objects]
            yield from sorted((PurePosixPath(path).name, is_folder) for path, is_folder in found)

    def _looked(self) -> Stats:
        with self._as_os_errors():
            found = _look(self.store, self.key)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "there is no such object", str(self))
        return self._stats_of(found)

    @contextmanager
    def _as_os_errors(self) -> Iterator[None]:
        try:
            yield
        except MissingObjectError:
            raise FileNotFoundError(errno.ENOENT, "there is no such object", str(self)) from None
        except NoRangesError:
            raise  # who asks for parts can ask for all
        except StorageError as error:
            reason = str(error).removeprefix(f"{self.store.at(self.key)}: ")
            raise OSError(errno.EIO, reason) from None


def remarks_on(paths: Iterable[Any]) -> list[str]:
    """What to say of files elsewhere that cannot be found again, or not be remembered, as others can."""
    remote = [path for path in paths if isinstance(path, RemotePath)]
    said = []
    if not all(path.is_known for path in remote):
        said.append("the server says neither a tag nor a time of a file, so that it is read anew each time")
    if any(path.store.is_signed for path in remote):
        said.append(
            "the address is signed by a query, which is kept nowhere: what reads the samples again needs it with a "
            "new one"
        )
    return said


def _look(store: Store, key: str) -> Object | None:
    """What a server says of an object; some web servers answer only to who reads it."""
    if store.is_signed:
        return _begun(store, key)
    try:
        return store.look(key)
    except StorageError:
        if store.address.partition("://")[0].lower() in BUCKETS:
            raise
        return _begun(store, key)


def _begun(store: Store, key: str) -> Object | None:
    try:
        return store.begin(key)
    except MissingObjectError:
        return None


def _parts(address: str) -> tuple[str, str, str]:
    """The address of the bucket or of the server, the key of the object within, and the query."""
    scheme, _, rest = address.partition("://")
    if scheme.lower() in BUCKETS:
        bucket, _, key = rest.partition("/")
        return checked(f"{scheme.lower()}://{bucket}"), key.strip("/"), ""
    checked(address)
    parts = urlsplit(address)
    return f"{scheme.lower()}://{parts.netloc}", unquote(parts.path).strip("/"), parts.query


@lru_cache(maxsize=64)
def _store_at(root: str, query: str) -> Store:
    return open_store(root, query=query)


if hasattr(os, "register_at_fork"):  # the threads behind a store are not in a fork
    os.register_at_fork(after_in_child=_store_at.cache_clear)


def _is_below(key: str, folder: str) -> bool:
    return not folder or key == folder or key.startswith(f"{folder}/")
