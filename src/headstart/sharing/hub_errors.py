"""What huggingface_hub raises and says, told again without its texts: those hold requests, which may be signed."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from headstart.errors import DataError, HeadstartError, StorageError

CONFLICTS = (409, 412)
NETWORK = ("httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3", "hf_xet")
"""Packages whose errors say that a request came to nothing."""


class CommitConflictError(StorageError):
    """Somebody else committed first."""


@contextlib.contextmanager
def told(place: str, path: str = "") -> Iterator[None]:
    """Raise what the library raises, about a repository or a file in it, as an error of ours."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        with _silent():
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
    return StorageError(
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
    return StorageError(
        f"{said}: the hub refuses the request or fails ({status}); run the same command again"
    )


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without the library's own bars, as ours says how much has travelled, and its warnings, which hold requests."""
    utils, log = library_utils(), logging.getLogger("huggingface_hub")
    has_bars, level = not utils.are_progress_bars_disabled(), log.level
    log.setLevel(logging.CRITICAL)
    if has_bars:
        utils.disable_progress_bars()
    try:
        yield
    finally:
        log.setLevel(level)
        if has_bars:
            utils.enable_progress_bars()


def library_utils() -> Any:
    """The helpers of huggingface_hub, which it loads by their names."""
    return import_module("huggingface_hub.utils")
