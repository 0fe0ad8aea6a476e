"""The tars that a path means: a tar, a folder of them, or a pattern in braces."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from braceexpand import braceexpand

from headstart.data.blocks import printable
from headstart.data.splits import split_name
from headstart.data.tables.parts import split_of
from headstart.errors import DataError

TAR = ".tar"
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".tar.lz4")
_UNPACK = {"gz": "gunzip", "bz2": "bunzip2", "xz": "unxz", "st": "unzstd", "z4": "unlz4"}


@dataclass(frozen=True, slots=True)
class TarFile:
    """A tar.

    Parameters
    ----------
    name : str
        Its path below the folder that was given, with its ending.
    split : str, optional
        The split that its name, or its folder's, says.
    """

    path: Path
    name: str
    split: str | None

    @property
    def prefix(self) -> str:
        """What the ids of its samples begin with."""
        return self.name[: -len(TAR)] if self.name.lower().endswith(TAR) else self.name


def is_tar(name: str) -> bool:
    """Whether a file's ending says that it is a tar, be it compressed."""
    return name.lower().endswith((TAR, *COMPRESSED))


def is_pattern(path: str) -> bool:
    """Whether a path is a pattern of tars, such as ``train-{000..012}.tar``."""
    return "{" in path and is_tar(path) and not os.path.exists(path)


def tars_in(folder: Path) -> list[Path]:
    """The tars of a folder and of its split folders, compressed ones only where there are no others."""
    folders = [folder, *(path for path in _entries(folder) if split_name(path.name) and path.is_dir())]
    found = [path for place in folders for path in _entries(place) if is_tar(path.name) and path.is_file()]
    plain = [path for path in found if path.name.lower().endswith(TAR)]
    return plain or found


def tar_files(root: Path, paths: Sequence[Path]) -> list[TarFile]:
    """Tars by their names below a folder.

    Raises
    ------
    DataError
        One of them is compressed.
    """
    for path in paths:
        if not path.name.lower().endswith(TAR):
            raise _compressed(path)
    return [TarFile(path, printable(os.path.relpath(path, root)), _split(path, root)) for path in paths]


def expand(pattern: str) -> list[Path]:
    """The tars that a pattern in braces stands for.

    Raises
    ------
    DataError
        One of them is not there.

    Examples
    --------
    >>> [path.name for path in expand("train-{00..01}.tar")]
    Traceback (most recent call last):
    headstart.errors.DataError: train-{00..01}.tar stands for 2 tars, and 2 are missing: train-00.tar, …
    """
    try:
        paths = [Path(path) for path in dict.fromkeys(braceexpand(pattern))]
    except ValueError as error:
        raise DataError(
            f"{pattern}: its braces do not match; write such as train-{{000..012}}.tar"
        ) from error
    missing = [path for path in paths if not path.is_file()]
    if missing:
        more = ", …" if len(missing) > 1 else ""
        raise DataError(
            f"{pattern} stands for {len(paths):,} tars, and {len(missing):,} are missing: {missing[0]}{more}"
        )
    return paths


def common_folder(paths: Sequence[Path]) -> Path:
    """The folder that all paths are below."""
    return Path(os.path.commonpath([os.path.abspath(path.parent) for path in paths]))


def _split(path: Path, root: Path) -> str | None:
    """What the folder says, else what the name says."""
    folder = os.path.dirname(os.path.relpath(path, root))
    return split_name(folder.partition("/")[0]) or split_of(path.name)


def _entries(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in sorted(os.listdir(folder)) if not name.startswith(".")]
    except OSError:
        return []  # whoever reads the folder says so


def _compressed(path: Path) -> DataError:
    ending = next(ending for ending in COMPRESSED if path.name.lower().endswith(ending))
    command = next(command for end, command in _UNPACK.items() if ending.endswith(end))
    return DataError(
        f"{path} is compressed, and samples are read from tars at their places; unpack it once with "
        f"{command}, and give the .tar"
    )
