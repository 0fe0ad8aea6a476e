"""Files that hold a matrix of features: npy, npz, HDF5 and Parquet."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pyarrow as pa

from headstart.cache.exchange.matrices import Matrix
from headstart.cache.exchange.matrix_arrays import open_hdf5, open_npy, open_npz
from headstart.cache.exchange.matrix_parquet import open_parquet
from headstart.errors import DataError


def open_matrix(path: Path, features_column: str | None = None) -> Matrix:
    """Open a file by its ending; no feature is read yet.

    Parameters
    ----------
    path : Path
    features_column : str, optional
        The array or column that holds the features; None: found by its type.

    Raises
    ------
    DataError
        It is not such a file, or holds no matrix of numbers.
    ConfigError
        Several columns could be the features.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    try:
        match path.suffix.lower():
            case ".npy":
                return open_npy(path)
            case ".npz":
                return open_npz(path, features_column)
            case ".h5" | ".hdf5":
                return open_hdf5(path, features_column)
            case ".parquet":
                return open_parquet(path, features_column)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    raise DataError(f"{path} is none of .npy, .npz, .h5, .parquet")
