"""`cache gc` takes what no set refers to, and never a row that one does."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from caches import (
    RECIPE,
    TOKENS,
    commit,
    flip,
    keys_of,
    put,
    shards,
    space_of,
    trashed,
    vectors,
)

from headstart.cache import claims
from headstart.cache.claims import ClaimBoard
from headstart.cache.maintenance import collect as collecting
from headstart.cache.maintenance.collect import Collection, collect
from headstart.cache.maintenance.trash import Trash
from headstart.cache.maintenance.verify import verify
from headstart.cache.recipe import Recipe
from headstart.cache.space import open_space
from headstart.cache.store import Cache
from headstart.errors import ConfigError, StorageError
from headstart.progress import Silence

OLD = 30.0  # days
UNUSED = Recipe({**RECIPE.entries, "tap": "pooler"})


@pytest.fixture
def cache(cache_root: Path) -> Cache:
    """A set of 20 samples in two spaces, one of which holds 20 more; and a space of no set."""
    cache = Cache(cache_root)
    cache.prepare()
    put(cache, range(15), age=OLD)
    put(cache, range(10, 40), version=1, format_name="parquet", age=OLD)
    put(cache, range(20), recipe=TOKENS, age=OLD)
    put(cache, range(50), recipe=UNUSED, age=OLD)
    commit(cache, range(20), recipes=(RECIPE, TOKENS))
    return cache


def gc(cache: Cache, apply: bool = True, grace: float = 7.0, earlier: bool = False) -> Collection:
    return collect(Cache(cache.root), Silence(), apply, grace, earlier)


def said(done: Collection) -> list[tuple[str, str, int]]:
    return [(item.kind, item.place, item.n_rows) for item in done.items]


def test_it_says_first_what_it_would_do(cache: Cache) -> None:
    before = sorted(str(path) for path in cache.root.rglob("*"))
    done = gc(cache, apply=False)
    expected = [("rows", f"space {RECIPE.id}", 20), ("space", f"space {UNUSED.id}", 50)]
    assert sorted(said(done)) == expected
    assert all(item.n_bytes > 0 for item in done.items)
    assert sorted(str(path) for path in cache.root.rglob("*")) == before


def test_what_no_set_refers_to_goes_to_the_trash(cache: Cache) -> None:
    before = [vectors(cache, range(20), recipe) for recipe in (RECIPE, TOKENS)]
    names = shards(cache)
    would = said(gc(cache, apply=False))
    assert said(gc(cache)) == would
    assert [vectors(cache, range(20), recipe) for recipe in (RECIPE, TOKENS)] == before
    assert not space_of(cache).held(keys_of(range(20, 40))).any()
    assert [path.name for path in cache.space_paths()] == sorted([RECIPE.id, TOKENS.id])
    lying = trashed(cache)
    assert {f"spaces/{RECIPE.id}/shards/{name}" for name in names} <= set(lying)
    assert f"spaces/{UNUSED.id}/recipe.json" in lying
    assert verify(cache, Silence()).findings == ()
    assert gc(cache).items == []


def test_a_space_of_which_every_row_is_wanted_is_not_written_anew(cache: Cache) -> None:
    names = shards(cache, TOKENS)
    gc(cache, grace=0)
    assert shards(cache, TOKENS) == names


def test_the_trash_is_emptied_after_the_grace_period(cache: Cache) -> None:
    gc(cache)
    (run,) = (cache.root / "trash").iterdir()
    assert gc(cache).items == []
    assert run.exists()
    run.rename(run.with_name(f"20200101T000000Z-{run.name[-8:]}"))
    (item,) = gc(cache).items
    assert item.kind == "trash"
    assert item.n_bytes > 1000
    assert list((cache.root / "trash").iterdir()) == []


def test_the_young_are_spared(cache: Cache) -> None:
    put(cache, range(60, 70))  # an extraction under way, or predict's own rows
    young = Recipe({**RECIPE.entries, "tap": "young"})
    put(cache, range(5), recipe=young)
    done = gc(cache)
    assert space_of(cache).held(keys_of(range(60, 70))).all()
    assert (cache.root / "spaces" / young.id).exists()
    assert any(young.id in line for line in done.spared)
    gc(cache, grace=0)
    assert not space_of(cache).held(keys_of(range(60, 70))).any()
    assert not (cache.root / "spaces" / young.id).exists()


def test_old_rows_that_share_a_key_with_a_young_shard_wait(cache: Cache) -> None:
    put(cache, [39], version=5)
    before = vectors(cache, range(40))
    gc(cache)
    assert vectors(cache, range(40)) == before


def test_a_space_that_was_used_lately_is_spared(cache: Cache) -> None:
    open_space(cache.root / "spaces" / UNUSED.id).record_use(50, 0)
    gc(cache)
    assert (cache.root / "spaces" / UNUSED.id).exists()


@pytest.mark.parametrize("recipe", [RECIPE, UNUSED], ids=["rows", "space"])
def test_a_space_with_a_live_writer_is_never_touched(cache: Cache, recipe: Recipe) -> None:
    with ClaimBoard(space_of(cache, recipe).claims_dir):
        before = shards(cache, recipe)
        done = gc(cache, grace=0)
        assert shards(cache, recipe) == before
        assert any("a writer is at work" in line for line in done.spared)


def test_a_writer_is_alive_however_long_gc_takes(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the clock of gc's beginning, whoever touched its file since would be from the future."""
    monkeypatch.setattr(claims, "HEARTBEAT", 0.05)
    monkeypatch.setattr(claims, "SILENCE", 0.5)

    class Slow(Silence):
        def begin(self, description: str, total: int | None) -> None:
            time.sleep(1)

    with ClaimBoard(space_of(cache, UNUSED).claims_dir) as board:
        board.take(3)
        hints = sorted(path.name for path in board.folder.iterdir())
        done = collect(Cache(cache.root), Slow(), apply=True, grace_days=0)
        assert any("a writer is at work" in line for line in done.spared)
        assert len(shards(cache, UNUSED)) == 1
        assert sorted(path.name for path in board.folder.iterdir()) == hints


def test_a_writer_that_comes_while_its_space_is_moved_has_it_back(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Trash.take

    def take_late(trash: Trash, path: Path) -> Path:
        if path.name == UNUSED.id:
            ClaimBoard(path / "claims").__enter__()
        return take(trash, path)

    monkeypatch.setattr(Trash, "take", take_late)
    gc(cache)
    assert len(shards(cache, UNUSED)) == 1


def test_every_state_of_a_set_counts(cache: Cache) -> None:
    commit(cache, range(30), recipes=(RECIPE, TOKENS))
    commit(cache, range(20), recipes=(RECIPE, TOKENS))
    gc(cache)
    assert space_of(cache).held(keys_of(range(30))).all()
    assert not space_of(cache).held(keys_of(range(30, 40))).any()


def age_states(cache: Cache, days: float) -> None:
    when = time.time() - days * 86400
    for path in [*cache.root.glob("sets/*/*/set.json"), *cache.root.glob("sets/*/current")]:
        os.utime(path, (when, when))


def test_earlier_states_go_only_if_asked_to_and_old(cache: Cache) -> None:
    first = cache.open_set("some")
    second = commit(cache, range(10), recipes=(RECIPE,))
    gc(cache, earlier=True)
    assert first.path.exists()
    age_states(cache, days=20)
    gc(cache)
    assert first.path.exists()
    done = gc(cache, earlier=True)
    assert ("state", f"set some, state {first.digest}", 0) in said(done)
    assert not first.path.exists()
    assert second.path.exists()
    assert not (cache.root / "spaces" / TOKENS.id).exists()
    assert len(vectors(cache, range(10))) == 10
    assert verify(cache, Silence()).findings == ()


def test_a_state_that_was_replaced_yesterday_is_young_however_old_it_is(cache: Cache) -> None:
    first = cache.open_set("some")
    age_states(cache, days=100)
    commit(cache, range(10), recipes=(RECIPE,))
    gc(cache, earlier=True)
    assert first.path.exists()
    age_states(cache, days=100)
    commit(cache, range(20), recipes=(RECIPE, TOKENS))  # back to the first: the other was replaced just now
    assert cache.open_set("some").digest == first.digest
    assert not any(item.kind == "state" for item in gc(cache, earlier=True).items)


def while_moving(monkeypatch: pytest.MonkeyPatch, act: Callable[[], Any]) -> None:
    """Do something once gc has read the sets, before it moves anything."""
    spaces = collecting._Run._spaces

    def raced(run: Any, states: Any) -> None:
        act()
        spaces(run, states)

    monkeypatch.setattr(collecting._Run, "_spaces", raced)


@pytest.mark.parametrize("recipe", [RECIPE, UNUSED], ids=["rows", "space"])
def test_what_a_set_comes_to_refer_to_meanwhile_is_fetched_back(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, recipe: Recipe
) -> None:
    before = vectors(cache, range(40), recipe)
    while_moving(monkeypatch, lambda: commit(cache, range(40), name="late", recipes=(recipe,)))
    done = gc(cache)
    assert done.restored
    assert vectors(cache, range(40), recipe) == before
    assert verify(cache, Silence()).findings == ()


def test_what_a_set_came_to_refer_to_afterwards_is_fetched_back_by_the_next(cache: Cache) -> None:
    before = [vectors(cache, range(40), recipe) for recipe in (RECIPE, UNUSED)]
    gc(cache)
    commit(cache, range(40), name="late", recipes=(RECIPE, UNUSED))
    assert not verify(cache, Silence()).is_sound
    done = gc(cache, grace=0)
    assert len(done.restored) == 2
    assert [vectors(cache, range(40), recipe) for recipe in (RECIPE, UNUSED)] == before
    assert verify(cache, Silence()).findings == ()


def test_rows_are_fetched_back_into_a_space_that_was_made_anew(cache: Cache) -> None:
    before = vectors(cache, range(50), UNUSED)
    gc(cache)
    put(cache, range(5), version=8, recipe=UNUSED)
    now = vectors(cache, range(5), UNUSED)
    commit(cache, range(50), name="late", recipes=(UNUSED,))
    gc(cache)
    assert vectors(cache, range(50), UNUSED) == [*now, *before[5:]]


def test_a_state_that_is_in_force_again_is_fetched_back(cache: Cache) -> None:
    first = cache.open_set("some")
    commit(cache, range(10))
    age_states(cache, days=20)
    gc(cache, earlier=True)
    (first.path.parent / "current").write_text(first.digest + "\n")
    assert f"set some, state {first.digest}" in gc(cache).restored
    assert len(cache.open_set("some").arrays()[0]) == 20


def test_what_repair_dropped_as_corrupt_is_not_fetched_back(cache: Cache) -> None:
    flip(space_of(cache, TOKENS).shards_dir / shards(cache, TOKENS)[0])
    verify(cache, Silence(), repair=True)
    assert gc(cache).restored == []
    assert shards(cache, TOKENS) == []


@pytest.mark.parametrize("damage", ["set.json", "samples.parquet", "format", "current"])
def test_it_refuses_where_it_cannot_know_what_a_set_refers_to(cache: Cache, damage: str) -> None:
    state = commit(cache, range(3), name="other")
    match damage:
        case "format":
            text = (state.path / "set.json").read_text().replace('"format": 1', '"format": 3')
            (state.path / "set.json").write_text(text)
        case "current":
            shutil.rmtree(state.path)
        case _:
            (state.path / damage).write_bytes(b"garbage")
    before = sorted(str(path) for path in cache.root.rglob("*"))
    for apply in (False, True):
        with pytest.raises(StorageError, match="other"):
            gc(cache, apply=apply)
    assert sorted(str(path) for path in cache.root.rglob("*")) == before


def test_what_dead_writers_left_is_taken(cache: Cache) -> None:
    space = space_of(cache)
    claims = space.claims_dir
    claims.mkdir()
    for name in ("elsewhere-0a.12.ab.live", "03", "04.12ab.stale"):
        (claims / name).write_text("elsewhere-0a.12.ab.live")
    left = [space.shards_dir / "x.12-ab.partial", cache.set_dir("some") / "new.3-ab.partial"]
    left[0].write_text("half")
    left[1].mkdir()
    assert not any(item.kind in ("claim", "partial") for item in gc(cache).items)
    for path in [*left, *claims.iterdir()]:
        os.utime(path, (0, 0))
    kinds = [item.kind for item in gc(cache).items]
    assert (kinds.count("claim"), kinds.count("partial")) == (3, 2)
    assert not any(path.exists() for path in left)
    assert list(claims.iterdir()) == []


def test_files_from_the_future_are_young(cache: Cache) -> None:
    for path in cache.root.rglob("*"):
        os.utime(path, (4e9, 4e9))
    assert gc(cache, grace=0).items == []


def test_a_corrupt_shard_is_named_and_its_space_left(cache: Cache) -> None:
    path = space_of(cache).shards_dir / shards(cache)[0]
    flip(path)
    done = gc(cache)
    assert any(path.name in line for line in done.problems)
    assert path.exists()
    assert not (cache.root / "spaces" / UNUSED.id).exists()


def test_uses_are_trimmed(cache: Cache) -> None:
    space = cache.root / "spaces" / RECIPE.id
    for _ in range(1100):
        open_space(space).record_use(1, 0)
    gc(cache)
    (path,) = (space / "uses").iterdir()
    assert len(path.read_text().splitlines()) == 1000


def test_a_grace_period_is_not_negative(cache: Cache) -> None:
    for days in (-1.0, float("nan")):
        with pytest.raises(ConfigError):
            gc(cache, grace=days)


def test_an_empty_cache_has_nothing_to_collect(cache_root: Path) -> None:
    assert gc(Cache(cache_root), apply=False).items == []
    assert not cache_root.exists()
