"""Text files that are not written the way they are read, and files that cannot be read at all."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from headstart.data.blocks import printable
from headstart.errors import ConfigError, DataError

CHUNK = 1 << 20
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


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


@contextmanager
def reading(path: Path, encoding: str | None = None) -> Iterator[None]:
    """Turn whatever goes wrong while a table is read into one clear line.

    Parameters
    ----------
    path : Path
    encoding : str, optional
        The codec that a text file is read with.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        raise _wrong_encoding(path, encoding or error.encoding) from error
    except UnicodeEncodeError as error:
        raise DataError(f"{printable(str(path))}: the file's name is not UTF-8; rename it") from error
    except UnicodeError as error:  # without a place: UTF-16 whose byte order mark is missing, for one
        raise _wrong_encoding(path, encoding or "utf-8") from error
    except csv.Error as error:
        raise DataError(f"{path}: the header cannot be read: {error}") from error
    except pa.ArrowException as error:
        if encoding and _undecodable(path, encoding):
            raise _wrong_encoding(path, encoding) from error
        raise DataError(f"{path} cannot be read: {_first_line(error)}; is it cut short?") from error
    except OSError as error:
        reason = error.strerror or _first_line(error)  # Arrow raises OSError for some damaged files
        raise DataError(f"{path} cannot be read: {reason}") from error


def _wrong_encoding(path: Path, encoding: str) -> DataError:
    shown = encoding.removesuffix("-sig")
    place = _undecodable(path, encoding)
    where = f"byte {place[0]:,}, in line {place[1]:,}, cannot be decoded" if place else "it cannot be decoded"
    with open(path, "rb") as file:
        marked = file.read(2) in _UTF16_MARKS
    remedy = "--encoding utf-16" if marked else "--encoding latin-1 (or cp1252, or what wrote the file)"
    return DataError(f"{path} is not {shown}: {where}; pass {remedy}")


def _undecodable(path: Path, encoding: str) -> tuple[int, int] | None:
    """Offset and line of the first byte that cannot be decoded."""
    decoder = codecs.getincrementaldecoder(encoding.removesuffix("-sig"))()
    done, lines = 0, 1
    with open(path, "rb") as file:
        while True:
            chunk = file.read(CHUNK)
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                start = error.start - pending
                return done + start, lines + chunk[: max(start, 0)].count(b"\n")
            except UnicodeError:  # the decoder does not say where
                return done, lines
            if not chunk:
                return None
            done += len(chunk)
            lines += chunk.count(b"\n")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
