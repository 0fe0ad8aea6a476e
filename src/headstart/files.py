"""Writing files so that a reader sees all of one or nothing, and a power cut changes nothing."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING

from headstart import trust
from headstart.errors import StorageError

if TYPE_CHECKING:
    from headstart.types import Json

PARTIAL = ".partial"
"""The ending of what is being written; whoever finds an old one may delete it."""

EXPIRY = 24 * 3600.0
"""Seconds after which nobody can still be writing a partial file of at most 64 MB."""

CLOCK_TICK_NS = 2_000_000_000
"""A file changed within this time is not remembered by any memo.

File systems stamp times by a clock that ticks (10 ms on ext4, up to 2 s on FAT and some network
file systems): a second change within the same tick would leave the fingerprint as it is.
"""

_IDENTITY = Struct("<5q")


def fingerprint(stat: os.stat_result) -> bytes:
    """What a file is known by on this machine, in 16 bytes.

    BLAKE2b-128 of device, inode, size, mtime and ctime: two reads under one fingerprint give the
    same bytes, as long as neither time is younger than `CLOCK_TICK_NS` at the first.
    """
    return fingerprint_of(stat_fields(stat))


def fingerprint_of(fields: tuple[int, int, int, int, int]) -> bytes:
    """The same of stat fields."""
    return blake2b(_IDENTITY.pack(*fields), digest_size=16).digest()


def content_digest(content: bytes | memoryview) -> str:
    """BLAKE2b-64 of a file's content, 16 hex digits: a shard's name, among others."""
    return blake2b(content, digest_size=8).hexdigest()


def stat_fields(stat: os.stat_result) -> tuple[int, int, int, int, int]:
    """What a fingerprint is made of, each within a signed 64-bit integer."""
    device, inode = _signed(stat.st_dev), _signed(stat.st_ino)
    return device, inode, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _signed(number: int) -> int:
    """The same 64 bits as a signed integer: some file systems number inodes beyond 2**63."""
    return number if number < 1 << 63 else number - (1 << 64)


def partial_path(path: Path) -> Path:
    """A name beside ``path`` that nobody else uses, to write to before renaming."""
    return path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}{PARTIAL}")


def whole_files(folder: Path) -> list[Path]:
    """The files of a folder, sorted, but for those that somebody is writing."""
    return sorted(path for path in folder.iterdir() if PARTIAL not in path.name and path.is_file())


def sweep_partials(folder: Path) -> None:
    """Delete what killed writers left half-written in a folder, once it is old enough to be sure."""
    for path in folder.glob(f"*{PARTIAL}"):
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime < EXPIRY:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


def sync_directory(path: Path) -> None:
    """Flush a directory, so that a rename in it survives a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network mounts cannot
            raise
    finally:
        os.close(descriptor)


def write_durably(path: Path, content: bytes | memoryview) -> None:
    """Write ``content`` beside its place, flush it, rename it there and flush the folder.

    Raises
    ------
    StorageError
        The disk is full, or nothing may be written there. ``path`` is as it was before.
    """
    partial = partial_path(path)
    with storage_errors(path):
        try:
            with open(partial, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


def write_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Make a folder, and write files into it by their names."""
    make_directory(folder)
    for name, content in contents.items():
        write_durably(folder / name, content)


def write_json(path: Path, value: Json) -> None:
    """Write JSON for people (indented, sorted by insertion) durably, as a file of the user's own."""
    content = (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")
    trust.remember(content)
    write_durably(path, content)


def read_json(path: Path) -> Json:
    """Read JSON; what is not JSON is named, and code that a stranger's file names is not to be imported.

    Raises
    ------
    StorageError
        The file is not JSON in UTF-8.
    FileNotFoundError
        There is no such file.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise StorageError(f"{path} is no file, and is not read; delete it or restore it")
    content = path.read_bytes()
    try:
        values = json.loads(content.decode("utf-8-sig"))  # of bytes, it would take other encodings as well
    except (ValueError, RecursionError) as error:
        raise StorageError(f"{path} is not valid JSON ({error}); delete it or restore it") from error
    if b"py:" in content or b"\\u00" in content:  # the same behind an escape
        trust.note(values, content, path)
    return values


def read_start(path: Path, n_bytes: int = 512) -> bytes:
    """The first bytes of a small file; of one that never ends, and of a pipe that nobody writes to, too."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(descriptor, n_bytes)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into one clear line."""
    try:
        yield
    except OSError as error:
        raise StorageError(_explain(error, path)) from error


def make_directory(path: Path) -> None:
    """Make a folder and its parents; say clearly where that is not allowed."""
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)


def size_of(path: Path) -> int:
    """The bytes of a file, or of all files in a folder."""
    total = 0
    for part in [path, *path.rglob("*")] if path.is_dir() else [path]:
        with contextlib.suppress(OSError):
            total += part.stat().st_size if part.is_file() else 0
    return total


def write_folder(target: Path, write: Callable[[Path], None]) -> None:
    """Write a folder beside its place and put it there, whole or not at all; what lay there is replaced.

    Parameters
    ----------
    target : Path
    write : callable
        Fills an empty folder.

    Raises
    ------
    StorageError
        It cannot be written; what was there before is as it was.
    """
    make_directory(target.parent)
    partial = partial_path(target)
    try:
        make_directory(partial)
        write(partial)
        swap_folder(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def swap_folder(partial: Path, target: Path) -> None:
    """Put the new directory in the place of the old one, which is kept until then."""
    with storage_errors(target):
        old = partial_path(target)
        if target.exists():
            os.rename(target, old)
        try:
            os.rename(partial, target)
        except OSError as error:
            if old.exists():
                os.rename(old, target)
            raise StorageError(f"cannot write {target}: {error.strerror}") from error
        sync_directory(target.parent)
        if old.is_symlink():  # only the link goes, not what it leads to
            old.unlink()
        shutil.rmtree(old, ignore_errors=True)


def _explain(error: OSError, path: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (
            f"no space left to write {path}; what was committed before is kept: "
            "free some space and run the same command again"
        )
    if error.errno == errno.EROFS:
        return f"cannot write {path}: its file system is mounted read-only; choose another place with --cache"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"no permission to write {path}; choose another place, or mend its permissions"
    return f"cannot write {path}: {error.strerror or error}"
