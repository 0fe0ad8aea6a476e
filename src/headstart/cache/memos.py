"""Memos: what this machine knows already of files and of backbone specs, and what a space knows of its weights."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TypeAlias

import numpy as np
import rfc8785
from numpy.typing import NDArray

from headstart.cache.layout import check_no_link
from headstart.errors import StorageError
from headstart.files import (
    CLOCK_TICK_NS,
    content_digest,
    fingerprint,
    make_directory,
    read_json,
    write_durably,
    write_json,
)
from headstart.keys import KEY_BYTES, search, words
from headstart.types import BackboneInfo, Json

MAX_FILES = 8
IDENTITY = ("weights", "architecture", "preprocessing", "max_length", "windows", "prompt", "code")
"""In which two answers for one spec differ, or they are one."""


_Table: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.uint64], NDArray[np.uint64]]
"""The rows of one file, shape (N, 32), and their fingerprints as two sorted columns."""


class FingerprintMemo:
    """128-bit fingerprint → 128-bit value, in one folder, which is made when something is first remembered.

    Rows of 32 bytes in immutable, sorted npy files named by their digest, merged when there are more than
    eight. A file that changes has another fingerprint, so nothing is ever updated, and nothing needs a
    lock. All of it is derived: what is corrupt, unreadable or cannot be written only costs the work again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tables: dict[str, _Table] | None = None

    def lookup(self, fingerprints: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Values, shape (N, 16), and which of the fingerprints are known, shape (N,)."""
        values = np.zeros((len(fingerprints), KEY_BYTES), dtype=np.uint8)
        known = np.zeros(len(fingerprints), dtype=bool)
        for rows, hi, lo in self._load().values():
            positions, found = search(hi, lo, fingerprints)
            values[found] = rows[positions[found], KEY_BYTES:]
            known |= found
        return values, known

    def remember(self, fingerprints: NDArray[np.uint8], values: NDArray[np.uint8]) -> None:
        """Keep values, shape (N, 16), under fingerprints of the same shape."""
        if not len(fingerprints):
            return
        tables = self._load()
        fresh = np.concatenate([fingerprints, values], axis=1)
        old = list(tables) if len(tables) >= MAX_FILES else []
        rows = np.concatenate([*(tables[name][0] for name in old), fresh])
        hi, lo = words(rows[:, :KEY_BYTES])
        rows = rows[np.lexsort((lo, hi))]
        buffer = io.BytesIO()
        np.save(buffer, rows, allow_pickle=False)
        name = f"{content_digest(buffer.getvalue())}.npy"
        with contextlib.suppress(StorageError, OSError):  # a memo that is not kept costs time, nothing else
            make_directory(self.folder)
            write_durably(self.folder / name, buffer.getvalue())
            tables[name] = _table(rows)
            for merged in old:
                (self.folder / merged).unlink(missing_ok=True)
                tables.pop(merged)

    def _load(self) -> dict[str, _Table]:
        if self._tables is None:
            paths = sorted(self.folder.glob("*.npy")) if self.folder.is_dir() else []
            loaded = {path.name: _read(path) for path in paths}
            self._tables = {name: table for name, table in loaded.items() if table is not None}
        return self._tables


def _read(path: Path) -> _Table | None:
    """The table of a file whose content has the digest in its name; None for anything else."""
    try:
        content = path.read_bytes()
        if content_digest(content) != path.stem:
            return None  # a flipped bit in a key would name a sample that does not exist
        table = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except Exception:  # a damaged header raises what it likes, tokenize.TokenError among it
        return None
    if table.dtype != np.uint8 or table.ndim != 2 or table.shape[1] != 2 * KEY_BYTES:
        return None
    return _table(table)


def _table(rows: NDArray[np.uint8]) -> _Table:
    return rows, *words(rows[:, :KEY_BYTES])


class ResolutionMemo:
    """What backbone specs resolved to, in one folder of this machine.

    A record holds the fingerprints of the files that the resolution read (the witnesses): while none of them has
    changed, the answer is the same and no weights need to be loaded.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: Mapping[str, Json]) -> BackboneInfo | None:
        """The answer, if every file that it was read from is as it was."""
        try:
            record = read_json(self._path(key))
            source_files = record["witnesses"].items()
            if all(_mark(Path(path)) == mark for path, mark in source_files):
                return info_from_json(record["info"])
        except (OSError, StorageError, KeyError, TypeError, AttributeError):
            return None
        return None

    def put(
        self, key: Mapping[str, Json], info: BackboneInfo, source_files: Sequence[Path], began_ns: int
    ) -> None:
        """Keep an answer, unless a witness may have changed since the loading began.

        Parameters
        ----------
        source_files : sequence of Path
            Files that were read, and folders in which another file would have been read.
        began_ns : int
            When the loading began, in nanoseconds since the epoch.
        """
        with contextlib.suppress(
            StorageError, OSError
        ):  # derived: going without costs a loading of the model
            stats = [path.stat() for path in source_files]
            newest = max((max(s.st_mtime_ns, s.st_ctime_ns) for s in stats), default=0)
            if not source_files or newest > began_ns - CLOCK_TICK_NS:
                return
            make_directory(self.folder)
            witnesses = {str(path): _mark(path) for path in source_files}
            write_json(
                self._path(key), {"key": dict(key), "witnesses": witnesses, "info": info_to_json(info)}
            )

    def forget(self, key: Mapping[str, Json]) -> None:
        """Drop an answer that has turned out to be wrong."""
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: Mapping[str, Json]) -> Path:
        return self.folder / f"{_digest(key)}.json"


def record_known(space: Path, spec: Mapping[str, Json], info: BackboneInfo) -> None:
    """Write beside a space which spec, commit and files are known to be its weights.

    So a machine that has no weights still finds the space.
    """
    record = {"spec": dict(spec), "info": info_to_json(info)}
    target = space / "known" / f"{_digest(record)}.json"
    if target.exists():
        return
    check_no_link(space.parents[1], target.parent)
    make_directory(target.parent)
    write_json(target, record)


def find_known(spaces: Iterable[Path], spec: Mapping[str, Json]) -> list[BackboneInfo]:
    """The different answers that the spaces of a cache have for a spec."""
    found: dict[str, BackboneInfo] = {}
    for space in spaces:
        for path in sorted((space / "known").glob("*.json")):
            try:
                record = read_json(path)
                if record["spec"] == dict(spec):
                    info = info_from_json(record["info"])
                    found[repr([getattr(info, name) for name in IDENTITY])] = info
            except (OSError, StorageError, KeyError, TypeError):
                continue
    return list(found.values())


def info_to_json(info: BackboneInfo) -> dict[str, Json]:
    """A `BackboneInfo` as JSON, without the windows that most have none of: earlier versions know no such name."""
    said = {field.name: getattr(info, field.name) for field in dataclasses.fields(info)}
    return {name: value for name, value in said.items() if name != "windows" or value is not None}


def info_from_json(value: Mapping[str, Json]) -> BackboneInfo:
    """Read back what `info_to_json` wrote."""
    tuples = {name: tuple(value[name]) for name in ("taps", "layers_lack") if name in value}
    return BackboneInfo(**{**value, **tuples})


def _mark(path: Path) -> str:
    return fingerprint(path.stat()).hex()


def _digest(value: Json) -> str:
    return blake2b(rfc8785.dumps(value), digest_size=16).hexdigest()
