"""What travels between two caches: how much of it, how far it is, and what came of it."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from headstart.contracts import Progress
from headstart.errors import StorageError
from headstart.progress import shown
from headstart.sharing.place import Advance
from headstart.sharing.standing import Standing
from headstart.words import counted

Outcome: TypeAlias = Literal["in force", "unchanged", "older", "merged", "beside", "not done"]
"""What became of the copied state: put in force; in force already; left as it was, as a later one is in force; merged
with that in force; put beside it; or nothing, as it was only asked what would travel."""

MEGABYTE = 1_000_000
SHARE = 0.95
"""Of the bytes that are free at most so many are taken."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a copy: the name that the set gets, and whether its state is put in force over others."""

    name: str
    is_earlier: bool = False
    replace: bool = False
    dry_run: bool = False

    def puts_in_force(self, found: Standing) -> bool:
        """Whether the state is put in force there, by how it stands to the one that is."""
        if found == "same":
            return False
        return found == "new" or self.replace or (found == "later" and not self.is_earlier)


@dataclass(frozen=True, slots=True)
class Transfer:
    """What a push or a pull of one set came to.

    ``n_files`` and ``n_bytes`` are what the other side lacked: what travelled, or in a dry run would. ``set`` is the
    name that the set has where it came to, ``digest`` the state in force there afterwards.
    """

    set: str
    digest: str
    place: str
    n_files: int
    n_bytes: int
    outcome: Outcome

    def __str__(self) -> str:
        size = size_of_bytes(self.n_bytes)
        if self.outcome == "not done":
            return f"{self.set}: {counted(self.n_files, 'file')}, {size} would travel"
        became = {
            "in force": f"state {self.digest} is in force",
            "unchanged": f"state {self.digest} was in force already",
            "older": f"a later state, {self.digest}, stays in force",
            "merged": f"merged with the state that was in force: {self.digest}",
            "beside": f"state {self.digest} lies beside the one that stays in force",
        }
        return f"{self.set}: {counted(self.n_files, 'file')}, {size}; {became[self.outcome]}"


@contextlib.contextmanager
def transferring(progress: Progress, description: str, n_bytes: int) -> Iterator[Advance]:
    """Show how many megabytes have travelled; what it gives may be told by several threads."""
    lock, travelled, told = threading.Lock(), 0, 0

    def advance(n: int) -> None:
        nonlocal travelled, told
        with lock:
            travelled += n
            if whole := travelled // MEGABYTE - told:
                told += whole
                progress.advance(whole)

    with shown(progress, f"{description} (MB)", -(-n_bytes // MEGABYTE)):
        yield advance


def check_room(root: Path, n_bytes: int) -> None:
    """Refuse to fetch what the disk has no room for.

    Raises
    ------
    StorageError
        It has not.
    """
    free = shutil.disk_usage(next(path for path in (root, *root.absolute().parents) if path.exists())).free
    if n_bytes > SHARE * free:
        raise StorageError(
            f"{size_of_bytes(n_bytes)} are to come, and {root} has {size_of_bytes(free)} left; free some space, or "
            "choose another --cache"
        )


def size_of_bytes(n_bytes: int) -> str:
    """Bytes as people say them.

    Examples
    --------
    >>> size_of_bytes(22_100_000_000), size_of_bytes(1_500_000), size_of_bytes(900)
    ('22.1 GB', '1.5 MB', '0.9 kB')
    """
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= size:
            return f"{n_bytes / size:,.1f} {unit}"
    return f"{n_bytes / 1e3:,.1f} kB"
