"""A cache in another folder: on another disk, on a mount."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from headstart.cache.home import Home
from headstart.cache.layout import check_no_link
from headstart.errors import StorageError
from headstart.files import PARTIAL, make_directory, partial_path, storage_errors, sync_directory
from headstart.sharing.place import Advance, CachePlace, OutgoingFile, OutgoingState

COPIED_BYTES = 8 << 20
"""What is copied between two looks at the progress."""


class FolderPlace(CachePlace):
    """The cache in a folder of this machine."""

    def __init__(self, root: Path) -> None:
        super().__init__(str(root))
        self._root = root
        if root.exists() and not root.is_dir():
            raise StorageError(f"{root} is a file; a cache is a folder")

    def files(self, folder: str) -> dict[str, int]:
        """See `CachePlace`."""
        found = {}
        for place, folders, names in os.walk(self._root / folder):
            folders[:] = [name for name in folders if PARTIAL not in name]
            for name in names:
                path = Path(place, name)
                if PARTIAL not in name and path.is_file():
                    found[path.relative_to(self._root).as_posix()] = path.stat().st_size
        return found

    def read(self, path: str) -> bytes | None:
        """See `CachePlace`."""
        try:
            return (self._root / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StorageError(f"cannot read {self._root / path}: {error.strerror}") from error

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """See `CachePlace`."""
        with open(self._root / path, "rb") as file:
            file.seek(start)
            return file.read(length)

    def fetch(self, path: str, target: Path, advance: Advance) -> None:
        """See `CachePlace`."""
        _copy(self._root / path, target, advance)

    def send(self, files: Sequence[OutgoingFile], advance: Advance) -> None:
        """See `CachePlace`."""
        for file in files:
            target = self._root / file.path
            check_no_link(self._root, target.parent)
            make_directory(target.parent)
            partial = partial_path(target)
            with storage_errors(target):
                try:
                    _write(file, partial, advance)
                    os.replace(partial, target)
                finally:
                    partial.unlink(missing_ok=True)
                sync_directory(target.parent)

    def commit_state(
        self, state: OutgoingState, replaces: str | None, in_force: bool, advance: Advance
    ) -> bool:
        """See `CachePlace`."""
        folder = self._root / "sets" / state.name
        check_no_link(self._root, folder)
        make_directory(folder)
        put_state(folder, state, advance)
        return Home(self._root).swap_current(folder, state.digest, replaces) if in_force else True


def put_state(folder: Path, state: OutgoingState, advance: Advance) -> None:
    """Write a state into a set's folder beside its place, and put it there whole."""
    target, partial = folder / state.digest, partial_path(folder / "new")
    with storage_errors(target):
        try:
            partial.mkdir()
            for file in state.files:
                _write(file, partial / file.path.rpartition("/")[2], advance)
            if not (target / "set.json").exists():
                os.rename(partial, target)
            sync_directory(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _write(file: OutgoingFile, target: Path, advance: Advance) -> None:
    if isinstance(file.content, Path):
        _copy(file.content, target, advance)
        return
    with open(target, "xb") as written:
        written.write(file.content)
        written.flush()
        os.fsync(written.fileno())
    advance(len(file.content))


def _copy(source: Path, target: Path, advance: Advance) -> None:
    with open(source, "rb") as read, storage_errors(target), open(target, "xb") as written:
        while part := read.read(COPIED_BYTES):
            written.write(part)
            advance(len(part))
        written.flush()
        os.fsync(written.fileno())
