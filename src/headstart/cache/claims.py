"""Claims: how writers of one space keep out of each other's way without locks.

A claim on one of the 256 buckets is a hard link ``<2 hex>`` to its writer's own file
``<host>.<pid>.<nonce>.live``, whose mtime the writer touches every five seconds: one `utime`
refreshes all its claims, and the file system's clock is the only clock. A claim is a hint. No
result depends on it, it may be deleted at any time, and where hard links cannot be made there are
none.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import secrets
import threading
import time
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryFile
from typing import Protocol, Self

from headstart.cache.layout import check_no_link
from headstart.files import PARTIAL, make_directory, read_start, storage_errors

HEARTBEAT = 5.0  # seconds
SILENCE = 30.0  # seconds after which a writer is taken for dead
LIVE_NAME = re.compile(r"(?P<host>.+)\.(?P<pid>\d+)\.(?P<nonce>[0-9a-f]+)\.live")
UNIT = re.compile(r"[0-9a-f]{2}")  # a claim is named after its bucket
_HINT = re.compile(r".+\.live|[0-9a-f]{2}(\.[0-9a-f]+\.stale)?")


class Claims(Protocol):
    """One writer's claims on the buckets of one space; a context manager."""

    mine: set[int]
    together: int
    """How many buckets are claimed in the time of one."""

    @property
    def name(self) -> str:
        """By which other processes know this writer."""

    def is_live(self, name: str) -> bool:
        """Whether a writer of that name says, in this very cache, that it is at work."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    def take_all(self, buckets: Sequence[int]) -> list[int]:
        """Claim buckets, from nobody or from writers that are dead or silent; those that are claimed now."""

    def release(self, buckets: Iterable[int]) -> None:
        """Give buckets back, once their rows are committed."""

    def owner(self, bucket: int) -> str | None:
        """Host and process of whoever claims a bucket."""

    def is_abandoned(self, bucket: int) -> bool:
        """Whether a claim's writer is dead, or has been silent for half a minute."""

    def has_company(self) -> bool:
        """Whether another writer is at work in this space."""

    def claimed(self) -> set[int]:
        """The buckets that other writers have claims on, fresh or not."""

    def now(self) -> float:
        """The clock of where the space lies, in seconds since the epoch."""


def buckets_of(names: Iterable[str]) -> set[int]:
    """The buckets whose claims are among some names."""
    return {int(name, 16) for name in names if UNIT.fullmatch(name)}


class ClaimBoard:
    """One writer's claims on the buckets of one space, in its ``claims/``; use it as a context manager."""

    together = 1

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mine: set[int] = set()
        self._live = folder / new_live_name()
        self._stop = threading.Event()
        self._linkable = True
        self._thread = threading.Thread(target=self._beat, name="headstart-claims", daemon=True)

    def __enter__(self) -> ClaimBoard:
        check_no_link(self.folder.parents[2], self.folder)
        make_directory(self.folder)
        with storage_errors(self._live):
            self._live.write_bytes(self._live.name.encode("ascii"))
        self._sweep()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()
        self.release(list(self.mine))
        with contextlib.suppress(OSError):
            self._live.unlink()

    @property
    def name(self) -> str:
        """By which other processes know this writer."""
        return self._live.name

    def is_live(self, name: str) -> bool:
        """Whether a writer of that name says, in this very cache, that it is at work."""
        try:
            return read_start(self.folder / name).decode("ascii", errors="replace") == name
        except OSError:
            return False

    def take_all(self, buckets: Sequence[int]) -> list[int]:
        """Claim buckets, from nobody or from writers that are dead or silent; those that are claimed now."""
        return [bucket for bucket in buckets if self.take(bucket)]

    def take(self, bucket: int) -> bool:
        """Claim a bucket, from nobody or from a writer that is dead or silent; False if another is at it."""
        claim = self._path(bucket)
        if bucket in self.mine or not self._linkable or self._link(claim) or not self._linkable:
            return True
        judged = _inode(claim)
        return self.is_abandoned(bucket) and self._take_over(claim, judged)

    def release(self, buckets: Iterable[int]) -> None:
        """Give buckets back, once their rows are committed."""
        for bucket in buckets:
            self.mine.discard(bucket)
            claim = self._path(bucket)
            with contextlib.suppress(OSError):
                if claim.stat().st_ino == self._live.stat().st_ino:
                    claim.unlink()

    def owner(self, bucket: int) -> str | None:
        """Host and process of whoever claims a bucket."""
        try:
            return writer_said(read_start(self._path(bucket)).decode("ascii", errors="replace"))
        except OSError:
            return None

    def is_abandoned(self, bucket: int) -> bool:
        """Whether a claim's writer is dead, or has been silent for half a minute."""
        return _is_abandoned(self._path(bucket), self.now())

    def has_company(self) -> bool:
        """Whether another writer is at work in this space."""
        return has_live_writer(self.folder, self.now(), self._live.name)

    def claimed(self) -> set[int]:
        """The buckets that other writers have claims on, fresh or not."""
        with contextlib.suppress(OSError):
            return buckets_of(os.listdir(self.folder)) - self.mine
        return set()

    def _path(self, bucket: int) -> Path:
        return self.folder / f"{bucket:02x}"

    def _link(self, claim: Path) -> bool:
        try:
            os.link(self._live, claim)
        except FileExistsError:
            return False
        except OSError:
            self._linkable = False  # no hard links here: go without claims
            return False
        self.mine.add(int(claim.name, 16))
        return True

    def _take_over(self, claim: Path, judged: int | None) -> bool:
        """Move a claim that was judged abandoned out of the way, and claim its bucket."""
        aside = claim.with_name(f"{claim.name}.{secrets.token_hex(4)}.stale")
        with contextlib.suppress(OSError):  # of two that try, one finds it gone
            os.rename(claim, aside)
            try:
                if _inode(aside) != judged:
                    # Another taker was faster, and what we moved is its fresh claim: put it back.
                    os.link(aside, claim)
                    return False
            finally:
                aside.unlink()
        return self._link(claim)

    def now(self) -> float:
        """The file system's clock, in seconds since the epoch; this touches the live file."""
        with contextlib.suppress(OSError):
            os.utime(self._live)
            return self._live.stat().st_mtime
        return time.time()

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            self.now()

    def _sweep(self) -> None:
        """Remove what dead writers of this host left behind."""
        for live in self.folder.glob("*.live"):
            if is_dead_here(live.name):
                with contextlib.suppress(OSError):
                    live.unlink()


def has_live_writer(folder: Path, now: float, but: str = "") -> bool:
    """Whether a writer is at work in a ``claims/`` that neither died nor fell silent, the live file ``but`` aside.

    ``now`` is by the clock of the file system, in seconds since the epoch.
    """
    return any(path.name != but and not _is_abandoned(path, now) for path in folder.glob("*.live"))


def clock_of(folder: Path) -> float:
    """The clock of the file system that a folder lies on, in seconds since the epoch.

    Where nothing can be written, this machine's.
    """
    try:
        # Without a name where the file system can: on a full one a name cannot always be taken away again.
        with TemporaryFile(prefix="clock.", suffix=PARTIAL, dir=folder) as probe:
            return os.fstat(probe.fileno()).st_mtime
    except OSError:
        return time.time()


def abandoned_hints(folder: Path, now: float) -> list[Path]:
    """What writers that died or fell silent left in ``claims/``; any of it may be deleted."""
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return []
    return [path for path in paths if _HINT.fullmatch(path.name) and _is_abandoned(path, now)]


def _is_abandoned(claim: Path, now: float) -> bool:
    """Whether the writer of a claim, or of a live file, is dead or silent."""
    try:
        touched = claim.stat().st_mtime
        match = LIVE_NAME.fullmatch(read_start(claim).decode("ascii", errors="replace"))
    except OSError:
        return True
    if match and is_dead_here(match[0]):
        return True
    # Silent as well if it is from the future: the clock went back, and a live writer would have
    # touched it since.
    return abs(now - touched) > SILENCE


def new_live_name() -> str:
    """A name for what says that a writer of this process is at work."""
    return f"{host_name()}.{os.getpid()}.{secrets.token_hex(4)}.live"


def writer_said(live: str) -> str:
    """Host and process of a writer, by its live name."""
    match = LIVE_NAME.fullmatch(live)
    return f"{match['host'].rpartition('-')[0]}, process {match['pid']}" if match else "unknown"


def is_dead_here(live: str) -> bool:
    """Whether a writer, by the name of its live file, was a process of this host that runs no more."""
    match = LIVE_NAME.fullmatch(live)
    return match is not None and match["host"] == host_name() and not _is_running(int(match["pid"]))


def host_name() -> str:
    """This host, told apart from containers and boots that share its name but not its processes."""
    marks = [platform.node()]
    for source in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        with contextlib.suppress(OSError):
            marks.append(os.readlink(source) if source.endswith("pid") else Path(source).read_text())
    name = re.sub(r"[^A-Za-z0-9_-]", "_", platform.node())[:40] or "host"
    return f"{name}-{blake2b(repr(marks).encode(), digest_size=4).hexdigest()}"


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
