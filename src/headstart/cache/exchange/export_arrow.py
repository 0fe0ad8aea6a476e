"""Exports to Parquet, Arrow IPC and Hugging Face data set folders: one table, a block at a time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headstart.arrow import codes_by_name, column_of
from headstart.cache.reading.labels import LABEL
from headstart.errors import MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headstart.cache.exchange.selection import LabelColumn, Selection


def write_parquet(selection: Selection, path: Path) -> None:
    """One Parquet file; the schema's metadata says the label names and where it comes from."""
    schema = schema_of(selection)
    with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
        for table in selection.tables():
            writer.write_table(table.cast(schema))


def write_arrow(selection: Selection, path: Path) -> None:
    """One Arrow IPC file with the same table."""
    schema = schema_of(selection)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for table in selection.tables():
            writer.write_table(table.cast(schema))


def write_dataset(selection: Selection, path: Path) -> None:
    """A folder for ``datasets.load_from_disk``: label columns by their bare names, as ClassLabels."""
    datasets = _datasets()
    features = dataset_features(selection)
    stream = path.with_name(f"{path.name}.arrow")
    try:
        # By way of a file that is mapped, as the library would hold the table in memory otherwise.
        with pa.OSFile(str(stream), "wb") as file, pa.ipc.new_stream(file, features.arrow_schema) as writer:
            for table in dataset_tables(selection, features):
                writer.write_table(table)
        datasets.disable_progress_bars()
        datasets.Dataset.from_file(str(stream)).save_to_disk(str(path))
    except (OSError, pa.ArrowException):
        shutil.rmtree(path, ignore_errors=True)
        raise
    finally:
        stream.unlink(missing_ok=True)


def to_dataset(selection: Selection) -> Any:
    """The same as a ``datasets.Dataset`` in memory.

    Raises
    ------
    MissingDependencyError
        ``datasets`` is not installed.
    """
    datasets = _datasets()
    features = dataset_features(selection)
    tables = list(dataset_tables(selection, features))
    table = pa.concat_tables(tables) if tables else features.arrow_schema.empty_table()
    return datasets.Dataset(datasets.table.InMemoryTable(table))


def dataset_features(selection: Selection) -> Any:
    """What `datasets` calls the columns and their types."""
    datasets = _datasets()
    schema = selection.schema()
    names = bare_names(selection)
    plain = datasets.Features.from_arrow_schema(
        pa.schema([field for field in schema if not field.name.startswith(LABEL)])
    )
    features: dict[str, Any] = {}
    for field in schema:
        if field.name.startswith(LABEL):
            label = selection.labels[field.name.removeprefix(LABEL)]
            features[names[field.name]] = _label_feature(datasets, label)
        else:
            features[names[field.name]] = plain[field.name]
    return datasets.Features(features)


def dataset_tables(selection: Selection, features: Any) -> Iterator[pa.Table]:
    """Blocks of the table with those names and types."""
    names = bare_names(selection)
    for table in selection.tables():
        for column, label in selection.labels.items():
            position = table.schema.get_field_index(LABEL + column)
            values = _as_codes(table.column(position), label)
            table = table.set_column(position, LABEL + column, values)
        renamed = table.rename_columns([names[name] for name in table.column_names])
        yield renamed.cast(features.arrow_schema)


def bare_names(selection: Selection) -> dict[str, str]:
    """``label:colour`` is called ``colour``, unless another column is called that."""
    names = selection.schema().names
    taken = {name for name in names if not name.startswith(LABEL)}
    return {
        name: bare if name.startswith(LABEL) and (bare := name.removeprefix(LABEL)) not in taken else name
        for name in names
    }


def schema_of(selection: Selection) -> pa.Schema:
    """The columns, and in the metadata what they mean."""
    labels = {name: {"kind": one.kind, "names": one.names} for name, one in selection.labels.items()}
    said = {"headstart.export": "1", "headstart.labels": json.dumps(labels, ensure_ascii=False)}
    said |= {f"headstart.{name}": value for name, value in selection.about.items()}
    return selection.schema().with_metadata(said)


def _label_feature(datasets: Any, label: LabelColumn) -> Any:
    match label.kind:
        case "regression":
            return datasets.Value("float64")
        case "multi":
            return datasets.Sequence(datasets.ClassLabel(names=list(label.names)))
    return datasets.ClassLabel(names=list(label.names))


def _as_codes(values: pa.ChunkedArray, label: LabelColumn) -> pa.ChunkedArray | pa.Array:
    """Label names as their positions, which is what a ClassLabel holds; null where there is none."""
    if label.kind == "regression":
        return values
    if label.kind == "multi":
        whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        codes = column_of(codes_by_name(pa.chunked_array([whole.flatten()]), label.names))
        lengths = pc.fill_null(pc.list_value_length(whole), pa.scalar(0, pa.int32()))
        offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths)])
        return pa.ListArray.from_arrays(offsets, codes, mask=pc.is_null(whole))
    codes = column_of(codes_by_name(values, label.names))
    return pc.if_else(pc.less(codes, pa.scalar(0, pa.int64())), pa.scalar(None, pa.int64()), codes)


def _datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise MissingDependencyError("datasets", "a Hugging Face data set", "hub") from error
    return datasets
