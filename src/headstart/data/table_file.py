"""One file of a table, whatever its format: every column as strings, every bad row by number, damage by name."""

from __future__ import annotations

import codecs
import csv
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headstart.data.source import printable
from headstart.data.streams import DAMAGED, open_bytes
from headstart.errors import DataError, first_line

if TYPE_CHECKING:
    from headstart.data.contents import Images
    from headstart.data.growing import GrowingTable

CHUNK = 1 << 20
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class RowNumbers:
    """The numbers of the n rows of a file: all from 1 but those that were left out, given in rising order.

    Examples
    --------
    >>> numbers = RowNumbers(4, [2, 3])
    >>> numbers[0], numbers[-1], numbers[:].tolist()
    (1, 6, [1, 4, 5, 6])
    """

    def __init__(self, n: int, left_out: Sequence[int] = ()) -> None:
        self._n = n
        gaps = np.array(left_out, dtype=np.int64)
        self._behind = gaps - np.arange(1, len(gaps) + 1)  # the row behind each gap, counted from 0

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            rows = np.arange(*place.indices(self._n))
            return rows + 1 + np.searchsorted(self._behind, rows, side="right")
        row = range(self._n)[place]
        return row + 1 + int(np.searchsorted(self._behind, row, side="right"))


@dataclass(frozen=True, slots=True)
class TableFile:
    """What was read from a file whose format is a ``kind``, for the user.

    ``rows`` are the columns that strings can hold; beside them are ``lists`` of plain values (calling one gives the
    column), ``images`` that are encoded files, and the ``unusable``, with what they hold instead of values. ``numbers``
    are those of the rows in the file, from 1: rows after the header in CSV and Parquet, lines in JSONL; ``bad_rows``
    those that could not be read, and why. ``class_names`` are for columns of integer classes whose names the file
    itself has. ``stored`` holds the rows where they may be too many for the memory. ``said`` is how the file was read,
    where it could be read otherwise.
    """

    kind: str
    rows: pa.Table
    numbers: RowNumbers
    bad_rows: Sequence[tuple[int, str]] = ()
    unusable: Mapping[str, str] = field(default_factory=dict)
    lists: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    images: Mapping[str, Images] = field(default_factory=dict)
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    stored: GrowingTable | None = None
    said: Sequence[str] = ()

    def __reduce__(self) -> tuple[Callable[..., TableFile], tuple[Any, ...]]:
        # What holds the rows gives them to another process; lists are for labels, which it does not need.
        about = (self.numbers, self.bad_rows, self.unusable, dict[str, Any](), self.images, self.class_names)
        if self.stored is None:
            return TableFile, (self.kind, self.rows, *about)
        return _received, (self.kind, self.rows.column_names, *about, self.stored)

    @property
    def column_names(self) -> list[str]:
        """All columns."""
        return [*self.rows.column_names, *self.lists, *self.images, *self.unusable]

    @property
    def last_number(self) -> int:
        """The largest row number in the file."""
        last_bad = self.bad_rows[-1][0] if self.bad_rows else 0
        return max(last_bad, int(self.numbers[-1]) if len(self.numbers) else 0)


def _received(kind: str, names: list[str], *about: Any) -> TableFile:
    """A file that another process has read."""
    file = TableFile(kind, names, *about)
    return replace(file, rows=about[-1].whole().select(names))


def check_names(path: Path, names: Sequence[str]) -> None:
    """Refuse a header that names two columns alike."""
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        raise DataError(f"{path} has more than one column named {twice[0]!r}; rename all but one")


def check_sound(column: pa.ChunkedArray | pa.Array, path: Path, name: str, rows_before: int = 0) -> None:
    """Refuse a column that is damaged: Arrow believes the offsets and the texts of a file unseen.

    ``rows_before`` says how many rows of the file come before those of the column.

    Raises
    ------
    DataError
        With the first row that is not UTF-8, or what else is wrong.
    """
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        if "UTF8" in str(error):
            raise DataError(
                f"{path}, row {_first_undecodable(column, rows_before):,}: the text in column {name!r} is not "
                "UTF-8; mend the row, or make or fetch the file again if it is damaged"
            ) from error
        reason = first_line(error)
        raise DataError(f"{path}: column {name!r} is damaged ({reason}); make or fetch it again") from error


def _first_undecodable(column: pa.ChunkedArray | pa.Array, rows_before: int) -> int:
    """The number of the first row that is no UTF-8, from 1; 0 if it lies within a list."""
    for number, cell in enumerate(column, rows_before + 1):
        try:
            cell.as_py()
        except UnicodeDecodeError:
            return number
    return 0


@contextmanager
def reading(path: Path, encoding: str | None = None) -> Iterator[None]:
    """Turn whatever goes wrong while a table is read, a text file with its codec, into one clear line."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise _wrong_encoding(path, encoding or error.encoding) from error
    except UnicodeEncodeError as error:
        raise DataError(f"{printable(str(path))}: the file's name is not UTF-8; rename it") from error
    except UnicodeError as error:  # without a place: UTF-16 whose byte order mark is missing, for one
        raise _wrong_encoding(path, encoding or "utf-8") from error
    except csv.Error as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    except DAMAGED as error:
        raise DataError(f"{path} cannot be unpacked: {first_line(error)}; is it cut short?") from error
    except pa.ArrowException as error:
        if encoding and _undecodable(path, encoding):
            raise _wrong_encoding(path, encoding) from error
        raise DataError(f"{path} cannot be read: {first_line(error)}; is it cut short?") from error
    except OSError as error:
        reason = error.strerror or first_line(error)  # Arrow raises OSError for some damaged files
        raise DataError(f"{path} cannot be read: {reason}") from error


def _wrong_encoding(path: Path, encoding: str) -> DataError:
    shown = encoding.removesuffix("-sig")
    place = _undecodable(path, encoding)
    where = f"byte {place[0]:,}, in line {place[1]:,}, cannot be decoded" if place else "it cannot be decoded"
    with open_bytes(path) as file:
        marked = file.read(2) in _UTF16_MARKS
    remedy = "--encoding utf-16" if marked else "--encoding latin-1 (or cp1252, or what wrote the file)"
    return DataError(f"{path} is not {shown}: {where}; pass {remedy}")


def _undecodable(path: Path, encoding: str) -> tuple[int, int] | None:
    """Offset and line of the first byte that cannot be decoded."""
    decoder = codecs.getincrementaldecoder(encoding.removesuffix("-sig"))()
    done, lines = 0, 1
    with open_bytes(path) as file:
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
