"""Finding the home of a cache: of a folder, or of an address, whose mirror lies in this machine's cache directory."""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from headstart.cache.home import Home
from headstart.cache.mirror import Mirror
from headstart.errors import ConfigError, StorageError
from headstart.files import make_directory, read_json, write_json
from headstart.places import default_cache, expanded, user_cache_dir
from headstart.remote.addresses import BUCKETS, checked, is_remote, shown
from headstart.remote.store import open_store

MARKER = "mirror.json"
"""The file of a mirror that says of what."""
_mirrors: dict[Path, Mirror] = {}


def home_at(place: str | os.PathLike[str] | None, is_offline: bool = False) -> Home:
    """The home of a cache by its folder or address; None: the default one.

    Raises
    ------
    ConfigError
        The address is not one of a bucket, or the network is forbidden.
    MissingDependencyError
    """
    given: Any = default_cache() if place is None else expanded(place)
    if not is_remote(given):
        return home_of(Path(given))
    address = check_address(os.fspath(given), is_offline)
    root = _mirror_root(address)
    if not (root / MARKER).exists():
        open_store(address)  # what is wrong with it is said before a folder is made
        make_directory(root)
        write_json(root / MARKER, {"address": address})
    return home_of(root)


def home_of(root: Path) -> Home:
    """The home whose files lie in a folder: that of a mirror is the bucket that it mirrors."""
    if root.parent != _mirrors_dir():
        return Home(root)
    if root not in _mirrors:
        try:
            address = read_json(root / MARKER)["address"]
        except (FileNotFoundError, KeyError, TypeError) as error:
            raise StorageError(f"{root} does not say which bucket it mirrors; name the bucket") from error
        if _mirror_root(address) != root:
            raise StorageError(f"{root} is not the mirror of {shown(address)}; delete it")
        _mirrors[root] = Mirror(open_store(address), root)
    return _mirrors[root]


def check_address(address: str, is_offline: bool = False) -> str:
    """The address of a cache, as it is kept: without a slash at its end, and nothing secret in it."""
    address = checked(address, is_offline)
    parts = urlsplit(address)
    if parts.scheme not in BUCKETS:
        raise ConfigError(
            f"{shown(address)}: a cache lies in a folder or in a bucket: s3://, gs:// or az://BUCKET/PREFIX"
        )
    if parts.query or parts.fragment:
        raise ConfigError(f"{shown(address)}: the address of a cache ends with its path, without ? and #")
    return address


def check_offline(place: Any) -> None:
    """Refuse a cache in a bucket, given or by default, where the network is forbidden."""
    given = default_cache() if place is None else place
    if is_remote(given):
        check_address(os.fspath(given), is_offline=True)


def _mirrors_dir() -> Path:
    return user_cache_dir() / "mirrors"


def _mirror_root(address: str) -> Path:
    return _mirrors_dir() / blake2b(address.encode(), digest_size=8).hexdigest()
