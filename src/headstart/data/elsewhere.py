"""Data in buckets and on web servers: what an address stands for, as paths that the readers of local data take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from headstart.data.contents import is_image
from headstart.data.npz import is_npz
from headstart.data.read_table import is_table
from headstart.data.tars import is_tar
from headstart.errors import DataError
from headstart.remote.paths import RemotePath
from headstart.remote.patterns import is_pattern, matching

if TYPE_CHECKING:
    from collections.abc import Sequence


def place_of(address: str) -> Path | list[Path]:
    """What an address stands for: a file, a folder with all that is in it listed, or the files of a pattern.

    They are no `Path`, but answer what the readers of data ask of one.

    Raises
    ------
    DataError
        There is nothing, or it cannot be listed or read.
    ConfigError, MissingDependencyError
        As `headstart.remote.store.open_store`.
    """
    try:
        if is_pattern(address):
            return [cast("Path", path) for path in matching(address)]
        return cast("Path", _found(RemotePath.of(address)))
    except FileNotFoundError:
        raise _no_such(RemotePath.of(address)) from None
    except OSError as error:
        raise DataError(f"{RemotePath.of(address)} cannot be read: {error.strerror or error}") from error


def top_of(paths: Sequence[Path]) -> Path:
    """The folder that files of a pattern lie in, be it above several."""
    first = cast("RemotePath", paths[0])
    keys = [cast("RemotePath", path.parent).key.split("/") for path in paths]
    shared = 0
    while all(len(key) > shared and key[shared] == keys[0][shared] for key in keys):
        shared += 1
    return cast("Path", RemotePath(first.store, "/".join(keys[0][:shared])))


def _found(path: RemotePath) -> RemotePath:
    """A file, or a folder with its listing; what its name is like is asked for first."""
    if not path.is_in_bucket:
        path.stats()
        return path
    if path.key and _is_like_a_file(path.name):
        try:
            path.stats()
        except FileNotFoundError:
            pass
        else:
            return path
    folder = path.listed()
    if folder.is_dir():
        return folder
    if not path.key:
        raise DataError(f"{path} is empty")
    path.stats()
    return path


def _is_like_a_file(name: str) -> bool:
    return is_table(name) or is_tar(name) or is_image(name) or is_npz(name)


def _no_such(path: RemotePath) -> DataError:
    if path.is_in_bucket:
        return DataError(f"there is no object and no folder {path}")
    return DataError(
        f"there is no file {path}: the server does not know it, and lists no folders; name a file"
    )
