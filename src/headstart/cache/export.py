"""`cache export`: features and labels in one file that other tools read, written a block at a time.

Tables go to Parquet, Arrow IPC and Hugging Face data set folders; arrays, none of them pickled, to npz and HDF5.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from headstart.backbones.pooling import display_tap
from headstart.cache.layout import LABEL
from headstart.cache.selection import Selection, as_dataset, import_datasets, label_arrays, plain_array
from headstart.cache.sets import FeatureSet
from headstart.errors import ConfigError, DataError, StorageError
from headstart.files import partial_path, size_of, storage_errors, swap_folder, sync_directory
from headstart.trust import remember

ExportFormat: TypeAlias = Literal["npz", "hdf5", "parquet", "arrow", "datasets"]

_BY_SUFFIX: dict[str, ExportFormat] = {
    ".npz": "npz",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    "": "datasets",
}
SLACK = 1 << 16  # bytes that HDF5 may take to describe one more data set


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    path: Path
    format: ExportFormat
    n_samples: int
    n_bytes: int


def export(
    features: FeatureSet,
    out: Path,
    format_name: str | None = None,
    split: str | None = None,
    tap: str | None = None,
    label: str | None = None,
    backbone: str | None = None,
    overwrite: bool = False,
    view: str | None = None,
) -> Exported:
    """Write samples of a set with their features to one file, or to a Hugging Face data set folder.

    Without a format, the ending of ``out`` decides, and without an ending it is a data set folder. ``overwrite``
    replaces what an earlier export wrote there. What to export is as in `headstart.FeatureSet.rows`.

    Raises
    ------
    ConfigError
        Something lies there already, the format is not known, or it cannot hold several vectors a sample.
    DataError
        There is no sample to export.
    StorageError
        The disk is full. What lay there is as it was.
    """
    chosen = _choose_format(out, format_name)
    _check_place(out, chosen, overwrite)
    selection = features.held(split, tap, backbone, view).selection(label)
    _check_shape(chosen, selection)
    if not len(selection):
        raise DataError(f"set {features.name!r} has no sample {f'in {split} ' if split else ''}to export")
    _check_room(out, selection)
    partial = partial_path(out)
    with storage_errors(out):
        try:
            _WRITERS[chosen](selection, partial)
            _publish(partial, out, overwrite)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            with contextlib.suppress(OSError):
                partial.unlink()
            raise
    return Exported(out, chosen, len(selection), size_of(out))


def _choose_format(out: Path, format_name: str | None) -> ExportFormat:
    """The format that was asked for, or that the ending of a name means."""
    names = get_args(ExportFormat)
    if format_name is not None:
        if format_name not in names:
            raise ConfigError(f"there is no export format {format_name!r}; choose from: {', '.join(names)}")
        return format_name  # type: ignore[return-value]  # it is among them
    chosen = _BY_SUFFIX.get(out.suffix.lower())
    if chosen is None:
        endings = ", ".join(filter(None, _BY_SUFFIX))
        raise ConfigError(f"{out} has none of the endings {endings}; choose one, or say --format")
    return chosen


def _check_place(out: Path, chosen: ExportFormat, overwrite: bool) -> None:
    if not out.parent.is_dir():
        raise ConfigError(f"there is no folder {out.parent} to write {out.name} to")
    if not os.path.lexists(out):
        return
    if not overwrite:
        raise ConfigError(f"{out} is there already; --overwrite replaces it")
    is_export = (out / "dataset_info.json").is_file() if chosen == "datasets" else out.is_file()
    if not is_export:
        what = "a data set folder" if chosen == "datasets" else "a file"
        raise ConfigError(f"{out} is not {what}, and is not replaced; choose another name")


def _check_shape(chosen: ExportFormat, selection: Selection) -> None:
    if selection.kind.is_ragged and chosen in ("npz", "hdf5"):
        tap = display_tap(selection.about["tap"])
        raise ConfigError(
            f"{selection.about['backbone']} at {tap} has several vectors a sample, and {chosen} takes one: "
            "export to .parquet, .arrow or a folder of Hugging Face's, or choose a pooled tap with --tap"
        )


def _check_room(out: Path, selection: Selection) -> None:
    """Say before the work, not after half of it, that it cannot end well."""
    free = shutil.disk_usage(out.parent).free
    if free < selection.n_bytes:
        raise StorageError(
            f"no space left to write {out}: it takes {selection.n_bytes / 1e6:,.0f} MB, and "
            f"{free / 1e6:,.0f} MB are free"
        )


def _publish(partial: Path, out: Path, overwrite: bool) -> None:
    """Give what is whole its name; nobody ever sees half of it."""
    if partial.is_dir():
        if overwrite:
            swap_folder(partial, out)
        else:
            os.rename(partial, out)
    else:
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        if not overwrite and os.path.lexists(out):
            raise ConfigError(f"{out} has come into being meanwhile; --overwrite replaces it")
        os.replace(partial, out)
    sync_directory(out.parent)


def _write_parquet(selection: Selection, path: Path) -> None:
    """One Parquet file; the schema's metadata says the label names and where it comes from."""
    schema = _schema_of(selection)
    with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
        for table in selection.tables():
            writer.write_table(table.cast(schema))


def _write_arrow(selection: Selection, path: Path) -> None:
    """One Arrow IPC file with the same table."""
    schema = _schema_of(selection)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for table in selection.tables():
            writer.write_table(table.cast(schema))


def _schema_of(selection: Selection) -> pa.Schema:
    """The columns, and in the metadata what they mean."""
    labels = {name: {"kind": one.kind, "names": one.names} for name, one in selection.labels.items()}
    kinds = json.dumps(labels, ensure_ascii=False)
    remember(kinds.encode("utf-8"))
    said = {"headstart.export": "1", "headstart.labels": kinds}
    said |= {f"headstart.{name}": value for name, value in selection.about.items()}
    return selection.schema().with_metadata(said)


def _write_dataset(selection: Selection, path: Path) -> None:
    """A folder for ``datasets.load_from_disk``: label columns by their bare names, as ClassLabels."""
    datasets = import_datasets()
    features, tables = as_dataset(selection)
    stream = path.with_name(f"{path.name}.arrow")
    try:
        # By way of a file that is mapped, as the library would hold the table in memory otherwise.
        with pa.OSFile(str(stream), "wb") as file, pa.ipc.new_stream(file, features.arrow_schema) as writer:
            for table in tables:
                writer.write_table(table)
        datasets.disable_progress_bars()
        datasets.Dataset.from_file(str(stream)).save_to_disk(str(path))
    finally:
        stream.unlink(missing_ok=True)


def _write_npz(selection: Selection, path: Path) -> None:
    """One npz: ``features`` (N, D), and the columns of `_side_arrays`."""
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        for name, array in _side_arrays(selection):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
        with archive.open("features.npy", "w", force_zip64=True) as file:
            shape = (len(selection), selection.kind.width)
            header = {"descr": selection.kind.dtype.str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_2_0(file, header)
            for block in selection.matrices():
                file.write(np.ascontiguousarray(block).data)


def _write_hdf5(selection: Selection, path: Path) -> None:
    """One HDF5 file: ``features`` (N, D), contiguous, and the columns of `_side_arrays`.

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
        for name, array in _side_arrays(selection):
            is_text = array.dtype.kind == "U"
            data = [str(value) for value in array] if is_text else array
            file.create_dataset(name, data=data, dtype=h5py.string_dtype() if is_text else None)
        file.flush()
        image: bytes = file.id.get_file_image()
    return image


def _side_arrays(selection: Selection) -> Iterator[tuple[str, NDArray[Any]]]:
    """The columns beside the features, by name.

    ``id``, ``key`` (hex), ``split`` and ``origin`` are unicode, ``meta:c`` are numbers or unicode. For a label column
    see `headstart.cache.selection.label_arrays`.
    """
    labels = {name: one.kind for name, one in selection.labels.items()}
    about = json.dumps({"export": 1, "labels": labels, **selection.about}, ensure_ascii=False)
    remember(about.encode("utf-8"))
    yield "about", np.array([about])
    for name in selection.samples.column_names:
        if not name.startswith(LABEL):
            yield name, plain_array(selection.samples.column(name))
    for name, label in selection.labels.items():
        yield from label_arrays(name, label, selection.samples.column(LABEL + name))


def _make_room(file: Any, selection: Selection) -> int:
    """A contiguous data set whose bytes are not written yet; where they belong in the file."""
    import h5py

    shape = (len(selection), selection.kind.width)
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    made = h5py.h5d.create(
        file.id,
        b"features",
        h5py.h5t.py_create(selection.kind.dtype),
        h5py.h5s.create_simple(shape),
        properties,
    )
    return int(made.get_offset())


_WRITERS: Mapping[ExportFormat, Callable[[Selection, Path], None]] = {
    "npz": _write_npz,
    "hdf5": _write_hdf5,
    "parquet": _write_parquet,
    "arrow": _write_arrow,
    "datasets": _write_dataset,
}
