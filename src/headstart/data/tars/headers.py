"""The headers of an uncompressed tar: where each member's bytes are, without reading them.

Python's tarfile takes 20 microseconds a header, and tars of millions of small images have little else:
headers of plain files are read here, and whatever is not plain (long names of GNU tar, sparse files,
links, huge sizes) is left to tarfile.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from struct import Struct
from typing import BinaryIO, NamedTuple

BLOCK = tarfile.BLOCKSIZE
MAX_NOTE_BYTES = 1 << 20
"""No sane header of a long name or of attributes is longer."""

# name, size, checksum, type, magic and version, prefix
_FIELDS = Struct("100s24x12s12x8sc100x8s80x155s12x")
_POSIX, _GNU = b"ustar\x0000", b"ustar  \0"
_FILES = (b"0", b"\0")
_PAX = b"x"
_NOTES = (_PAX, b"g", b"L", b"K", b"X")
_ZEROS = bytes(BLOCK)


class Member(NamedTuple):
    """A member of a tar.

    Parameters
    ----------
    name : str
        Bytes that are not UTF-8 stand as surrogates.
    offset, size : int
        Where its bytes are.
    refusal : str, optional
        Why it is not to be read.
    """

    name: str
    offset: int
    size: int
    refusal: str | None = None


class TarHeaders:
    """The members of a tar in their order, folders left out.

    Parameters
    ----------
    file : file object
        Opened for reading, and buffered.
    size : int
        The size of the file.

    Attributes
    ----------
    trouble : str, optional
        Why there are no more, once all members were yielded, if not because the tar ends.
    has_ended : bool
        Whether its end mark was found.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self._offset = 0
        self._tar: tarfile.TarFile | None = None
        self._only_tarfile = False
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
            member = None if self._only_tarfile else self._plain(block)
            if member is None:
                member = self._by_tarfile(block)
            if self._offset <= start:
                raise ValueError("a size makes no sense")  # or the walk would never end
            if member is None:
                continue
            if member.offset + member.size > self._size:
                self.trouble = "cut short"
                return
            yield member

    def _note_end(self, block: bytes) -> int:
        """Where the header ends that follows a long name or attributes."""
        n_bytes = int(block[124:136].strip(b" \0") or b"0", 8)
        if not 0 <= n_bytes <= MAX_NOTE_BYTES:
            raise ValueError("a header claims to be longer than 1 MB")
        return self._offset + BLOCK + _in_blocks(n_bytes) + BLOCK

    def _plain(self, block: bytes, attributes: Mapping[bytes, bytes] | None = None) -> Member | None:
        """The member of a plain header; None leaves it to tarfile."""
        name, size, checksum, kind, magic, prefix = _FIELDS.unpack(block)
        if magic != _POSIX and (magic != _GNU or prefix[0]):
            return None
        try:
            n_bytes = int(size.strip(b" \0"), 8)
            summed = int(checksum.strip(b" \0"), 8)
        except ValueError:
            return None
        if sum(block) - sum(checksum) + 8 * 32 != summed:
            return None
        if kind == _PAX and attributes is None:
            return self._after_attributes(n_bytes)
        name = name.partition(b"\0")[0]
        if prefix[0]:
            name = prefix.partition(b"\0")[0] + b"/" + name
        if kind not in _FILES or name.endswith(b"/"):  # folders were files before POSIX
            return None
        data = self._offset + BLOCK
        self._offset = data + _in_blocks(n_bytes)
        return _named((attributes or {}).get(b"path", name), data, n_bytes)

    def _after_attributes(self, n_bytes: int) -> Member | None:
        """The plain member behind a header of attributes that change nothing but its name."""
        start = self._offset
        attributes = _attributes(self._read(start + BLOCK, n_bytes))
        if attributes is None:
            return None
        block = self._read(start + BLOCK + _in_blocks(n_bytes), BLOCK)
        self._offset = start + BLOCK + _in_blocks(n_bytes)
        member = self._plain(block, attributes)
        if member is None:
            self._offset = start
        return member

    def _by_tarfile(self, block: bytes) -> Member | None:
        """The member of any header; None if it is a folder."""
        self._only_tarfile |= block[156:157] == b"g"  # attributes of all that follow
        if self._tar is None:
            self._file.seek(0)
            self._tar = tarfile.TarFile(fileobj=self._file, encoding="utf-8", errors="surrogateescape")
        self._tar.offset = self._offset
        self._file.seek(self._offset)
        info = tarfile.TarInfo.fromtarfile(self._tar)
        self._offset = self._tar.offset
        if info.size < 0:
            raise ValueError("a size is negative")
        if info.isdir():
            return None
        name = info.name.encode("utf-8", "surrogateescape")
        if refusal := _not_plain(info):
            return Member(name.decode("utf-8", "surrogateescape"), info.offset_data, 0, refusal)
        return _named(name, info.offset_data, info.size)

    def _look_behind(self, end: int) -> None:
        """Tars that were joined by ``cat`` have members behind the first end mark."""
        rest = self._read(end, min(self._size - end, MAX_NOTE_BYTES))
        if rest.strip(b"\0"):
            self.trouble = "not read to its end: more follows its end mark, as if tars were joined"

    def _read(self, offset: int, n_bytes: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(n_bytes)


def _named(name: bytes, offset: int, size: int) -> Member:
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        text = name.decode("utf-8", "surrogateescape")
        return Member(text, offset, size, "its name is not UTF-8; rename it")
    if text[:1] == "/" or (".." in text and ".." in text.split("/")):
        return Member(text, offset, size, "its name leads out of the archive")
    return Member(text, offset, size)


def _not_plain(info: tarfile.TarInfo) -> str | None:
    if info.issym() or info.islnk():
        return f"it is a link to {info.linkname!r}, which is not followed; store the file itself"
    if info.issparse():
        return "it is a sparse file; make the tar without --sparse"
    return None if info.isreg() else "it is a device, not a file"


def _attributes(data: bytes) -> dict[bytes, bytes] | None:
    """What POSIX attributes say, ``<length> <key>=<value>`` a line; None if it is for tarfile."""
    attributes: dict[bytes, bytes] = {}
    position = 0
    while position < len(data):
        length = data[position : position + 20].partition(b" ")[0]
        end = position + int(length)
        key, _, value = data[position + len(length) + 1 : end - 1].partition(b"=")
        if end <= position or end > len(data):
            raise ValueError("attributes make no sense")
        if key in (b"size", b"hdrcharset") or key.startswith(b"GNU.sparse"):
            return None
        attributes[key] = value
        position = end
    return attributes


def _in_blocks(n_bytes: int) -> int:
    return (n_bytes + BLOCK - 1) // BLOCK * BLOCK
