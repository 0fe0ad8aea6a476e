"""`cache ls` and `cache show` say what is there without reading it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from caches import RECIPE, TOKENS, commit, flip, put, shards, space_of

from headstart.cache.maintenance.listing import list_cache, show
from headstart.cache.recipe import Recipe
from headstart.cache.space import read_uses
from headstart.cache.store import Cache
from headstart.errors import DataError


@pytest.fixture
def cache(cache_root: Path) -> Cache:
    cache = Cache(cache_root)
    cache.prepare()
    put(cache, range(10), age=3)
    put(cache, range(10, 15), format_name="parquet", age=2)
    put(cache, range(7), recipe=TOKENS)
    commit(cache, range(15))
    return cache


def test_rows_bytes_ages_and_hits(cache: Cache) -> None:
    space_of(cache).record_use(held=0, computed=15)
    space_of(cache).record_use(held=45, computed=0)
    listed = {entry["space"]: entry for entry in list_cache(cache)["spaces"]}
    dense, tokens = listed[RECIPE.id], listed[TOKENS.id]
    assert (dense["rows"], dense["shards"], tokens["rows"]) == (15, 2, 7)
    assert dense["bytes"] == sum((space_of(cache).shards_dir / name).stat().st_size for name in shards(cache))
    assert dense["created"] <= dense["written"] < dense["used"]
    assert (dense["held"], dense["computed"], dense["hit_rate"]) == (45, 15, 0.75)
    assert (tokens["used"], tokens["hit_rate"]) == (None, None)


def test_rows_are_the_same_with_and_without_an_index(cache: Cache) -> None:
    space = space_of(cache)
    space.refresh()
    space.save_index()
    assert show(cache, RECIPE.id)["rows"] == 15
    put(cache, range(20, 25))
    assert show(cache, RECIPE.id)["rows"] == 20
    space.index_path.write_bytes(b"garbage")
    assert show(cache, RECIPE.id)["rows"] == 20


def test_show_gives_a_set_with_its_spaces_and_a_space_with_its_recipe(cache: Cache) -> None:
    assert show(cache, "some")["spaces"][RECIPE.id]["rows"] == 15
    assert show(cache, RECIPE.id)["recipe"] == RECIPE.entries
    with pytest.raises(DataError, match="nothing"):
        show(cache, "nothing")


def test_what_is_broken_is_listed_with_its_problem(cache: Cache) -> None:
    (space_of(cache, TOKENS).path / "recipe.json").write_text("{}")
    (cache.open_set("some").path / "set.json").write_text("{}")
    (cache.root / "sets" / "some" / "current").write_bytes(b"\xff")
    path = space_of(cache).shards_dir / shards(cache)[0]
    path.write_bytes(path.read_bytes()[:100])
    listed = list_cache(cache)
    assert all("problem" in entry for entry in [*listed["spaces"], *listed["sets"]])


def test_uses_that_cannot_be_read_are_passed_over(cache: Cache) -> None:
    space = space_of(cache)
    space.record_use(3, 1)
    (path,) = (space.path / "uses").iterdir()
    with open(path, "ab") as file:
        file.write(b'{"at": "no time", "held": 1, "computed": 2}\n[1]\n\xff\n{"at": "2025')
    assert (read_uses(space.path).held, read_uses(space.path).computed) == (3, 1)


def test_a_use_is_not_recorded_where_nothing_is_or_may_be_written(cache: Cache) -> None:
    nowhere = cache.space(Recipe({"tap": "nowhere"}))
    nowhere.record_use(1, 1)
    assert not nowhere.path.exists()
    (space_of(cache).path / "uses").write_text("a file where the folder should be")
    space_of(cache).record_use(1, 1)


def test_uses_of_several_threads_do_not_mix(cache: Cache) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: space_of(cache).record_use(1, 0), range(200)))
    assert read_uses(space_of(cache).path).held == 200


@pytest.mark.slow
def test_a_thousand_spaces_are_listed(cache: Cache) -> None:
    name = shards(cache)[0]
    source = space_of(cache)
    for number in range(1000):
        recipe = Recipe({"tap": "final.mean", "number": number})
        space = cache.space(recipe)
        space.shards_dir.mkdir(parents=True)
        (space.path / "recipe.json").write_text(recipe.canonical)
        os.link(source.shards_dir / name, space.shards_dir / name)
    listed = list_cache(cache)
    assert len(listed["spaces"]) > 1000
    assert sum(entry["rows"] for entry in listed["spaces"]) > 1000


def test_listing_reads_no_vector(cache: Cache) -> None:
    flip(space_of(cache).shards_dir / next(name for name in shards(cache) if name.endswith(".h5")), -1)
    assert show(cache, RECIPE.id)["rows"] == 15
    assert np.isfinite(show(cache, RECIPE.id)["bytes"])
