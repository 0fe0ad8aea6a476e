"""Whose code may run: what a file names is data, until its user says that the code is trusted.

Code is named as ``py:package.module:name``: by a user, in an option; and by the files that are made of it (a run's
``features.json``, ``head.json`` and ``config.yaml``, a set's ``set.json``, a recipe, a pipeline). Of each such file
that is written here the digest is kept in the machine's directory. So a file that is read is known to be this user's
own, or it is a stranger's, and code that only strangers' files name is not imported: `check` refuses it, until the
user names it in an option, or with ``--trust``.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from headstart.errors import TrustError
from headstart.places import machine_dir

_CODE = re.compile(r"py:\s*(?P<module>[\w.]+)(:(?P<name>\w+))?")

_trusted: set[str] = set()
"""``module:name`` and ``module``: what the user named, and what the user's own files name."""
_strange: dict[str, str] = {}
"""By module: a file that names code of it, and that this user did not make."""


def trust(*names: str) -> None:
    """Let code be imported from now on: ``package.module``, or ``package.module:name``, with or without ``py:``."""
    _trusted.update(name.strip().removeprefix("py:") for name in names)


def trust_named(values: Any) -> None:
    """Let the code be imported that options name, as the user gave them."""
    trust(*(f"{module}:{name}" for module, name in _named_in(values)))


def note(values: Any, content: bytes, place: Path | str) -> None:
    """Remember which code a file names that was read, and whether the file is the user's own.

    Parameters
    ----------
    values : object
        What the file says: strings in lists and mappings.
    content : bytes
        The file.
    place : path
        For messages.
    """
    named = list(_named_in(values))
    if not named:
        return
    if is_own(content):
        trust_named(values)
    else:
        _strange.update({module: str(place) for module, _ in named if module not in _strange})


def is_own(content: bytes) -> bool:
    """Whether a file is known to be this user's."""
    return _path(content).exists()


def remember(content: bytes, values: Any = None, names_code: bool = True) -> None:
    """Keep in mind that a file is this user's, unless it names code that is not trusted.

    ``values`` is what it says; None if it was written here, and so has no names behind escapes. ``names_code`` says
    that a file without code need not be kept in mind.
    """
    named = list(_named_in(content.decode("utf-8", errors="replace") if values is None else values))
    if (names_code and not named) or any(_place_of_stranger(module, name) for module, name in named):
        return
    with contextlib.suppress(OSError):  # where nothing can be kept, the user is asked
        _path(content).parent.mkdir(parents=True, exist_ok=True)
        _path(content).touch()


def check(spec: str) -> None:
    """Refuse code that was named by a stranger's file alone.

    Raises
    ------
    TrustError
        The message says which file names it, and how to trust it.
    """
    module, _, name = spec.removeprefix("py:").partition(":")
    if place := _place_of_stranger(module, name):
        raise TrustError(
            f"{place} names the code {spec}, and headstart did not write that file for you on this machine, so nothing "
            f"was imported; if you know the code and trust it, say --trust {module} (in Python trust=[{module!r}])"
        )


def is_trusted(module: str, name: str) -> bool:
    """Whether the user named some code, or a package that it is in."""
    parts = module.split(".")
    packages = {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
    return f"{module}:{name}" in _trusted or bool(packages & _trusted)


def _place_of_stranger(module: str, name: str) -> str | None:
    """The stranger's file that names some code; None if the code is trusted, or nobody but the user named it."""
    return None if is_trusted(module, name) else _strange.get(module)


def _named_in(values: Any) -> Iterator[tuple[str, str]]:
    """Module and name of all code that is named in strings, at any depth."""
    waiting = [values]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield from ((found["module"], found["name"] or "") for found in _CODE.finditer(value))
        elif isinstance(value, Mapping):
            waiting += [*value, *value.values()]
        elif isinstance(value, list | tuple | set | frozenset):
            waiting += value


def _path(content: bytes) -> Path:
    return machine_dir() / "own" / blake2b(content, digest_size=16).hexdigest()
