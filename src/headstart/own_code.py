"""The user's own code: how ``py:package.module:name`` is found, told apart, and quoted when it fails."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

from headstart.errors import ConfigError
from headstart.trust import check

PREFIX = "py:"
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def load_own(spec: str, kind: str) -> Any:
    """What ``py:package.module:name`` means; the current folder is importable.

    Parameters
    ----------
    spec : str
        As the user wrote it.
    kind : str
        What it should name, for messages.

    Raises
    ------
    ConfigError
        It is not written like that, or cannot be imported.
    TrustError
        Only a file of somebody else names it; see `headstart.trust`.
    """
    module_name, _, name = spec.removeprefix(PREFIX).partition(":")
    is_named = all(part.isidentifier() for part in [*module_name.split("."), name])
    if not spec.startswith(PREFIX) or not is_named:
        raise ConfigError(f"{spec!r} should be {PREFIX}package.module:{kind}")
    check(spec)
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return getattr(importlib.import_module(module_name), name)
    except Exception as error:  # importing it runs it
        raise ConfigError(f"{spec} cannot be imported: {type(error).__name__}: {error}") from error


def source_digest(thing: Any) -> str:
    """BLAKE2b-128, in hex, of the file that a function or a class is written in."""
    for part in _written(thing):
        try:
            source = Path(inspect.getfile(part)).read_bytes()
        except (TypeError, OSError):
            continue
        return blake2b(source, digest_size=16).hexdigest()
    return blake2b(without_addresses(repr(thing)).encode("utf-8"), digest_size=16).hexdigest()


def reason_of(error: Exception) -> str:
    """What an exception of the user's code says, the same in every run."""
    return without_addresses(str(error)) or type(error).__name__


def without_addresses(text: str) -> str:
    """A text without addresses of memory: a reason that differs from run to run is a new set each time."""
    return _ADDRESS.sub("", text)


def _written(thing: Any) -> Iterator[Any]:
    """What may know its file: what a decorator or a partial stands before, then the class of an object."""
    yield inspect.unwrap(thing)
    yield getattr(thing, "func", None)
    yield type(thing)
