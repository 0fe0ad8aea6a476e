"""Objects under one address: read whole or in part, listed, and written only where the server finds what was expected.

obstore does the work: requests, credentials by the rules of each provider's own tools, and trying again. What is
raised names the object by its address, and nothing of a request: that may be signed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from headstart.errors import ConfigError, MissingDependencyError, StorageError
from headstart.network import network_is_forbidden
from headstart.remote.addresses import BUCKETS, checked, shown

if TYPE_CHECKING:
    from types import ModuleType

LISTED = 1000
"""Objects of an answer to a listing."""
STREAMED = 4 << 20
"""Bytes of an object that are read as a stream, at a time."""
RETRIES: dict[str, Any] = {"max_retries": 10, "retry_timeout": timedelta(minutes=3)}
"""How long a server that fails or does not answer is asked again; the pauses grow."""
AT_FIRST: dict[str, Any] = {"max_retries": 2, "retry_timeout": timedelta(seconds=20)}
TRIES_AT_FIRST = 2
"""The same of one that has never answered: it may not be there at all."""
TRIES, PAUSE, PATIENCE = 5, 0.2, 60.0
"""How often, after how many seconds at first and for how many what may be repeated is begun anew: an answer that came
cut short, or none, which the library does not try again by itself."""
T = TypeVar("T")


NO_CREDENTIALS = "there are no credentials; they come from the environment, as for the provider's own tools"
_MACHINE_ROLES = "169.254.169.254"
"""Where a machine in a cloud is asked for its role, when nothing else gives credentials."""


class MissingObjectError(StorageError):
    """There is no such object."""


class NoRangesError(StorageError):
    """The server gives objects whole or not at all."""


class ConflictError(StorageError):
    """An object is not what a conditional write expected: it is there already, or somebody else was first."""


class TransferError(StorageError):
    """A request had no answer, or one that was cut short; another try may have one."""


@dataclass(frozen=True, slots=True)
class Object:
    """What a server says of an object without its content.

    ``path`` is relative to the store; ``tag`` changes with the content, and is None where the server has none.
    """

    path: str
    size: int
    modified: datetime
    tag: str | None

    @property
    def identity(self) -> str:
        """What stays as long as the content does, by which it can be remembered."""
        return self.tag or f"{self.modified.timestamp()}"


class Store:
    """The objects under an address such as ``s3://bucket/prefix``; `open_store` makes one.

    Paths are relative to it, with ``/`` between their parts. It may be used by several threads, and is pickled as its
    address. A ``query`` signs what is asked of a web server; it goes with every request, and nothing else names it.
    """

    def __init__(self, address: str, query: str = "") -> None:
        self.address = checked(address, network_is_forbidden())
        self._query = query
        self._is_known = True
        with self._told(""):
            self._objects = _objects_at(self.address, query, AT_FIRST)
        self._is_known = False  # nobody has answered yet: an address may be wrong

    def __reduce__(self) -> tuple[type[Store], tuple[str, str]]:
        return Store, (self.address, self._query)

    def __repr__(self) -> str:
        return f"Store({shown(self.address)!r})"

    @property
    def query(self) -> str:
        """What signs each request; never to be kept."""
        return self._query

    @property
    def is_signed(self) -> bool:
        """Whether a query goes with every request."""
        return bool(self._query)

    def at(self, path: str) -> str:
        """The address of an object, for people."""
        return shown(f"{self.address}/{path}" if path else self.address)

    def read(self, path: str) -> bytes:
        """The content of an object.

        Raises
        ------
        MissingObjectError
        StorageError
            The server cannot be reached, refuses, or answers wrongly again and again.
        """
        return self._again(path, lambda: bytes(_obstore().get(self._objects, path).bytes()))

    def read_tagged(self, path: str) -> tuple[bytes, str | None]:
        """The content of an object, and the tag that it had then; raises what `read` does."""

        def read() -> tuple[bytes, str | None]:
            found = _obstore().get(self._objects, path)
            return bytes(found.bytes()), found.meta["e_tag"]

        return self._again(path, read)

    def fetch(self, path: str, start: int = 0, length: int | None = None) -> tuple[bytes, Object]:
        """The content of an object or a part of it, and what the server said of the object in the same answer.

        Raises
        ------
        NoRangesError
            A part was asked for, and the server gives no parts.
        MissingObjectError, StorageError
            As `read`.
        """
        asked: Any = {} if length is None else {"range": (start, start + length)}

        def read() -> tuple[bytes, Object]:
            found = _obstore().get(self._objects, path, options=asked)
            return bytes(found.bytes()), _object(found.meta)

        return self._again(path, read)

    def begin(self, path: str) -> Object:
        """What the server says of an object when it is asked for its content, of which nothing is read.

        For servers that do not answer when they are only asked about it, and for what is signed for reading alone.
        """
        return self._again(path, lambda: _object(_obstore().get(self._objects, path).meta))

    def stream(self, path: str) -> tuple[Object, Iterator[bytes]]:
        """What the server says of an object, and its content in parts; raises what `read` does.

        While the parts come, a TransferError says that some are missing.
        """
        found = self._again(path, lambda: _obstore().get(self._objects, path))
        about = _object(found.meta)
        return about, self._parts(about, found)

    def _parts(self, about: Object, found: Any) -> Iterator[bytes]:
        came = 0
        with self._told(about.path):
            for part in found.stream(min_chunk_size=STREAMED):
                came += len(part)
                yield bytes(part)
        if came != about.size:
            raise TransferError(f"{self.at(about.path)}: {came:,} of {about.size:,} bytes came")

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """Some bytes of an object; raises what `read` does."""
        if not length:
            return b""
        with self._told(path):
            return bytes(_obstore().get_range(self._objects, path, start=start, length=length))

    def read_ranges(self, path: str, starts: Sequence[int], lengths: Sequence[int]) -> list[bytes]:
        """Several parts of an object at once; those that are near each other in one request."""
        with self._told(path):
            parts = _obstore().get_ranges(self._objects, path, starts=starts, lengths=lengths)
            return [bytes(part) for part in parts]

    def look(self, path: str) -> Object | None:
        """What the server says of an object; None if there is none."""
        try:
            return _object(self._again(path, lambda: _obstore().head(self._objects, path)))
        except MissingObjectError:
            return None

    def listed(self, prefix: str = "", after: str | None = None) -> Iterator[Object]:
        """The objects in a folder and in those within, in the order of the server; of a web server refused."""
        for has_no_answer in self._tries(patience=float("inf")):  # a listing may take minutes
            with has_no_answer, self._told(prefix):
                for chunk in _obstore().list(self._objects, prefix or None, offset=after, chunk_size=LISTED):
                    for found in map(_object, chunk):
                        yield found
                        after = found.path
                return

    def folders(self, prefix: str = "") -> tuple[list[str], list[Object]]:
        """The folders right in a folder, by their paths, and its objects."""
        found = self._again(prefix, lambda: _obstore().list_with_delimiter(self._objects, prefix or None))
        return list(found["common_prefixes"]), list(map(_object, found["objects"]))

    def write(self, path: str, content: bytes | os.PathLike[str]) -> str | None:
        """Write an object, or a file as one, whatever was there; its tag."""
        return self._again(path, lambda: self._put(path, content, "overwrite"))

    def create(self, path: str, content: bytes | os.PathLike[str]) -> str | None:
        """Write an object that is not there yet; its tag.

        Raises
        ------
        ConflictError
            There is one. (After a lost answer it may be one's own: whose content is its name may ignore that.)
        """
        return self._put(path, content, "create")

    def replace(self, path: str, content: bytes, tag: str) -> str | None:
        """Write an object that has this tag still; its new tag.

        Raises
        ------
        ConflictError
            It has another one, or is not there any more.
        """
        return self._put(path, content, {"e_tag": tag})

    def copy(self, source: str, target: str) -> None:
        """Have the server copy an object, whatever was there; raises what `read` does."""
        self._again(source, lambda: _obstore().copy(self._objects, source, target))

    def delete(self, paths: Sequence[str]) -> None:
        """Delete objects; those that are not there are none the less deleted."""
        for start in range(0, len(paths), LISTED):
            with suppress(MissingObjectError):
                self._delete(list(paths[start : start + LISTED]))

    def _delete(self, paths: list[str]) -> None:
        self._again(paths[0], lambda: _obstore().delete(self._objects, paths))

    def _put(self, path: str, content: bytes | os.PathLike[str], mode: Any) -> str | None:
        with self._told(path):
            given = content if isinstance(content, bytes) else os.fspath(content)
            whole: Any = given if isinstance(given, bytes) else open(given, "rb")  # noqa: SIM115
            try:
                # A conditional write is one request: servers know no condition on one in parts.
                tag: str | None = _obstore().put(self._objects, path, whole, mode=mode, use_multipart=False)[
                    "e_tag"
                ]
            finally:
                if not isinstance(whole, bytes):
                    whole.close()
        return tag

    def _remedy(self) -> str:
        """What may give access."""
        if self.address.partition("://")[0].lower() in BUCKETS:
            return "credentials come from the environment, as for the provider's own tools"
        return "an address that is signed by its query is given with it each time: it is not kept, and it expires"

    def _again(self, path: str, do: Callable[[], T]) -> T:
        """Do what does no harm twice, again where it had no answer."""
        for has_no_answer in self._tries():
            with has_no_answer, self._told(path):
                return do()
        raise AssertionError

    def _tries(self, patience: float = PATIENCE) -> Iterator[AbstractContextManager[None]]:
        """A context for each try; one that ends in a TransferError is over, unless it was the last."""
        began, attempt = time.monotonic(), 0

        @contextmanager
        def one() -> Iterator[None]:
            nonlocal attempt
            try:
                yield
            except TransferError:
                attempt += 1
                most = TRIES if self._is_known else TRIES_AT_FIRST
                if attempt >= most or time.monotonic() - began > patience:
                    raise
                time.sleep(PAUSE * 2 ** (attempt - 1))

        while True:
            yield one()

    def _met(self) -> None:
        """There was an answer: from now on this server is waited for."""
        if not self._is_known:
            self._is_known, self._objects = True, _objects_at(self.address, self._query, RETRIES)

    @contextmanager
    def _told(self, path: str) -> Iterator[None]:
        """Raise what obstore raises as an error of ours, in a line without anything of the request."""
        from obstore import exceptions as known

        try:
            yield
            self._met()
        except (FileNotFoundError, known.NotFoundError):
            self._met()
            raise MissingObjectError(f"{self.at(path)} is not there") from None
        except known.NotSupportedError:
            raise NoRangesError(
                f"{self.at(path)}: the server gives no parts of files, and lists none"
            ) from None
        except (known.AlreadyExistsError, known.PreconditionError):
            self._met()
            raise ConflictError(f"{self.at(path)} is not what was expected: somebody else wrote it") from None
        except (known.PermissionDeniedError, known.UnauthenticatedError, PermissionError):
            raise StorageError(f"{self.at(path)}: access is denied; {self._remedy()}") from None
        except known.UnknownConfigurationKeyError:
            raise ConfigError(f"{self.at(path)} cannot be opened: an unknown setting") from None
        except ValueError:
            raise StorageError(f"{self.at(path)}: no object can have this path") from None
        except (known.BaseError, OSError) as error:
            raise TransferError(f"{self.at(path)}: {_reason(error)}") from None


def open_store(address: str, is_offline: bool = False, query: str = "") -> Store:
    """The objects under an address.

    Raises
    ------
    MissingDependencyError
        obstore is not installed.
    ConfigError
        The address cannot be used, see `headstart.remote.addresses.checked`.
    """
    checked(address, is_offline or network_is_forbidden())
    _obstore()
    return Store(address, query)


def _obstore() -> ModuleType:
    try:
        import obstore
    except ImportError as error:
        raise MissingDependencyError("obstore", "reading from or writing to a bucket", "cloud") from error
    return obstore


def _objects_at(address: str, query: str, retries: Any) -> Any:
    from obstore.store import HTTPStore, from_url

    scheme = address.partition("://")[0].lower()
    # A server on this machine, as tests have it, speaks plainly; whoever names one by http:// says so, too.
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    is_plain = scheme == "http" or (scheme in BUCKETS and endpoint.startswith("http://"))
    options: Any = {"allow_http": True} if is_plain else {}
    if scheme in BUCKETS:
        return from_url(address, client_options=options, retry_config=retries)
    # By its class: of some hosts `from_url` would make a bucket, and drop the query.
    signed = f"{address}?{query}" if query else address
    return HTTPStore.from_url(signed, client_options=options, retry_config=retries)


def _object(found: Any) -> Object:
    return Object(found["path"], int(found["size"]), found["last_modified"], found["e_tag"])


def _reason(error: BaseException) -> str:
    """What went wrong, in few words; texts of obstore have the whole request in them."""
    text = str(error)
    for sign, said in (
        (
            "Account must be specified",
            "no account is named; the environment does, as AZURE_STORAGE_ACCOUNT_NAME",
        ),
        (_MACHINE_ROLES, NO_CREDENTIALS),
        ("NoSuchBucket", "there is no such bucket"),
        ("status code: 4", "the server refuses the request"),
        ("status code: 5", "the server fails, again and again"),
        ("dns", "the server's name is not known here"),
        ("timed out", "the server does not answer in time"),
        ("Connect", "the server cannot be reached"),
        ("connect", "the server cannot be reached"),
        ("credential", NO_CREDENTIALS),
    ):
        if sign in text:
            return said
    return type(error).__name__
