"""What huggingface_hub raises and says, told again without its texts: those hold requests, which may be signed."""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from threading import Lock
from typing import Any, ParamSpec, TypeVar

from headstart.errors import DataError, HeadstartError, StorageError

P = ParamSpec("P")
R = TypeVar("R")

CONFLICTS = (409, 412)
NETWORK = ("httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3", "hf_xet")
"""Packages whose errors say that a request came to nothing."""


PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds between the tries of a request that came to nothing."""


class CommitConflictError(StorageError):
    """Somebody else committed first."""


class HubFailureError(StorageError):
    """The hub failed, or was not reached: it may be otherwise in a moment."""


def retried(do: Callable[P, R]) -> Callable[P, R]:
    """Ask again where the hub fails: of all that is asked of it, to do it twice does no harm."""

    @functools.wraps(do)
    def asked(*args: P.args, **kwargs: P.kwargs) -> R:
        for pause in PAUSES:
            with contextlib.suppress(HubFailureError):
                return do(*args, **kwargs)
            time.sleep(pause)
        return do(*args, **kwargs)

    return asked


@contextlib.contextmanager
def told(place: str, path: str = "") -> Iterator[None]:
    """Raise what the library raises, about a repository or a file in it, as an error of ours."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        with _silence:
            yield
    except HeadstartError:
        raise
    except RepositoryNotFoundError:
        raise DataError(
            f"{place} is not on the hub, or not for you; check its name, set HF_TOKEN or log in with "
            "`hf auth login`"
        ) from None
    except Exception as error:
        explained = _explained(f"{place}/{path}" if path else place, error)
        if explained is None:
            raise
        raise explained from None


def _explained(said: str, error: BaseException) -> StorageError | None:
    """What an error of the library, or of what it stands on, comes to; None if it is of another kind."""
    from huggingface_hub import errors as known

    if isinstance(error, known.HfHubHTTPError):
        return _refused(said, error.response.status_code if error.response is not None else 0)
    if isinstance(error, known.LocalEntryNotFoundError | known.OfflineModeIsEnabled):
        return _broken(said)
    if isinstance(error, ConnectionError | TimeoutError) or _package(error) in NETWORK:
        return _broken(said)
    if isinstance(error, RuntimeError) and error.__cause__ is not None:  # an upload in a thread
        return _explained(said, error.__cause__)
    return _broken(said) if isinstance(error, RuntimeError | ValueError | known.FileMetadataError) else None


def _package(error: BaseException) -> str:
    return type(error).__module__.partition(".")[0]


def _broken(said: str) -> StorageError:
    return HubFailureError(
        f"{said}: the hub cannot be reached, or the connection broke; what has travelled is kept: run the same command "
        "again"
    )


def _refused(said: str, status: int) -> StorageError:
    if status in CONFLICTS:
        return CommitConflictError(f"{said}: somebody else committed first")
    if status in (401, 403):
        return StorageError(
            f"{said}: access is denied; the token is that of HF_TOKEN or of `hf auth login`, and a push needs one that "
            "may write"
        )
    if status == 429:
        return StorageError(f"{said}: the hub wants fewer requests (429); run the same command again later")
    if status >= 500:
        return HubFailureError(f"{said}: the hub fails ({status}); run the same command again")
    return StorageError(f"{said}: the hub refuses the request ({status}); run the same command again")


class _Silence:
    """The library without its own bars, as ours says how much has travelled, and its warnings, which hold requests.

    Several threads enter and leave as they come; the last one puts back what the first one found.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._n_within = 0
        self._level, self._has_bars = logging.NOTSET, True

    def __enter__(self) -> None:
        utils, log = library_utils(), logging.getLogger("huggingface_hub")
        with self._lock:
            self._n_within += 1
            if self._n_within == 1:
                self._level, self._has_bars = log.level, not utils.are_progress_bars_disabled()
                log.setLevel(logging.CRITICAL)
                if self._has_bars:
                    utils.disable_progress_bars()

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._n_within -= 1
            if not self._n_within:
                logging.getLogger("huggingface_hub").setLevel(self._level)
                if self._has_bars:
                    library_utils().enable_progress_bars()


_silence = _Silence()


def library_utils() -> Any:
    """The helpers of huggingface_hub, which it loads by their names."""
    return import_module("huggingface_hub.utils")
