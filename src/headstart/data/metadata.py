"""Folders of images with metadata files, as Hugging Face's ImageFolder lays them out: tables that name the images."""

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
from headstart.data.file_tree import folders_in
from headstart.data.folders import LABEL
from headstart.data.label_cells import Renaming, whole
from headstart.data.labels import label_reading, read_labels
from headstart.data.layout import layout_of
from headstart.data.listed_tree import tree_of
from headstart.data.named_files import leads_out
from headstart.data.source import prefixed, scalar
from headstart.data.splits import SplitNames
from headstart.data.table import join_files
from headstart.data.table_file import reading
from headstart.data.table_roles import assign_roles
from headstart.data.table_source import SHOWN_FILES, TableSource
from headstart.data.written import with_targets
from headstart.errors import ConfigError
from headstart.words import counted

if TYPE_CHECKING:
    from headstart.contracts import KeyMemo
    from headstart.data.layout import Layout
    from headstart.data.options import SourceOptions
    from headstart.data.table import Table
    from headstart.types import LabelColumn, Modality, SampleBlock

METADATA_NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
FILE_NAME = "file_name"
COUNTED_TOGETHER = 1 << 17
_BLANK_OR_ODD = r"^$|^/|//|(^|/)\.\.?(/|$)"
_ZERO = column_of(np.zeros(1, dtype=np.int32))[0]


def find_metadata(root: Path, split_map: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """The metadata files at the top of a folder, in its folders, and in the folders of its splits.

    Raises
    ------
    ConfigError
        There are two in one folder.
    """
    tops = [root / name for name in folders_in(root)]
    splits = SplitNames(split_map or {})
    below = [top / name for top in tops if splits.of(top.name) for name in folders_in(top)]
    found: list[Path] = []
    for folder in sorted((root, *tops, *below)):
        names = [name for name in METADATA_NAMES if (folder / name).is_file()]
        if len(names) > 1:
            raise ConfigError(f"{folder} holds {' and '.join(names)}; keep one of them")
        found += [folder / name for name in names]
    return tuple(found)


class MetadataSource(TableSource):
    """The rows of the metadata files of a folder of images, in it or below.

    A sample's id is the path of its image relative to the folder; where rows share an image the later
    ones get ``#2``, ``#3`` … behind it. Splits come from a split column or from split folders, labels
    from label columns or else from class folders.
    """

    _inside = True

    def __init__(
        self, root: Path, files: Sequence[Path], options: SourceOptions, modality: Modality | None = None
    ) -> None:
        table = join_files(files, options, root=root)
        self._root, self._files = root, files
        class_from = "first" if options.class_from in ("auto", "name") else options.class_from
        self._layout = layout_of(root, SplitNames(options.split_map), class_from=class_from)
        self._n_others, self._others = 0, list[str]()
        options = options.forgetting(options.misfits(table.names))
        options = with_targets(table, options)
        options = _with_images(table, options, modality, files)
        self._paths = _paths(table, root, options.image_column) if options.image_column else None
        self._read(table, assign_roles(table, options, modality, self._layout.has_splits), options)

    def _read_labels(self, options: SourceOptions) -> Mapping[str, LabelColumn]:
        labels = super()._read_labels(options)
        if labels or not options.labels or not self._layout.has_classes or self._paths is None:
            return labels
        classes = _meanings(self._paths, self._layout, 1)
        if len(pc.unique(classes).drop_null()) < 2:
            return labels  # a folder "images" is no class
        reading = label_reading(options)
        reading = replace(reading, kind="single") if reading.kind == "auto" else reading
        column = read_labels(pa.chunked_array([classes]), LABEL, reading, self._table.place)
        return {LABEL: replace(column, said=f"{column.said}, from class folders")}

    def _read_ids(self) -> pa.Array | None:
        if self._roles.id or self._paths is None:
            return super()._read_ids()
        parts = self._table.parts
        made = pa.concat_arrays(
            [prefixed(f"{part.prefix}:", column_of(part.file.numbers[:])) for part in parts]
        )
        ids = _counted(pc.coalesce(self._paths, made))
        # "a.png#2" could be the name of another file.
        return ids if pc.count_distinct(ids).as_py() == len(ids) else made

    def _read_splits(self) -> pa.Array | None:
        if self._roles.split or self._paths is None or not self._layout.has_splits:
            return super()._read_splits()
        self._split_words = self._layout.splits
        return _meanings(self._paths, self._layout, 0)

    @property
    def description(self) -> str:
        """What the metadata says; after a scan also how many images it does not name."""
        shown = ", ".join(part.file_name for part in self._table.parts[:SHOWN_FILES])
        shown += ", …" if len(self._files) > SHOWN_FILES else ""
        n = self._table.n_rows
        what = {"image": "images", "image-text": "pairs of image and text"}.get(self.modality, "texts")
        said = f"{what} named by metadata ({shown}), {counted(n, 'row')}"
        if self.modality != "image":
            said += f" with texts in {self._roles.content[-1]!r}"
        said += f": {self._labels_said()}"
        if self._roles.split:
            said += f", splits in {self._roles.split!r}"
        elif self._splits is not None:
            said += ", splits from split folders"
        parts = [said, *self._left_out()]
        if self._n_others:
            names = ", ".join(self._others) + (", …" if self._n_others > len(self._others) else "")
            parts.append(f"{counted(self._n_others, 'image')} not named there ignored ({names})")
        return "; ".join(parts)

    def scan(self, memo: KeyMemo) -> Iterator[SampleBlock]:
        """All rows in blocks, in the order of the metadata files and of the rows in them."""
        yield from super().scan(memo)
        if self._paths is not None:
            self._count_others(self._paths)

    def _count_others(self, named: pa.Array) -> None:
        """Look for images in the folder that the metadata does not name."""
        known = pc.unique(named.drop_null())
        self._n_others, self._others = 0, []
        waiting: list[pa.Array] = []

        def count() -> None:
            together = pa.concat_arrays(waiting)
            others = together.filter(pc.invert(pc.is_in(together, value_set=known)))
            self._n_others += len(others)
            self._others += others[: SHOWN_FILES - len(self._others)].to_pylist()
            waiting.clear()

        for run in tree_of(self._root, stats=False).walk():
            waiting.append(prefixed(run.folder, run.names))
            if sum(map(len, waiting)) > COUNTED_TOGETHER:
                count()
        if waiting:
            count()


def _with_images(
    table: Table, options: SourceOptions, modality: Modality | None, files: Sequence[Path]
) -> SourceOptions:
    """The options, with the column of file names as that of the images unless texts alone are asked for."""
    if options.image_column or options.text_pair_column:
        return options
    if options.text_column and modality != "image-text":
        return options
    if FILE_NAME not in table.names:
        raise ConfigError(
            f"{files[0]} has no column {FILE_NAME!r}, only {table}; call the column with the paths of "
            "the images so, or name it with --image-column"
        )
    return replace(options, image_column=FILE_NAME)


def _paths(table: Table, root: Path, column: str) -> pa.Array | None:
    """The paths of the images relative to the root; null where a cell is blank."""
    if column not in table.rows.column_names:
        return None  # a wrong option: assigning the roles will say so
    chunks = []
    for part in table.parts:
        folder = part.path.parent.relative_to(root).as_posix()
        prefix = "" if folder == "." else f"{folder}/"
        cells = whole(table.rows.column(column).slice(part.start, len(part.file.numbers)))
        blank = pc.equal(pc.binary_length(cells), _ZERO)
        with reading(part.path):  # the folder's name may not be UTF-8
            chunks.append(pc.if_else(blank, pa.nulls(1, pa.string())[0], prefixed(prefix, cells)))
    paths = pa.concat_arrays(chunks)
    odd = pc.any(pc.match_substring_regex(paths, pattern=_BLANK_OR_ODD)).as_py()
    return strings([path and posixpath.normpath(path) for path in paths.to_pylist()]) if odd else paths


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
