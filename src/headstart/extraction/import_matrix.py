"""import: a matrix of features that something else computed becomes a set."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import column_of, keys_to_arrow, names_by_code, strings
from headstart.cache.commit import commit_set
from headstart.cache.corrections import LINEAGE
from headstart.cache.formats import FormatName, shard_format
from headstart.cache.imported import (
    SCHEME,
    check_imported,
    fill_imported,
    imported_keys,
    imported_recipe,
    imported_spec,
)
from headstart.cache.layout import LABEL, META, check_set_name
from headstart.cache.matrices import Matrix, open_matrix
from headstart.cache.store import Cache
from headstart.data.label_cells import clean_labels, first_row
from headstart.data.options import SourceOptions
from headstart.data.read_table import is_table, read_table_file
from headstart.data.source import prefixed
from headstart.data.splits import split_name
from headstart.errors import ConfigError, DataError
from headstart.extraction.commit import (
    count_held,
    describe_set,
    failures_in,
    lineage_of,
    other_features,
    say_corrections,
)
from headstart.extraction.corrected import kept_corrections
from headstart.extraction.samples import Samples, label_samples
from headstart.keys import KEY_BYTES, copies_among, pack, slices
from headstart.types import SPLITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from headstart.cache.matrices import Matrix
    from headstart.cache.sets import FeatureSet
    from headstart.cache.space import Space
    from headstart.contracts import Progress
    from headstart.types import Grouping, Json, LabelKind


@dataclass(frozen=True, slots=True)
class ImportedSamples:
    """Samples, and what their label columns are."""

    samples: Samples
    label_names: Mapping[str, Sequence[str]]
    label_kinds: Mapping[str, LabelKind]
    grouping: Grouping | None = None


def read_samples(matrix: Matrix, config: ImportConfig) -> ImportedSamples:
    """Name every row of a matrix."""
    columns = _columns(matrix, config)
    place = str(config.ids or matrix.path)
    if columns.num_rows != matrix.n_rows:
        raise DataError(
            f"{place} has {columns.num_rows:,} ids, and {matrix.path} has {matrix.n_rows:,} rows; "
            "each row takes one id, in the same order"
        )
    ids = _ids(columns, config.id_column, place)
    keys = _keys(columns, ids, matrix, config)
    labels = _labels(columns, matrix, config)
    table: dict[str, pa.Array | pa.ChunkedArray] = {
        "id": ids,
        "key": keys_to_arrow(keys),
        "split": _splits(columns, matrix, config, place),
        "origin": _origins(columns, matrix, place),
        **{LABEL + name: column for name, (column, _) in labels.items()},
        **{name: columns.column(name) for name in columns.column_names if name.startswith(META)},
    }
    names = {name: label.names for name, label in matrix.labels.items() if name in labels}
    kinds = {name: kind for name, (_, kind) in labels.items()}
    return ImportedSamples(Samples(pa.table(table), keys, []), names, kinds)


def _columns(matrix: Matrix, config: ImportConfig) -> pa.Table:
    """The table that has the ids."""
    if config.ids is None:
        if not matrix.columns.num_columns:
            raise ConfigError(f"{matrix.path} holds no ids; say --ids FILE, one id a line or a table")
        return matrix.columns
    if is_table(config.ids.name):
        if not config.ids.is_file():
            raise DataError(f"there is no file {config.ids}")
        table = read_table_file(config.ids, SourceOptions())
        if table.bad_rows:
            number, reason = table.bad_rows[0]
            raise DataError(f"{config.ids}, row {number}: {reason}")
        return table.rows
    try:
        # Not splitlines(): U+2028 and its like stand in names, and end no line.
        lines = config.ids.read_text("utf-8-sig").removesuffix("\n").split("\n")
    except (OSError, ValueError) as error:
        raise DataError(f"{config.ids} cannot be read: {error}") from error
    return pa.table({"id": strings(lines)})


def _ids(columns: pa.Table, asked: str | None, place: str) -> pa.ChunkedArray:
    """The ids of all rows, none of them empty."""
    name = asked or ("id" if "id" in columns.column_names else columns.column_names[0])
    if asked is None and name != "id" and columns.num_columns > 1:
        raise ConfigError(f"which column of {place} are the ids? say --id-column; {_there(columns)}")
    ids = _texts(columns, name, place)
    blank = first_row(ids, None) if ids.null_count else first_row(ids, "")
    if blank >= 0:
        raise DataError(f"{place}, row {blank + 1}: the id is empty; every sample needs one")
    return ids


def _keys(columns: pa.Table, ids: pa.ChunkedArray, matrix: Matrix, config: ImportConfig) -> NDArray[np.uint8]:
    """The keys of all rows; rows whose ids are alike are refused."""
    of_ids = imported_keys(config.set, _values(ids))
    _check_unique(ids, of_ids, str(config.ids or matrix.path))
    if config.keys is not None:
        return config.keys
    if not matrix.about or config.ids is not None:
        return of_ids
    digits = bytearray()
    for row, value in enumerate(_values(columns.column("key")), 1):
        if value is None or len(value) != 2 * KEY_BYTES or not set(value) <= set("0123456789abcdef"):
            raise DataError(f"{matrix.path}, row {row}: {value!r} is not a key of {2 * KEY_BYTES} hex digits")
        digits += bytes.fromhex(value)
    return pack([bytes(digits)])


def _check_unique(ids: pa.ChunkedArray, keys: NDArray[np.uint8], place: str) -> None:
    """Ids are compared by their keys: as strings, ten million of them would take gigabytes."""
    again = copies_among(keys)
    if not len(again.rows):
        return
    row = int(again.rows[~again.is_first].min())
    first = int(again.rows[again.groups == again.groups[again.rows == row]][0])
    value = ids[row].as_py()
    raise DataError(f"{place}, row {row + 1}: the id {value!r} is that of row {first + 1} as well")


def _values(column: pa.ChunkedArray) -> Iterator[Any]:
    """The values of a column one by one, of which only a block at a time are in memory as objects of Python."""
    for rows in slices(len(column)):
        yield from column.slice(rows.start, rows.stop - rows.start).to_pylist()


def _splits(columns: pa.Table, matrix: Matrix, config: ImportConfig, place: str) -> pa.Array:
    name = config.split_column
    if name is None and matrix.about and config.ids is None:
        name = "split"
    if name is None:
        return pa.nulls(columns.num_rows, pa.string())
    column = _texts(columns, name, place)
    codes = np.full(columns.num_rows, -1, dtype=np.int8)
    for value in pc.unique(column).drop_null().to_pylist():
        if not value.strip():
            continue
        split = split_name(value)
        rows = np.flatnonzero(np.asarray(pc.fill_null(pc.equal(column, pa.scalar(value)), False)))
        if split is None:
            raise DataError(
                f"{place}, row {int(rows[0]) + 1}: {value!r} is no split; write train, validation or test"
            )
        codes[rows] = SPLITS.index(split)
    return names_by_code(codes, SPLITS)


def _labels(
    columns: pa.Table, matrix: Matrix, config: ImportConfig
) -> dict[str, tuple[pa.Array | pa.ChunkedArray, LabelKind]]:
    """The label columns asked for, or those of an export."""
    place = str(config.ids or matrix.path)
    if config.label_columns:
        return {name: _as_label(columns, name, place) for name in config.label_columns}
    if config.ids is not None:
        return {}
    return {name: (columns.column(LABEL + name), label.kind) for name, label in matrix.labels.items()}


def _as_label(columns: pa.Table, name: str, place: str) -> tuple[pa.Array | pa.ChunkedArray, LabelKind]:
    column = _column(columns, name, place)
    kind = column.type
    if pa.types.is_floating(kind):
        return column.cast(pa.float64()), "regression"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _texts(columns, name, place, pa.list_(pa.string())), "multi"
    values = _texts(columns, name, place)
    distinct = pc.unique(values)
    cleaned = strings(clean_labels(distinct.to_pylist()))
    return cleaned.take(pc.index_in(values, value_set=distinct)), "single"


def _origins(columns: pa.Table, matrix: Matrix, place: str) -> pa.Array | pa.ChunkedArray:
    if matrix.about and "origin" in columns.column_names:
        return columns.column("origin").cast(pa.string())
    rows = (np.arange(part.start, part.stop) + 1 for part in slices(columns.num_rows))
    return pa.chunked_array([prefixed(f"{Path(place).name}:", column_of(part)) for part in rows], pa.string())


def _column(columns: pa.Table, name: str, place: str) -> pa.ChunkedArray:
    if name not in columns.column_names:
        raise ConfigError(f"{place} has no column {name!r}; {_there(columns)}")
    return columns.column(name)


def _texts(columns: pa.Table, name: str, place: str, kind: pa.DataType | None = None) -> pa.ChunkedArray:
    """A column as texts, or as lists of texts."""
    column = _column(columns, name, place)
    try:
        return column.cast(kind or pa.string())
    except pa.ArrowException as error:
        raise ConfigError(
            f"the column {name!r} of {place} holds {column.type}, which cannot be read as texts; choose another"
        ) from error


def _there(columns: pa.Table) -> str:
    return f"it has: {', '.join(columns.column_names) or 'none'}"


@dataclass(frozen=True, slots=True)
class ImportConfig:
    """What to import, and as what."""

    path: Path  # ``.npy``, ``.npz``, ``.h5`` or ``.parquet``
    set: str  # what to call the set, and what computed the features
    backbone: str
    # A text file of one id a line, or a table with a column of them; None: the file has them.
    ids: Path | None = None
    id_column: str | None = None
    split_column: str | None = None
    features_column: str | None = None
    label_columns: Sequence[str] = ()
    split_seed: int = 0
    format: FormatName = "hdf5"
    cache: str | None = None
    # The keys of the samples; None: those of the file, else made of the ids.
    keys: NDArray[np.uint8] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Imported:
    """A set, and how many rows its space did not hold before."""

    features: FeatureSet
    n_samples: int
    n_new: int


def import_features(config: ImportConfig, progress: Progress) -> Imported:
    """Put a matrix into a space of its own, and commit a set over it.

    Raises `DataError` if ids, features or splits cannot be used; the message names the row. Nothing was
    written; `MismatchError` if the cache holds another vector under one of the keys. Nothing was written.
    """
    check_set_name(config.set)
    if not config.backbone.strip():
        raise ConfigError("--backbone is empty; say what computed the features")
    matrix = open_matrix(config.path, config.features_column)
    imported = read_samples(matrix, config)
    keys = imported.samples.keys
    cache = Cache(config.cache)
    space = cache.space(imported_recipe(config.backbone, matrix.dtype))
    check_imported(space, keys, matrix, progress)
    cache.prepare()
    space.prepare()
    with space.claims():  # until a set refers to the rows, so that no gc takes them
        n_new = fill_imported(space, keys, matrix, shard_format(config.format), progress)
        features = _commit(cache, config, matrix, imported, space, progress)
    space.refresh()  # what was written is not in the index yet
    space.save_index()
    space.record_use(len(keys) - n_new, n_new)
    return Imported(features, len(keys), n_new)


def _commit(
    cache: Cache,
    config: ImportConfig,
    matrix: Matrix,
    imported: ImportedSamples,
    space: Space,
    progress: Progress,
) -> FeatureSet:
    """Commit the set, on top of whatever it is by now."""
    new: dict[str, Json] = {
        "backbone": imported_spec(config.backbone),
        "tap": "pooler",
        "view": None,
        "space": space.id,
        "options": {},
    }
    while True:
        earlier = cache.find_set(config.set)
        # It says names and kinds of labels as a source does, and is asked for nothing else.
        corrections = kept_corrections(earlier, ends=False)
        labelled = label_samples(imported.samples, imported, earlier, config.split_seed, corrections)  # type: ignore[arg-type]
        samples = labelled.samples
        others = [
            {**entry, "rows": count_held(cache, entry["space"], samples)}
            for entry in other_features([new], earlier)
        ]
        entries = [{**new, "rows": len(samples)}, *(entry for entry in others if entry["rows"])]
        failures = failures_in({entry["space"] for entry in entries}, earlier, samples)
        info = describe_set(_source(matrix, entries, earlier), labelled, entries, failures)
        held, replaces = labelled.again.held, earlier.digest if earlier else None
        if held is not None:
            info[LINEAGE] = lineage_of(earlier)
        features = commit_set(cache, config.set, labelled, info, failures, replaces, held)
        if features is not None:
            say_corrections(labelled.again, earlier, progress)
            return features


def _source(
    matrix: Matrix, entries: Sequence[dict[str, Json]], earlier: FeatureSet | None
) -> dict[str, Json]:
    """Where the samples are: where the set's extracted features found them, else in the file."""
    if earlier and any(not entry["backbone"].startswith(SCHEME) for entry in entries):
        source: dict[str, Json] = earlier.info["source"]
        return source
    return {
        "location": os.path.abspath(matrix.path),
        "description": f"features imported from {matrix.path.name}",
        "modality": matrix.about.get("modality"),
        "columns": {},
    }
