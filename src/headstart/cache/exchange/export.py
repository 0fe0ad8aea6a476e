"""`cache export`: features and labels in one file that other tools read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from headstart.backbones.pooling import display_tap
from headstart.cache.exchange.selection import Selection
from headstart.cache.upkeep.trash import size_of
from headstart.errors import ConfigError, DataError, StorageError
from headstart.files import partial_path, storage_errors, sync_directory

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet

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

    Parameters
    ----------
    features : FeatureSet
    out : Path
    format_name : {"npz", "hdf5", "parquet", "arrow", "datasets"}, optional
        None: by the ending of ``out``; without one, a data set folder.
    split, tap, label, backbone : str, optional
        What to export; see `headstart.FeatureSet.rows`.
    overwrite : bool
        Replace what an earlier export wrote there.
    view : str, optional
        Which augmented view of the feature to export; None: the samples as they are.

    Raises
    ------
    ConfigError
        Something lies there already, the format is not known, or it cannot hold several vectors a sample.
    DataError
        There is no sample to export.
    StorageError
        The disk is full. What lay there is as it was.
    """
    chosen = choose_format(out, format_name)
    _check_place(out, chosen, overwrite)
    selection = features.selection(split, tap, label, backbone, view)
    _check_shape(chosen, selection)
    if not len(selection):
        raise DataError(f"set {features.name!r} has no sample {f'in {split} ' if split else ''}to export")
    _check_room(out, selection)
    partial = partial_path(out)
    with storage_errors(out):
        try:
            _writer(chosen)(selection, partial)
            _publish(partial, out, overwrite)
        except BaseException:
            _remove(partial)
            raise
    return Exported(out, chosen, len(selection), size_of(out))


def choose_format(out: Path, format_name: str | None) -> ExportFormat:
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


def _writer(chosen: ExportFormat) -> Callable[[Selection, Path], None]:
    match chosen:
        case "npz":
            from headstart.cache.exchange.export_numpy import write_npz

            return write_npz
        case "hdf5":
            from headstart.cache.exchange.export_numpy import write_hdf5

            return write_hdf5
        case "parquet":
            from headstart.cache.exchange.export_arrow import write_parquet

            return write_parquet
        case "arrow":
            from headstart.cache.exchange.export_arrow import write_arrow

            return write_arrow
        case "datasets":
            from headstart.cache.exchange.export_arrow import write_dataset

            return write_dataset


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
    if selection.is_ragged and chosen in ("npz", "hdf5"):
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
        _publish_folder(partial, out, overwrite)
    else:
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        if not overwrite and os.path.lexists(out):
            raise ConfigError(f"{out} has come into being meanwhile; --overwrite replaces it")
        os.replace(partial, out)
    sync_directory(out.parent)


def _publish_folder(partial: Path, out: Path, overwrite: bool) -> None:
    if not (overwrite and out.exists()):
        os.rename(partial, out)
        return
    aside = partial_path(out)
    os.rename(out, aside)
    try:
        os.rename(partial, out)
    except OSError:
        os.rename(aside, out)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _remove(partial: Path) -> None:
    if partial.is_dir():
        shutil.rmtree(partial, ignore_errors=True)
    else:
        partial.unlink(missing_ok=True)
