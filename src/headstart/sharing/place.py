"""A cache that lies elsewhere, file by file: what push and pull ask of a folder, a bucket and a repository.

Its layout is that of docs/spec.md, and its paths are relative to it, with ``/`` between their parts.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from headstart.cache.layout import CACHE_FORMAT, SET_NAME, SHARD_NAME, STATE_NAME, check_format
from headstart.errors import FormatError

HEADER = "headstart.json"
CURRENT = "current"
SET_FILE = "set.json"
Advance: TypeAlias = Callable[[int], None]
"""Told of so many bytes more that have travelled."""


@dataclass(frozen=True, slots=True)
class OutgoingFile:
    """A file that is to lie at a path elsewhere: one on this machine, or its content."""

    path: str
    content: Path | bytes

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size


@dataclass(frozen=True, slots=True)
class OutgoingState:
    """The files of one state of a set, under the name that the set has elsewhere."""

    name: str
    digest: str
    files: tuple[OutgoingFile, ...]


class CachePlace(ABC):
    """A cache elsewhere, which need not exist yet.

    Parameters
    ----------
    said : str
        Its address, for people: nothing in it is secret.
    """

    def __init__(self, said: str) -> None:
        self.said = said

    @abstractmethod
    def files(self, folder: str) -> dict[str, int]:
        """The files in a folder and in those within, by their paths, with their sizes; none if there is no folder."""

    @abstractmethod
    def read(self, path: str) -> bytes | None:
        """The content of a small file; None if there is none."""

    @abstractmethod
    def read_range(self, path: str, start: int, length: int) -> bytes:
        """Some bytes of a file that is there."""

    @abstractmethod
    def fetch(self, path: str, target: Path, advance: Advance) -> None:
        """Copy a file to a path of this machine whose folder is there and in nobody else's use."""

    @abstractmethod
    def send(self, files: Sequence[OutgoingFile], advance: Advance) -> None:
        """Put files there that never change; those that are there already stay."""

    @abstractmethod
    def commit_state(
        self, state: OutgoingState, replaces: str | None, in_force: bool, advance: Advance
    ) -> bool:
        """Put a state of a set there, whole or not at all, and then in force, if that is asked for.

        ``replaces`` is the digest that must be in force there until then (None: of no set); if another one is, nothing
        is put in force, and the answer is False.
        """

    def refresh(self) -> None:
        """Look again at what others may have changed meanwhile."""
        return

    def check(self) -> None:
        """Refuse a cache that a later version wrote; one without a header is empty yet."""
        content = self.read(HEADER)
        if content is None:
            return
        try:
            found = json.loads(content)["format"]
        except (ValueError, KeyError, TypeError):
            raise FormatError(f"{HEADER} in {self.said} is not the header of a cache") from None
        check_format(found, CACHE_FORMAT, f"{self.said} is a cache")

    def set_names(self) -> list[str]:
        """The names of the sets that have a state in force, sorted."""
        parts = [path.split("/") for path in self.files("sets")]
        names = {part[1] for part in parts if len(part) == 3 and part[2] == CURRENT}
        return sorted(name for name in names if SET_NAME.fullmatch(name))

    def in_force(self, name: str) -> str | None:
        """The digest that a set's ``current`` names; None if there is no such set."""
        content = self.read(f"sets/{name}/{CURRENT}")
        return None if content is None else content[:512].decode("utf-8", "replace").strip()

    def states(self, name: str) -> set[str]:
        """The digests of the states of a set that lie there whole."""
        parts = [path.split("/") for path in self.files(f"sets/{name}")]
        found = {part[2] for part in parts if len(part) == 4 and part[3] == SET_FILE}
        return {digest for digest in found if STATE_NAME.fullmatch(digest)}

    def shards(self, space: str) -> dict[str, int]:
        """The shards of a space by their names, with their sizes."""
        found = {path.rpartition("/")[2]: size for path, size in self.files(f"spaces/{space}/shards").items()}
        return {name: size for name, size in found.items() if SHARD_NAME.fullmatch(name)}
