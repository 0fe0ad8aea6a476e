"""Hugging Face data sets that lie on this machine as Arrow files: memory-mapped, any row at any time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.data.hub.images import ROWS_PER_BLOCK
from headstart.data.hub.table import KIND, class_kinds, class_names, origin_of, part_of
from headstart.data.tables.description import plural
from headstart.data.tables.labels import table_labels
from headstart.data.tables.parts import join_parts
from headstart.data.tables.roles import assign_roles
from headstart.data.tables.source import TableSource, columns_of
from headstart.errors import DataError, MissingDependencyError

if TYPE_CHECKING:
    from headstart.data.options import SourceOptions
    from headstart.data.tables.parts import Part
    from headstart.data.tables.roles import Roles
    from headstart.types import LabelColumn, LabelKind, Modality


class HubSource(TableSource):
    """The rows of a Hugging Face data set.

    A sample's id is its cell in the id column, else ``<split>:<row>``; rows are counted from 1.

    Parameters
    ----------
    parts : sequence of Part
        The splits.
    options : SourceOptions
    modality : {"image", "text", "text-pair", "image-text"}, optional
        What is wanted where there are both images and texts.
    names : mapping of str to tuple of str
        The classes of columns that know theirs.
    kinds : mapping of str to str
        The kinds of label columns that know theirs.
    roles : Roles, optional
        The columns by what they are for, if that is decided.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        options: SourceOptions,
        modality: Modality | None,
        names: Mapping[str, tuple[str, ...]],
        kinds: Mapping[str, LabelKind],
        roles: Roles | None = None,
    ) -> None:
        joined = join_parts(parts)
        self._ignored = ()
        self._names, self._kinds = names, kinds
        self._has_splits = len(parts) > 1 or any(part.split for part in parts)
        if roles is None:
            roles = assign_roles(columns_of(joined), options, modality, self._has_splits)
        self._read(joined, roles, options)
        if options.label_names:
            self._names = {}

    def _read_labels(self, options: SourceOptions) -> Mapping[str, LabelColumn]:
        names = self._roles.labels
        if options.label_kind != "auto" or options.label_separator is not None or options.label_names:
            return table_labels(self._joined, names, options)
        return {
            name: table_labels(
                self._joined, (name,), replace(options, label_kind=self._kinds.get(name, "auto"))
            )[name]
            for name in names
        }

    @property
    def roles(self) -> Roles:
        """The columns by what they are for."""
        return self._roles

    @property
    def label_names(self) -> Mapping[str, Sequence[str]]:
        """For each label column the given names, else those the data set knows, else as for tables."""
        return {name: self._names.get(name) or labels.names for name, labels in self._labels.items()}

    @property
    def description(self) -> str:
        """What the data set was taken for."""
        parts = self._joined.parts
        splits = f", {plural('split', len(parts))} {', '.join(part.prefix for part in parts)}"
        shown = splits if self._has_splits else ""
        said = super().description.partition(": ")[2]
        return f"{KIND}{shown}, {self._joined.n_rows:,} {plural('row', self._joined.n_rows)}: {said}"

    @property
    def rows_per_block(self) -> int | None:
        """Neighbours lie together in the files."""
        return ROWS_PER_BLOCK


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
    """Open a Dataset or a DatasetDict of the library.

    Parameters
    ----------
    loaded : Dataset or DatasetDict
    path : Path
        Where it lies, for messages and for relative paths of images.
    options : SourceOptions
    modality : {"image", "text", "text-pair", "image-text"}, optional

    Raises
    ------
    DataError
        It has no rows.
    """
    splits = loaded if isinstance(loaded, dict) else {None: loaded}
    parts: list[Part] = []
    start = 0
    features: dict[str, Any] = {}
    for split, rows in splits.items():
        paths = [file["filename"] for file in rows.cache_files]
        table = rows.with_format("arrow")[:]
        place = path / split if split else path
        parts.append(
            part_of(
                table, rows.features, place, split, start, origin_of(paths, split),
                as_numbers=bool(options.label_names),
            )
        )  # fmt: skip
        start += table.num_rows
        features |= rows.features
    if not start:
        raise DataError(f"{path} holds no rows")
    return HubSource(parts, options, modality, class_names(features), class_kinds(features))


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


def first_line(error: Exception) -> str:
    """What an error says, in a line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
