"""Folders of images with metadata files: tables that name the images, and say more about them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import column_of, names_by_code, numbers_of, strings
from headstart.data.blocks import prefixed, scalar
from headstart.data.encoding import reading
from headstart.data.folders.layout import layout_of
from headstart.data.folders.metadata_files import FILE_NAME
from headstart.data.folders.walk import ImageTree
from headstart.data.labels.cells import whole
from headstart.data.labels.kinds import read_labels
from headstart.data.labels.names import Renaming
from headstart.data.tables.description import SHOWN_FILES, describe_labels, left_out, plural
from headstart.data.tables.images import leads_out
from headstart.data.tables.labels import label_reading
from headstart.data.tables.parts import Joined, join_files
from headstart.data.tables.roles import assign_roles
from headstart.data.tables.source import TableSource, columns_of
from headstart.errors import ConfigError

if TYPE_CHECKING:
    from headstart.contracts import KeyMemo
    from headstart.data.folders.layout import Layout
    from headstart.data.options import SourceOptions
    from headstart.data.tables.columns import Columns
    from headstart.types import LabelColumn, Modality, SampleBlock

LABEL = "label"
COUNTED_TOGETHER = 1 << 17
_BLANK_OR_ODD = r"^$|^/|//|(^|/)\.\.?(/|$)"


class MetadataSource(TableSource):
    """The rows of the metadata files of a folder of images.

    A sample's id is the path of its image relative to the folder; where rows share an image the later
    ones get ``#2``, ``#3`` … behind it. Splits come from a split column or from split folders, labels
    from label columns or else from class folders.

    Parameters
    ----------
    root : Path
    files : sequence of Path
        The metadata files, in it or below.
    options : SourceOptions
    modality : {"image", "text", "text-pair", "image-text"}, optional
        What is wanted; None: images.
    """

    def __init__(
        self, root: Path, files: Sequence[Path], options: SourceOptions, modality: Modality | None = None
    ) -> None:
        joined = join_files(files, options.encoding, by_split=False, root=root)
        self._root, self._files = root, files
        self._layout = layout_of(root)
        self._ignored = ()
        self._not_named = _NotNamed()
        columns = columns_of(joined)
        options = _with_images(columns, options, modality, files)
        self._paths = _paths(joined, root, options.image_column) if options.image_column else None
        roles = assign_roles(columns, options, modality, self._layout.has_splits)
        self._read(joined, roles, options, inside=True)

    def _read_labels(self, options: SourceOptions) -> Mapping[str, LabelColumn]:
        labels = super()._read_labels(options)
        if labels or not options.labels or not self._layout.has_classes or self._paths is None:
            return labels
        classes = _meanings(self._paths, self._layout, 1)
        if len(pc.unique(classes).drop_null()) < 2:
            return labels  # a folder "images" is no class
        reading = label_reading(options)
        reading = replace(reading, kind="single") if reading.kind == "auto" else reading
        column = read_labels(pa.chunked_array([classes]), LABEL, reading, self._joined.place)
        return {LABEL: replace(column, said=f"{column.said}, from class folders")}

    def _read_ids(self) -> pa.Array | None:
        if self._roles.id or self._paths is None:
            return super()._read_ids()
        numbered = [
            prefixed(f"{part.prefix}:", column_of(part.file.numbers[:])) for part in self._joined.parts
        ]
        made = pa.concat_arrays(numbered)
        ids = _counted(pc.coalesce(self._paths, made))
        # "a.png#2" could be the name of another file.
        return ids if pc.count_distinct(ids).as_py() == len(ids) else made

    def _read_splits(self) -> pa.Array | None:
        if self._roles.split or self._paths is None or not self._layout.has_splits:
            return super()._read_splits()
        return _meanings(self._paths, self._layout, 0)

    @property
    def description(self) -> str:
        """What the metadata says; after a scan also how many images it does not name."""
        shown = ", ".join(part.file_name for part in self._joined.parts[:SHOWN_FILES])
        shown += ", …" if len(self._files) > SHOWN_FILES else ""
        n = self._joined.n_rows
        what = {"image": "images", "image-text": "pairs of image and text"}.get(self.modality, "texts")
        parts = [f"{what} named by metadata ({shown}), {n:,} {plural('row', n)}"]
        if self.modality != "image":
            parts[0] += f" with texts in {self._roles.content[-1]!r}"
        parts[0] += f": {describe_labels(self._labels)}"
        if self._roles.split:
            parts[0] += f", splits in {self._roles.split!r}"
        elif self._splits is not None:
            parts[0] += ", splits from split folders"
        return "; ".join([*parts, *left_out(self._joined, self._roles, ()), *self._not_named.said()])

    def scan(self, memo: KeyMemo) -> Iterator[SampleBlock]:
        """All rows in blocks, in the order of the metadata files and of the rows in them."""
        yield from super().scan(memo)
        if self._paths is not None:
            self._not_named = _NotNamed()
            self._not_named.count(self._root, self._paths)


class _NotNamed:
    """The images of a folder that its metadata does not name."""

    def __init__(self) -> None:
        self._n = 0
        self._shown: list[str] = []

    def count(self, root: Path, named: pa.Array) -> None:
        """Look for them."""
        known = pc.unique(named.drop_null())
        waiting: list[pa.Array] = []
        for run in ImageTree(str(root), stats=False).walk():
            waiting.append(prefixed(run.folder, run.names))
            if sum(map(len, waiting)) > COUNTED_TOGETHER:
                self._add(waiting, known)
                waiting = []
        if waiting:
            self._add(waiting, known)

    def said(self) -> list[str]:
        """How many, and a few of them, for the user."""
        if not self._n:
            return []
        shown = ", ".join(self._shown) + (", …" if self._n > len(self._shown) else "")
        return [f"{self._n:,} {plural('image', self._n)} not named there ignored ({shown})"]

    def _add(self, paths: list[pa.Array], known: pa.Array) -> None:
        together = pa.concat_arrays(paths)
        others = together.filter(pc.invert(pc.is_in(together, value_set=known)))
        self._n += len(others)
        self._shown += others[: SHOWN_FILES - len(self._shown)].to_pylist()


def _with_images(
    columns: Columns, options: SourceOptions, modality: Modality | None, files: Sequence[Path]
) -> SourceOptions:
    """The options, with the column of file names as that of the images unless texts alone are asked for."""
    if options.image_column or options.text_pair_column:
        return options
    if options.text_column and modality != "image-text":
        return options
    if FILE_NAME not in columns.names:
        raise ConfigError(
            f"{files[0]} has no column {FILE_NAME!r}, only {columns}; call the column with the paths of "
            "the images so, or name it with --image-column"
        )
    return replace(options, image_column=FILE_NAME)


def _paths(joined: Joined, root: Path, column: str) -> pa.Array | None:
    """The paths of the images relative to the root; null where a cell is blank."""
    if column not in joined.rows.column_names:
        return None  # a wrong option: assigning the roles will say so
    chunks = []
    for part in joined.parts:
        folder = part.path.parent.relative_to(root).as_posix()
        prefix = "" if folder == "." else f"{folder}/"
        cells = whole(joined.rows.column(column).slice(part.start, len(part.file.numbers)))
        blank = pc.equal(pc.binary_length(cells), _ZERO)
        with reading(part.path):  # the folder's name may not be UTF-8
            chunks.append(pc.if_else(blank, pa.nulls(1, pa.string())[0], prefixed(prefix, cells)))
    paths = pa.concat_arrays(chunks)
    odd = pc.any(pc.match_substring_regex(paths, pattern=_BLANK_OR_ODD)).as_py()
    return strings([path and posixpath.normpath(path) for path in paths.to_pylist()]) if odd else paths


_ZERO = column_of(np.zeros(1, dtype=np.int32))[0]


def _meanings(paths: pa.Array, layout: Layout, which: int) -> pa.Array:
    """The splits (0) or the classes (1) that paths stand for."""
    folders = pc.replace_substring_regex(paths, pattern="[^/]*$", replacement="")

    def meaning(folder: str | None) -> str | None:
        return None if folder is None or leads_out(folder) else layout.meaning(folder)[which]

    return Renaming(folders, lambda values: [meaning(value) for value in values])(folders)


def _counted(names: pa.Array) -> pa.Array:
    """Names, with ``#2``, ``#3`` … behind the second, third … row of the same name."""
    codes = numbers_of(pc.dictionary_encode(names).indices).astype(np.int64)
    order = np.argsort(codes, kind="stable")
    first = np.ones(len(codes), dtype=bool)
    first[1:] = codes[order][1:] != codes[order][:-1]
    if first.all():
        return names
    places = np.arange(len(codes))
    rank = np.empty(len(codes), dtype=np.int64)
    rank[order] = places - np.maximum.accumulate(np.where(first, places, 0))
    suffixes = names_by_code(rank, ["", *(f"#{n}" for n in range(2, int(rank.max()) + 2))])
    return pc.binary_join_element_wise(names, suffixes, scalar(""))
