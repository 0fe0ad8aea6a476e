"""Where a cache lies, as the rest of the code sees it: files in a folder, and a few deeds that make them count.

Here the folder is the cache. `headstart.cache.mirror.Mirror` is the other one: there the truth is in a bucket, and
the folder holds what this machine has needed of it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from headstart.cache.claims import ClaimBoard, Claims, abandoned_hints, clock_of, has_live_writer
from headstart.cache.layout import SET_NAME, SHARD_NAME, SPACE_NAME, STATE_NAME
from headstart.files import make_directory, read_start, size_of, write_durably

LISTINGS = 5  # how often a reader lists the shards again before it gives up
TURN_SECONDS, TURN_POLL = 5.0, 0.02


@dataclass(frozen=True, slots=True)
class ShardFile:
    """How large a shard is, and when it was written, in seconds since the epoch by the clock of where it lies."""

    n_bytes: int
    modified: float


class Home:
    """A cache that is a folder.

    ``root`` is the folder, which need not exist. Paths that are given lie in it.
    """

    is_remote = False

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def location(self) -> str | Path:
        """What a user calls it, and what is kept of it in runs."""
        return self.root

    def named(self, path: Path) -> str:
        """A path in it as a user knows it."""
        return str(path)

    # Reading: what is asked for is there afterwards, if it is there at all

    def refresh_header(self) -> None:
        """See to the header."""

    def space_paths(self) -> list[Path]:
        """The folders of all spaces, sorted, each with what describes it."""
        return folders_in(self.root / "spaces", SPACE_NAME)

    def refresh_space(self, space: Path) -> None:
        """See to what describes one space."""

    def refresh_hints(self, folder: Path) -> None:
        """See to hints and what is derived, such as lengths of texts."""

    def set_paths(self) -> list[Path]:
        """The folders of all sets and of what may become one, sorted, each with which state is in force."""
        return folders_in(self.root / "sets", SET_NAME)

    def refresh_set(self, folder: Path) -> None:
        """See to which state of a set is in force."""

    def fetch_state(self, state: Path) -> None:
        """See to the files of a state."""

    def state_names(self, folder: Path) -> list[str]:
        """The digests of all states of a set, sorted, each with its files."""
        return sorted(path.name for path in folder.glob("*") if STATE_NAME.fullmatch(path.name))

    def refresh_uses(self, space: Path) -> None:
        """See to what is noted of the uses of a space."""

    def refresh_trash(self) -> None:
        """See to what lies in the trash: names, sizes and times; see `fetch_again` for the content of a shard."""

    def renew(self, folder: Path) -> None:
        """Read what describes a space, or the states of a set, anew, whatever was read of it before."""

    def fetch_again(self, path: Path) -> None:
        """Read a file anew, whatever is in it; a FileNotFoundError says that it is gone."""

    def shard_names(self, folder: Path, recent: bool = False) -> list[str]:
        """The committed shards of a space, sorted, as they are at one moment; with ``recent`` one just past will do.

        A listing of many files is not one moment: while `compact` replaces a shard, one listing may
        miss both the old one and the new one. Two that agree miss nothing.
        """
        found = list_shards(folder)
        for _ in range(LISTINGS):
            before, found = found, list_shards(folder)
            if before == found:
                break
        return found

    def list_shards(self, folders: Sequence[Path]) -> None:
        """List the shards of several spaces side by side, for whoever asks next with ``recent``."""

    def shard_files(self, folder: Path) -> dict[str, ShardFile]:
        """The committed shards of a space by name, sorted."""
        files = {}
        for name in list_shards(folder):
            with contextlib.suppress(FileNotFoundError):
                stat = (folder / name).stat()
                files[name] = ShardFile(stat.st_size, stat.st_mtime)
        return files

    def fetch_shards(self, folder: Path, names: Sequence[str]) -> None:
        """See to some shards of a space; a FileNotFoundError says that one is gone."""

    def is_renewed(self, shard: Path) -> bool:
        """Whether a shard that is corrupt here is a copy, and was dropped so that it is fetched again."""
        return False

    # Writing: what lies in the folder counts once it was published

    def publish(self, path: Path) -> None:
        """Let a new file count, whose name is its content, or that says the same whoever writes it."""

    def publish_hint(self, path: Path) -> None:
        """Let a hint count, or a folder of them; where that is not possible, go without."""

    def publish_state(self, state: Path) -> None:
        """Let the files of a state count."""

    def swap_current(self, folder: Path, digest: str, replaces: str | object | None = ...) -> bool:
        """Put a state of a set in force; False, and nothing is changed, if another one is than it replaces.

        ``replaces``: None if there was no set; left out: whatever is in force.
        """
        with turn(folder):
            current = in_force(folder)
            if replaces is not ... and current not in (replaces, digest):
                return False
            if current != digest:
                write_durably(folder / "current", digest.encode("ascii") + b"\n")
        return True

    def put_in_force(self, folder: Path, digest: str) -> None:
        """Put a state of a set in force, whichever was."""
        write_durably(folder / "current", digest.encode("ascii") + b"\n")

    def publish_again(self, path: Path) -> None:
        """Let a file count in the place of one that was broken."""

    # Who else is at work

    def claims(self, folder: Path) -> Claims:
        """One writer's claims in a space."""
        return ClaimBoard(folder)

    def has_writer(self, folder: Path) -> bool:
        """Whether a writer is at work in a space, by the folder of its claims."""
        return has_live_writer(folder, self.now())

    def abandoned_hints(self, folder: Path) -> list[Path]:
        """What writers that died or fell silent left in the folder of a space's claims."""
        return abandoned_hints(folder, self.now())

    def now(self) -> float:
        """The clock of where it lies, in seconds since the epoch."""
        return clock_of(self.root)

    # Taking away

    def move(self, source: Path, target: Path) -> None:
        """Rename a file or folder within it; a FileNotFoundError says that another process was faster."""
        make_directory(target.parent)
        os.rename(source, target)

    def size_of(self, path: Path) -> int:
        """The bytes of a file or folder."""
        return size_of(path)

    def delete(self, path: Path) -> None:
        """Delete a file or a folder with all that is in it, where it is there."""
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def folders_in(parent: Path, pattern: re.Pattern[str]) -> list[Path]:
    """The folders of such a name, sorted."""
    paths = sorted(parent.iterdir()) if parent.is_dir() else []
    return [path for path in paths if pattern.fullmatch(path.name) and path.is_dir()]


def list_shards(folder: Path) -> list[str]:
    """The names of the shards in a folder, sorted, as one listing sees them; none if there is no folder."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                entry.name for entry in entries if SHARD_NAME.fullmatch(entry.name) and entry.is_file()
            )
    except FileNotFoundError:
        return []


def in_force(folder: Path) -> str | None:
    """The digest that the ``current`` of a set's folder names, whether there is such a state or not."""
    try:
        return read_start(folder / "current").decode("utf-8").strip()
    except (OSError, ValueError):
        return None


@contextlib.contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Let one process at a time look at ``current`` and replace it.

    A claim like those on buckets: it only spares the others a lost update, nobody waits longer than
    `TURN_SECONDS` for a process that died with it, and where it cannot be made it is gone without.
    """
    claim = folder / "current.claim"
    for _ in range(int(TURN_SECONDS / TURN_POLL)):
        try:
            os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            break
        except FileExistsError:
            time.sleep(TURN_POLL)
        except OSError:
            break
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # nothing may be written here: then it was not made either
            claim.unlink()
