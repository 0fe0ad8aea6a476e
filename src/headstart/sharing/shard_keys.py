"""The keys of shards that lie elsewhere: read by ranges, so that a shard is fetched only if rows of it are wanted."""

from __future__ import annotations

import io
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from headstart.arrow import keys_from_arrow
from headstart.cache.formats import format_of
from headstart.keys import KEY_BYTES, contains

if TYPE_CHECKING:
    from headstart.sharing.place import CachePlace

BLOCK_BYTES = 64 << 10
"""What is read at a time where a file says where its parts are."""
AT_ONCE = 8


def shards_of(keys: NDArray[np.uint8], place: CachePlace, space: str, sizes: Mapping[str, int]) -> list[str]:
    """Those shards of a space elsewhere in which keys, shape (N, 16), lie: enough of them that each key lies in one.

    One that cannot be read is among them: whoever fetches it says what is wrong with it.
    """
    names = sorted(sizes)
    if len(names) < 2 or not len(keys):
        return names if len(keys) else []
    chosen = []
    with ThreadPoolExecutor(min(AT_ONCE, len(names))) as pool:
        for name, held in zip(
            names, pool.map(lambda one: _keys(place, space, one, sizes[one]), names), strict=True
        ):
            wanted = np.ones(len(keys), dtype=bool) if held is None else contains(held, keys)
            if wanted.any():
                chosen.append(name)
                keys = keys if held is None else keys[~wanted]
    return chosen


def held_in(
    keys: NDArray[np.uint8], place: CachePlace, space: str, sizes: Mapping[str, int]
) -> NDArray[np.bool_]:
    """Which keys, shape (N, 16), lie in some shards of a space elsewhere; of one that cannot be read, none."""
    held = np.zeros(len(keys), dtype=bool)
    for name, size in sorted(sizes.items()):
        there = _keys(place, space, name, size)
        if there is not None:
            held |= contains(there, keys)
    return held


def _keys(place: CachePlace, space: str, name: str, size: int) -> NDArray[np.uint8] | None:
    """All keys of a shard, shape (N, 16); None if they cannot be read."""
    file = _RangedFile(place, f"spaces/{space}/shards/{name}", size)
    try:
        keys = _of_hdf5(file) if format_of(Path(name)) == "hdf5" else _of_parquet(file)
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, pa.ArrowException):
        return None
    return keys if keys is not None and keys.ndim == 2 and keys.shape[1] == KEY_BYTES else None


def _of_hdf5(file: _RangedFile) -> NDArray[np.uint8] | None:
    """Where HDF5 says that they lie; only what lies plainly in this very file is read."""
    import h5py

    with h5py.File(file, "r") as opened:
        if not isinstance(opened.get("keys", getlink=True), h5py.HardLink):
            return None
        found = opened["keys"]
        shape, start = found.shape, found.id.get_offset()
        if found.dtype != np.uint8 or start is None or found.external or found.is_virtual:
            return None
    n_bytes = int(np.prod(shape))
    return np.frombuffer(file.place.read_range(file.path, start, n_bytes), dtype=np.uint8).reshape(shape)


def _of_parquet(file: _RangedFile) -> NDArray[np.uint8]:
    with pq.ParquetFile(pa.PythonFile(file, mode="r")) as opened:
        return keys_from_arrow(opened.read(columns=["key"]).column("key"))


class _RangedFile(io.RawIOBase):
    """A file elsewhere as one that can be read here, a block at a time; blocks are kept."""

    def __init__(self, place: CachePlace, path: str, size: int) -> None:
        super().__init__()
        self.place, self.path, self._size = place, path, size
        self._position = 0
        self._blocks: dict[int, bytes] = {}

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view) and self._position < self._size:
            number, within = divmod(self._position, BLOCK_BYTES)
            part = self._block(number)[within : within + len(view) - done]
            if not part:
                raise OSError(f"{self.path} is shorter than was said")
            view[done : done + len(part)] = part
            done += len(part)
            self._position += len(part)
        return done

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            start = number * BLOCK_BYTES
            length = min(BLOCK_BYTES, self._size - start)
            self._blocks[number] = self.place.read_range(self.path, start, length)
        return self._blocks[number]
