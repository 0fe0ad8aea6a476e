"""HDF5 shards keep the contract, and can be memory-mapped."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from headstart.cache.formats import ALIGNMENT, Hdf5Format
from headstart.contracts import ShardFormat
from headstart.errors import CorruptShardError
from headstart.testing.shard_format import RECIPE, ShardFormatContract, make_features


class TestHdf5(ShardFormatContract):
    @pytest.fixture
    def shard_format(self) -> ShardFormat:
        return Hdf5Format()

    def rewrite_format(self, content: bytes, number: int) -> bytes:
        buffer = io.BytesIO(content)
        with h5py.File(buffer, "r+") as file:
            file.attrs["format"] = number
        return buffer.getvalue()


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "shard.h5"
    path.write_bytes(Hdf5Format().encode(make_features(7, 5, np.float16, ragged=True), RECIPE))
    return path


def test_data_sets_are_contiguous_uncompressed_and_aligned(shard: Path) -> None:
    with h5py.File(shard, "r") as file:
        assert set(file) == {"keys", "features", "offsets"}
        for dataset in file.values():
            assert dataset.chunks is None
            assert dataset.compression is None
            assert dataset.id.get_offset() % ALIGNMENT == 0


def test_features_are_mapped_and_rows_are_copies(shard: Path) -> None:
    reader = Hdf5Format().open(shard)
    assert isinstance(reader.features().values, np.memmap)
    assert not reader.features().values.flags.writeable
    taken = reader.features(np.array([1, 2])).values
    assert not np.shares_memory(taken, reader.features().values)


def test_a_shard_is_readable_while_somebody_holds_a_lock(shard: Path) -> None:
    import fcntl

    with open(shard, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert len(Hdf5Format().open(shard).keys()) == 7


def soft_link(file: Any, folder: Path) -> None:
    file["features"] = h5py.SoftLink("/keys")


def external_link(file: Any, folder: Path) -> None:
    with h5py.File(folder / "other.h5", "w") as other:
        other["features"] = np.ones((3, 2), np.float32)
    file["features"] = h5py.ExternalLink("other.h5", "/features")


def external_storage(file: Any, folder: Path) -> None:
    (folder / "secret.bin").write_bytes(bytes(24))
    file.create_dataset("features", (3, 2), np.float32, external=[(str(folder / "secret.bin"), 0, 24)])


def virtual(file: Any, folder: Path) -> None:
    external_link_source = folder / "source.h5"
    with h5py.File(external_link_source, "w") as other:
        other["features"] = np.ones((3, 2), np.float32)
    layout = h5py.VirtualLayout((3, 2), np.float32)
    layout[:] = h5py.VirtualSource(external_link_source, "features", (3, 2))
    file.create_virtual_dataset("features", layout)


def chunked(file: Any, folder: Path) -> None:
    file.create_dataset("features", data=np.ones((3, 2), np.float32), chunks=(1, 2), compression="gzip")


def never_written(file: Any, folder: Path) -> None:
    file.create_dataset("features", (3, 2), np.float32)


def a_group(file: Any, folder: Path) -> None:
    file.create_group("features")


def strings(file: Any, folder: Path) -> None:
    file.create_dataset("features", data=[["a", "b"]] * 3, dtype=h5py.string_dtype())


def integers(file: Any, folder: Path) -> None:
    file["features"] = np.ones((3, 2), np.int32)


def too_few(file: Any, folder: Path) -> None:
    file["features"] = np.ones((2, 2), np.float32)


def absent(file: Any, folder: Path) -> None:
    pass


@pytest.mark.parametrize(
    "plant",
    [
        soft_link, external_link, external_storage, virtual, chunked, never_written, a_group, strings,
        integers, too_few, absent,
    ],
)  # fmt: skip
def test_what_is_not_plain_data_of_this_file_is_refused(
    plant: Callable[[Any, Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "planted.h5"
    with h5py.File(path, "w") as file:
        file.attrs["format"], file.attrs["recipe"] = 1, RECIPE
        file["keys"] = np.zeros((3, 16), np.uint8)
        plant(file, tmp_path)
    with pytest.raises(CorruptShardError, match=r"planted\.h5"):
        Hdf5Format().open(path)


@pytest.mark.parametrize("value", ["one", [1, 2], h5py.Empty("i8")], ids=["text", "two numbers", "nothing"])
def test_a_format_that_is_no_number_is_corrupt(shard: Path, value: Any) -> None:
    with h5py.File(shard, "r+") as file:
        file.attrs["format"] = value
    with pytest.raises(CorruptShardError, match="format"):
        Hdf5Format().open(shard)


def test_two_threads_write_at_once() -> None:
    """HDF5 takes two files of one name for one, and those that are made in memory have one, too."""
    features = make_features(200, 300)
    expected = bytes(Hdf5Format().encode(features, RECIPE))
    with ThreadPoolExecutor(4) as pool:
        for content in pool.map(lambda _: bytes(Hdf5Format().encode(features, RECIPE)), range(60)):
            assert content == expected
