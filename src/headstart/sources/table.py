"""Tables of texts, text pairs or image paths: one file, or files of a folder named by split."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headstart.arrow import column_of
from headstart.errors import ConfigError
from headstart.sources.blocks import Problem, Rows, Yielded, prefixed, repeated
from headstart.sources.columns import Columns
from headstart.sources.image_files import key_files, read_image, stat_files
from headstart.sources.labels import Renaming, in_order
from headstart.sources.roles import assign_roles
from headstart.sources.table_description import describe
from headstart.sources.table_parts import Part, check_ids, join_files, label_renaming, split_renaming
from headstart.sources.texts import key_pairs, key_texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import KeyMemo
    from headstart.sources.options import SourceOptions
    from headstart.types import Modality, Payload, SampleBlock


class TableSource:
    """The rows of a table.

    A sample's id is its cell in the id column, else ``<split or file stem>:<row>``; its origin is
    ``<file>:<row>``. Rows are counted from 1, after the header.

    Parameters
    ----------
    files : sequence of Path
        The files, in order; several only if their names say their splits.
    options : SourceOptions
    modality : {"image", "text", "text-pair"}, optional
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
        self._options = options
        self._joined = join_files(files, options.encoding, by_split)
        columns = Columns(self._joined.rows, self._joined.unusable)
        self._roles = assign_roles(columns, options, modality, by_split)
        self._ignored = ignored
        self._check()
        self._renamed = self._renamings()
        self._yielded: Yielded[NDArray[np.int64]] = Yielded()

    def _check(self) -> None:
        roles = self._roles
        for part in self._joined.parts:
            part.require(roles.content)
        if roles.id:
            check_ids(self._joined.rows.column(roles.id), roles.id, self._joined.place)
        if self._options.label_names and self._options.labels and len(roles.labels) != 1:
            raise ConfigError(
                f"the label names are for one column, and there are {len(roles.labels)}; "
                "choose one with --label-column"
            )

    def _renamings(self) -> dict[str, Renaming]:
        """The columns whose values go by other names: labels, and the split."""
        rows, place, names = self._joined.rows, self._joined.place, self._options.label_names
        renamed = {name: label_renaming(rows.column(name), names, place) for name in self._roles.labels}
        if name := self._roles.split:
            renamed[name] = split_renaming(rows.column(name), name, place)
        return renamed

    @property
    def modality(self) -> Modality:
        """What the columns hold."""
        return self._roles.modality

    @property
    def label_names(self) -> Mapping[str, Sequence[str]]:
        """For each label column the given names, else integers in numerical order, else empty."""
        given = self._options.label_names
        return {name: given or in_order(self._renamed[name].values()) for name in self._roles.labels}

    @property
    def description(self) -> str:
        """What the table was taken for."""
        n_classes = {name: len(self._renamed[name].values()) for name in self._roles.labels}
        return describe(self._joined, self._roles, n_classes, self._ignored)

    def scan(self, memo: KeyMemo) -> Iterator[SampleBlock]:
        """All rows in blocks, in the order of the files and of the rows in them."""
        self._yielded = Yielded()
        scanned_ns = time.time_ns()
        for part in self._joined.parts:
            failures = part.failures()
            for start, numbers in part.pieces():
                rows = self._block(part, start, numbers, memo, scanned_ns)
                kept = rows.kept()
                self._yielded.append(kept + start, len(kept))
                yield rows.block(failures)
                failures = []

    def payload(self, row: int) -> Payload:
        """The text, the pair of texts, or the bytes of the image of the ``row``-th sample."""
        chunk, place = self._yielded.find(row)
        number = int(chunk[place])
        cells = [str(self._joined.rows.column(name)[number].as_py()) for name in self._roles.content]
        if self.modality == "image":
            part = self._joined.part(number)
            return read_image(os.path.join(part.path.parent, cells[0]), cells[0])
        return cells[0] if len(cells) == 1 else (cells[0], cells[1])

    def _block(
        self, part: Part, start: int, numbers: NDArray[np.int64], memo: KeyMemo, scanned_ns: int
    ) -> Rows:
        cells = self._joined.rows.slice(start, len(numbers))
        keys, problems = self._keys(part, cells, memo, scanned_ns)
        roles = self._roles
        split = self._renamed[roles.split](_column(cells, roles.split)) if roles.split else None
        made = prefixed(f"{part.prefix}:", column_of(numbers + part.numbered_from))
        return Rows(
            ids=_column(cells, roles.id) if roles.id else made,
            origins=prefixed(f"{part.file_name}:", column_of(numbers)),
            splits=repeated(part.split, len(numbers)) if split is None else split,
            keys=keys,
            columns=self._columns(cells),
            problems=problems,
        )

    def _columns(self, cells: pa.Table) -> dict[str, pa.Array]:
        labels = {f"label:{name}": self._renamed[name](_column(cells, name)) for name in self._roles.labels}
        used = self._roles.used()
        others = [name for name in cells.column_names if name not in used]
        return labels | {f"meta:{name}": _column(cells, name) for name in others}

    def _keys(
        self, part: Part, cells: pa.Table, memo: KeyMemo, scanned_ns: int
    ) -> tuple[NDArray[np.uint8], dict[int, Problem]]:
        content = [cells.column(name).to_pylist() for name in self._roles.content]
        match self.modality:
            case "text":
                return key_texts(content[0])
            case "text-pair":
                return key_pairs(list(zip(*content, strict=True)))
            case "image":
                return _key_images(content[0], part.path.parent, memo, scanned_ns)


def _key_images(
    paths: Sequence[str | None], folder: Path, memo: KeyMemo, scanned_ns: int
) -> tuple[NDArray[np.uint8], dict[int, Problem]]:
    """Keys of images by their paths, relative to the folder of the table."""
    places = [os.path.join(folder, path or "") for path in paths]
    stats, problems = stat_files(places)
    keys = key_files(places, stats, problems, memo, scanned_ns)
    named = {row: Problem(f"{paths[row]}: {reason}", kind) for row, (reason, kind) in problems.items()}
    named |= {row: Problem("the image path is empty") for row, path in enumerate(paths) if not path}
    return keys, named


def _column(cells: pa.Table, name: str) -> pa.Array:
    return cells.column(name).combine_chunks()
