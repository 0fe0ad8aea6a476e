"""Tables that a program holds: of pandas, polars, Arrow and Hugging Face, rows and columns of Python; and streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headstart.arrow import strings
from headstart.data.arrow_files import FileOrigin
from headstart.data.given import values_of
from headstart.data.hub import StreamSource
from headstart.data.hub_source import HubSource, class_kinds, class_names, part_of
from headstart.data.memory import BY_PIXELS, HeldImages, is_image_like
from headstart.data.objects import HeldSamples, HeldStream, hold
from headstart.data.splits import LEFT_OUT, SplitNames
from headstart.data.table_file import RowNumbers
from headstart.errors import ConfigError, DataError
from headstart.words import counted, plural

if TYPE_CHECKING:
    from headstart.data.given import Given
    from headstart.data.options import SourceOptions
    from headstart.data.table import Part
    from headstart.types import Modality


class HeldTable(HubSource):
    """The rows of tables in memory, by split or of one; rows are counted from 0, and so are ids where none are given.

    ``kind`` is what the user calls the table.
    """

    rows_per_block = None

    def __init__(self, kind: str, *about: Any, **more: Any) -> None:
        self._kind = kind
        super().__init__(*about, **more)

    def _read_ids(self) -> Any:
        ids = super()._read_ids()
        if ids is not None or self._has_splits:
            return ids
        return strings([str(number) for number in range(self._table.n_rows)])

    def _files_said(self) -> str:
        parts, n = self._table.parts, self._table.n_rows
        splits = f", {plural('split', len(parts))} {', '.join(part.prefix for part in parts)}"
        images = self._table.parts[0].file.images.get(self._roles.image or "")
        pixels = BY_PIXELS if isinstance(images, HeldImages) and images.are_pixels else ""
        return f"{self._kind}{splits if self._has_splits else ''}, {counted(n, 'row')}{pixels}"


def open_tables(
    by_split: Mapping[str | None, Any],
    kind: str,
    given: Given,
    options: SourceOptions,
    modality: Modality | None,
) -> HeldTable:
    """Open tables, with what is said beside them as columns.

    Raises
    ------
    ConfigError
        A split is not known; something is given beside several tables, or with another number of values.
    DataError
        There are no rows.
    """
    if given.names() and len(by_split) > 1:
        raise ConfigError(f"{given.names()[0]} goes with one table, not with several by split; name a column")
    names = SplitNames(options.split_map)
    words = [split for split in by_split if split is not None]
    names.check(words, kind)
    parts: list[Part] = []
    features: dict[str, Any] = {}
    start = 0
    for split, table in by_split.items():
        if split is not None and names.of(split) == LEFT_OUT:
            continue
        part = _part(table, kind, split, names, given, options, start)
        parts.append(part)
        start += len(part.file.numbers)
        features |= getattr(table, "features", None) or {}
    if not start:
        raise DataError(f"the {kind} holds no rows")
    classes = {name: of for name, of in class_names(features).items() if name not in _replaced(given)}
    return HeldTable(
        kind, parts, given.options(options), modality, classes, class_kinds(features), words=words
    )


def open_stream(
    by_split: Mapping[str | None, Any], given: Given, options: SourceOptions, modality: Modality | None
) -> StreamSource:
    """Open data sets whose rows come one after the other.

    Raises
    ------
    ConfigError
        Something is given beside them.
    """
    if given.names():
        raise ConfigError(
            f"{given.names()[0]} goes with samples that are there; an IterableDataset brings its columns"
        )
    return StreamSource("IterableDataset", dict(by_split), Path(), options, modality)


def _replaced(given: Given) -> list[str]:
    return list(
        given.labels if isinstance(given.labels, Mapping) else ["label"] if given.labels is not None else []
    )


def _part(
    table: Any,
    kind: str,
    split: str | None,
    names: SplitNames,
    given: Given,
    options: SourceOptions,
    start: int,
) -> Part:
    """One table as a file of a table."""
    columns = _columns(table)
    n = len(next(iter(columns.values()), []))
    columns |= given.columns(n)
    objects = {name: values for name, values in columns.items() if isinstance(values, list)}
    plain = {name: values for name, values in columns.items() if name not in objects}
    features = getattr(table, "features", None) or {}
    known = {} if options.label_names else class_names(features)
    known = {name: of for name, of in known.items() if name not in _replaced(given)}
    paths = [file["filename"] for file in getattr(table, "cache_files", [])]
    arrow = pa.Table.from_arrays(list(plain.values()), names=list(plain))
    meant = None if split is None else names.of(split)
    origin = FileOrigin.of(paths, split)
    folder = Path(split or kind)
    part = part_of(arrow, known, folder, split, meant, start, origin)
    images = {
        **part.file.images,
        **{name: HeldImages(values, given.layout) for name, values in objects.items()},
    }
    return replace(part, file=replace(part.file, images=images, numbers=RowNumbers(n, first=0)))


def _columns(table: Any) -> dict[str, Any]:
    """The columns of a table in Arrow; lists are those of images that Arrow has no type for."""
    if hasattr(table, "with_format") and hasattr(table, "cache_files"):
        table = table.with_format("arrow")[:]
    if isinstance(table, Sequence):  # rows
        names = list(dict.fromkeys(name for row in table for name in row))
        return _plain_columns({str(name): [row.get(name) for row in table] for name in names})
    if isinstance(table, Mapping):
        return _plain_columns(table)
    if hasattr(table, "iloc"):  # of pandas: by position, whatever the index says
        named = [str(name) for name in table.columns]
        if twice := next((name for name in named if named.count(name) > 1), None):
            raise ConfigError(f"more than one column is called {twice!r}; rename all but one")
        return _plain_columns({name: table.iloc[:, place] for place, name in enumerate(named)})
    arrow = table if isinstance(table, pa.Table) else pa.table(table)
    return {name: _usual(arrow.column(name)) for name in arrow.column_names}


def _plain_columns(columns: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, values in columns.items():
        column = _in_arrow(values)
        found[name] = _images(values, name) if column is None else column
    lengths = {name: len(column) for name, column in found.items()}
    if len({*lengths.values()}) > 1:
        raise ConfigError(f"the columns are of different lengths: {lengths}")
    return found


def _images(values: Any, name: str) -> list[Any]:
    """The images of a column that Arrow has no type for."""
    listed = values_of(values, name)
    odd = next((value for value in listed if value is not None and not is_image_like(value)), None)
    if odd is not None:
        raise ConfigError(
            f"column {name!r} holds values of several types, such as {odd!r:.40}; write one type, or leave it out"
        )
    return listed


def _in_arrow(values: Any) -> Any:
    """A column in Arrow, None if it has no type for it."""
    try:
        if hasattr(values, "to_numpy") and hasattr(values, "iloc"):
            return _usual(_chunked(pa.Array.from_pandas(values)))
        listed = values_of(values)
        first = next((value for value in listed if value is not None), None)
        if is_image_like(first) and not isinstance(first, bytes):
            return None  # Arrow would take an array for a list of numbers
        return _chunked(pa.array(listed, from_pandas=True))
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return None


def _chunked(column: Any) -> pa.ChunkedArray:
    return column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])


def _usual(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of a type that others have as well: categories and views are the strings and bytes themselves."""
    if pa.types.is_dictionary(column.type):
        plain = [
            _usual(_chunked(chunk.dictionary)).combine_chunks().take(chunk.indices) for chunk in column.chunks
        ]
        return pa.chunked_array(plain)
    if pa.types.is_binary_view(column.type):
        return column.cast(pa.large_binary())
    return column.cast(pa.large_string()) if pa.types.is_string_view(column.type) else column


def inputs_in(X: Any) -> Sequence[Any]:
    """The inputs that a scikit-learn transformer is given: one by one, or a column of a table, or two as pairs.

    Raises
    ------
    ConfigError
        A table has other columns besides.
    """
    if isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "OUS":
        columns = [X[:, place].tolist() for place in range(X.shape[1])]
    else:
        held = hold(
            [tuple(item) if isinstance(item, list) else item for item in X] if isinstance(X, list) else X
        )
        if isinstance(held, HeldSamples):
            return held.items
        if isinstance(held, HeldStream) or len(held.by_split) != 1:
            raise ConfigError(
                "a transformer takes the inputs of one table; give a split, as a column or a list"
            )
        columns = [values_of(column) for column in _columns(next(iter(held.by_split.values()))).values()]
    if len(columns) > 2:
        raise ConfigError(
            f"a transformer takes one column, or two as pairs, and there are {len(columns)}; choose: "
            "ColumnTransformer([('embedder', Embedder(…), 'text')])"
        )
    return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
