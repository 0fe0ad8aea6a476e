"""Shards that went through a bucket keep the contract of their format."""

from __future__ import annotations

import io
from pathlib import Path
from tempfile import mkdtemp

import h5py
import pytest

from headstart.cache.formats import Hdf5Format
from headstart.contracts import ShardReader
from headstart.remote.cache_objects import CacheObjects
from headstart.remote.store import open_store
from headstart.testing.shard_format import ShardFormatContract

from .servers import new_bucket


class ThroughABucket(Hdf5Format):
    """What is opened lay in a bucket a moment before."""

    def open(self, path: Path) -> ShardReader:
        if not path.exists():
            return super().open(path)
        objects = CacheObjects(open_store(new_bucket()))
        objects.put(f"shards/{path.name}", path)
        fetched = Path(mkdtemp(dir=path.parent)) / path.name
        objects.fetch(f"shards/{path.name}", fetched)
        return super().open(fetched)


@pytest.mark.slow
@pytest.mark.usefixtures("bucket")
class TestShardsThroughABucket(ShardFormatContract):
    @pytest.fixture
    def shard_format(self) -> ThroughABucket:
        return ThroughABucket()

    def rewrite_format(self, content: bytes, number: int) -> bytes:
        buffer = io.BytesIO(content)
        with h5py.File(buffer, "r+") as file:
            file.attrs["format"] = number
        return buffer.getvalue()
