"""A cache's objects in a bucket: created once, fetched whole or not at all, and one winner for what is in force."""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path

import pytest

from headstart.errors import CorruptShardError
from headstart.files import partial_path
from headstart.remote.cache_objects import CacheObjects, Current
from headstart.remote.store import ConflictError, MissingObjectError, open_store

SPACE, STATE, LATER = "0" * 16, "a" * 16, "b" * 16


@pytest.fixture
def objects(bucket: str) -> CacheObjects:
    return CacheObjects(open_store(f"{bucket}/some/cache"))


def shard_name(content: bytes) -> str:
    return f"07-{blake2b(content, digest_size=8).hexdigest()}.h5"


def test_a_shard_is_put_once_and_fetched_with_its_time(objects: CacheObjects, tmp_path: Path) -> None:
    name = shard_name(b"rows")
    assert objects.put_shard(SPACE, name, b"rows")
    assert not objects.put_shard(SPACE, name, b"rows")
    objects.store.write(f"spaces/{SPACE}/shards/notes.txt", b"of no meaning")
    (found,) = objects.shards(SPACE).values()
    assert (list(objects.shards(SPACE)), found.size) == ([name], 4)
    assert (objects.space_ids(), objects.shards("1" * 16)) == ([SPACE], {})
    objects.fetch_shard(SPACE, name, tmp_path / "shards" / name)
    assert (tmp_path / "shards" / name).read_bytes() == b"rows"
    assert os.listdir(tmp_path / "shards") == [name]
    assert (tmp_path / "shards" / name).stat().st_mtime == found.modified.timestamp()
    assert abs(objects.now() - found.modified.timestamp()) < 60


def test_a_shard_that_is_not_what_its_name_says_never_takes_its_place(
    objects: CacheObjects, tmp_path: Path
) -> None:
    name = shard_name(b"rows")
    objects.store.write(f"spaces/{SPACE}/shards/{name}", b"other rows")
    with pytest.raises(CorruptShardError, match=f"{name} is corrupt"):
        objects.fetch_shard(SPACE, name, tmp_path / name)
    with pytest.raises(MissingObjectError):
        objects.fetch_shard(SPACE, shard_name(b""), tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_a_state_is_there_with_its_last_file(objects: CacheObjects, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    for name in ("samples.parquet", "failures.jsonl", "set.json"):
        (tmp_path / "state" / name).write_bytes(name.encode())
    objects.store.write(f"sets/mine/{STATE}/samples.parquet", b"samples.parquet")
    assert not objects.fetch_state("mine", STATE, tmp_path / "copy")
    objects.put_state("mine", STATE, tmp_path / "state")
    assert objects.fetch_state("mine", STATE, tmp_path / "copy")
    assert objects.fetch_state("mine", STATE, tmp_path / "copy")
    assert {path.name: path.read_bytes() for path in (tmp_path / "copy").iterdir()} == {
        path.name: path.read_bytes() for path in (tmp_path / "state").iterdir()
    }
    assert (objects.set_names(), objects.state_names("mine")) == (["mine"], [STATE])


def test_what_another_process_is_writing_is_not_put(objects: CacheObjects, tmp_path: Path) -> None:
    for name in ("samples.parquet", "failures.jsonl", "set.json"):
        (tmp_path / name).write_bytes(b"")
    partial_path(tmp_path / "set.json").write_bytes(b"")
    partial_path(tmp_path / "samples.parquet").symlink_to("gone")  # listed, and then there no more
    objects.put_state("mine", STATE, tmp_path)
    assert sorted(objects.state_files("mine", STATE)) == ["failures.jsonl", "samples.parquet", "set.json"]


def test_what_is_in_force_changes_only_for_whom_knows_it(objects: CacheObjects) -> None:
    nothing = objects.current("mine")
    assert nothing == Current(None, None)
    objects.swap_current("mine", STATE, nothing)
    with pytest.raises(ConflictError):
        objects.swap_current("mine", LATER, nothing)
    first = objects.current("mine")
    objects.swap_current("mine", LATER, first)
    with pytest.raises(ConflictError):
        objects.swap_current("mine", STATE, first)
    assert objects.current("mine").digest == LATER
