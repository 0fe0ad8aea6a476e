"""Addresses of buckets and web servers: which texts are some, what is shown of them, and when they are refused."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from headstart.errors import ConfigError

BUCKETS = ("s3", "gs", "az")
SCHEMES = (*BUCKETS, "https", "http")


def is_remote(place: Any) -> bool:
    """Whether this is the address of an object store or of a web server.

    Examples
    --------
    >>> is_remote("s3://bucket/photos"), is_remote("photos"), is_remote("C://photos")
    (True, False, False)
    """
    if not isinstance(place, str | os.PathLike):
        return False
    text = os.fspath(place)
    return isinstance(text, str) and text.partition("://")[0].lower() in SCHEMES and "://" in text


def checked(address: str, is_offline: bool = False) -> str:
    """An address that may be used, without the slash at its end.

    Raises
    ------
    ConfigError
        The network is forbidden, no bucket or server is named, or a name and password stand in it: those come from
        the environment.
    """
    if is_offline:
        raise ConfigError(f"{shown(address)} lies elsewhere, and --offline says that nothing may be fetched")
    try:
        parts = urlsplit(address)
        host = parts.hostname
        _ = parts.port
    except ValueError as error:
        raise ConfigError(f"{shown(address)} is no address: {error}") from None
    if not host:
        raise ConfigError(f"{address} names no {'bucket' if parts.scheme in BUCKETS else 'server'}")
    if parts.username or parts.password:
        raise ConfigError(
            f"{shown(address)}: a name or password in an address would be kept with it; credentials come from the "
            "environment"
        )
    return address.rstrip("/")


def shown(address: str) -> str:
    """An address without what may be secret: a name, a password, and what a query signs.

    Examples
    --------
    >>> shown("https://me:secret@example.org/a.csv?X-Amz-Signature=0a1b&part=2")
    'https://example.org/a.csv'
    """
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return f"{address.partition('://')[0]}://…"
    return urlunsplit((parts.scheme, host + port, parts.path, "", ""))


def misaddressed(place: str) -> str | None:
    """What is wrong with an address, for a message behind it; None of one that can be right, and of a path."""
    if not is_remote(place):
        return None
    try:
        checked(place)
    except ConfigError as error:
        return str(error).removeprefix(f"{shown(place)}: ")
    return None


def plain_address(address: str) -> str:
    """An address as it may be kept: that of a web server without a query.

    Examples
    --------
    >>> plain_address("https://example.org/a%20b.csv?X-Amz-Signature=0a1b"), plain_address("s3://b/a#1.csv")
    ('https://example.org/a%20b.csv', 's3://b/a#1.csv')
    """
    in_bucket = address.partition("://")[0].lower() in BUCKETS
    return address.rstrip("/") if in_bucket else shown(address)
