"""A matrix of features from elsewhere, in an npy, npz, HDF5 or Parquet file, read a block at a time."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headstart.arrow import strings
from headstart.cache.layout import LABEL, META
from headstart.cache.selection import BLOCK_BYTES, LabelMeaning, label_from_arrays
from headstart.errors import ConfigError, DataError
from headstart.parquet_file import SLACK, TIMES_SMALLER, open_parquet
from headstart.trust import note
from headstart.types import Json

EXACT_INTEGERS = 1 << 24  # beyond it float32 cannot tell neighbours apart
ROWS_PER_BATCH = 8192


@dataclass(frozen=True, slots=True)
class Matrix:
    """N features of width D, with what lies beside them in the file.

    ``dtype`` is that in which it will be stored; ``raw_blocks`` gives the rows from the start as they lie in the file,
    in blocks of shape (n, D). Of an export, ``columns``, ``labels`` and ``about`` are as in
    `headstart.cache.selection.Selection`; of another Parquet file, ``columns`` are its other columns.
    """

    path: Path
    n_rows: int
    width: int
    dtype: np.dtype[np.floating]
    raw_blocks: Callable[[], Iterator[NDArray[Any]]]
    columns: pa.Table
    labels: Mapping[str, LabelMeaning] = field(default_factory=dict)
    about: Mapping[str, Json] = field(default_factory=dict)

    def blocks(self) -> Iterator[NDArray[np.floating]]:
        """The rows as they will be stored; a DataError names the row of a value that cannot be."""
        start = 0
        for raw in self.raw_blocks():
            # A float64 that float32 cannot hold becomes infinite here, and is refused below.
            with np.errstate(over="ignore", invalid="ignore"):
                block = np.ascontiguousarray(raw, dtype=self.dtype)
            bad = ~np.isfinite(block).all(axis=1)
            if raw.dtype.kind in "iu":
                bad |= (np.abs(raw.astype(np.float64)) > EXACT_INTEGERS).any(axis=1)
            if bad.any():
                row = start + int(np.flatnonzero(bad)[0]) + 1
                raise DataError(
                    f"{self.path}, row {row}: holds a value that is not finite or that {self.dtype} cannot hold"
                )
            start += len(block)
            yield block


def open_matrix(path: Path, features_column: str | None = None) -> Matrix:
    """Open a file by its ending; no feature is read yet.

    The array or column of the features is found by its type, if it is not named. A DataError says that there is none,
    a ConfigError that there are several.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    try:
        match path.suffix.lower():
            case ".npy":
                array = np.load(path, mmap_mode="r", allow_pickle=False)
                return _of_array(path, array, lambda: _slices(array), {})
            case ".npz":
                return _open_npz(path, features_column)
            case ".h5" | ".hdf5":
                return _open_hdf5(path, features_column)
            case ".parquet":
                return _open_parquet(path, features_column)
    except (
        OSError, ValueError, EOFError, KeyError, MemoryError, zipfile.BadZipFile, pa.ArrowException
    ) as error:  # fmt: skip
        raise DataError(f"{path} cannot be read: {error}") from error
    raise DataError(f"{path} is none of .npy, .npz, .h5, .parquet")


def _choose_features(path: Path, asked: str | None, names: list[str], fitting: list[str]) -> str:
    """The array or column of the features: the one asked for, or the only one that could be it."""
    if asked is not None:
        if asked not in names:
            raise ConfigError(f"{path} has no {asked!r}; it has: {', '.join(names)}")
        return asked
    if "features" in fitting:
        return "features"
    if len(fitting) != 1:
        there = ", ".join(fitting or names) or "nothing"
        raise ConfigError(f"which of {path} are the features? say --features-column; there are: {there}")
    return fitting[0]


def _stored_as(path: Path, dtype: np.dtype[Any]) -> np.dtype[np.floating]:
    """What numbers of a dtype are stored as: float16 stays, all others become float32."""
    if dtype.kind not in "fiu" or dtype.itemsize > 8:
        raise DataError(f"{path}: the features are {dtype}, expected numbers")
    return np.dtype(np.float16 if dtype.kind == "f" and dtype.itemsize == 2 else np.float32)


def _open_npz(path: Path, features_column: str | None) -> Matrix:
    """A matrix in an npz file, an export or any other."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.file_size > TIMES_SMALLER * member.compress_size + SLACK:
                raise DataError(
                    f"{path}: {member.filename!r} says that its {member.compress_size:,} bytes are "
                    f"{member.file_size:,} in memory"
                )
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    name = _choose_features(path, features_column, list(arrays), _float_matrices(arrays))
    return _of_array(path, arrays[name], lambda: _slices(arrays[name]), arrays)


def _open_hdf5(path: Path, features_column: str | None) -> Matrix:
    """A matrix in an HDF5 file, an export or any other; links out of it are not followed."""
    import h5py

    with h5py.File(path, "r", locking=False) as file:
        arrays = {}
        for one in file:
            if not isinstance(file.get(one, getlink=True), h5py.HardLink):
                continue  # a link to elsewhere would read whatever its author likes
            data = file[one]
            if not isinstance(data, h5py.Dataset):
                continue
            _check_size(path, data)
            if h5py.check_string_dtype(data.dtype) is not None:
                arrays[one] = np.array(data.asstr()[:], dtype=np.str_)
            else:  # a matrix of floats is asked for its shape and dtype only
                arrays[one] = data if data.ndim == 2 and data.dtype.kind == "f" else data[()]
        name = _choose_features(path, features_column, list(arrays), _float_matrices(arrays))

        def blocks() -> Iterator[NDArray[Any]]:
            with h5py.File(path, "r", locking=False) as again:
                yield from _slices(again[name])

        return _of_array(path, arrays[name], blocks, arrays)


def _check_size(path: Path, data: Any) -> None:
    """Refuse an array that says a shape which its bytes in the file cannot fill, before memory is taken for it."""
    kept = data.id.get_storage_size()
    if data.shape is None or math.prod(data.shape) * data.dtype.itemsize > TIMES_SMALLER * kept + SLACK:
        raise DataError(
            f"{path}: {data.name!r} says the shape {data.shape}, and has {kept:,} bytes in the file"
        )


def _float_matrices(arrays: Mapping[str, Any]) -> list[str]:
    return [name for name, array in arrays.items() if array.ndim == 2 and array.dtype.kind == "f"]


def _slices(array: Any) -> Iterator[NDArray[Any]]:
    """The rows of an array in blocks of a bounded size."""
    step = max(BLOCK_BYTES // (array.shape[1] * array.dtype.itemsize), 1)
    return (np.asarray(array[start : start + step]) for start in range(0, len(array), step))


def _of_array(
    path: Path, array: Any, blocks: Callable[[], Iterator[NDArray[Any]]], beside: Mapping[str, Any]
) -> Matrix:
    """A matrix with the arrays beside it, which say whether the file is an export."""
    if array.ndim != 2 or not array.shape[1]:
        raise DataError(f"{path} holds an array of shape {tuple(array.shape)}, expected (N, D)")
    columns, labels = {}, {}
    said = str(beside["about"][0]) if "about" in beside and "id" in beside else "{}"
    about = json.loads(said)
    note(about, said.encode("utf-8"), path)
    if "export" in about:
        for name, values in beside.items():
            if name in ("id", "key", "split", "origin") or name.startswith(META):
                is_text = np.asarray(values).dtype.kind == "U"
                columns[name] = strings([str(one) for one in values]) if is_text else pa.array(values)
        for name, kind in about.pop("labels").items():
            labels[name] = LabelMeaning(kind, tuple(map(str, beside[f"names:{name}"])))
            columns[LABEL + name] = label_from_arrays(name, labels[name], beside)
    else:
        about = {}
    dtype = _stored_as(path, array.dtype)
    return Matrix(path, len(array), array.shape[1], dtype, blocks, pa.table(columns), labels, about)


def _open_parquet(path: Path, features_column: str | None) -> Matrix:
    """A matrix in a Parquet file, an export or any other."""
    with open_parquet(path) as file:
        schema, n_rows = file.schema_arrow, file.metadata.num_rows
        lists = [
            one.name for one in schema if _is_list(one.type) and pa.types.is_floating(one.type.value_type)
        ]
        _refuse_tokens(path, schema, features_column or "features")
        name = _choose_features(path, features_column, schema.names, lists)
        kind = schema.field(name).type
        if not _is_list(kind):
            raise DataError(f"{path}: column {name!r} is {kind}, expected lists of numbers")
        others = [other for other in schema.names if other != name]
        columns = file.read(columns=others).replace_schema_metadata(None)
        said = schema.metadata or {}
        kinds = said.get(b"headstart.labels", b"{}")
        note(json.loads(kinds), kinds, path)
    dtype = _stored_as(path, np.dtype(_numpy_name(path, kind.value_type)))
    width = kind.list_size if pa.types.is_fixed_size_list(kind) else _first_length(path, name)
    if width < 1:
        raise DataError(f"{path}: column {name!r} holds empty lists")
    return Matrix(path, n_rows, width, dtype, lambda: _batches(path, name, width), columns, *_said(said))


def _refuse_tokens(path: Path, schema: pa.Schema, name: str) -> None:
    place = schema.get_field_index(name)
    if place >= 0 and _is_list(schema.types[place]) and _is_list(schema.types[place].value_type):
        raise DataError(
            f"{path}: column {name!r} holds several vectors a sample, and an import takes one; "
            "export a pooled tap instead"
        )


def _said(metadata: Mapping[bytes, bytes]) -> tuple[dict[str, LabelMeaning], dict[str, Json]]:
    """What an export says of itself in the metadata of its schema."""
    if b"headstart.export" not in metadata:
        return {}, {}
    labels = {
        column: LabelMeaning(one["kind"], tuple(one["names"]))
        for column, one in json.loads(metadata[b"headstart.labels"]).items()
    }
    about = {
        name.decode().removeprefix("headstart."): value.decode()
        for name, value in metadata.items()
        if name.startswith(b"headstart.") and name != b"headstart.labels"
    }
    return labels, about


def _batches(path: Path, name: str, width: int) -> Iterator[NDArray[Any]]:
    start = 0
    with open_parquet(path) as file:
        for batch in file.iter_batches(batch_size=ROWS_PER_BATCH, columns=[name]):
            column = batch.column(0)
            lengths = np.asarray(pc.fill_null(pc.list_value_length(column), -1))
            wrong = np.flatnonzero(lengths != width)
            if len(wrong):
                found = int(lengths[wrong[0]])
                what = "is null" if found < 0 else f"holds {found} numbers"
                raise DataError(
                    f"{path}, row {start + int(wrong[0]) + 1}: {name!r} {what}, expected {width} as in the others"
                )
            values = column.flatten()
            if values.null_count:
                row = start + int(np.flatnonzero(np.asarray(values.is_null()))[0]) // width + 1
                raise DataError(f"{path}, row {row}: {name!r} holds a null")
            start += len(column)
            yield values.to_numpy(zero_copy_only=False).reshape(-1, width)


def _first_length(path: Path, name: str) -> int:
    with open_parquet(path) as file:
        for batch in file.iter_batches(batch_size=1, columns=[name]):
            return int(pc.list_value_length(batch.column(0))[0].as_py() or 0)
    return 0


def _numpy_name(path: Path, kind: pa.DataType) -> str:
    names = {"halffloat": "float16", "float": "float32", "double": "float64"}
    name = names.get(str(kind), str(kind))
    if name.rstrip("0123456789") not in ("float", "int", "uint"):
        raise DataError(f"{path}: the features are {kind}, expected numbers")
    return name


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
