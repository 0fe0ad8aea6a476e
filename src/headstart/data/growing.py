"""Tables that grow batch by batch to any size: what is too much for the memory lies in a temporary file.

The file has no name, so nothing is left of it however the process ends. It is mapped into memory: whoever
reads the table sees one like any other, and what was read goes back to the system on request.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import tempfile
import weakref
from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import IO, Any

import pyarrow as pa

IN_MEMORY = 8 << 20
"""Bytes of a table that stay in memory."""

READS_A_RELEASE = 256
"""Rows, read here and there, after which to `release`: each read maps some pages around it as well."""

ALIGNMENT = 64


class GrowingTable:
    """Takes batches in order, and is one table.

    At most ``limit`` bytes stay in memory (None for `IN_MEMORY`); more only where no temporary file can be written.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit: float = IN_MEMORY if limit is None else limit
        self._waiting: list[pa.Table] = []
        self._n_bytes = 0
        self._file: IO[bytes] | None = None
        self._segments: list[tuple[int, int]] = []
        self._map: mmap.mmap | None = None
        self._whole: pa.Table | None = None

    def __reduce__(self) -> tuple[Callable[..., GrowingTable], tuple[Any, ...]]:
        # What lies in the file stays there: a process that this one starts opens it once more.
        if self._file is None or not self._segments:
            return _restored, (None, [], self._waiting)
        path = f"/proc/{os.getpid()}/fd/{self._file.fileno()}"
        if os.access(path, os.R_OK):
            return _restored, (path, self._segments, self._waiting)
        return _restored, (None, [], [self.whole()])

    def append(self, batch: pa.Table) -> None:
        """Add rows at the end. A batch may lack columns that others have: they are null in its rows."""
        self._whole = None
        self._waiting.append(batch)
        self._n_bytes += batch.nbytes
        if self._n_bytes > self._limit:
            self._spill()

    def whole(self) -> pa.Table:
        """All rows so far, in the chunks that they came in.

        Raises
        ------
        pyarrow.ArrowInvalid
            No batch was added.
        """
        if self._whole is None:
            self._whole = pa.concat_tables([*self._mapped(), *self._waiting], promote_options="default")
        return self._whole

    def release(self) -> None:
        """Give the memory of what was read back to the system; who needs it again reads it again."""
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def _spill(self) -> None:
        """Write what waits, tables of one schema together."""
        while self._waiting:
            alike = _alike(self._waiting)
            try:
                self._segments.append(self._write(alike))
            except OSError:
                self._limit = math.inf  # no room there: memory it is
                return
            del self._waiting[: len(alike)]
        self._n_bytes = 0

    def _write(self, tables: list[pa.Table]) -> tuple[int, int]:
        """Write tables to the end of the file; where they begin in it, and where they end."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="headstart-")  # noqa: SIM115  # open while it may grow
            weakref.finalize(self, _close, self._file)
        file = self._file
        file.write(bytes(-file.tell() % ALIGNMENT))
        start = file.tell()
        with pa.ipc.new_stream(file, tables[0].schema) as writer:
            for table in tables:
                writer.write_table(table)
        file.flush()
        return start, file.tell()

    def _mapped(self) -> Iterator[pa.Table]:
        if self._file is None or not self._segments:
            return
        self._map = mmap.mmap(self._file.fileno(), self._segments[-1][1], access=mmap.ACCESS_READ)
        content = pa.py_buffer(self._map)
        for start, stop in self._segments:
            with pa.ipc.open_stream(content.slice(start, stop - start)) as reader:
                yield reader.read_all()


def _alike(tables: list[pa.Table]) -> list[pa.Table]:
    """The first tables, as far as they have one schema."""
    schema = tables[0].schema
    return list(takewhile(lambda table: table.schema.equals(schema), tables))


def _restored(path: str | None, segments: list[tuple[int, int]], waiting: list[pa.Table]) -> GrowingTable:
    """The table of another process, in whose open file the segments lie; there can be no more rows."""
    table = GrowingTable()
    table._segments, table._waiting = segments, waiting
    if path is not None:
        table._file = open(path, "rb")  # noqa: SIM115  # open as long as the other one's
        weakref.finalize(table, _close, table._file)
    return table


def _close(file: IO[bytes]) -> None:
    with contextlib.suppress(OSError):  # what could not be written then cannot be written now
        file.close()
