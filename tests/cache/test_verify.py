"""`cache verify` finds what is wrong, and names it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from headstart.cache.commit import commit_set
from headstart.cache.formats import shard_format
from headstart.cache.index import Index
from headstart.cache.maintenance.verify import verify
from headstart.cache.recipe import Recipe
from headstart.cache.store import Cache
from headstart.keys import key_of, pack
from headstart.types import Failure, Features

RECIPES = [Recipe({"tap": "final.mean"}), Recipe({"tap": "final.cls"})]
KEYS = pack([key_of("text", str(number)) for number in range(30)])


class Silent:
    """Progress that nobody sees."""

    def say(self, message: str) -> None: ...

    def begin(self, description: str, total: int | None) -> None: ...

    def advance(self, n: int, work: float | None = None) -> None: ...

    def end(self) -> None: ...


def put(cache: Cache, recipe: Recipe, keys: np.ndarray, value: float = 1.0, encoding: str = "hdf5") -> Path:
    space = cache.space(recipe)
    space.prepare()
    values = np.full((len(keys), 3), value, np.float32)
    return space.commit(Features(keys, values), shard_format(encoding)).path  # type: ignore[arg-type]


@pytest.fixture
def cache(cache_root: Path) -> Cache:
    cache = Cache(cache_root)
    cache.prepare()
    put(cache, RECIPES[0], KEYS)
    put(cache, RECIPES[1], KEYS[:20])
    put(cache, RECIPES[1], KEYS[20:], encoding="parquet")
    commit(cache)
    return cache


def commit(cache: Cache, n_samples: int = 30, failures: tuple[Failure, ...] = ()) -> None:
    table = pa.table(
        {
            "id": [str(row) for row in range(30)],
            "key": pa.array([key.tobytes() for key in KEYS], pa.binary(16)),
            "split": ["train"] * 30,
            "origin": [""] * 30,
        }
    )
    features = [{"backbone": "b", "tap": r.entries["tap"], "view": None, "space": r.id} for r in RECIPES]
    info = {"labels": {}, "features": features, "counts": {"samples": n_samples}, "split": {"seed": 0}}
    commit_set(cache, "some", table, info, failures)


def findings(cache: Cache) -> list[tuple[str, str]]:
    return [(finding.place, finding.problem) for finding in verify(Cache(cache.root), Silent()).findings]


def test_a_sound_cache_is_clean_and_counted(cache: Cache) -> None:
    result = verify(cache, Silent())
    assert result.findings == ()
    assert (result.n_shards, result.n_rows, result.n_sets) == (3, 60, 1)


def test_an_empty_cache_is_clean(cache_root: Path) -> None:
    assert verify(Cache(cache_root), Silent()).findings == ()
    assert not cache_root.exists()


def test_a_flipped_bit_is_found_although_the_file_was_checked_before(cache: Cache) -> None:
    assert findings(cache) == []
    path = cache.space(RECIPES[0]).shards_dir / cache.space(RECIPES[0]).shard_names()[0]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert (str(path), True) in [(place, "corrupt" in problem) for place, problem in findings(cache)]


def test_a_removed_shard_is_missed_by_its_set(cache: Cache) -> None:
    path = cache.space(RECIPES[0]).shards_dir / cache.space(RECIPES[0]).shard_names()[0]
    path.unlink()
    ((place, problem),) = findings(cache)
    assert place == "set some"
    assert "30 samples have no feature" in problem


def test_a_value_that_is_not_finite_is_found(cache: Cache) -> None:
    path = put(cache, RECIPES[0], KEYS[:2], value=np.inf)
    found = findings(cache)
    assert (str(path), True) in [(place, "not finite" in problem) for place, problem in found]
    assert {place for place, _ in found} <= {str(path), "set some"}


def test_a_key_twice_in_a_shard_is_found(cache: Cache) -> None:
    path = put(cache, RECIPES[0], KEYS[[1, 1]])
    assert [(place, "twice" in problem) for place, problem in findings(cache)] == [(str(path), True)]


def test_a_wrong_bucket_and_a_foreign_recipe_are_found(cache: Cache) -> None:
    space = cache.space(RECIPES[0])
    (name,) = space.shard_names()
    wrong = "00" if name[:2] != "00" else "01"
    (space.shards_dir / name).rename(space.shards_dir / (wrong + name[2:]))
    other = cache.space(RECIPES[1])
    foreign = other.shard_names()[0]
    (space.shards_dir / foreign).write_bytes((other.shards_dir / foreign).read_bytes())
    problems = dict(findings(cache))
    assert "bucket" in problems[str(space.shards_dir / (wrong + name[2:]))]
    assert "another recipe" in problems[str(space.shards_dir / foreign)]


def test_a_space_without_its_recipe_is_found(cache: Cache) -> None:
    (cache.space(RECIPES[0]).path / "recipe.json").unlink()
    assert any("recipe.json" in problem for _, problem in findings(cache))


def test_a_set_that_miscounts_is_found(cache: Cache) -> None:
    commit(cache, n_samples=31)
    assert findings(cache) == [("set some", "has 30 rows where set.json says 31")]


def test_a_set_that_cannot_be_read_is_found(cache: Cache) -> None:
    path = cache.open_set("some").path / "set.json"
    path.write_text(json.dumps({"format": 1}))
    assert "cannot be read" in dict(findings(cache))["set some"]


def test_a_failure_excuses_a_sample_in_the_space_that_it_failed_in_only(cache: Cache) -> None:
    (cache.space(RECIPES[0]).shards_dir / cache.space(RECIPES[0]).shard_names()[0]).unlink()
    put(cache, RECIPES[0], KEYS[1:])
    failed = Failure("0", "", "a reason", "permanent", KEYS[0].tobytes().hex(), RECIPES[0].id)
    commit(cache, failures=(failed,))
    assert findings(cache) == []
    elsewhere = Failure("0", "", "a reason", "permanent", KEYS[0].tobytes().hex(), RECIPES[1].id)
    commit(cache, failures=(elsewhere,))
    assert [problem[:9] for _, problem in findings(cache)] == ["1 samples"]


def test_an_index_that_lies_hides_nothing(cache: Cache) -> None:
    space = cache.space(RECIPES[0])
    true = space.refresh()
    (space.shards_dir / space.shard_names()[0]).unlink()
    put(cache, RECIPES[0], KEYS[1:])
    (name,) = space.shard_names()
    Index((name,), true.hi, true.lo, true.shard, true.row).save(space.path / "index.npz")
    assert [problem[:9] for _, problem in findings(cache)] == ["does not ", "1 samples"]
