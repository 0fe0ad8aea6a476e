"""What is in a tar, by the conventions of WebDataset: its samples, and where their members are, in flat arrays.

A sample is a run of members whose names are alike up to the first dot after the last slash; what comes
after it, in whatever case, says what the member is. Some 30 bytes per member and the name of each sample are kept:
a tar of a million photos must not become a million Python objects.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
from array import array
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pyarrow as pa

from headstart.arrow import numbers_of
from headstart.data.source import printable
from headstart.data.tar_headers import Member, TarHeaders
from headstart.errors import StorageError
from headstart.files import make_directory, sweep_partials, write_durably
from headstart.places import machine_dir

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_MEMBER = -1

BUFFER = 1 << 14
"""Of the headers' reader: many tiny members at a time, and little that is not needed between large ones."""

SAMPLE_MEMBER = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$")
"""Name and ending, as webdataset's ``base_plus_ext`` has them."""

SMALL = ("cls", "json", "txt", "text")
SMALL_BYTES = 1024
NAMED = 3

_TWICE = (
    "a sample of this name came before: the members of a sample must follow each other "
    "(tar --sort=name), and no two samples be named alike"
)
_COMPRESSED = {
    b"\x1f\x8b": "gunzip",
    b"BZh": "bunzip2",
    b"\x28\xb5\x2f\xfd": "unzstd",
    b"\xfd7zXZ": "unxz",
}

VERSION = 1
MAX_FILES = 4096
MAX_BYTES = 2 << 30

_ARRAYS = ("key_bytes", "key_ends", "firsts", "codes", "offsets", "sizes", "held", "small")
_ABOUT = ("endings", "refused", "ignored", "n_ignored", "trouble")


@dataclass(frozen=True, slots=True)
class TarIndex:
    """The S samples of a tar and their M members, in its order.

    A sample's key is the name of its members up to the first dot; key ``i`` ends at ``key_ends[i + 1]``. Sample ``i``
    has the members ``firsts[i]:firsts[i + 1]``. Of each member ``codes`` says what its name ends with, as a number of
    ``endings`` (written without the first dot), ``offsets`` and ``sizes`` where its bytes are in the tar, and ``held``
    where they begin in ``small``, or -1: small labels and texts are kept, so that a warm run need not touch the tar.
    ``refused`` are samples that are not to be used, and why; ``ignored`` the first few members that belong to no
    sample; ``trouble`` says why the tar ends before its end.
    """

    key_bytes: NDArray[np.uint8]
    key_ends: NDArray[np.int64]
    firsts: NDArray[np.int64]
    codes: NDArray[np.int32]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    held: NDArray[np.int64]
    small: NDArray[np.uint8]
    endings: tuple[str, ...]
    refused: Mapping[int, str]
    ignored: tuple[str, ...]
    n_ignored: int
    trouble: str | None

    def __len__(self) -> int:
        return len(self.firsts) - 1

    @property
    def keys(self) -> pa.Array:
        """The samples' names, as strings."""
        buffers = [None, pa.py_buffer(self.key_ends), pa.py_buffer(self.key_bytes)]
        return pa.Array.from_buffers(pa.large_string(), len(self), buffers)

    def kinds(self) -> list[str]:
        """The endings in lower case, each once."""
        return list(dict.fromkeys(ending.lower() for ending in self.endings))

    def find(self, kinds: Collection[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The first member of each sample that ends like one of these (lower case), or -1, and how many there are."""
        wanted = [code for code, ending in enumerate(self.endings) if ending.lower() in kinds]
        found = np.flatnonzero(np.isin(self.codes, wanted))
        samples = np.searchsorted(self.firsts, found, side="right") - 1
        members = np.full(len(self), NO_MEMBER, dtype=np.int64)
        members[samples[::-1]] = found[::-1]  # the first one is written last
        return members, np.bincount(samples, minlength=len(self))

    def small_content(self, member: int) -> bytes | None:
        """The bytes of a member, if they are held here."""
        start = int(self.held[member])
        return None if start < 0 else self.small[start : start + int(self.sizes[member])].tobytes()


def read_index(file: BinaryIO, size: int) -> TarIndex:
    """The index of an opened tar of so many bytes."""
    headers = TarHeaders(file, size)
    indexing = _Indexing(file)
    for member in headers:
        indexing.add(member)
    if not headers.has_ended:
        indexing.drop_incomplete()
    trouble = headers.trouble
    return indexing.finish(_no_tar(file) if trouble == "no tar" else trouble)


def _no_tar(file: BinaryIO) -> str:
    file.seek(0)
    start = file.read(8)
    for magic, command in _COMPRESSED.items():
        if start.startswith(magic):
            return f"compressed, whatever its name says; unpack it with {command}"
    return "no tar" if start else "empty"


class _Indexing:
    """An index in the making."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._key: str | None = None
        self._before: set[str] = set()
        self._present: set[str] = set()
        self._names, self._ends = bytearray(), array("q", [0])
        self._firsts = array("q")
        self._members = {"codes": array("i"), "offsets": array("q"), "sizes": array("q"), "held": array("q")}
        self._small = bytearray()
        self._code_of: dict[str, int] = {}
        self._refused: dict[int, str] = {}
        self._ignored: list[str] = []
        self._n_ignored = 0

    def add(self, member: Member) -> None:
        name = member.name.removeprefix("./")
        parts = SAMPLE_MEMBER.match(name)
        if parts is None or (name[:2] == "__" and name.partition("/")[0].endswith("__")):
            self._n_ignored += 1
            if len(self._ignored) < NAMED:
                self._ignored.append(printable(name))
            return
        key, ending = parts.groups()
        if key != self._key:
            self._begin(key)
        lower = ending.lower()
        if member.refusal:
            self._refuse(f"{printable(name)}: {member.refusal}")
        elif lower in self._present:
            self._refuse(f"it has two members that end with .{lower}")
        self._present.add(lower)
        code = self._code_of.setdefault(ending, len(self._code_of))
        held = self._hold(member) if lower in SMALL else -1
        about = (code, member.offset, member.size, held)
        for column, value in zip(self._members.values(), about, strict=True):
            column.append(value)

    def _begin(self, key: str) -> None:
        self._key = key
        self._before, self._present = self._present, set()
        self._names += printable(key).encode("utf-8")
        self._ends.append(len(self._names))
        self._firsts.append(len(self._members["codes"]))

    def _refuse(self, reason: str) -> None:
        self._refused.setdefault(len(self._firsts) - 1, reason)

    def _hold(self, member: Member) -> int:
        if member.size > SMALL_BYTES or member.refusal:
            return -1
        self._file.seek(member.offset)
        start = len(self._small)
        self._small += self._file.read(member.size)
        return start if len(self._small) == start + member.size else -1

    def drop_incomplete(self) -> None:
        """Before a cut: leave the last sample out if it lacks what the one before it has."""
        if self._before <= self._present:
            return
        start = self._firsts.pop()
        for column in self._members.values():
            del column[start:]
        self._ends.pop()
        self._refused.pop(len(self._firsts), None)

    def finish(self, trouble: str | None) -> TarIndex:
        self._firsts.append(len(self._members["codes"]))
        columns = {"key_ends": self._ends, "firsts": self._firsts, **self._members}
        arrays: dict[str, NDArray[Any]] = {
            name: np.frombuffer(column, dtype=column.typecode) for name, column in columns.items()
        }
        index = TarIndex(
            key_bytes=np.frombuffer(self._names, dtype=np.uint8),
            small=np.frombuffer(self._small, dtype=np.uint8),
            **arrays,
            endings=tuple(printable(ending) for ending in self._code_of),
            refused=self._refused,
            ignored=tuple(self._ignored),
            n_ignored=self._n_ignored,
            trouble=trouble,
        )
        return replace(index, refused=dict.fromkeys(_repeated(index.keys), _TWICE) | self._refused)


def _repeated(keys: pa.Array) -> list[int]:
    """The samples whose name an earlier one has."""
    encoded = keys.dictionary_encode()
    if len(encoded.dictionary) == len(keys):
        return []
    codes = numbers_of(encoded.indices)
    later = np.ones(len(codes), dtype=bool)
    later[np.unique(codes, return_index=True)[1]] = False
    return np.flatnonzero(later).tolist()


class TarIndexStore:
    """Indexes of tars that this machine has met, in the user's cache directory: a warm run walks no headers.

    One file per tar, named by the tar's fingerprint: a tar that changes has another. All of it is derived: what
    is unreadable is made again, and what cannot be written only costs the walk.
    """

    def __init__(self) -> None:
        self._folder = machine_dir() / "tars"

    def load(self, fingerprint: bytes) -> TarIndex | None:
        """The index of the tar with a fingerprint; None if there is none that can be read."""
        path = self._path(fingerprint)
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
                index = _unpacked({name: stored[name] for name in stored.files})
            os.utime(path)  # the least recently used go first
        except Exception:  # a damaged file raises what it likes
            return None
        return index

    def save(self, fingerprint: bytes, index: TarIndex) -> None:
        """Keep the index of a tar."""
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **_packed(index))
        with contextlib.suppress(StorageError, OSError):
            make_directory(self._folder)
            write_durably(self._path(fingerprint), buffer.getbuffer())

    def trim(self) -> None:
        """Drop the oldest indexes beyond a bound."""
        if not self._folder.is_dir():
            return
        with contextlib.suppress(OSError):
            sweep_partials(self._folder)
            with os.scandir(self._folder) as entries:
                stats = [(entry.stat(), entry.path) for entry in entries if entry.name.endswith(".npz")]
            n_bytes = 0
            for number, (stat, path) in enumerate(sorted(stats, key=lambda file: -file[0].st_mtime_ns)):
                n_bytes += stat.st_size
                if number >= MAX_FILES or n_bytes > MAX_BYTES:
                    os.unlink(path)

    def _path(self, fingerprint: bytes) -> Path:
        return self._folder / f"{fingerprint.hex()}.npz"


def _packed(index: TarIndex) -> dict[str, NDArray[Any]]:
    about = {name: getattr(index, name) for name in _ABOUT} | {"version": VERSION}
    about["refused"] = list(index.refused.items())
    packed = np.frombuffer(json.dumps(about).encode("utf-8"), dtype=np.uint8)
    return {"about": packed, **{name: getattr(index, name) for name in _ARRAYS}}


def _unpacked(stored: dict[str, NDArray[Any]]) -> TarIndex | None:
    about = json.loads(stored["about"].tobytes())
    if about.pop("version") != VERSION:
        return None
    about |= {name: tuple(about[name]) for name in ("endings", "ignored")}
    about |= {name: stored[name] for name in _ARRAYS}
    return TarIndex(**{**about, "refused": dict(about["refused"])})
