"""The headers of an uncompressed tar: where each member's bytes are, without reading them."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

BLOCK = tarfile.BLOCKSIZE
MAX_NOTE_BYTES = 1 << 20
"""No sane header of a long name or of attributes is longer."""

_NOTES = (b"x", b"g", b"L", b"K", b"X")
_ZEROS = bytes(BLOCK)


class Member(NamedTuple):
    """A member of a tar: where its bytes are, and why it is not to be read.

    In its name bytes that are not UTF-8 stand as surrogates.
    """

    name: str
    offset: int
    size: int
    refusal: str | None = None


class TarHeaders:
    """The members of a buffered tar of a size in their order, folders left out.

    ``trouble`` says, once all members were yielded, why there are no more, if not because the tar ends; ``has_ended``
    whether its end mark was found.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self._offset = 0
        self.trouble: str | None = None
        self.has_ended = False

    def __iter__(self) -> Iterator[Member]:
        try:
            yield from self._members()
        except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
            # What tarfile says of a header that makes no sense is of many kinds.
            reason = str(error) or type(error).__name__
            self.trouble = f"damaged at byte {self._offset:,} ({reason})" if self._offset else "no tar"

    def _members(self) -> Iterator[Member]:
        tar: tarfile.TarFile | None = None
        while True:
            start = self._offset
            block = self._read(start, BLOCK)
            if len(block) < BLOCK:
                if start == 0:
                    raise ValueError("it is shorter than a header")
                self.trouble = "cut short" if block else "cut short: its end mark is missing"
                return
            if block == _ZEROS:
                self.has_ended = True
                self._look_behind(start)
                return
            if block[156:157] in _NOTES and self._note_end(block) > self._size:
                self.trouble = "cut short"
                return
            if tar is None:  # opening one reads its first header
                self._file.seek(0)
                tar = tarfile.TarFile(fileobj=self._file, encoding="utf-8", errors="surrogateescape")
            info = self._next(tar)
            if self._offset <= start or info.size < 0:
                raise ValueError("a size makes no sense")  # or the walk would never end
            if info.isdir():
                continue
            member = _member(info)
            if member.offset + member.size > self._size:
                self.trouble = "cut short"
                return
            yield member

    def _note_end(self, block: bytes) -> int:
        """Where the header ends that follows a long name or attributes."""
        n_bytes = int(block[124:136].strip(b" \0") or b"0", 8)
        if not 0 <= n_bytes <= MAX_NOTE_BYTES:
            raise ValueError("a header claims to be longer than 1 MB")
        return self._offset + BLOCK + -(-n_bytes // BLOCK) * BLOCK + BLOCK

    def _next(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        """The member whose header lies at the offset, which moves on; `tar` would gather all of them."""
        tar.offset = self._offset
        self._file.seek(self._offset)
        info = tarfile.TarInfo.fromtarfile(tar)
        self._offset = tar.offset
        return info

    def _look_behind(self, end: int) -> None:
        """Tars that were joined by ``cat`` have members behind the first end mark."""
        rest = self._read(end, min(self._size - end, MAX_NOTE_BYTES))
        if rest.strip(b"\0"):
            self.trouble = "not read to its end: more follows its end mark, as if tars were joined"

    def _read(self, offset: int, n_bytes: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(n_bytes)


def _member(info: tarfile.TarInfo) -> Member:
    if refusal := _not_plain(info):
        return Member(info.name, info.offset_data, 0, refusal)
    return Member(info.name, info.offset_data, info.size, _misnamed(info.name))


def _misnamed(name: str) -> str | None:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return "its name is not UTF-8; rename it"
    return "its name leads out of the archive" if name[:1] == "/" or ".." in name.split("/") else None


def _not_plain(info: tarfile.TarInfo) -> str | None:
    if info.issym() or info.islnk():
        return f"it is a link to {info.linkname!r}, which is not followed; store the file itself"
    if info.issparse():
        return "it is a sparse file; make the tar without --sparse"
    return None if info.isreg() else "it is a device, not a file"
