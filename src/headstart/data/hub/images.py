"""Images inside Arrow columns, as Hugging Face datasets keep them: bytes, or structs of bytes and path."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.data.blocks import Problem
from headstart.data.image_files import pair_prints, read_image
from headstart.data.tables.images import key_contents
from headstart.errors import SampleError
from headstart.files import stat_fields
from headstart.keys import KEY_BYTES, pack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import KeyMemo

ROWS_PER_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Origin:
    """The files that a column lies in.

    Parameters
    ----------
    fingerprint : bytes
        Of all of them.
    changed_ns : int
        When the last of them changed.
    files : tuple of (str, tuple of int)
        Their paths, and the stat fields that they had when they were mapped.
    """

    fingerprint: bytes
    changed_ns: int
    files: tuple[tuple[str, tuple[int, ...]], ...] = ()

    def check(self) -> None:
        """Refuse to read on in files that have changed: a map of one cut shorter would end the process.

        Raises
        ------
        SampleError
            One is not what it was.
        """
        for path, fields in self.files:
            try:
                same = stat_fields(os.stat(path)) == fields
            except OSError:
                same = False
            if not same:
                raise SampleError(f"{path} changed while it was being read")


class ArrowImages:
    """The images of a column.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        Of bytes, or of structs of bytes and path.
    name : str
    folder : Path
        What paths are relative to.
    origin : Origin, optional
        None: nothing is remembered of them.
    """

    rows_per_group = ROWS_PER_BLOCK

    def __init__(self, column: Any, name: str, folder: Path, origin: Origin | None) -> None:
        is_struct = pa.types.is_struct(column.type)
        fields = [field.name for field in column.type] if is_struct else []
        self.kind = "images" if is_struct else "bytes"
        self._contents = _field(column, "bytes") if is_struct else column
        self._paths = _field(column, "path") if "path" in fields else None
        self._name = name
        self._folder = folder
        self._origin = origin

    def keys(
        self, rows: range, memo: KeyMemo, scanned_ns: int, texts: Sequence[str] | None = None
    ) -> tuple[NDArray[np.uint8], dict[int, Problem]]:
        """Keys of the images of rows, or of their pairs with texts; and which have none, by place."""
        prints = self._prints(rows, texts)
        changed_ns = self._origin.changed_ns if self._origin else 0
        unknown = partial(self._read, rows)
        return key_contents(unknown, len(rows), prints, changed_ns, self._folder, memo, scanned_ns, texts)

    def read(self, row: int) -> bytes:
        """The bytes of the image of a row.

        Raises
        ------
        SampleError
            It lies in a file that cannot be read any more, or the data set has changed.
        """
        if self._origin is not None:
            self._origin.check()
        content = self._contents[row].as_py()
        if content is not None or self._paths is None:
            return content or b""
        path = self._paths[row].as_py()
        return read_image(str(self._folder / path), path)

    def _read(self, rows: range, places: NDArray[np.int64]) -> Iterator[tuple[int, bytes | None, str | None]]:
        """Place, bytes and path of the rows at some places."""
        for place in places.tolist():
            row = rows[place]
            # Not `take`, which copies all chunks into one before it looks for a row.
            content = self._contents[row].as_py()
            path = self._paths[row].as_py() if content is None and self._paths is not None else None
            yield place, content, path

    def _prints(self, rows: range, texts: Sequence[str] | None) -> NDArray[np.uint8] | None:
        """What rows are known by: the files, the column and the number."""
        if self._origin is None:
            return None
        start = self._origin.fingerprint + self._name.encode("utf-8") + b"\0"
        prints = pack(
            blake2b(start + row.to_bytes(8, "little"), digest_size=KEY_BYTES).digest() for row in rows
        )
        return prints if texts is None else pair_prints(prints, texts)


def _field(column: Any, name: str) -> Any:
    """A field of structs; null where the struct is."""
    return pc.struct_field(column, name)
