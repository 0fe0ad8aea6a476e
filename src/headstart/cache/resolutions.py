"""What a backbone spec resolved to: remembered on this machine, and beside each space.

On this machine, a record holds the fingerprints of the files that the resolution read (the witnesses):
while none of them has changed, the answer is the same and no weights need to be loaded. Beside a
space lies the same answer without them, so that a machine that has no weights still finds the space.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import rfc8785

from headstart.errors import StorageError
from headstart.files import CLOCK_TICK_NS, fingerprint, make_directory, read_json, write_json
from headstart.types import BackboneInfo

if TYPE_CHECKING:
    from headstart.types import Json


class ResolutionMemo:
    """The records in one folder of this machine."""

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
        try:
            stats = [path.stat() for path in source_files]
            newest = max((max(s.st_mtime_ns, s.st_ctime_ns) for s in stats), default=0)
            if not source_files or newest > began_ns - CLOCK_TICK_NS:
                return
            make_directory(self.folder)
            record = {
                "key": dict(key),
                "witnesses": {str(path): _mark(path) for path in source_files},
                "info": info_to_json(info),
            }
            write_json(self._path(key), record)
        except (StorageError, OSError):
            return  # derived: going without costs a loading of the model, nothing else

    def forget(self, key: Mapping[str, Json]) -> None:
        """Drop an answer that has turned out to be wrong."""
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: Mapping[str, Json]) -> Path:
        return self.folder / f"{_digest(key)}.json"


def record_known(space: Path, spec: Mapping[str, Json], info: BackboneInfo) -> None:
    """Write beside a space which spec, commit and files are known to be its weights."""
    record = {"spec": dict(spec), "info": info_to_json(info)}
    target = space / "known" / f"{_digest(record)}.json"
    if target.exists():
        return
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
                    identity = (
                        info.weights,
                        info.architecture,
                        info.preprocessing,
                        info.max_length,
                        info.prompt,
                        info.code,
                    )
                    found[repr(identity)] = info
            except (OSError, StorageError, KeyError, TypeError):
                continue
    return list(found.values())


def info_to_json(info: BackboneInfo) -> dict[str, Json]:
    """A `BackboneInfo` as JSON."""
    return {field.name: getattr(info, field.name) for field in dataclasses.fields(info)}


def info_from_json(value: Mapping[str, Json]) -> BackboneInfo:
    """Read back what `info_to_json` wrote."""
    tuples = {name: tuple(value[name]) for name in ("taps", "layers_lack") if name in value}
    return BackboneInfo(**{**value, **tuples})


def _mark(path: Path) -> str:
    return fingerprint(path.stat()).hex()


def _digest(value: Json) -> str:
    return blake2b(rfc8785.dumps(value), digest_size=16).hexdigest()
