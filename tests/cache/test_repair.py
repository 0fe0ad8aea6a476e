"""`cache verify --repair` takes out what is corrupt, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import h5py
import pytest
from caches import RECIPE, TOKENS, commit, flip, put, shards, space_of, trashed, vectors

from headstart.cache.index import Index
from headstart.cache.maintenance.trash import Trash
from headstart.cache.maintenance.verify import Verification, verify
from headstart.cache.store import Cache
from headstart.errors import CorruptShardError
from headstart.files import content_digest
from headstart.progress import Silence


@pytest.fixture
def cache(cache_root: Path) -> Cache:
    cache = Cache(cache_root)
    cache.prepare()
    put(cache, range(10))
    put(cache, range(10, 20), format_name="parquet")
    put(cache, range(20), recipe=TOKENS)
    commit(cache, range(20))
    return cache


def repair(cache: Cache) -> Verification:
    return verify(Cache(cache.root), Silence(), repair=True)


def problems(cache: Cache) -> list[str]:
    return [finding.problem for finding in verify(Cache(cache.root), Silence()).findings]


def test_a_sound_cache_is_left_as_it_is(cache: Cache) -> None:
    before = {path: path.stat().st_mtime_ns for path in cache.root.rglob("*") if path.is_file()}
    result = repair(cache)
    assert result.findings == ()
    assert result.is_sound
    assert {path: path.stat().st_mtime_ns for path in cache.root.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("position", [0, 1000, -40, -1])
def test_a_corrupt_shard_goes_to_the_trash_and_only_its_rows_are_missing(cache: Cache, position: int) -> None:
    path = put(cache, range(20, 30))
    commit(cache, range(30))
    flip(path, position)
    assert not verify(cache, Silence()).is_sound
    assert path.exists()
    result = repair(cache)
    assert result.is_sound
    assert [finding.action for finding in result.findings] == [
        "moved to the trash; the next extract computes its rows",
        "what was dropped is computed by the next extract",
    ]
    assert trashed(cache) == [str(path.relative_to(cache.root))]
    assert len(vectors(cache, range(20))) == 20
    put(cache, range(20, 30))  # what the next extract does
    assert problems(cache) == []


def test_rows_that_were_missing_before_are_not_called_repaired(cache: Cache) -> None:
    (space_of(cache).shards_dir / shards(cache)[0]).unlink()
    result = repair(cache)
    assert not result.is_sound
    assert [finding.action for finding in result.findings] == [None]


def test_a_good_shard_that_took_the_bad_ones_place_is_put_back(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(cache, range(20, 30))
    good = path.read_bytes()
    flip(path)
    take = Trash.take

    def commit_first(trash: Trash, moved: Path) -> Path:
        if moved == path:
            path.write_bytes(good)  # another writer, in the moment between judging and moving
        return take(trash, moved)

    monkeypatch.setattr(Trash, "take", commit_first)
    (finding,) = repair(cache).findings
    assert finding.action == "another process wrote it anew"
    assert path.read_bytes() == good
    assert trashed(cache) == []


def newer(path: Path) -> Path:
    """The same shard, of a later format."""
    with h5py.File(path, "r+") as file:
        file.attrs["format"] = 2
    return path.rename(path.with_name(f"{path.name[:3]}{content_digest(path.read_bytes())}.h5"))


def test_a_shard_of_a_newer_format_is_named_and_never_touched(cache: Cache) -> None:
    path = newer(put(cache, range(20, 30)))
    result = repair(cache)
    assert not result.is_sound
    findings = {finding.place: finding for finding in result.findings}
    assert "upgrade headstart" in findings[str(path)].problem
    assert findings[str(path)].action is None
    assert path.exists()
    assert trashed(cache) == []
    path.rename(path.with_name(f"{path.name[:3]}{'0' * 16}.h5"))  # however it makes its digests
    assert repair(cache).findings[0].action is None
    assert trashed(cache) == []


@pytest.mark.parametrize("damage", [None, "{broken", "[1, 2]", '{"tap": "another"}'])
def test_a_recipe_is_written_again_from_what_a_shard_carries(cache: Cache, damage: str | None) -> None:
    before = vectors(cache, range(20))
    path = space_of(cache).path / "recipe.json"
    if damage is None:
        path.unlink()
    else:
        path.write_text(damage)
    flip(space_of_id(cache) / "shards" / shards(cache)[0])  # the first shard is of no help
    (first, *_) = repair(cache).findings
    assert first.action == "recipe.json written again from what a shard carries"
    assert json.loads(path.read_bytes()) == RECIPE.entries
    numbers = range(10, 20) if "parquet" in shards(cache)[0] else range(10)
    assert vectors(cache, numbers) == [before[number] for number in numbers]


def space_of_id(cache: Cache) -> Path:
    return cache.root / "spaces" / RECIPE.id


def test_a_space_that_nothing_can_tell_the_recipe_of_goes_to_the_trash(cache: Cache) -> None:
    space = space_of_id(cache)
    other = cache.root / "spaces" / TOKENS.id
    shutil.rmtree(space / "shards")
    shutil.copytree(other / "shards", space / "shards")  # shards of another recipe
    (space / "recipe.json").write_text("{}")
    (first, *_) = repair(cache).findings
    assert first.action == "no sound shard of it; moved to the trash"
    assert not space.exists()
    assert other.exists()


def test_a_space_that_is_just_being_made_is_left_alone(cache: Cache) -> None:
    young = cache.root / "spaces" / "0123456789abcdef"
    young.mkdir()
    assert repair(cache).findings == () == verify(cache, Silence()).findings
    assert young.exists()
    os.utime(young, (0, 0))
    assert repair(cache).is_sound
    assert not young.exists()


@pytest.mark.parametrize("lie", ["rows", "garbage"])
def test_an_index_that_lies_is_deleted(cache: Cache, lie: str) -> None:
    space = space_of(cache)
    true = space.refresh()
    if lie == "rows":
        Index(true.shards, true.hi, true.lo, true.shard, true.row[::-1].copy()).save(space.index_path)
    else:
        space.index_path.write_bytes(b"garbage")
    (finding,) = repair(cache).findings
    assert finding.action == "deleted"
    assert not space.index_path.exists()
    space_of(cache).refresh()
    assert repair(cache).findings == ()


def test_a_sound_index_is_kept(cache: Cache) -> None:
    space = space_of(cache)
    space.refresh()
    space.save_index()
    assert repair(cache).findings == ()
    put(cache, range(20, 22))
    assert repair(cache).findings == ()  # one that does not cover everything is no lie
    assert space.index_path.exists()


@pytest.mark.parametrize("damage", ["set.json", "samples.parquet", "gone", "current"])
def test_a_broken_set_falls_back_to_its_newest_sound_state(cache: Cache, damage: str) -> None:
    states = [cache.open_set("some"), commit(cache, range(12)), commit(cache, range(8))]
    for number, state in enumerate(states):
        text = (state.path / "set.json").read_text()
        created = json.loads(text)["created"]
        (state.path / "set.json").write_text(text.replace(created, f"2025-01-0{number + 1}T00:00:00+00:00"))
    last = states[-1]
    match damage:
        case "gone":
            shutil.rmtree(last.path)
        case "current":
            (last.path.parent / "current").write_bytes(b"\xff\xfe nonsense")
        case _:
            (last.path / damage).write_bytes(b"garbage")
    assert not verify(cache, Silence()).is_sound
    result = repair(cache)
    expected = states[2] if damage == "current" else states[1]
    assert result.is_sound, result
    assert f"its newest sound state {expected.digest} is in force again" in str(result.findings[0].action)
    assert cache.open_set("some").digest == expected.digest
    assert problems(cache) == []


def test_a_set_without_a_sound_state_goes_to_the_trash(cache: Cache) -> None:
    state = cache.open_set("some")
    (state.path / "samples.parquet").unlink()
    assert repair(cache).is_sound
    assert cache.set_names() == []
    assert not state.path.parent.exists()
    commit(cache, range(20))  # and the next extract makes it anew
    assert problems(cache) == []


def test_a_broken_earlier_state_goes_to_the_trash(cache: Cache) -> None:
    old, new = cache.open_set("some"), commit(cache, range(12))
    (old.path / "set.json").write_text("{}")
    (finding,) = repair(cache).findings
    assert finding.place == f"set some, earlier state {old.digest}"
    assert finding.action == "moved to the trash"
    assert cache.open_set("some").digest == new.digest


def test_a_set_of_a_newer_format_is_never_touched(cache: Cache) -> None:
    state = commit(cache, range(12))
    info = json.loads((state.path / "set.json").read_text())
    (state.path / "set.json").write_text(json.dumps(info | {"format": 3}))
    result = repair(cache)
    assert [finding.action for finding in result.findings] == [None]
    assert "upgrade headstart" in result.findings[0].problem
    assert cache.set_names() == ["some"]
    (state.path.parent / "current").write_text("0" * 16)
    assert not repair(cache).is_sound
    assert (state.path.parent / "current").read_text() == "0" * 16


def test_a_flipped_bit_never_gives_a_wrong_vector(cache: Cache) -> None:
    before = vectors(cache, range(10))
    name = next(name for name in shards(cache) if name.endswith(".h5"))
    path = space_of(cache).shards_dir / name
    content = path.read_bytes()
    for position in range(0, len(content), 97):
        path.write_bytes(content)
        flip(path, position)
        with pytest.raises(CorruptShardError, match=name):
            vectors(cache, range(10))
    path.write_bytes(content)
    assert vectors(cache, range(10)) == before
