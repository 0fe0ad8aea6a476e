"""What the samples of a table are made of, by the columns that hold it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from headstart.data.blocks import Problem
from headstart.data.tables.images import Images, ImagesByPath, ImagesInParquet
from headstart.data.tables.parquet_chunks import ChunkReader, ColumnOfBytes
from headstart.data.texts import key_pairs, key_texts, text_problems

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headstart.contracts import KeyMemo
    from headstart.data.tables.parts import Joined, Part
    from headstart.data.tables.roles import Roles
    from headstart.types import Payload

    Keyed = tuple[NDArray[np.uint8], dict[int, Problem]]


class Content(Protocol):
    """The payloads of the rows of a table."""

    @property
    def rows_per_block(self) -> int | None:
        """How many consecutive rows are read together; None: any row is as near as any other."""

    def keys(self, part: Part, rows: range, memo: KeyMemo, scanned_ns: int) -> Keyed:
        """Keys of rows of the joined table that belong to one part; and which have none, by place."""

    def payload(self, row: int) -> Payload:
        """The payload of a row of the joined table.

        Raises
        ------
        SampleError
            It cannot be read any more.
        """


def open_content(joined: Joined, roles: Roles, inside: bool = False) -> Content:
    """The content of a table by its roles.

    Parameters
    ----------
    joined : Joined
    roles : Roles
    inside : bool
        Refuse paths of images that lead out of their table's folder.
    """
    match roles.modality:
        case "text":
            return Texts(joined, roles.content[0])
        case "text-pair":
            return TextPairs(joined, (roles.content[0], roles.content[1]))
        case "image":
            return TableImages(joined, roles.content[0], inside=inside)
        case "image-text":
            return TableImages(joined, roles.content[0], roles.content[1], inside)


class Texts:
    """One text a row."""

    rows_per_block: int | None = None

    def __init__(self, joined: Joined, column: str) -> None:
        self._made_of = joined, column
        self._texts = joined.rows.column(column)

    def __reduce__(self) -> tuple[type[Texts], tuple[Any, ...]]:
        return Texts, self._made_of

    def keys(self, part: Part, rows: range, memo: KeyMemo, scanned_ns: int) -> Keyed:
        """Keys of the texts."""
        return key_texts(_cells(self._texts, rows))

    def payload(self, row: int) -> str:
        """The text."""
        return str(self._texts[row].as_py())


class TextPairs:
    """Two texts a row."""

    rows_per_block: int | None = None

    def __init__(self, joined: Joined, columns: tuple[str, str]) -> None:
        self._made_of = joined, columns
        self._first, self._second = (joined.rows.column(name) for name in columns)

    def __reduce__(self) -> tuple[type[TextPairs], tuple[Any, ...]]:
        return TextPairs, self._made_of

    def keys(self, part: Part, rows: range, memo: KeyMemo, scanned_ns: int) -> Keyed:
        """Keys of the pairs."""
        return key_pairs(list(zip(_cells(self._first, rows), _cells(self._second, rows), strict=True)))

    def payload(self, row: int) -> tuple[str, str]:
        """Both texts."""
        return str(self._first[row].as_py()), str(self._second[row].as_py())


class TableImages:
    """One image a row, alone or with a text.

    Parameters
    ----------
    joined : Joined
    column : str
        Paths or bytes: each file may have its own.
    text_column : str, optional
    inside : bool
        Refuse paths that lead out of the table's folder.
    """

    def __init__(
        self, joined: Joined, column: str, text_column: str | None = None, inside: bool = False
    ) -> None:
        self._made_of = joined, column, text_column, inside
        self._joined = joined
        self._texts = joined.rows.column(text_column) if text_column else None
        reader = ChunkReader()
        self._images = {part.start: _images(part, column, reader, inside) for part in joined.parts}
        columns = (part.file.images.get(column) for part in joined.parts)
        self.rows_per_block: int | None = max((c.rows_per_group for c in columns if c), default=None)

    def __reduce__(self) -> tuple[type[TableImages], tuple[Any, ...]]:
        return TableImages, self._made_of

    def keys(self, part: Part, rows: range, memo: KeyMemo, scanned_ns: int) -> Keyed:
        """Keys of the images, or of the pairs of image and text."""
        of_part = range(rows.start - part.start, rows.stop - part.start)
        images = self._images[part.start]
        if self._texts is None:
            return images.keys(of_part, memo, scanned_ns)
        texts = _cells(self._texts, rows)
        keys, problems = images.keys(of_part, memo, scanned_ns, [text or "" for text in texts])
        return keys, problems | text_problems(texts)

    def payload(self, row: int) -> bytes | tuple[bytes, str]:
        """The bytes of the image, and its text if it has one."""
        part = self._joined.part(row)
        content = self._images[part.start].read(row - part.start)
        return content if self._texts is None else (content, str(self._texts[row].as_py()))


def _images(part: Part, column: str, reader: ChunkReader, inside: bool) -> Images:
    if column in part.file.images:
        images = part.file.images[column]
        return ImagesInParquet(images, reader) if isinstance(images, ColumnOfBytes) else images
    return ImagesByPath(part.file.rows.column(column), part.path.parent, inside)


def _cells(column: Any, rows: range) -> Sequence[str | None]:
    cells: Sequence[str | None] = column.slice(rows.start, len(rows)).to_pylist()
    return cells
