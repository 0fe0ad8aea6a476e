"""Whether the network may be used, and whether there is one."""

from __future__ import annotations

import functools
import os
import socket
import sys
from urllib.parse import urlparse

HUB = "https://huggingface.co"
_FORBIDDEN = "HEADSTART_OFFLINE"
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def forbid_network() -> None:
    """What ``--offline`` means: nothing is fetched by this process, nor by those that it starts."""
    os.environ[_FORBIDDEN] = "1"
    forbid_hub()


def forbid_hub() -> None:
    """Let the libraries of the hub fetch nothing; said before they load."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"):
        os.environ[name] = "1"
    # What is imported already has read the environment.
    if (hub := sys.modules.get("huggingface_hub")) is not None:
        hub.constants.HF_HUB_OFFLINE = True
    if (datasets := sys.modules.get("datasets")) is not None:
        datasets.config.HF_HUB_OFFLINE = True


def network_is_forbidden() -> bool:
    """Whether ``--offline`` was given: buckets and web servers are then refused before a socket is opened."""
    return os.environ.get(_FORBIDDEN) == "1"


@functools.cache
def hub_is_reachable() -> bool:
    """Whether the hub's name can be resolved: without that its library tries again for most of a minute."""
    if any(os.environ.get(name) for name in _PROXIES):
        return True  # a proxy resolves names by itself
    address = urlparse(os.environ.get("HF_ENDPOINT") or HUB)
    try:
        socket.getaddrinfo(address.hostname or "", address.port or 443)
    except (OSError, UnicodeError):
        return False
    return True
