"""How a folder of images is laid out: ``[split/]class/**/image``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from headstart.data.image_files import is_image
from headstart.data.splits import split_name


@dataclass(frozen=True, slots=True)
class Layout:
    """What the folders above an image mean.

    Parameters
    ----------
    has_splits : bool
        The top-level folders are splits.
    has_classes : bool
        The first folder (below the split, if there is one) is the class.
    doubtful : tuple of str
        Top-level folders named like splits that are taken for classes, since others are not.
    """

    has_splits: bool
    has_classes: bool
    doubtful: tuple[str, ...] = ()

    def meaning(self, folder: str) -> tuple[str | None, str | None]:
        """Split and class of the images in a folder (its path ends with a slash).

        Examples
        --------
        >>> Layout(has_splits=True, has_classes=True).meaning("dev/cats/2024/")
        ('validation', 'cats')
        """
        parts = folder.split("/")[:-1]
        split = None
        if self.has_splits and parts:
            split = split_name(parts.pop(0))
        return split, parts[0] if self.has_classes and parts else None


def layout_of(root: Path) -> Layout:
    """Look at the top of a tree of images, and below only as far as the first image."""
    tops = folders_in(root)
    splits = [name for name in tops if split_name(name)]
    classes = [name for name in tops if not split_name(name)]
    if splits and not any(has_image(root / name) for name in classes):
        labelled = any(has_image(root / top / name) for top in splits for name in folders_in(root / top))
        return Layout(has_splits=True, has_classes=labelled)
    return Layout(False, any(has_image(root / name) for name in tops), tuple(splits))


def has_image(folder: Path) -> bool:
    """Whether there is an image in a folder, at any depth."""
    seen = set()
    pending = [str(folder)]
    while pending:
        path = pending.pop()
        identity = _identity(path)
        if identity in seen:
            continue
        seen.add(identity)
        for name, is_folder in _entries(path):
            if is_folder:
                pending.append(os.path.join(path, name))
            elif is_image(name):
                return True
    return False


def folders_in(folder: Path) -> list[str]:
    """The folders in a folder but for hidden ones, sorted."""
    return sorted(name for name, is_folder in _entries(str(folder)) if is_folder)


def _entries(path: str) -> list[tuple[str, bool]]:
    """What a folder holds but for hidden names; nothing if it cannot be read: the scan says so."""
    try:
        with os.scandir(path) as entries:
            return [(entry.name, _is_folder(entry)) for entry in entries if entry.name[0] != "."]
    except OSError:
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link to itself


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
