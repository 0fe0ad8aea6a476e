"""The names and versions of what lies in a cache. docs/spec.md is the normative page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from headstart.errors import ConfigError, CorruptShardError, FormatError, StorageError

CACHE_FORMAT = 1
SHARD_FORMAT = 1
SET_FORMAT, PLAIN_SET = 2, 1
"""A set with corrections is of format 2: who does not know them would give the labels back as they were. Without any it
is, to the byte, of format 1."""

SHARD_BYTES = 64 << 20
"""About how large a shard is when it is closed, and what `compact` merges small ones into."""

SHARD_NAME = re.compile(r"(?P<bucket>[0-9a-f]{2})-(?P<digest>[0-9a-f]{16})(?P<suffix>\.h5|\.parquet)")
SPACE_NAME = re.compile(r"[0-9a-f]{16}")
STATE_NAME = re.compile(r"[0-9a-f]{16}")
SET_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")

LABEL, META = "label:", "meta:"
GROUP = META + "group"
"""What the names of columns begin with that a set's samples have besides id, key, split and origin."""
CONTEXT = META + "context"
"""The texts in which the answers to questions stand."""


def check_set_name(name: str) -> str:
    """The name, if it can be a set's.

    Raises
    ------
    ConfigError
        It would not be one plain folder everywhere.
    """
    if not SET_NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot be the name of a set: use letters, digits, '.', '_' and '-', "
            "and do not begin with '.' or '-'"
        )
    return name


def set_name_from(text: str) -> str:
    """A set name made of any text.

    Examples
    --------
    >>> set_name_from("my photos (2024)")
    'my-photos-2024'
    """
    cleaned = re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-.")
    return cleaned[:128] or "set"


def check_no_link(root: Path, path: Path) -> None:
    """Refuse to write, delete or rename in a folder of a cache or a run that is reached through a link.

    Somebody else may have put it there, and it may lead anywhere. The cache or run itself may be one: its user
    named it.

    Raises
    ------
    StorageError
        ``path``, or a folder between it and ``root``, is a link.
    """
    place = path
    while place != root and place != place.parent:
        if place.is_symlink():
            raise StorageError(
                f"{place} is a link, and nothing is written or deleted through one inside a cache or a run; "
                "put a folder there"
            )
        place = place.parent


def check_shard_format(version: Any, path: Path) -> None:
    """Refuse a shard that does not say its format, or says a newer one."""
    try:
        number = int(version)
    except (TypeError, ValueError) as error:
        raise CorruptShardError(f"{path} does not say its format") from error
    check_format(number, SHARD_FORMAT, f"{path} is a shard")


def check_format(found: object, known: int, what: str) -> None:
    """Refuse what a later version of headstart wrote.

    Raises
    ------
    FormatError
        ``found`` is not a format up to ``known``.
    CorruptShardError
        It is no format at all: that is damage, and not a later version.
    """
    if not isinstance(found, int):
        raise CorruptShardError(f"{what} of no format (it says {found!r}); restore it or delete it")
    if not 1 <= found <= known:
        raise FormatError(
            f"{what} of format {found!r}, and this version of headstart reads up to {known}; "
            "upgrade headstart"
        )
