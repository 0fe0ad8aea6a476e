"""What a process on a node of a cluster must be, to find what the process that sent it work would find."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Self

from headstart.cache.recipe import NUMERICS
from headstart.network import forbid_network

if TYPE_CHECKING:
    from headstart.ray_cluster import Pool

COMPUTING = ("headstart", "torch", "torchvision", "transformers", "tokenizers", "timm", "numpy", "pillow")
"""Packages of which another version may give other numbers."""


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where and with what the process works that sends out work."""

    versions: Mapping[str, str]
    folder: str  # where relative paths begin
    search_path: tuple[str, ...]  # of Python
    device: str
    cores: int
    offline: bool

    @classmethod
    def here(cls, pool: Pool, offline: bool, packages: Sequence[str] = COMPUTING) -> Self:
        """That of this process, with the share of a node that each worker of a pool has."""
        return cls(
            versions_here(packages),
            os.getcwd(),
            tuple(os.path.abspath(part) for part in sys.path),
            "cuda" if pool.gpus else "cpu",
            pool.cpus,
            offline,
        )

    def enter(self) -> None:
        """Make this process one that finds what the other finds."""
        if self.offline:
            forbid_network()
        with contextlib.suppress(OSError):  # relative paths lead nowhere then, which reading them says
            os.chdir(self.folder)
        sys.path.extend(part for part in self.search_path if part not in sys.path)

    def reason_against(self) -> str:
        """Why this process would compute other numbers, by its packages; empty if it would not."""
        here = versions_here(self.versions)
        for name, wanted in sorted(self.versions.items()):
            if (there := here[name]) != wanted:
                return (
                    f"it has {name} {there}, and here it is {wanted}; install the same versions on all nodes"
                )
        return ""


def versions_here(packages: Iterable[str]) -> dict[str, str]:
    """The versions of packages, ``none`` of what is not installed, of Python and of our own numerics."""
    own = {"numerics": str(NUMERICS), "python": ".".join(map(str, sys.version_info[:2]))}
    return {name: _version(name) for name in packages if name not in own} | own


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"
