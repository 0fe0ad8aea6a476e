"""Matrices in npy, npz and HDF5 files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headstart.arrow import names_by_code, strings
from headstart.cache.exchange.matrices import Matrix, choose_features, stored_as
from headstart.cache.exchange.selection import BLOCK_BYTES, LabelColumn
from headstart.cache.reading.labels import LABEL
from headstart.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def open_npy(path: Path) -> Matrix:
    """A matrix in an npy file, mapped."""
    return _of_array(path, np.load(path, mmap_mode="r", allow_pickle=False), pa.table({}))


def open_npz(path: Path, features_column: str | None) -> Matrix:
    """A matrix in an npz file, an export or any other."""
    with np.load(path, allow_pickle=False) as file:
        return _of_arrays(path, {name: file[name] for name in file.files}, features_column)


def _of_array(
    path: Path, array: Any, columns: pa.Table, labels: Any = None, about: Any = None, blocks: Any = None
) -> Matrix:
    if array.ndim != 2 or not array.shape[1]:
        raise DataError(f"{path} holds an array of shape {tuple(array.shape)}, expected (N, D)")
    step = max(BLOCK_BYTES // (array.shape[1] * array.dtype.itemsize), 1)

    def slices() -> Iterator[NDArray[Any]]:
        for start in range(0, len(array), step):
            yield np.asarray(array[start : start + step])

    dtype = stored_as(path, array.dtype)
    return Matrix(
        path, len(array), array.shape[1], dtype, blocks or slices, columns, labels or {}, about or {}
    )


def _of_arrays(
    path: Path, arrays: Mapping[str, Any], features_column: str | None, blocks: Any = None
) -> Matrix:
    """An npz or HDF5 file: an export, or one with a matrix somewhere."""
    matrices = [name for name, array in arrays.items() if array.ndim == 2 and array.dtype.kind == "f"]
    name = choose_features(path, features_column, list(arrays), matrices)
    about = json.loads(str(arrays["about"][0])) if "about" in arrays and "id" in arrays else {}
    if "export" not in about:
        return _of_array(path, arrays[name], pa.table({}), blocks=blocks and blocks(name))
    columns = {
        column: _column(array)
        for column, array in arrays.items()
        if column in ("id", "key", "split", "origin") or column.startswith("meta:")
    }
    labels = {}
    for column, kind in about.pop("labels").items():
        label = LabelColumn(kind, tuple(map(str, arrays[f"names:{column}"])))
        labels[column] = label
        columns[LABEL + column] = _label_column(arrays, column, label)
    return _of_array(path, arrays[name], pa.table(columns), labels, about, blocks and blocks(name))


def open_hdf5(path: Path, features_column: str | None) -> Matrix:
    """A matrix in an HDF5 file, an export or any other; links out of it are not followed."""
    import h5py

    def blocks(name: str) -> Callable[[], Iterator[NDArray[Any]]]:
        def read() -> Iterator[NDArray[Any]]:
            with h5py.File(path, "r", locking=False) as file:
                data = file[name]
                step = max(BLOCK_BYTES // (data.shape[1] * data.dtype.itemsize), 1)
                for start in range(0, len(data), step):
                    yield data[start : start + step]

        return read

    with h5py.File(path, "r", locking=False) as file:
        arrays = {}
        for name in file:
            if not isinstance(file.get(name, getlink=True), h5py.HardLink):
                continue  # a link to elsewhere would read whatever its author likes
            data = file[name]
            if isinstance(data, h5py.Dataset):
                is_text = h5py.check_string_dtype(data.dtype) is not None
                arrays[name] = np.array(data.asstr()[:], dtype=np.str_) if is_text else _small(data)
        return _of_arrays(path, arrays, features_column, blocks)


def _small(data: Any) -> Any:
    """What is not a matrix of floats is read; a matrix is asked for its shape and dtype only."""
    return data if data.ndim == 2 and data.dtype.kind == "f" else data[()]


def _column(array: Any) -> pa.Array:
    values = np.asarray(array)
    return strings([str(value) for value in values]) if values.dtype.kind == "U" else pa.array(values)


def _label_column(arrays: Mapping[str, Any], column: str, label: LabelColumn) -> pa.Array:
    values = np.asarray(arrays[LABEL + column])
    if label.kind == "regression":
        return pa.array([None if np.isnan(value) else float(value) for value in values], pa.float64())
    if label.kind == "multi":
        known = np.asarray(arrays[f"labelled:{column}"], dtype=bool)
        rows = [
            [label.names[at] for at in np.flatnonzero(row)] if is_known else None
            for row, is_known in zip(values, known, strict=True)
        ]
        return pa.array(rows, pa.list_(pa.string()))
    return names_by_code(np.asarray(arrays[f"codes:{column}"]), label.names)
