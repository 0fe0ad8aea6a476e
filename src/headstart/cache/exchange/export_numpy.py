"""Exports to npz and HDF5: arrays side by side, nothing pickled, features written a block at a time."""

from __future__ import annotations

import json
import secrets
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headstart.arrow import numbers_of
from headstart.cache.sets import LABEL, encode_labels

SLACK = 1 << 16  # bytes that HDF5 may take to describe one more data set

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.exchange.selection import Selection


def write_npz(selection: Selection, path: Path) -> None:
    """One npz: ``features`` (N, D), and the columns of `side_arrays`."""
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        for name, array in side_arrays(selection):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
        with archive.open("features.npy", "w", force_zip64=True) as file:
            shape = (len(selection), selection.width)
            header = {"descr": selection.dtype.str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_2_0(file, header)
            for block in selection.matrices():
                file.write(np.ascontiguousarray(block).data)


def write_hdf5(selection: Selection, path: Path) -> None:
    """One HDF5 file: ``features`` (N, D), contiguous, and the columns of `side_arrays`.

    The HDF5 library cannot close a file whose disk is full. So it works in memory, but for making room
    for the features; and whatever takes space is written past it, where a full disk is an error like
    any other.
    """
    import h5py

    image = _side_image(selection)
    with open(path, "xb") as raw:
        raw.write(image)
        raw.write(bytes(SLACK))
        raw.truncate(len(image) + SLACK + selection.n_bytes)  # no file may be as large: say so now
        raw.truncate(len(image))
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        offset = _make_room(file, selection)
    with open(path, "r+b") as raw:
        raw.seek(offset)
        for block in selection.matrices():
            raw.write(np.ascontiguousarray(block).data)


def _side_image(selection: Selection) -> bytes:
    """An HDF5 file of everything but the features."""
    import h5py

    with h5py.File(
        f"side-{secrets.token_hex(8)}", "w", driver="core", backing_store=False, libver=("v110", "v110")
    ) as file:
        for name, array in side_arrays(selection):
            is_text = array.dtype.kind == "U"
            data = [str(value) for value in array] if is_text else array
            file.create_dataset(name, data=data, dtype=h5py.string_dtype() if is_text else None)
        file.flush()
        image: bytes = file.id.get_file_image()
    return image


def side_arrays(selection: Selection) -> Iterator[tuple[str, NDArray[Any]]]:
    """The columns beside the features, by name.

    ``id``, ``key`` (hex), ``split`` and ``origin`` are unicode. A label column ``c`` is ``label:c``:
    names (empty: none), or for several labels (N, L) uint8, or numbers (NaN: none). ``names:c`` are its
    names in order; ``codes:c`` the positions in them (-1: none); ``labelled:c`` is False where nothing
    is known of several labels. ``meta:c`` are numbers, or unicode.
    """
    samples = selection.samples
    labels = {name: one.kind for name, one in selection.labels.items()}
    about = {"export": 1, "labels": labels, **selection.about}
    yield "about", np.array([json.dumps(about, ensure_ascii=False)])
    for name in samples.column_names:
        if not name.startswith(LABEL):
            yield name, _plain(samples.column(name))
    for column, label in selection.labels.items():
        values = samples.column(LABEL + column)
        codes = encode_labels(values, label.names, label.kind)
        yield f"names:{column}", np.array(label.names, dtype=np.str_)
        if label.kind == "multi":
            yield f"labelled:{column}", np.asarray((codes >= 0).all(axis=1))
            yield LABEL + column, np.maximum(codes, 0).astype(np.uint8)
        elif label.kind == "regression":
            yield LABEL + column, codes
        else:
            yield f"codes:{column}", codes
            yield LABEL + column, _plain(values)


def _plain(column: pa.ChunkedArray) -> NDArray[Any]:
    """A column as an array of numbers where it can be one without loss, else of text."""
    kind = column.type
    if pa.types.is_boolean(kind) and not column.null_count:
        return np.array(column.to_pylist(), dtype=bool)
    if (pa.types.is_int64(kind) or pa.types.is_int32(kind)) and not column.null_count:
        return np.array(numbers_of(column))
    if pa.types.is_floating(kind):
        values = [np.nan if value is None else value for value in column.to_pylist()]
        return np.array(values, dtype=np.float64)
    return np.array([_text(value) for value in column.to_pylist()], dtype=np.str_)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _make_room(file: Any, selection: Selection) -> int:
    """A contiguous data set whose bytes are not written yet; where they belong in the file."""
    import h5py

    shape = (len(selection), selection.width)
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    made = h5py.h5d.create(
        file.id, b"features", h5py.h5t.py_create(selection.dtype), h5py.h5s.create_simple(shape), properties
    )
    return int(made.get_offset())
