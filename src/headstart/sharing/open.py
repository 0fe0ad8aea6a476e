"""Which place an address means."""

from __future__ import annotations

import os
from pathlib import Path

from headstart.errors import ConfigError
from headstart.places import expanded
from headstart.remote.addresses import BUCKETS, is_remote, shown
from headstart.sharing.bucket import BucketPlace
from headstart.sharing.folder import FolderPlace
from headstart.sharing.hub import HUB, HubPlace
from headstart.sharing.place import CachePlace


def open_place(
    address: str | os.PathLike[str],
    revision: str | None = None,
    public: bool = False,
    may_be_new: bool = False,
    offline: bool = False,
) -> CachePlace:
    """The cache at an address: ``s3://``, ``gs://`` or ``az://``, ``hf:ORG/NAME``, or a folder.

    Raises
    ------
    ConfigError
        The address cannot be used, or the network is forbidden.
    FormatError
        A later version wrote what lies there.
    """
    place = _opened(os.fspath(address), revision, public, may_be_new, offline)
    place.check()
    return place


def _opened(address: str, revision: str | None, public: bool, may_be_new: bool, offline: bool) -> CachePlace:
    if address.startswith(HUB):
        return HubPlace(address, revision, public, may_be_new, offline)
    if revision is not None or public:
        raise ConfigError(
            f"--revision and --public are of repositories, hf:ORG/NAME; {shown(address)} is none"
        )
    if not is_remote(address):
        return FolderPlace(Path(expanded(address)))
    if address.partition("://")[0].lower() not in BUCKETS:
        raise ConfigError(
            f"{shown(address)}: nothing can be pushed to or pulled from a web server; name a bucket"
        )
    return BucketPlace(address, offline)
