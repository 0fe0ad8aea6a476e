"""Patterns of addresses, and what they stand for: ``*``, ``?``, ``[…]`` and ``**`` in buckets, braces anywhere."""

from __future__ import annotations

import re

from braceexpand import braceexpand

from headstart.errors import DataError
from headstart.remote.addresses import BUCKETS, shown
from headstart.remote.in_flight import each
from headstart.remote.paths import RemotePath

MARKS = "*?["
FIRST_OF_KEY = 3
"""Where the key begins among the parts of an address, behind scheme and bucket."""
_CLASS = re.compile(r"(\[!?[^\]/]+\])")


def is_pattern(address: str) -> bool:
    """Whether an address stands for several files.

    Examples
    --------
    >>> is_pattern("s3://b/train-{000..012}.tar"), is_pattern("https://example.org/a.csv?part=[1]")
    (True, False)
    """
    return any(mark in _path(address) for mark in ("{", *MARKS))


def matching(address: str) -> list[RemotePath]:
    """The files that a pattern stands for, each once; those of braces in their order, others sorted.

    Raises
    ------
    DataError
        There are none, one that braces name is missing, or files would have to be listed on a web server.
    """
    try:
        names = list(dict.fromkeys(braceexpand(address)))
    except ValueError as error:
        raise DataError(f"{shown(address)}: its braces do not match; write such as {{000..012}}") from error
    plain = [name for name in names if not _has_marks(name)]
    found = [RemotePath.of(name) for name in plain]
    missing = [
        path for path, is_there in zip(found, each(RemotePath.is_file, found), strict=True) if not is_there
    ]
    if missing:
        more = ", …" if len(missing) > 1 else ""
        raise DataError(
            f"{shown(address)} stands for {len(names):,} files, and {len(missing):,} are missing or cannot be read: "
            f"{missing[0]}{more}"
        )
    found += [path for name in names if _has_marks(name) for path in _globbed(name)]
    if not found:
        raise DataError(f"{shown(address)}: no file matches the pattern")
    return list(dict.fromkeys(found))


def _path(address: str) -> str:
    """The part of an address in which marks are those of a pattern: a web server's query has its own."""
    scheme, _, rest = address.partition("://")
    return rest if scheme.lower() in BUCKETS else rest.partition("?")[0]


def _has_marks(address: str) -> bool:
    return any(mark in _path(address) for mark in MARKS)


def _globbed(address: str) -> list[RemotePath]:
    if address.partition("://")[0].lower() not in BUCKETS:
        raise DataError(
            f"{shown(address)}: a web server lists no files; name them, with braces such as {{000..012}} where they "
            "are numbered"
        )
    parts = address.split("/")
    fixed = next(number for number, part in enumerate(parts) if any(mark in part for mark in MARKS))
    if fixed < FIRST_OF_KEY:
        raise DataError(
            f"{shown(address)}: a bucket is named, and no pattern; write such as s3://bucket/*.tar"
        )
    top = RemotePath.of("/".join(parts[:fixed])).listed()
    wanted = re.compile("".join(map(_regex, parts[fixed:])).removesuffix("/"))
    return [top / name for name in top.below() if wanted.fullmatch(name)]


def _regex(part: str) -> str:
    """One part of a pattern, with the slash behind it; hidden files are not meant, as by a shell."""
    if part == "**":
        return r"(?:(?!\.)[^/]+/)*"
    pieces = _CLASS.split(part)
    return (r"(?!\.)" if part[:1] in "*?[" else "") + "".join(map(_regex_of_piece, pieces)) + "/"


def _regex_of_piece(piece: str) -> str:
    if _CLASS.fullmatch(piece):
        return piece.replace("[!", "[^").replace("\\", r"\\")
    return re.escape(piece).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
