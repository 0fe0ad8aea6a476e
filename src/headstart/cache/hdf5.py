"""Shards in HDF5: contiguous, uncompressed, aligned, so that they can be memory-mapped."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.cache.layout import SHARD_FORMAT, check_shard_format
from headstart.cache.rows import problem_of, take
from headstart.errors import CorruptShardError
from headstart.types import Features

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALIGNMENT = 64  # bytes: a cache line, and what vector instructions like best


class Hdf5Format:
    """Writes and opens ``.h5`` shards."""

    suffix = ".h5"

    def encode(self, features: Features, recipe: str) -> bytes:
        """A whole HDF5 file, made in memory.

        In memory, because the HDF5 library cannot close a file whose disk is full, and because
        its digest is needed before it has a name.

        Raises
        ------
        ValueError
            There is no row, or keys and features do not fit each other.
        """
        import h5py

        if problem := problem_of(features):
            raise ValueError(f"this cannot be a shard: {problem}")
        content = io.BytesIO()  # the library's own driver for memory would copy all of it once more
        with h5py.File(
            content,
            "w",
            libver=("v110", "v110"),
            alignment_threshold=1,
            alignment_interval=ALIGNMENT,
        ) as file:
            file.attrs["format"] = SHARD_FORMAT
            file.attrs["recipe"] = recipe
            file.create_dataset("keys", data=features.keys)
            file.create_dataset("features", data=features.values)
            if features.offsets is not None:
                file.create_dataset("offsets", data=features.offsets)
        return content.getvalue()

    def open(self, path: Path) -> Hdf5Shard:
        """Open a shard; nothing but its metadata is read."""
        import h5py

        try:
            with h5py.File(path, "r", locking=False) as file:
                check_shard_format(file.attrs.get("format"), path)
                recipe = file.attrs.get("recipe")
                whole_file = np.memmap(str(path), mode="r")
                arrays = {name: _locate(file, name, path, whole_file) for name in file}
        except FileNotFoundError:
            raise
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            raise CorruptShardError(f"{path} is not a readable HDF5 shard ({error})") from error
        if not isinstance(recipe, str) or not {"keys", "features"} <= arrays.keys():
            raise CorruptShardError(f"{path} lacks its recipe, its keys or its features")
        whole = Features(arrays["keys"], arrays["features"], arrays.get("offsets"))
        if problem := problem_of(whole):
            raise CorruptShardError(f"{path} is not a sound shard: {problem}")
        return Hdf5Shard(recipe, whole)


class Hdf5Shard:
    """A memory-mapped HDF5 shard."""

    def __init__(self, recipe: str, whole: Features) -> None:
        self.recipe = recipe
        self._whole = whole

    def keys(self) -> NDArray[np.uint8]:
        """All keys, shape (N, 16)."""
        return self._whole.keys

    def features(self, rows: NDArray[np.int64] | None = None) -> Features:
        """The given rows in that order, copied out of the map; all of them if None, still mapped."""
        return self._whole if rows is None else take(self._whole, rows)


def _locate(file: Any, name: str, path: Path, mapped: NDArray[np.uint8]) -> NDArray[Any]:
    """A data set where it lies in the mapped file.

    Only what lies whole and plain inside this very file is taken: links to other files, external
    and virtual data sets would make a planted shard read whatever its author likes. By the low-level
    functions, as a set may have hundreds of shards and the others take twice as long.
    """
    import h5py

    encoded = name.encode("utf-8")
    if file.id.links.get_info(encoded).type != h5py.h5l.TYPE_HARD:
        raise CorruptShardError(f"{path}: {name!r} is not a data set of this file")
    found = h5py.h5o.open(file.id, encoded)
    if not isinstance(found, h5py.h5d.DatasetID):
        raise CorruptShardError(f"{path}: {name!r} is not a data set of this file")
    properties = found.get_create_plist()
    offset, shape, dtype = found.get_offset(), found.shape, found.dtype
    n_bytes = math.prod(shape) * dtype.itemsize
    contiguous = properties.get_layout() == h5py.h5d.CONTIGUOUS and not properties.get_external_count()
    if contiguous and not n_bytes:
        return np.empty(shape, dtype)  # of no bytes, HDF5 stores none: it has no place
    if not contiguous or not offset:
        raise CorruptShardError(f"{path}: {name!r} is not stored contiguously in this file")
    if dtype.hasobject or offset + n_bytes > len(mapped):
        raise CorruptShardError(f"{path}: {name!r} reaches past the end of the file")
    located: NDArray[Any] = mapped[offset : offset + n_bytes].view(dtype).reshape(shape)
    return located
