"""The images of a table's rows: named by path, or inside the file as bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow as pa

from headstart.arrow import column_of, strings
from headstart.data.blocks import Problem
from headstart.data.encoding import reading
from headstart.data.image_files import (
    fingerprints,
    is_old,
    key_files,
    key_of_image,
    pair_prints,
    read_image,
    stat_files,
    unreadable,
)
from headstart.data.tables.parquet_chunks import Chunk, ChunkReader, ColumnOfBytes
from headstart.errors import DataError, SampleError
from headstart.keys import KEY_BYTES, pack

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    from headstart.contracts import KeyMemo

    Keyed = tuple[NDArray[np.uint8], dict[int, Problem]]

NO_PATH = Problem("the image path is empty")
NO_IMAGE = Problem("the image is empty: there are no bytes, and no path")
OUTSIDE = "leads out of the folder of the metadata; name images below it"


class Images(Protocol):
    """The images of the rows of one file, counted from 0."""

    def keys(self, rows: range, memo: KeyMemo, scanned_ns: int, texts: Sequence[str] | None = None) -> Keyed:
        """Keys of the images of rows, or of their pairs with texts; and which have none, by place."""

    def read(self, row: int) -> bytes:
        """The bytes of the image of a row.

        Raises
        ------
        SampleError
            It cannot be read any more.
        """


class ImagesByPath:
    """Images named by their paths.

    Parameters
    ----------
    paths : pyarrow.ChunkedArray of string
        Relative to the folder, or absolute.
    folder : Path
        The folder of the table.
    inside : bool
        Refuse paths that lead out of the folder.
    """

    def __init__(self, paths: Any, folder: Path, inside: bool = False) -> None:
        self._paths = paths
        self._folder = folder
        self._inside = inside

    def keys(self, rows: range, memo: KeyMemo, scanned_ns: int, texts: Sequence[str] | None = None) -> Keyed:
        """Keys by way of the memo; a file that it does not know is read."""
        paths = self._paths.slice(rows.start, len(rows)).to_pylist()
        refused = {row: NO_PATH for row, path in enumerate(paths) if not path}
        if self._inside:
            refused |= {
                row: Problem(f"{path} {OUTSIDE}") for row, path in enumerate(paths) if leads_out(path)
            }
        places = ["" if row in refused else self._place(path) for row, path in enumerate(paths)]
        stats, problems = stat_files(places)
        keys = key_files(places, stats, problems, memo, scanned_ns, texts)
        named = {row: Problem(f"{paths[row]}: {reason}", kind) for row, (reason, kind) in problems.items()}
        return keys, named | refused

    def read(self, row: int) -> bytes:
        """Read the file."""
        path = self._paths[row].as_py()
        return read_image(self._place(path), path)

    def _place(self, path: str) -> str:
        return os.path.join(self._folder, path)


class ImagesInParquet:
    """Images as bytes in a column of a Parquet file; where bytes are null, a path may name a file.

    Parameters
    ----------
    column : ColumnOfBytes
    reader : ChunkReader
        Shared by the files of a table.
    """

    def __init__(self, column: ColumnOfBytes, reader: ChunkReader) -> None:
        self._column = column
        self._reader = reader

    def keys(self, rows: range, memo: KeyMemo, scanned_ns: int, texts: Sequence[str] | None = None) -> Keyed:
        """Keys by way of the memo; only chunks with rows that it does not know are read."""
        prints = self._prints(rows)
        if texts is not None:
            prints = pair_prints(prints, texts)
        unknown = partial(self._contents, rows)
        changed_ns, folder = max(self._column.stats[-2:]), self._column.path.parent
        return key_contents(unknown, len(rows), prints, changed_ns, folder, memo, scanned_ns, texts)

    def _contents(
        self, rows: range, pending: NDArray[np.int64]
    ) -> Iterator[tuple[int, bytes | None, str | None]]:
        """Place, bytes and path of the rows at some places, chunk by chunk."""
        while len(pending):
            chunk = self._chunk(rows[int(pending[0])])
            n = int(np.searchsorted(pending, chunk.start + len(chunk.contents) - rows.start))
            here, pending = pending[:n], pending[n:]
            numbers = column_of(here + rows.start - chunk.start)
            paths = [None] * n if chunk.paths is None else chunk.paths.take(numbers).to_pylist()
            yield from zip(here.tolist(), chunk.contents.take(numbers).to_pylist(), paths, strict=True)

    def read(self, row: int) -> bytes:
        """Read the chunk of the row, unless it is in memory."""
        place = f"{self._column.path}, row {row + 1:,}"
        try:
            chunk = self._reader.chunk(self._column, row)
        except (OSError, pa.ArrowException) as error:
            reason = unreadable(error) if isinstance(error, OSError) else str(error).splitlines()[0]
            raise SampleError(f"{place}: {reason}") from error
        number = row - chunk.start
        content = chunk.contents[number].as_py()
        if content is not None or chunk.paths is None:
            return content or b""
        path = chunk.paths[number].as_py()
        return read_image(os.path.join(self._column.path.parent, path), path)

    def _chunk(self, row: int) -> Chunk:
        """The chunk of a row, while all of the table is read."""
        with reading(self._column.path):
            try:
                return self._reader.chunk(self._column, row)
            except SampleError as error:
                raise DataError(f"{error}; run the command again once it stays as it is") from error

    def _prints(self, rows: range) -> NDArray[np.uint8]:
        """What rows are known by: the file, the column and the number."""
        stats = np.array([self._column.stats], dtype=np.int64)
        start = blake2b(
            fingerprints(stats).tobytes() + self._column.name.encode("utf-8"), digest_size=KEY_BYTES
        )
        return pack(_continued(start, row) for row in rows)


def key_contents(
    contents: Callable[[NDArray[np.int64]], Iterator[tuple[int, bytes | None, str | None]]],
    n: int,
    prints: NDArray[np.uint8] | None,
    changed_ns: int,
    folder: Path,
    memo: KeyMemo,
    scanned_ns: int,
    texts: Sequence[str] | None,
) -> Keyed:
    """Keys of n rows of images as bytes, by way of the memo; where bytes are null, of the file of a path.

    Parameters
    ----------
    contents : callable
        Place, bytes and path of the rows at the places that it is given.
    prints : ndarray of uint8, shape (n, 16), optional
        What the rows are known by; None: nothing is remembered of them.
    changed_ns : int
        When what holds them changed.
    folder : Path
        What paths are relative to. What they name is remembered as files: the table may stay as it is
        while they change.
    """
    keys, known = np.zeros((n, KEY_BYTES), dtype=np.uint8), np.zeros(n, dtype=bool)
    if prints is not None:
        found, known = memo.lookup(prints)
        keys[known] = found[known]
    hashed: list[int] = []
    in_files: dict[int, str] = {}
    problems: dict[int, Problem] = {}
    for place, content, path in contents(np.flatnonzero(~known)):
        if content:
            key = key_of_image(content, None if texts is None else texts[place])
            keys[place] = np.frombuffer(key, dtype=np.uint8)
            hashed.append(place)
        elif content is None and path:
            in_files[place] = path
        else:
            problems[place] = NO_IMAGE
    if hashed and prints is not None and is_old(changed_ns, scanned_ns):
        memo.remember(prints[hashed], keys[hashed])
    if in_files:
        places = list(in_files)
        images = ImagesByPath(pa.chunked_array([strings(list(in_files.values()))]), folder)
        chosen = None if texts is None else [texts[place] for place in places]
        keys[places], troubles = images.keys(range(len(places)), memo, scanned_ns, chosen)
        problems |= {places[number]: problem for number, problem in troubles.items()}
    return keys, problems


def leads_out(path: str | None) -> bool:
    """Whether a path is absolute, or climbs above the folder that it is relative to."""
    normal = os.path.normpath(path or ".")
    return os.path.isabs(normal) or normal.split(os.sep)[0] == os.pardir


def _continued(start: blake2b, row: int) -> bytes:
    digest = start.copy()
    digest.update(row.to_bytes(8, "little"))
    return digest.digest()
