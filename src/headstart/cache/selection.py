"""Samples of a set with their features, a block at a time: what an export is made of."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headstart.arrow import codes_by_name, column_of, mask_of, numbers_of, vectors_of
from headstart.cache.formats import Kind
from headstart.cache.layout import LABEL, META
from headstart.cache.rows import StoredRows
from headstart.errors import MissingDependencyError
from headstart.tasks import open_task

BLOCK_BYTES = 32 << 20  # of features held in memory at a time


@dataclass(frozen=True, slots=True)
class LabelMeaning:
    """What the values of a label column are; names are in order, and there are none for regression."""

    kind: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """Some samples of a set with one feature each.

    ``samples`` has ``id``, ``key`` (hex), ``split``, ``origin``, ``label:<name>``…, ``meta:<name>``…; ``about`` says
    where it comes from: set, digest, backbone, tap, view, space, modality.
    """

    samples: pa.Table
    labels: Mapping[str, LabelMeaning]
    about: Mapping[str, str]
    rows: StoredRows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def kind(self) -> Kind:
        """What the features are."""
        return self.rows.kind

    @property
    def n_bytes(self) -> int:
        """Of all features together."""
        return int(self.rows.lengths.sum()) * self.kind.width * self.kind.dtype.itemsize

    def matrices(self) -> Iterator[NDArray[np.floating]]:
        """The features, in blocks of shape (n, D) of a bounded size; not of ragged ones."""
        for rows in self._blocks():
            yield self.rows.take(rows)

    def tables(self) -> Iterator[pa.Table]:
        """The samples with their ``features``, in blocks."""
        for rows in self._blocks():
            part = self.samples.slice(rows[0], len(rows))
            yield part.append_column("features", self._column(rows))

    def schema(self) -> pa.Schema:
        """Of `tables`."""
        kind = pa.list_(pa.float16() if self.kind.dtype == np.float16 else pa.float32(), self.kind.width)
        return self.samples.schema.append(
            pa.field("features", pa.list_(kind) if self.kind.is_ragged else kind)
        )

    def _blocks(self) -> Iterator[NDArray[np.int64]]:
        """Consecutive samples whose features take about as much memory as a block may."""
        n_bytes = np.cumsum(self.rows.lengths) * (self.kind.width * self.kind.dtype.itemsize)
        start = 0
        while start < len(self):
            before = n_bytes[start - 1] if start else 0
            stop = max(int(np.searchsorted(n_bytes, before + BLOCK_BYTES, side="right")), start + 1)
            yield np.arange(start, stop)
            start = stop

    def _column(self, rows: NDArray[np.int64]) -> pa.Array:
        if not self.kind.is_ragged:
            return vectors_of(self.rows.take(rows))
        values, offsets = self.rows.packed(rows)
        return pa.ListArray.from_arrays(column_of(offsets.astype(np.int32)), vectors_of(values))


def samples_of(table: pa.Table, keys: NDArray[np.uint8], columns: Sequence[str]) -> pa.Table:
    """The columns of a set as `Selection` has them, with some of the labels."""
    names = ["id", "split", "origin", *(LABEL + column for column in columns)]
    names += [name for name in table.column_names if name.startswith(META)]
    offsets = np.arange(len(keys) + 1, dtype=np.int32) * 32  # of the hex digits of each key
    digits = np.ascontiguousarray(keys).tobytes().hex().encode("ascii")
    column = pa.StringArray.from_buffers(len(keys), pa.py_buffer(offsets), pa.py_buffer(digits))
    return table.select(names).add_column(1, "key", column).replace_schema_metadata(None)


def to_dataset(selection: Selection) -> Any:
    """The same as a ``datasets.Dataset`` in memory.

    Raises
    ------
    MissingDependencyError
        ``datasets`` is not installed.
    """
    datasets = import_datasets()
    features, tables = as_dataset(selection)
    table = pa.concat_tables([features.arrow_schema.empty_table(), *tables])
    return datasets.Dataset(datasets.table.InMemoryTable(table))


def as_dataset(selection: Selection) -> tuple[Any, Iterator[pa.Table]]:
    """What `datasets` calls the columns and their types, and blocks of the table like that.

    ``label:colour`` is called ``colour``, unless another column is called that.
    """
    datasets = import_datasets()
    schema = selection.schema()
    taken = {name for name in schema.names if not name.startswith(LABEL)}
    bare = {name: name.removeprefix(LABEL) for name in schema.names}
    names = [name if name in taken or bare[name] in taken else bare[name] for name in schema.names]
    features = datasets.Features.from_arrow_schema(schema.remove_metadata())
    features = datasets.Features(dict(zip(names, features.values(), strict=True)))
    classes = {
        schema.get_field_index(LABEL + name): label.names
        for name, label in selection.labels.items()
        if open_task(label.kind).has_names
    }
    for position, class_names in classes.items():
        one = datasets.ClassLabel(names=list(class_names))
        is_list = pa.types.is_list(schema.types[position])
        features[names[position]] = datasets.Sequence(one) if is_list else one

    def tables() -> Iterator[pa.Table]:
        for table in selection.tables():
            for position, class_names in classes.items():
                values = _as_codes(table.column(position), class_names)
                table = table.set_column(position, schema.names[position], values)
            yield table.rename_columns(names).cast(features.arrow_schema)

    return features, tables()


def _as_codes(values: pa.ChunkedArray, names: Sequence[str]) -> pa.Array:
    """Label names as their positions, which is what a ClassLabel holds; null where there is none."""
    import pyarrow.compute as pc

    if not pa.types.is_list(values.type):
        codes = column_of(codes_by_name(values, names))
        return pc.if_else(pc.less(codes, pa.scalar(0, pa.int64())), pa.scalar(None, pa.int64()), codes)
    whole = values.combine_chunks()
    codes = column_of(codes_by_name(pa.chunked_array([whole.flatten()]), names))
    lengths = pc.fill_null(pc.list_value_length(whole), pa.scalar(0, pa.int32()))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths)])
    return pa.ListArray.from_arrays(offsets, codes, mask=pc.is_null(whole))


def import_datasets() -> Any:
    """The library, or what to install."""
    try:
        import datasets
    except ImportError as error:
        raise MissingDependencyError("datasets", "a Hugging Face data set", "hub") from error
    return datasets


def label_arrays(
    name: str, label: LabelMeaning, values: pa.ChunkedArray
) -> Iterator[tuple[str, NDArray[Any]]]:
    """A label column as the arrays of an npz or HDF5 export, by name.

    ``label:c`` are names (empty: none), or for several labels (N, L) uint8, or numbers (NaN: none). ``names:c`` are
    its names in order; ``codes:c`` the positions in them (-1: none); ``labelled:c`` is False where nothing is known of
    several labels.
    """
    task = open_task(label.kind)
    y = task.encode(values, label.names)
    yield f"names:{name}", np.array(label.names, dtype=np.str_)
    match task.form:
        case "labels":
            yield f"labelled:{name}", np.asarray((y >= 0).all(axis=1))
            yield LABEL + name, np.maximum(y, 0).astype(np.uint8)
        case "numbers":
            yield LABEL + name, y
        case "classes":
            yield f"codes:{name}", y
            yield LABEL + name, plain_array(values)
        case _:  # as JSON
            yield f"labelled:{name}", task.known(y)
            yield LABEL + name, plain_array(values)


def label_from_arrays(name: str, label: LabelMeaning, arrays: Mapping[str, Any]) -> pa.Array:
    """The label column that `label_arrays` wrote."""
    import pyarrow.compute as pc

    task = open_task(label.kind)
    if task.form == "spans":
        cells = zip(arrays[LABEL + name].tolist(), arrays[f"labelled:{name}"].tolist(), strict=True)
        return pa.array([json.loads(cell) if known else None for cell, known in cells], task.arrow_type)
    y = np.asarray(arrays[f"codes:{name}" if task.form == "classes" else LABEL + name])
    known = np.asarray(arrays[f"labelled:{name}"], dtype=bool) if task.form == "labels" else task.known(y)
    column = task.decode(y, label.names)
    return pc.if_else(mask_of(known), column, pa.scalar(None, column.type))


def plain_array(column: pa.ChunkedArray) -> NDArray[Any]:
    """A column as an array of numbers where it can be one without loss, else of text."""
    kind = column.type
    if pa.types.is_boolean(kind) and not column.null_count:
        return np.array(column.to_pylist(), dtype=bool)
    if (pa.types.is_int64(kind) or pa.types.is_int32(kind)) and not column.null_count:
        return np.array(numbers_of(column))
    if pa.types.is_floating(kind):
        values = [np.nan if value is None else value for value in column.to_pylist()]
        return np.array(values, dtype=np.float64)
    texts = ["" if value is None else value for value in column.to_pylist()]
    texts = [
        one if isinstance(one, str) else json.dumps(one, ensure_ascii=False, default=str) for one in texts
    ]
    return np.array(texts, dtype=np.str_)
