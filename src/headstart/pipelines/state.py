"""What a pipeline has done so far: ``pipeline.json`` in its folder, and whether what it says is still there."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from headstart.errors import ConfigError, StorageError
from headstart.files import make_directory, read_json, storage_errors, write_json
from headstart.registry.run import check_free

FILE = "pipeline.json"
FORMAT = 1
LOCK = ".pipeline.lock"
MARKS = ("report.json", "comparison.json", "export.json")
"""The files that a result is known by."""


@dataclass(frozen=True)
class Done:
    """What is known of a step: the key of its settings, its result, and the files that it left with their sizes."""

    verb: str
    key: str
    state: Literal["begun", "done"]
    result: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, int] = field(default_factory=dict)
    mark: str = ""
    seconds: float = 0.0
    finished: str = ""

    def is_whole(self, folder: Path) -> bool:
        """Whether all that it left is there as it was left; a cheap look, not a reading of every byte."""
        try:
            sizes_are_right = all((folder / name).stat().st_size == size for name, size in self.files.items())
        except OSError:
            return False
        return sizes_are_right and mark_of(folder) == self.mark


def finished(verb: str, key: str, result: Mapping[str, Any], folder: Path, seconds: float) -> Done:
    """A step that is done, with what it left in its folder."""
    files = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return Done(verb, key, "done", result, files, mark_of(folder), round(seconds, 3), now)


def mark_of(folder: Path) -> str:
    """The digest of the file that a result is known by; empty where there is none."""
    for name in MARKS:
        with contextlib.suppress(OSError):
            return blake2b((folder / name).read_bytes(), digest_size=8).hexdigest()
    return ""


class State:
    """What all steps of a named pipeline have done, kept in its folder after each.

    Raises
    ------
    ConfigError
        The folder holds something else, or the results of another pipeline.
    """

    def __init__(self, folder: Path, name: str) -> None:
        check_free(folder, True, FILE, "the results of a pipeline")
        self.folder, self.name = folder, name
        self._steps = self._read()

    def __getitem__(self, step: str) -> Done | None:
        return self._steps.get(step)

    def of(self, steps: Sequence[str]) -> dict[str, Done]:
        """What is known of some steps."""
        return {name: self._steps[name] for name in steps if name in self._steps}

    def put(self, step: str, done: Done) -> None:
        """Remember a step, on disk as well."""
        self._steps[step] = done
        self._write()

    def begin(self) -> None:
        """Make the folder and say whose it is, before anything else lies in it."""
        make_directory(self.folder)
        if not (self.folder / FILE).exists():
            self._write()

    def _write(self) -> None:
        steps = {name: asdict(one) for name, one in self._steps.items()}
        write_json(self.folder / FILE, {"format": FORMAT, "pipeline": self.name, "steps": steps})

    def _read(self) -> dict[str, Done]:
        path = self.folder / FILE
        try:
            found = read_json(path)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror}") from error
        try:
            steps = {name: Done(**said) for name, said in found["steps"].items()}
            form, owner = found["format"], found["pipeline"]
        except (TypeError, KeyError, AttributeError) as error:
            raise StorageError(
                f"{path} is not what a pipeline writes; delete it, and its steps run anew"
            ) from error
        if form != FORMAT:
            raise StorageError(
                f"{path} is of format {form!r}, and this version reads {FORMAT}; upgrade headstart"
            )
        if owner != self.name:
            raise ConfigError(
                f"{self.folder} holds the results of the pipeline {owner!r}; choose another --out for {self.name!r}"
            )
        return steps


def _unlinked(path: str, flags: int) -> int:
    """Open a file, and not what a link in its place leads to."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep a second command out of a pipeline's folder; a killed one leaves no lock behind.

    Raises
    ------
    ConfigError
        Another one is at work there.
    """
    with storage_errors(folder / LOCK), open(folder / LOCK, "ab", opener=_unlinked) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"another headstart run is at work in {folder}; wait for it, or choose another --out"
            ) from error
        except OSError:  # some network mounts know no locks
            pass
        yield
