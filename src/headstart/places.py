"""Where things lie on this machine, and the path that a user means who writes one with a ``~``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from headstart.remote.addresses import is_remote, plain_address


def expanded(path: Any) -> Any:
    """A path with the home folder in the place of its ``~``; anything else as it is.

    A shell expands ``~/x``, and neither ``--out=~/x`` nor a variable in a Dockerfile or an ``.env`` file.
    """
    if not isinstance(path, str | os.PathLike):
        return path
    text = os.fspath(path)
    if not isinstance(text, str) or not text.startswith("~"):
        return path
    found = os.path.expanduser(text)
    return found if isinstance(path, str) else type(path)(found)  # type: ignore[call-arg]  # a path of its kind


def absolute(place: str | os.PathLike[str]) -> str:
    """Where data lies, as it can be found again from any working directory; an address without what signs it."""
    if is_remote(place):
        return plain_address(os.fspath(place))
    path: str = os.path.abspath(expanded(place))
    return path


def is_there(place: str) -> bool:
    """Whether data lies there; of what lies elsewhere nobody is asked yet."""
    return is_remote(place) or os.path.exists(expanded(place))


def user_cache_dir() -> Path:
    """Where this user's caches belong on this machine: XDG on Linux, Library/Caches on macOS."""
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(expanded(given)) / "headstart"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "headstart"
    return Path.home() / ".cache" / "headstart"


def default_cache() -> str | Path:
    """``$HEADSTART_CACHE``, a folder or the address of a bucket, else this user's cache directory."""
    if given := os.environ.get("HEADSTART_CACHE"):
        return str(expanded(given))
    return user_cache_dir() / "cache"


def machine_dir() -> Path:
    """Where this machine keeps its memos; never part of a shared cache."""
    return user_cache_dir() / "machine"
