"""A cache: spaces and sets in one folder or bucket, shared by whoever can see it."""

from __future__ import annotations

import os
from pathlib import Path

from headstart.cache.home import in_force
from headstart.cache.layout import (
    CACHE_FORMAT,
    SET_FORMAT,
    SPACE_NAME,
    STATE_NAME,
    check_format,
    check_set_name,
)
from headstart.cache.memos import FingerprintMemo, ResolutionMemo
from headstart.cache.open_home import home_at
from headstart.cache.recipe import Recipe
from headstart.cache.set_state import REPAIR
from headstart.cache.sets import FeatureSet
from headstart.cache.space import Space, open_space
from headstart.errors import DataError, FormatError, StorageError
from headstart.files import make_directory, read_json, write_json
from headstart.options import did_you_mean
from headstart.places import machine_dir


class Cache:
    """The cache in a folder, which need not exist before the first write, or in a bucket, by its address.

    ``root`` is where its files lie on this machine, ``location`` what a user calls it.

    Raises
    ------
    FormatError
        It was written by a later version.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self.home = home_at(root)
        self.root = self.home.root
        self.keys = FingerprintMemo(machine_dir() / "keys")
        self.resolutions = ResolutionMemo(machine_dir() / "resolutions")
        self._check()

    @property
    def location(self) -> str | Path:
        """Its folder or address."""
        return self.home.location

    def _check(self) -> None:
        self.home.refresh_header()
        if self.root.exists() and not self.root.is_dir():
            raise StorageError(f"{self.root} is a file; --cache takes a folder")
        try:
            header = read_json(self.root / "headstart.json")
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(f"cannot read {self.root}: {error.strerror}") from error
        if not isinstance(header, dict):
            raise FormatError(f"{self.root / 'headstart.json'} is not the header of a cache")
        check_format(header.get("format"), CACHE_FORMAT, f"{self.root} is a cache")

    def prepare(self) -> None:
        """Make the folder and its header before the first write."""
        make_directory(self.root)
        if not (self.root / "headstart.json").exists():
            write_json(self.root / "headstart.json", {"format": CACHE_FORMAT})
            self.home.publish(self.root / "headstart.json")

    def space(self, recipe: Recipe) -> Space:
        """The space of a recipe, whether it holds anything yet or not."""
        return Space(self.root / "spaces" / recipe.id, recipe)

    def space_paths(self) -> list[Path]:
        """The folders of all spaces, sorted."""
        return self.home.space_paths()

    def open_space(self, space_id: str) -> Space:
        """A space that exists.

        Raises
        ------
        DataError
            There is none of that id.
        """
        path = self.root / "spaces" / space_id
        if SPACE_NAME.fullmatch(space_id):
            self.home.refresh_space(path)
        if not SPACE_NAME.fullmatch(space_id) or not path.is_dir():
            raise DataError(f"there is no space {space_id!r} in {self.location}")
        return open_space(path)

    def set_names(self) -> list[str]:
        """The names of all sets, sorted."""
        return [path.name for path in self.home.set_paths() if (path / "current").exists()]

    def set_dir(self, name: str) -> Path:
        """The folder of a set, which need not exist."""
        return self.root / "sets" / check_set_name(name)

    def open_set(self, name: str, digest: str | None = None) -> FeatureSet:
        """A set in its digest in force, or in one of its earlier ones.

        Raises
        ------
        DataError
            There is no such set; the message names those that there are.
        """
        if not self.has_set(name):
            names = self.set_names()
            hint = (
                did_you_mean(name, names) if names else "; there are: none yet; `headstart extract` makes one"
            )
            raise DataError(f"there is no set {name!r} in {self.location}{hint}")
        return self.open_state(self.set_dir(name), digest)

    def open_state(self, folder: Path, digest: str | None = None) -> FeatureSet:
        """A state of the set in a folder, or that in force; a StorageError says that it is broken, or newer."""
        if digest is None:
            digest = in_force(folder) or ""
        if not STATE_NAME.fullmatch(digest):  # "../other/<digest>" would be a state of another set
            raise StorageError(
                f"set {folder.name!r} points to {digest[:60]!r}, which names no state; {REPAIR}"
            )
        path = folder / digest
        self.home.fetch_state(path)
        try:
            info = read_json(path / "set.json")
        except (OSError, StorageError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not valid JSON"
            raise StorageError(
                f"set {folder.name!r} points to {digest!r}, whose set.json cannot be read ({reason}); {REPAIR}"
            ) from error
        found = info.get("format") if isinstance(info, dict) else None
        check_format(found, SET_FORMAT, f"set {folder.name!r} is")
        return FeatureSet(path, info, self.open_space)

    def find_set(self, name: str) -> FeatureSet | None:
        """A set, or None where there is none yet."""
        return self.open_state(self.set_dir(name)) if self.has_set(name) else None

    def has_set(self, name: str) -> bool:
        """Whether there is such a set."""
        self.home.refresh_set(self.set_dir(name))
        return (self.set_dir(name) / "current").exists()
