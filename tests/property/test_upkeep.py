"""Whatever looks after a cache changes no vector that a set refers to, whoever works beside it."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from caches import RECIPE, TOKENS, commit, features_of, flip, keys_of, put
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headstart.cache.formats import FormatName, open_shard
from headstart.cache.maintenance import compact as compacting
from headstart.cache.maintenance.collect import collect
from headstart.cache.maintenance.compact import compact
from headstart.cache.maintenance.trash import Trash
from headstart.cache.maintenance.verify import verify
from headstart.cache.space import Space
from headstart.cache.store import Cache
from headstart.progress import Silence

UNIVERSE = range(16)
RECIPES = (RECIPE, TOKENS)
FORMATS: tuple[FormatName, ...] = ("hdf5", "parquet")
some_numbers = st.lists(st.sampled_from(UNIVERSE), min_size=1, max_size=8, unique=True)
which = st.sampled_from(RECIPES)

Row = tuple[str, int]


class Killed(BaseException):
    """What a `kill -9` looks like from inside."""


@contextlib.contextmanager
def at_step(number: int, act: Callable[[], object]) -> Iterator[None]:
    """Do something right before the n-th change that a maintenance makes to the cache."""
    count = itertools.count()

    def wrapped(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **named: Any) -> Any:
            if next(count) == number:
                act()
            return real(*arguments, **named)

        return step

    with (
        mock.patch.object(compacting, "_delete", wrapped(compacting._delete)),
        mock.patch.object(Space, "commit", wrapped(Space.commit)),
        mock.patch.object(Trash, "take", wrapped(Trash.take)),
    ):
        yield


class Upkeep(RuleBasedStateMachine):
    """Commits, sets, compact, gc and repair in any order, into each other and killed at any step."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.cache = Cache(self.new_cache())
        self.cache.prepare()
        self.long_open = {recipe.id: self.cache.space(recipe) for recipe in RECIPES}
        for recipe in RECIPES:
            for version, numbers in enumerate((range(8), range(4, 12), [*range(4), *range(8, 12)])):
                put(self.cache, numbers, version, recipe=recipe)
        commit(self.cache, range(10), recipes=RECIPES)

    def new_cache(self) -> Path | str:
        return self.folder / "cache"

    def shard_paths(self) -> list[Path]:
        """All that are committed, by name."""
        return sorted(self.cache.root.glob("spaces/*/shards/*-*[5t]"))

    def damage(self, shard: Path, position: int) -> None:
        flip(shard, position)

    def at_step(self, number: int, act: Callable[[], object]) -> contextlib.AbstractContextManager[None]:
        return at_step(number, act)

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    def naive(self) -> dict[Row, bytes]:
        """What a reader must see, found without an index: the first shard by name that has a key."""
        seen: dict[Row, bytes] = {}
        number_of = {key.tobytes(): number for number, key in zip(UNIVERSE, keys_of(UNIVERSE), strict=True)}
        for recipe in RECIPES:
            for path in (path for path in self.shard_paths() if path.parts[-3] == recipe.id):
                whole = open_shard(path).features()
                ends = np.arange(len(whole) + 1) if whole.offsets is None else whole.offsets
                for row, key in enumerate(whole.keys):
                    vector = whole.values[ends[row] : ends[row + 1]].tobytes()
                    seen.setdefault((recipe.id, number_of[key.tobytes()]), vector)
        return seen

    def wanted(self) -> set[Row]:
        """What the states of all sets refer to."""
        rows: set[Row] = set()
        home = self.cache.home
        for path in (folder / name for folder in home.set_paths() for name in home.state_names(folder)):
            features = self.cache.open_set(path.parent.name, path.name)
            numbers = [int(id.removeprefix("row ")) for id in features.samples.column("id").to_pylist()]
            rows |= {(ref.space, number) for ref in features.features for number in numbers}
        return rows

    def read(self, rows: set[Row]) -> dict[Row, bytes]:
        """What processes get that have just come, and that have long been there."""
        found: dict[Row, bytes] = {}
        for recipe in RECIPES:
            numbers = sorted(number for space, number in rows if space == recipe.id)
            for space in (Cache(self.cache.root).space(recipe), self.long_open[recipe.id]):
                part = space.gather(keys_of(numbers)) if numbers else None
                ends = np.arange(len(numbers) + 1) if part is None or part.offsets is None else part.offsets
                for row, number in enumerate(numbers):
                    assert part is not None
                    vector = part.values[ends[row] : ends[row + 1]].tobytes()
                    assert found.setdefault((recipe.id, number), vector) == vector
        return found

    @rule(numbers=some_numbers, version=st.integers(0, 2), name=st.sampled_from(FORMATS), recipe=which)
    def commit_shard(self, numbers: list[int], version: int, name: FormatName, recipe: Any) -> None:
        put(self.cache, numbers, version, name, recipe)

    @rule(numbers=some_numbers, name=st.sampled_from("ab"), recipe=which)
    def commit_a_set(self, numbers: list[int], name: str, recipe: Any) -> None:
        held = Cache(self.cache.root).space(recipe).held(keys_of(numbers))
        there = [number for number, is_held in zip(numbers, held, strict=True) if is_held]
        if there:
            commit(self.cache, there, name, [recipe])

    def upkeep(self, what: str) -> None:
        cache = Cache(self.cache.root)
        match what:
            case "compact" | "compact to parquet" | "compact to hdf5":
                name = what.rpartition(" ")[2] if what != "compact" else None
                done = compact(cache, Silence(), name)  # type: ignore[arg-type]
                assert not any(one.problem for one in done)
            case "gc" | "gc --earlier":
                assert not collect(cache, Silence(), True, 0.0, what == "gc --earlier").problems
            case "repair":
                verify(cache, Silence(), repair=True)

    jobs = st.sampled_from(["compact", "compact to parquet", "compact to hdf5", "gc", "repair"])

    @rule(what=jobs)
    def look_after(self, what: str) -> None:
        rows = self.wanted()
        before = self.read(rows)
        self.upkeep(what)
        assert self.read(rows) == before

    @rule()
    def collect_earlier_states(self) -> None:
        self.upkeep("gc --earlier")
        self.read(self.wanted())

    @rule(what=jobs, step=st.integers(0, 5))
    def look_after_and_be_killed(self, what: str, step: int) -> None:
        rows = self.wanted()
        before = self.read(rows)

        def die() -> None:
            raise Killed

        with contextlib.suppress(Killed), self.at_step(step, die):
            self.upkeep(what)
        assert self.read(rows) == before

    @rule(what=jobs, other=jobs, step=st.integers(0, 5))
    def look_after_twice_at_once(self, what: str, other: str, step: int) -> None:
        rows = self.wanted()
        before = self.read(rows)
        with self.at_step(step, lambda: self.upkeep(other)):
            self.upkeep(what)
        assert self.read(rows) == before

    @rule(what=jobs, step=st.integers(0, 5), numbers=some_numbers, recipe=which)
    def look_after_beside_a_writer(self, what: str, step: int, numbers: list[int], recipe: Any) -> None:
        rows = self.wanted()
        before = self.read(rows)
        with self.at_step(step, lambda: put(self.cache, numbers, 7, recipe=recipe)):
            self.upkeep(what)
        after = self.read(rows)
        written = {(recipe.id, number) for number in numbers}  # of these the writer itself may be first now
        assert {row: after[row] for row in rows - written} == {row: before[row] for row in rows - written}

    @rule(what=jobs, step=st.integers(0, 5), numbers=some_numbers, recipe=which)
    def look_after_while_a_set_is_committed(
        self, what: str, step: int, numbers: list[int], recipe: Any
    ) -> None:
        everything = self.read(set(self.naive()))
        with self.at_step(step, lambda: self.commit_a_set(numbers, "late", recipe)):
            self.upkeep(what)
        wanted = self.wanted()
        assert self.read(wanted) == {row: everything[row] for row in wanted}

    @precondition(lambda self: len(self.naive()) > 4)
    @rule(choice=st.integers(0, 99), position=st.integers(0, 4000))
    def rot_and_repair(self, choice: int, position: int) -> None:
        """One shard rots: its rows may be lost, until the next extract; no other may, and none is wrong."""
        paths = self.shard_paths()
        path = paths[choice % len(paths)]
        self.damage(path, position % path.stat().st_size)
        self.upkeep("repair")
        left = self.naive()
        assert self.read(set(left)) == left
        for space, number in sorted(self.wanted() - set(left)):  # as the next extract does
            put(self.cache, [number], recipe=next(recipe for recipe in RECIPES if recipe.id == space))

    @invariant()
    def every_vector_is_the_one_that_the_page_says_and_belongs_to_its_sample(self) -> None:
        expected = self.naive()
        assert self.read(set(expected)) == expected
        versions = {
            (recipe.id, number): {
                features_of([number], version, recipe is TOKENS).values.tobytes() for version in (0, 1, 2, 7)
            }
            for recipe in RECIPES
            for number in UNIVERSE
        }
        assert all(vector in versions[row] for row, vector in expected.items())
        assert self.wanted() <= set(expected)


TestUpkeep = Upkeep.TestCase
TestUpkeep.settings = settings(max_examples=4, stateful_step_count=10, deadline=None)


@pytest.mark.slow
class TestLongUpkeep(Upkeep.TestCase):  # type: ignore[misc]
    """Longer lives, and more of them."""

    settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
