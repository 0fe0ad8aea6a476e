"""The bytes of a file as they were before it was compressed, and its text, within bounded memory.

Whether a file is compressed is told by its first bytes: names lie.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import os
import shutil
import sys
import tempfile
import weakref
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from headstart.errors import ConfigError, DataError
from headstart.remote.paths import RemotePath
from headstart.remote.ranged import RANGED, blocks_of

COMPRESSED = (".gz", ".gzip", ".bz2", ".xz", ".zst", ".zstd")
STANDARD_INPUT = "-"

BLOCK_BYTES = 1 << 20
LONGEST_LINE = 1 << 26
"""Characters."""
TIMES_SMALLER, SLACK = 1000, 64 << 20
"""How much smaller a compressed file may be than what is unpacked beside it, beyond so many bytes."""
_XZ_MEMORY = 1 << 28
_MAGIC = ((b"\x1f\x8b", "gzip"), (b"BZh", "bz2"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"))
DAMAGED = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)
"""What Python's streams raise for a compressed file that is cut short or damaged."""


def bare_name(name: str) -> str:
    """A file's name without the ending of a compression.

    Examples
    --------
    >>> bare_name("train.csv.gz"), bare_name("train.csv")
    ('train.csv', 'train.csv')
    """
    for ending in COMPRESSED:
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


def first_bytes(path: str | os.PathLike[str], n: int) -> bytes:
    """The first bytes of a file; of one elsewhere that would be long to fetch, only these."""
    if isinstance(path, RemotePath) and path.size > RANGED:
        return blocks_of(path).read(0, n, keeps=True)
    with open(path, "rb") as file:
        return file.read(n)


def compression_of(path: Path) -> str | None:
    """How a file is compressed: gzip, bz2, xz, zstd, or not at all."""
    start = first_bytes(path, 8)
    return next((kind for magic, kind in _MAGIC if start.startswith(magic)), None)


def open_bytes(path: Path) -> IO[bytes]:
    """A file's bytes, uncompressed as they are read."""
    opened: Any
    match compression_of(path):
        case "gzip":
            opened = gzip.open(path, "rb")  # noqa: SIM115
        case "bz2":
            opened = bz2.open(path, "rb")  # noqa: SIM115
        case "xz":
            opened = _XzFile(path)
        case "zstd":
            opened = pa.CompressedInputStream(pa.OSFile(os.fspath(path)), "zstd")
        case _:
            opened = open(path, "rb")  # noqa: SIM115
    return opened  # type: ignore[no-any-return]


class _XzFile(io.RawIOBase):
    """An xz file whose dictionary may not take more memory than ours has to spare."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "rb")  # noqa: SIM115
        self._stream: lzma.LZMADecompressor | None = self._new()
        self._rest = b""

    @staticmethod
    def _new() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(memlimit=_XZ_MEMORY)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """At most so many bytes; none at the end."""
        if size < 0:
            return b"".join(iter(lambda: self.read(BLOCK_BYTES), b""))
        while True:
            if self._stream is None or self._stream.eof:
                left = self._stream.unused_data if self._stream is not None else b""
                left = left or self._rest or self._file.read(BLOCK_BYTES)
                self._rest = b""
                if not left.strip(b"\0"):
                    return b""
                self._stream = self._new()
                out = self._stream.decompress(left, size)
            elif self._stream.needs_input:
                chunk = self._file.read(BLOCK_BYTES)
                if not chunk:
                    raise EOFError("the compressed file ended before its end was marked")
                out = self._stream.decompress(chunk, size)
            else:
                out = self._stream.decompress(b"", size)
            if out:
                return out

    def close(self) -> None:
        self._file.close()
        super().close()


def codec_name(encoding: str) -> str:
    """The codec of an encoding; UTF-8 always the one that skips a byte order mark.

    Raises
    ------
    ConfigError
        There is no such encoding.

    Examples
    --------
    >>> codec_name("UTF8"), codec_name("Latin-1")
    ('utf-8-sig', 'iso8859-1')
    """
    try:
        name = codecs.lookup(encoding).name
        "".encode(name)  # "hex" and its like are codecs, but not of text
        codecs.getincrementaldecoder(name)
    except (LookupError, ValueError) as error:
        raise ConfigError(
            f"there is no encoding {encoding!r}; common ones are --encoding utf-8, latin-1, cp1252, utf-16"
        ) from error
    return "utf-8-sig" if name == "utf-8" else name


def texts(path: Path, codec: str, size: int = BLOCK_BYTES) -> Iterator[str]:
    """A file's text, some characters at a time, with its line ends as they are."""
    decoder = codecs.getincrementaldecoder(codec)()
    with open_bytes(path) as file:
        while chunk := file.read(size):
            if text := decoder.decode(chunk):
                yield text
        if text := decoder.decode(b"", final=True):
            yield text


def lines(path: Path, codec: str, newline: str | None = None) -> Iterator[str]:
    r"""A file's lines; with ``newline=""`` their ends stay as they are.

    Not `io.TextIOWrapper`, which asks streams of Arrow for what they lack.
    """
    number, pending = 0, [""]  # what belongs to one line
    for text in texts(path, codec):
        pending.append(text)
        if "\n" not in text and "\r" not in text:
            _check_line(path, number + 1, sum(map(len, pending)))
            continue
        rest = "".join(pending)
        held = "\r" if rest.endswith("\r") else ""  # its line feed may follow
        parts = io.StringIO(rest[: len(rest) - len(held)], newline=newline).readlines()
        rest = held
        if parts and not parts[-1].endswith(("\n", "\r")):
            rest = parts.pop() + held
        number, pending = number + len(parts), [rest]
        yield from parts
    yield from io.StringIO("".join(pending), newline=newline)


def _check_line(path: Path, number: int, n_characters: int) -> None:
    """Refuse a line that would fill the memory: ten compressed megabytes may stand for a hundred gigabytes."""
    if n_characters > LONGEST_LINE:
        raise DataError(
            f"{path}, line {number:,}: it is longer than {LONGEST_LINE:,} characters, which no row and no text is; is "
            "it a text file, compressed once?"
        )


def unpack(path: Path, target: Path) -> None:
    """Write a compressed file's bytes as they were before, if they are not absurdly many."""
    most = TIMES_SMALLER * os.stat(path).st_size + SLACK
    with open_bytes(path) as source, open(target, "wb") as file:
        while block := source.read(BLOCK_BYTES):
            file.write(block)
            if file.tell() > most:
                raise DataError(
                    f"{path} unpacks to more than {TIMES_SMALLER:,} times its size, which no table does; unpack it by "
                    "hand if it is sound"
                )


def head(path: Path, codec: str, n_characters: int) -> str:
    """The first characters of a file."""
    found = ""
    for text in texts(path, codec, 1 << 16):
        found += text
        if len(found) >= n_characters:
            break
    return found[:n_characters]


def folder_of_process() -> Path:
    """A new folder, which is removed when this process ends."""
    folder = tempfile.TemporaryDirectory(prefix="headstart-")
    weakref.finalize(sys, folder.cleanup)
    return Path(folder.name)


def spool_standard_input() -> Path:
    """Standard input as a file, which is removed when this process ends."""
    path = folder_of_process() / "stdin"
    with open(path, "wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file, BLOCK_BYTES)
    if not path.stat().st_size:
        raise DataError("standard input is empty; pipe a table into it, such as one of CSV or JSON Lines")
    return path
