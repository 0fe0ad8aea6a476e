"""``trash/``: what repair and gc took out of a cache, where it can be fetched back from for a while."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import secrets
import shutil
from pathlib import Path

from headstart.files import make_directory, storage_errors

_RUN = re.compile(r"(?P<time>\d{8}T\d{6})Z-[0-9a-f]{8}")
_TIME = "%Y%m%dT%H%M%S"


class Trash:
    """One run's folder in the trash, made with the first thing that is put there.

    Parameters
    ----------
    root : Path
        The cache.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._run = _new_run(root)

    def take(self, path: Path) -> Path:
        """Move a file or folder of the cache here.

        Returns
        -------
        Path
            Where it lies now.

        Raises
        ------
        FileNotFoundError
            It is gone: another process was faster.
        StorageError
            Nothing may be written.
        """
        target = self._run / path.relative_to(self.root)
        if target.exists():  # the same name a second time, written anew in between
            self._run = _new_run(self.root)
            target = self._run / path.relative_to(self.root)
        make_directory(target.parent)
        try:
            os.rename(path, target)
        except FileNotFoundError:
            raise
        except OSError:
            with storage_errors(path):
                raise
        return target


def trash_runs(root: Path) -> list[Path]:
    """The folders of earlier runs, oldest first."""
    try:
        paths = sorted((root / "trash").iterdir())
    except OSError:
        return []
    return [path for path in paths if _RUN.fullmatch(path.name) and path.is_dir()]


def taken_at(run: Path) -> float:
    """When a run began, in seconds since the epoch."""
    match = _RUN.fullmatch(run.name)
    when = datetime.datetime.strptime(match["time"] if match else "19700101T000000", _TIME)
    return when.replace(tzinfo=datetime.UTC).timestamp()


def delete(run: Path) -> None:
    """Delete what a run took out, for good."""
    shutil.rmtree(run, ignore_errors=True)


def size_of(path: Path) -> int:
    """The bytes of a file, or of all files in a folder."""
    total = 0
    for part in [path, *path.rglob("*")] if path.is_dir() else [path]:
        with contextlib.suppress(OSError):
            total += part.stat().st_size if part.is_file() else 0
    return total


def _new_run(root: Path) -> Path:
    now = datetime.datetime.now(datetime.UTC).strftime(_TIME)
    return root / "trash" / f"{now}Z-{secrets.token_hex(4)}"
