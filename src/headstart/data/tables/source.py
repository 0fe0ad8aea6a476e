"""Tables of texts, images or pairs: one file, or files of a folder named by split."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import column_of
from headstart.data.base import BaseSource
from headstart.data.blocks import Rows, prefixed, repeated
from headstart.data.labels.cells import whole
from headstart.data.tables.checks import check_ids, split_renaming
from headstart.data.tables.columns import Columns
from headstart.data.tables.content import open_content
from headstart.data.tables.description import describe
from headstart.data.tables.labels import table_labels
from headstart.data.tables.parts import Joined, Part, join_files
from headstart.data.tables.payloads import TablePayloads
from headstart.data.tables.roles import Roles, assign_roles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import KeyMemo
    from headstart.data.options import SourceOptions
    from headstart.types import LabelColumn, LabelKind, Modality, Payload, SampleBlock


class TableSource(BaseSource):
    """The rows of a table.

    A sample's id is its cell in the id column, else ``<split or file stem>:<row>``; its origin is
    ``<file>:<row>``. Rows are counted from 1, after the header.

    Parameters
    ----------
    files : sequence of Path
        The files, in order; several only if their names say their splits.
    options : SourceOptions
    modality : {"image", "text", "text-pair", "image-text"}, optional
        What is wanted where the table has both images and texts.
    by_split : bool
        The files' names say their splits.
    ignored : sequence of str
        Files beside that were left out, to be named in the description.
    """

    def __init__(
        self,
        files: Sequence[Path],
        options: SourceOptions,
        modality: Modality | None = None,
        by_split: bool = False,
        ignored: Sequence[str] = (),
    ) -> None:
        joined = join_files(files, options.encoding, by_split)
        self._ignored = ignored
        self._read(joined, assign_roles(columns_of(joined), options, modality, by_split), options)

    def _read(self, joined: Joined, roles: Roles, options: SourceOptions, inside: bool = False) -> None:
        self._joined, self._roles = joined, roles
        for part in joined.parts:
            part.require(roles.content)
        self._content = open_content(joined, roles, inside)
        self._labels = {
            name: replace(column, values=compact(column.values))
            for name, column in self._read_labels(options).items()
        }
        self._ids = self._read_ids()
        self._splits = self._read_splits()
        self._payloads = TablePayloads(joined, self._content, roles.modality)
        joined.release()

    def __reduce__(self) -> tuple[Callable[..., TablePayloads], tuple[TablePayloads]]:
        return _received, (self._payloads,)  # another process reads samples, and does not scan

    def _read_labels(self, options: SourceOptions) -> Mapping[str, LabelColumn]:
        return table_labels(self._joined, self._roles.labels, options)

    def _read_ids(self) -> pa.ChunkedArray | pa.Array | None:
        """The ids of all rows; None: made from file and row."""
        if not (name := self._roles.id):
            return None
        column = self._joined.rows.column(name)
        check_ids(column, name, self._joined.place)
        return column

    def _read_splits(self) -> pa.Array | None:
        """The splits of all rows; None: what the files' names say."""
        if not (name := self._roles.split):
            return None
        column = self._joined.rows.column(name)
        return compact(whole(split_renaming(column, name, self._joined.place)(column)))

    @property
    def modality(self) -> Modality:
        """What the columns hold."""
        return self._roles.modality

    @property
    def label_names(self) -> Mapping[str, Sequence[str]]:
        """For each label column the given names, else integers in numerical order, else empty."""
        return {name: labels.names for name, labels in self._labels.items()}

    @property
    def label_kinds(self) -> Mapping[str, LabelKind]:
        """For each label column what its values are."""
        return {name: labels.kind for name, labels in self._labels.items()}

    @property
    def rows_per_block(self) -> int | None:
        """The rows of a row group, where images lie inside the table."""
        return self._content.rows_per_block

    @property
    def description(self) -> str:
        """What the table was taken for."""
        return describe(self._joined, self._roles, self._labels, self._ignored)

    def scan(self, memo: KeyMemo) -> Iterator[SampleBlock]:
        """All rows in blocks, in the order of the files and of the rows in them."""
        self._payloads.restart()
        scanned_ns = time.time_ns()
        for part in self._joined.parts:
            failures = part.failures()
            for start, numbers in part.pieces():
                rows = self._block(part, start, numbers, memo, scanned_ns)
                self._payloads.append(rows.places(start))
                yield rows.block(failures)
                failures = []
                self._joined.release()

    def payload(self, row: int) -> Payload:
        """The text, the bytes of the image, or the pair of the ``row``-th sample."""
        return self._payloads.payload(row)

    def _block(
        self, part: Part, start: int, numbers: NDArray[np.int64], memo: KeyMemo, scanned_ns: int
    ) -> Rows:
        n = len(numbers)
        keys, problems = self._content.keys(part, range(start, start + n), memo, scanned_ns)
        made = prefixed(f"{part.prefix}:", column_of(numbers + part.numbered_from))
        return Rows(
            ids=made if self._ids is None else whole(self._ids.slice(start, n)),
            origins=prefixed(f"{part.file_name}:", column_of(numbers)),
            splits=repeated(part.split, n) if self._splits is None else plain(self._splits.slice(start, n)),
            keys=keys,
            columns=self._columns(start, n),
            problems=problems,
        )

    def _columns(self, start: int, n: int) -> dict[str, pa.Array]:
        labels = {
            f"label:{name}": plain(column.values.slice(start, n)) for name, column in self._labels.items()
        }
        used = self._roles.used()
        others = [name for name in self._joined.rows.column_names if name not in used]
        cells = self._joined.rows.slice(start, n)
        return labels | {f"meta:{name}": whole(cells.column(name)) for name in others}


def _received(payloads: TablePayloads) -> TablePayloads:
    return payloads


def compact(column: pa.Array) -> pa.Array:
    """A column that is kept for all rows, in as little memory as it takes: strings as numbers of strings."""
    return pc.dictionary_encode(column) if pa.types.is_string(column.type) else column


def plain(column: pa.Array) -> pa.Array:
    """A part of such a column as it was."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def columns_of(joined: Joined) -> Columns:
    """The columns of a table, to tell what they hold."""
    return Columns(joined.rows, joined.lists, joined.images, joined.unusable)
