"""Reading what is in a tar, by the conventions of WebDataset.

A sample is a run of members whose names are alike up to the first dot after the last slash; what comes
after it, in whatever case, says what the member is.
"""

from __future__ import annotations

import os
import re
from array import array
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from headstart.arrow import numbers_of
from headstart.data.blocks import printable
from headstart.data.tars.headers import Member, TarHeaders
from headstart.data.tars.index import TarIndex

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


def read_index(file: BinaryIO) -> TarIndex:
    """The index of an opened tar."""
    headers = TarHeaders(file, os.fstat(file.fileno()).st_size)
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
        self._names = bytearray()
        self._ends = array("q", [0])
        self._firsts = array("q")
        self._codes, self._held = array("i"), array("q")
        self._offsets, self._sizes = array("q"), array("q")
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
        self._codes.append(self._code_of.setdefault(ending, len(self._code_of)))
        self._offsets.append(member.offset)
        self._sizes.append(member.size)
        self._held.append(self._hold(member) if lower in SMALL else -1)

    def _begin(self, key: str) -> None:
        self._key = key
        self._before, self._present = self._present, set()
        self._names += printable(key).encode("utf-8")
        self._ends.append(len(self._names))
        self._firsts.append(len(self._codes))

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
        for column in (self._codes, self._offsets, self._sizes, self._held):
            del column[start:]
        self._ends.pop()
        self._refused.pop(len(self._firsts), None)

    def finish(self, trouble: str | None) -> TarIndex:
        n = len(self._firsts)
        self._firsts.append(len(self._codes))
        buffers = [None, pa.py_buffer(bytes(self._ends)), pa.py_buffer(bytes(self._names))]
        keys = pa.Array.from_buffers(pa.large_string(), n, buffers)
        twice = dict.fromkeys(_repeated(keys), _TWICE)
        return TarIndex(
            keys=keys,
            firsts=np.frombuffer(self._firsts, dtype=np.int64),
            codes=np.frombuffer(self._codes, dtype=np.int32),
            offsets=np.frombuffer(self._offsets, dtype=np.int64),
            sizes=np.frombuffer(self._sizes, dtype=np.int64),
            held=np.frombuffer(self._held, dtype=np.int64),
            small=np.frombuffer(self._small, dtype=np.uint8),
            endings=tuple(printable(ending) for ending in self._code_of),
            refused=twice | self._refused,
            ignored=tuple(self._ignored),
            n_ignored=self._n_ignored,
            trouble=trouble,
        )


def _repeated(keys: pa.Array) -> list[int]:
    """The samples whose name an earlier one has."""
    encoded = keys.dictionary_encode()
    if len(encoded.dictionary) == len(keys):
        return []
    codes = numbers_of(encoded.indices)
    later = np.ones(len(codes), dtype=bool)
    later[np.unique(codes, return_index=True)[1]] = False
    return np.flatnonzero(later).tolist()
