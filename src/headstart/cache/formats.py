"""The shard formats, by the name that users give and by the ending of a file; dense and ragged rows in them.

HDF5 shards are contiguous, uncompressed and aligned, so that they can be memory-mapped; Parquet is for exchange.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from headstart.arrow import column_of, keys_from_arrow, keys_to_arrow, numbers_of, vectors_of
from headstart.cache.layout import SHARD_FORMAT, check_shard_format
from headstart.contracts import ShardFormat, ShardReader
from headstart.errors import ConfigError, CorruptShardError
from headstart.keys import KEY_BYTES
from headstart.parquet_file import open_parquet
from headstart.types import Features

FormatName: TypeAlias = Literal["hdf5", "parquet"]

ALIGNMENT = 64  # bytes: a cache line, and what vector instructions like best
ROWS_PER_GROUP = 8192  # of a Parquet shard


def shard_format(name: FormatName) -> ShardFormat:
    """The format of a name."""
    return Hdf5Format() if name == "hdf5" else ParquetFormat()


def format_name(name: str) -> FormatName:
    """A format's name, as a user wrote it."""
    if name in get_args(FormatName):
        return cast("FormatName", name)
    raise ConfigError(f"there is no shard format {name!r}; choose hdf5 or parquet")


def format_of(path: Path) -> FormatName:
    """The format of a shard, by the ending of its name."""
    return "hdf5" if path.suffix == ".h5" else "parquet"


def open_shard(path: Path) -> ShardReader:
    """Open a shard of either format."""
    return shard_format(format_of(path)).open(path)


def count_rows(path: Path) -> int:
    """How many rows a shard says that it has; nothing but its metadata is read, and not its digest."""
    if format_of(path) == "hdf5":
        return len(open_shard(path).keys())  # mapped, not read
    with _readable(path), open_parquet(path) as file:
        return int(file.metadata.num_rows)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Say of what a library cannot read that it is corrupt."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, KeyError, RuntimeError, ValueError, pa.ArrowException) as error:
        raise CorruptShardError(f"{path} is not a readable {format_of(path)} shard ({error})") from error


class Hdf5Format:
    """Writes and opens ``.h5`` shards."""

    suffix = ".h5"

    def encode(self, features: Features, recipe: str) -> bytes:
        """A whole HDF5 file, made in memory.

        In memory, because the HDF5 library cannot close a file whose disk is full, and because
        its digest is needed before it has a name.
        """
        import h5py

        _check(features)
        content = io.BytesIO()  # the library's own driver for memory would copy all of it once more
        options = {"libver": ("v110", "v110"), "alignment_threshold": 1, "alignment_interval": ALIGNMENT}
        with h5py.File(content, "w", **options) as file:
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

        with _readable(path), h5py.File(path, "r", locking=False) as file:
            check_shard_format(file.attrs.get("format"), path)
            recipe = file.attrs.get("recipe")
            whole_file = np.memmap(str(path), mode="r")
            arrays = {name: _locate(file, name, path, whole_file) for name in file}
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
    if shape is None:
        raise CorruptShardError(f"{path}: {name!r} has no data space")
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


class ParquetFormat:
    """Writes and opens ``.parquet`` shards: for exchange, readable by any Arrow tool."""

    suffix = ".parquet"

    def encode(self, features: Features, recipe: str) -> memoryview:
        """A whole Parquet file: ``key`` and ``features``, uncompressed, without dictionaries."""
        _check(features)
        vectors = vectors_of(features.values)
        if features.offsets is not None:
            vectors = pa.LargeListArray.from_arrays(column_of(features.offsets), vectors)
        table = pa.table({"key": keys_to_arrow(features.keys), "features": vectors})
        table = table.replace_schema_metadata(
            {"headstart.format": str(SHARD_FORMAT), "headstart.recipe": recipe}
        )
        buffer = pa.BufferOutputStream()
        pq.write_table(
            table,
            buffer,
            compression="none",
            use_dictionary=False,
            write_statistics=False,
            row_group_size=ROWS_PER_GROUP,
        )
        return memoryview(buffer.getvalue())

    def open(self, path: Path) -> ParquetShard:
        """Open a shard; nothing but its metadata is read."""
        # ParquetFile, not read_table: that one imports pandas where it is installed.
        with _readable(path), open_parquet(path) as file:
            metadata = file.schema_arrow.metadata or {}
        check_shard_format(metadata.get(b"headstart.format"), path)
        try:
            return ParquetShard(path, metadata[b"headstart.recipe"].decode("utf-8"))
        except (KeyError, UnicodeDecodeError) as error:
            raise CorruptShardError(f"{path} does not carry its recipe") from error


class ParquetShard:
    """An opened Parquet shard. Each question reads the file: who asks again keeps what it got."""

    def __init__(self, path: Path, recipe: str) -> None:
        self.recipe = recipe
        self._path = path

    def keys(self) -> NDArray[np.uint8]:
        """All keys, shape (N, 16)."""
        return keys_from_arrow(self._read(["key"]).column("key"))

    def features(self, rows: NDArray[np.int64] | None = None) -> Features:
        """The given rows in that order; all of them if None."""
        whole = _from_arrow(self._read(["key", "features"]), self._path)
        return whole if rows is None else take(whole, rows)

    def _read(self, columns: list[str]) -> pa.Table:
        with _readable(self._path), open_parquet(self._path) as file:
            table = file.read(columns=columns, use_threads=True)
        if set(table.column_names) != set(columns):
            raise CorruptShardError(f"{self._path} lacks one of its columns {', '.join(columns)}")
        return table


def _from_arrow(table: pa.Table, path: Path) -> Features:
    keys = keys_from_arrow(table.column("key"))
    column = table.column("features").combine_chunks()
    ragged = pa.types.is_large_list(column.type) or pa.types.is_list(column.type)
    vectors = column.values if ragged else column
    if not pa.types.is_fixed_size_list(vectors.type) or vectors.type.value_type not in (
        pa.float16(),
        pa.float32(),
    ):
        raise CorruptShardError(f"{path}: features are {column.type}, expected fixed-size lists of floats")
    if column.null_count or vectors.null_count or vectors.values.null_count:
        raise CorruptShardError(f"{path}: features hold a null")
    values = numbers_of(vectors.values).reshape(-1, vectors.type.list_size)
    values = values[vectors.offset : vectors.offset + len(vectors)]
    whole = Features(keys, values, numbers_of(column.offsets).astype(np.int64) if ragged else None)
    if problem := problem_of(whole):
        raise CorruptShardError(f"{path} is not a sound shard: {problem}")
    return whole


def take(features: Features, rows: NDArray[np.int64]) -> Features:
    """Some rows of dense or ragged features, in the order asked for."""
    keys = features.keys[rows]
    if features.offsets is None:
        return Features(keys, features.values[rows])
    starts, stops = features.offsets[rows], features.offsets[rows + 1]
    offsets = np.concatenate([[0], np.cumsum(stops - starts)]).astype(np.int64)
    # Positions of all tokens at once: each row's start, minus where it lands, plus a running count.
    positions = np.repeat(starts - offsets[:-1], stops - starts) + np.arange(offsets[-1])
    return Features(keys, features.values[positions], offsets)


@dataclass(frozen=True, slots=True)
class Kind:
    """What all features of a space have in common: D, the dtype they are stored in, and whether there are several."""

    width: int
    dtype: np.dtype[Any]
    is_ragged: bool


def common_kind(parts: Iterable[Features]) -> Kind:
    """The kind of features of one space; a CorruptShardError says that there are several."""
    kinds = {Kind(one.values.shape[1], one.values.dtype, one.offsets is not None) for one in parts}
    if len(kinds) > 1:
        raise CorruptShardError(f"one space holds features of different kinds: {sorted(map(str, kinds))}")
    return kinds.pop() if kinds else Kind(1, np.dtype(np.float32), is_ragged=False)


def concatenated(parts: Sequence[Features]) -> Features:
    """Rows of several shards of one space, one after the other."""
    offsets = None
    if common_kind(parts).is_ragged:
        lengths = np.concatenate([np.diff(part.offsets) for part in parts if part.offsets is not None])
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    keys, values = [part.keys for part in parts], [part.values for part in parts]
    return Features(np.concatenate(keys), np.concatenate(values), offsets)


def problem_of(features: Features) -> str | None:
    """What keeps features from being a shard, in a phrase; None if nothing does."""
    keys, values, offsets = features.keys, features.values, features.offsets
    if keys.dtype != np.uint8 or keys.ndim != 2 or keys.shape[1] != KEY_BYTES or not len(keys):
        return f"its keys are {keys.dtype} of shape {keys.shape}, expected uint8 of shape (1 or more, 16)"
    if values.dtype not in (np.float16, np.float32) or values.ndim != 2 or not values.shape[1]:
        return (
            f"its features are {values.dtype} of shape {values.shape}, expected vectors of float16 or float32"
        )
    if offsets is None:
        return None if len(values) == len(keys) else f"it has {len(keys)} keys and {len(values)} features"
    if offsets.dtype != np.int64 or offsets.shape != (len(keys) + 1,):
        return (
            f"its offsets are {offsets.dtype} of shape {offsets.shape}, expected one int64 a key and one more"
        )
    if offsets[0] != 0 or offsets[-1] != len(values) or (np.diff(offsets) < 0).any():
        return "its offsets do not run from the first of its features to the last"
    return None


def _check(features: Features) -> None:
    if problem := problem_of(features):
        raise ValueError(f"this cannot be a shard: {problem}")
