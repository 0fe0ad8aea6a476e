"""Hugging Face data sets that lie on this machine as Arrow files: memory-mapped, any row at any time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import column_of, names_by_code, nulls_of, numbers_of
from headstart.data.answers import are_answers, as_json
from headstart.data.arrow_files import ROWS_PER_BLOCK, ArrowImages, FileOrigin, holds_bytes
from headstart.data.label_cells import as_strings, is_plain_list, lists_from, whole
from headstart.data.labels import table_labels
from headstart.data.source import string_table
from headstart.data.splits import LEFT_OUT, SplitNames
from headstart.data.table import Part, Table
from headstart.data.table_file import RowNumbers, TableFile, check_sound
from headstart.data.table_roles import Roles, assign_roles
from headstart.data.table_source import TableSource
from headstart.data.written import found_columns, with_targets
from headstart.errors import DataError, MissingDependencyError, first_line
from headstart.words import counted, plural

if TYPE_CHECKING:
    from headstart.data.contents import Images
    from headstart.data.options import SourceOptions
    from headstart.types import LabelColumn, LabelKind, Modality

    Features = Mapping[str, Any]
    """By column, as the library has them."""

KIND = "Hugging Face data set"
_MINUS_ONE = column_of(np.array([-1], dtype=np.int64))[0]


class HubSource(TableSource):
    """The rows of a Hugging Face data set, whose parts are its splits.

    A sample's id is its cell in the id column, else ``<split>:<row>``; rows are counted from 1. Columns may know the
    names of their classes, and whether they hold one or several; ``roles`` are given if they are decided.
    """

    rows_per_block: int | None = ROWS_PER_BLOCK  # neighbours lie together in the files

    def __init__(
        self,
        parts: Sequence[Part],
        options: SourceOptions,
        modality: Modality | None,
        names: Mapping[str, tuple[str, ...]],
        kinds: Mapping[str, LabelKind],
        roles: Roles | None = None,
        words: Sequence[str] = (),
    ) -> None:
        table = Table(parts)
        self._class_names, self._kinds = {} if options.label_names else names, kinds
        self._split_words = words
        self._has_splits = len(parts) > 1 or any(part.split for part in parts)
        asked, options = options, with_targets(table, options)
        self._found_columns = found_columns(asked, options)
        self._read(table, roles or assign_roles(table, options, modality, self._has_splits), options)

    def _read_labels(self, options: SourceOptions) -> Mapping[str, LabelColumn]:
        is_plain = (
            options.label_kind == "auto" and options.label_separator is None and not options.label_names
        )
        if not is_plain or self._sentences is not None:
            return super()._read_labels(options)
        labels: dict[str, LabelColumn] = {}
        for name in self._roles.labels:
            own = replace(options, label_kind=self._kinds.get(name, "auto"))
            labels |= table_labels(self._table, (name,), own, self._split_codes)
        return labels

    @property
    def roles(self) -> Roles:
        """The columns by what they are for."""
        return self._roles

    @property
    def label_names(self) -> Mapping[str, Sequence[str]]:
        """For each label column the given names, else those the data set knows, else as for tables."""
        return {name: self._class_names.get(name) or labels.names for name, labels in self._labels.items()}

    def _files_said(self) -> str:
        parts, n = self._table.parts, self._table.n_rows
        splits = f", {plural('split', len(parts))} {', '.join(part.prefix for part in parts)}"
        return f"{KIND}{splits if self._has_splits else ''}, {counted(n, 'row')}"


def open_saved(path: Path, options: SourceOptions, modality: Modality | None) -> HubSource:
    """Open a folder that ``save_to_disk`` wrote.

    Raises
    ------
    DataError
        It is damaged.
    MissingDependencyError
        datasets is not installed.
    """
    datasets = import_datasets()
    try:
        loaded = datasets.load_from_disk(str(path))
    except Exception as error:  # pyarrow, json and fsspec each have their own
        raise DataError(f"{path} cannot be read as a save_to_disk folder: {first_line(error)}") from error
    return open_loaded(loaded, path, options, modality)


def open_loaded(loaded: Any, path: Path, options: SourceOptions, modality: Modality | None) -> HubSource:
    """Open a Dataset or a DatasetDict of the library; its path is for messages and for relative paths of images."""
    splits = dict(loaded) if isinstance(loaded, dict) else {None: loaded}
    split_names = SplitNames(options.split_map)
    words = [str(split) for split in splits if split is not None]
    split_names.check(words, path)
    parts: list[Part] = []
    start = 0
    features: dict[str, Any] = {}
    for split, rows in splits.items():
        if split is not None and split_names.of(split) == LEFT_OUT:
            continue
        paths = [file["filename"] for file in rows.cache_files]
        table = rows.with_format("arrow")[:]
        names = {} if options.label_names else class_names(rows.features)
        place = path / split if split else path
        origin = FileOrigin.of(paths, split)
        meant = None if split is None else split_names.of(split)
        parts.append(part_of(table, names, place, split, meant, start, origin))
        start += table.num_rows
        features |= rows.features
    if not start:
        raise DataError(f"{path} holds no rows")
    return HubSource(parts, options, modality, class_names(features), class_kinds(features), words=words)


def part_of(
    table: pa.Table,
    names: Mapping[str, Sequence[str]],
    path: Path,
    split: str | None,
    meant: str | None,
    start: int = 0,
    origin: FileOrigin | None = None,
    numbered_from: int = 0,
) -> Part:
    """A split of a data set, or some rows of it, as a file of a table; bytes stay where they are until they are needed.

    ``names`` are those of the classes of columns, in order; without, they are the numbers they are stored as. ``meant``
    is what the split's name means. The folder of the split is for messages and for relative paths of images, ``start``
    where its rows begin among those of all splits, ``numbered_from`` how many rows of the split came before.
    """
    rows: dict[str, Any] = {}
    lists: dict[str, Any] = {}
    images: dict[str, Images] = {}
    unusable: dict[str, str] = {}
    for field in table.schema:
        column = table.column(field.name)
        check_sound(column, path, field.name)  # mapped from a file: damage would end the process
        if holds_bytes(field.type):
            images[field.name] = ArrowImages(column, field.name, path.parent, origin)
        elif is_plain_list(field.type):
            lists[field.name] = partial(_listed, column, names.get(field.name))
        elif field.name in names and pa.types.is_integer(field.type):
            rows[field.name] = pa.chunked_array([_named(column, names[field.name])])
        elif are_answers(field.type):
            rows[field.name] = as_json(column)
        elif pa.types.is_nested(field.type):
            unusable[field.name] = f"{field.type}"[:40]
        else:
            try:
                rows[field.name] = as_strings(column)
            except (pa.ArrowException, TypeError):
                unusable[field.name] = f"values of the type {field.type}"
    file = TableFile(KIND, string_table(rows), RowNumbers(table.num_rows), (), unusable, lists, images)
    prefix = split or path.name
    return Part(path, prefix, file, prefix, meant, start, numbered_from)


def class_names(features: Features) -> dict[str, tuple[str, ...]]:
    """The names of the classes, in order, of columns that hold a class or several."""
    named = {}
    for name, feature in features.items():
        names = getattr(feature, "names", None) or getattr(getattr(feature, "feature", None), "names", None)
        if names:
            named[name] = tuple(names)
    return named


def class_kinds(features: Features) -> dict[str, LabelKind]:
    """Whether the columns that hold classes hold one or several: no class is a number to predict."""
    return {
        name: "single" if getattr(features[name], "names", None) else "multi"
        for name in class_names(features)
    }


def import_datasets() -> Any:
    """The library.

    Raises
    ------
    MissingDependencyError
        It is not installed.
    """
    try:
        import datasets
    except ImportError as error:
        raise MissingDependencyError("datasets", "reading Hugging Face data sets", "hub") from error
    return datasets


def _named(column: Any, names: Sequence[str]) -> pa.StringArray:
    """Classes by name; null for null, and for numbers without a name: -1 says that there is no label."""
    codes = numbers_of(pc.fill_null(pc.cast(whole(column), pa.int64()), _MINUS_ONE))
    return names_by_code(np.where(codes < len(names), codes, -1), names)


def _listed(column: Any, names: Sequence[str] | None) -> Any:
    """A column of lists, of class names where there are any."""
    lists = whole(column)
    if not names:
        return lists
    lengths = np.bincount(numbers_of(pc.list_parent_indices(lists)), minlength=len(lists))
    return lists_from(lengths, _named(lists.flatten(), names), nulls_of(lists))
