"""Converted models that this machine keeps: found by what they are, checked before they are read, and bounded."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]
import rfc8785

from headstart.cache.memos import IDENTITY
from headstart.cache.recipe import NUMERICS
from headstart.errors import StorageError
from headstart.files import (
    PARTIAL,
    content_digest,
    make_directory,
    read_json,
    size_of,
    sweep_partials,
    write_durably,
    write_folder,
    write_json,
)
from headstart.places import machine_dir

if TYPE_CHECKING:
    from headstart.types import BackboneInfo, Json

FORMAT = 1
"""Raised when models that were converted before are not to be used any more."""
MANIFEST, REFUSAL, SPEEDS, COMPILED = "model.json", "refused.json", "speeds.json", "compiled"
LIBRARIES = ("openvino", "torch", "torchvision", "transformers", "timm", "tokenizers", "pillow")
MOST_BYTES = 10 * 2**30
"""What all of them may take together."""


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a converted model was on a kind of machine, a thread each."""

    gain: float
    """How many times as fast as torch."""
    seconds: float
    """Of processor time for a sample."""


class DamagedError(StorageError):
    """A converted model is not what was written."""


def identity_of(info: BackboneInfo) -> dict[str, Json]:
    """All that a converted model depends on: what enters recipes, and the versions of the libraries."""
    return {
        "format": FORMAT,
        "numerics": NUMERICS,
        "modality": info.modality,
        "libraries": {name: _version(name) for name in LIBRARIES},
        **{name: getattr(info, name) for name in IDENTITY},
    }


@functools.cache  # reading one takes 2 ms
def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


@dataclass(frozen=True)
class KeptModel:
    """A converted model on disk.

    ``manifest`` has the names of its ``inputs``, by output the largest ``errors`` that its proof found, the digests of
    its ``files``, and what prepares samples for it without torch (``plain``; None: nothing does).
    """

    path: Path
    manifest: Mapping[str, Json]

    def proves(self, outputs: list[str]) -> bool:
        """Whether these outputs were shown to be those of torch."""
        return set(outputs) <= set(self.manifest["errors"])

    def read(self, name: str) -> bytes:
        """The content of one of its files, checked.

        Raises
        ------
        DamagedError
            It is not what was written.
        """
        return _checked(self.path / name, self.manifest["files"].get(name, ""))

    def compiled(self, name: str) -> bytes | None:
        """A compiled form, checked; None where there is none of that name. One that is damaged is deleted."""
        for path in (self.path / COMPILED).glob(f"{name}-*.blob"):
            try:
                return _checked(path, path.stem.rpartition("-")[2])
            except DamagedError:
                with contextlib.suppress(OSError):
                    path.unlink()
        return None

    def keep_compiled(self, name: str, content: bytes) -> None:
        """Keep a compiled form for the next time; where it cannot be written it is made anew then."""
        with contextlib.suppress(StorageError, OSError):
            make_directory(self.path / COMPILED)
            sweep_partials(self.path / COMPILED)
            write_durably(self.path / COMPILED / f"{name}-{content_digest(content)}.blob", content)

    def speed(self, machine: str) -> Speed | None:
        """How fast it was on this kind of machine; None: nobody knows."""
        try:
            return Speed(**{name: float(value) for name, value in self._speeds()[machine].items()})
        except (AttributeError, KeyError, TypeError, ValueError):
            return None

    def remember_speed(self, machine: str, speed: Speed) -> None:
        """Keep what a trial showed."""
        said = {"gain": round(speed.gain, 3), "seconds": round(speed.seconds, 6)}
        with contextlib.suppress(StorageError, OSError):
            write_json(self.path / SPEEDS, {**self._speeds(), machine: said})

    def _speeds(self) -> dict[str, Any]:
        found = _read(self.path / SPEEDS)
        return found if isinstance(found, dict) else {}


class KeptModels:
    """The converted models of this machine, each in a folder named after what it depends on."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = machine_dir() / "models" if root is None else root

    def find(self, info: BackboneInfo) -> KeptModel | None:
        """The converted form of a backbone; None: there is none. One whose description is damaged is deleted."""
        self._sweep()
        path = self._path(info)
        if not path.is_dir() or (path / REFUSAL).exists():
            return None
        manifest = _read(path / MANIFEST)
        if not isinstance(manifest, dict) or manifest.pop("digest", "") != _digest(manifest):
            self.drop(path)
            return None
        with contextlib.suppress(OSError):  # when it was last used says which goes first
            os.utime(path)
        return KeptModel(path, manifest)

    def refusal(self, info: BackboneInfo) -> str | None:
        """Why a backbone cannot be converted; None: it may be tried."""
        found = _read(self._path(info) / REFUSAL)
        return str(found.get("reason")) if isinstance(found, dict) else None

    def refuse(self, info: BackboneInfo, reason: str) -> None:
        """Remember that a backbone cannot be converted, so that no run tries again."""
        with contextlib.suppress(StorageError, OSError):
            write_folder(self._path(info), lambda folder: write_json(folder / REFUSAL, {"reason": reason}))

    def keep(self, info: BackboneInfo, write: Callable[[Path], Mapping[str, Json]]) -> KeptModel:
        """Keep a model: ``write`` puts its files into a folder, and gives its manifest without their digests.

        Raises
        ------
        StorageError
            There is no room for it, or nothing may be written there.
        """
        path = self._path(info)

        def put(folder: Path) -> None:
            manifest = dict(write(folder))
            manifest["files"] = {file.name: content_digest(file.read_bytes()) for file in folder.iterdir()}
            manifest["spec"] = info.spec
            write_json(folder / MANIFEST, {**manifest, "digest": _digest(manifest)})

        make_directory(self.root)
        write_folder(path, put)
        self.prune(spares=path)
        found = self.find(info)
        if found is None:
            raise StorageError(f"the converted model was not kept in {path}")
        return found

    def drop(self, path: Path) -> None:
        """Delete one."""
        shutil.rmtree(path, ignore_errors=True)

    def prune(
        self, most_bytes: int = MOST_BYTES, spares: Path | None = None, dry_run: bool = False
    ) -> list[tuple[Path, int]]:
        """Delete those that were not used for longest until the rest is within a bound: which, and their bytes."""
        self._sweep()
        folders = [path for path in self.root.iterdir() if path.is_dir()] if self.root.is_dir() else []
        sizes = {path: size_of(path) for path in folders}
        left, gone = sum(sizes.values()), []
        for path in sorted(sizes, key=_last_used):
            if left <= most_bytes:
                break
            if path == spares:
                continue
            left -= sizes[path]
            gone.append((path, sizes[path]))
            if not dry_run:
                self.drop(path)
        return gone

    def _sweep(self) -> None:
        """Delete what a process that is gone was writing: no other machine writes here."""
        for path in self.root.glob(f"*{PARTIAL}"):
            writer = path.name.removesuffix(PARTIAL).rpartition(".")[2].partition("-")[0]
            if writer.isdecimal() and not psutil.pid_exists(int(writer)):
                self.drop(path)

    def _path(self, info: BackboneInfo) -> Path:
        return self.root / _digest(identity_of(info))[:16]


def _last_used(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return time.time()


def _checked(path: Path, digest: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DamagedError(f"{path} cannot be read: {error.strerror}") from error
    if content_digest(content) != digest:
        raise DamagedError(f"{path} is not what was written")
    return content


def _read(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, StorageError, ValueError):
        return None


def _digest(value: Json) -> str:
    return blake2b(rfc8785.dumps(value), digest_size=16).hexdigest()
