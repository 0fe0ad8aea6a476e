"""Small caches for the tests of whoever looks after one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headstart.cache.commit import commit_set
from headstart.cache.formats import FormatName, shard_format
from headstart.cache.recipe import Recipe
from headstart.cache.sets import FeatureSet
from headstart.cache.space import Space
from headstart.cache.store import Cache
from headstart.keys import key_of, pack
from headstart.types import Failure, Features

WIDTH = 6
RECIPE = Recipe({"weights": "a", "tap": "final.mean", "compute": "fp32", "stored": "float32", "numerics": 1})
TOKENS = Recipe({**RECIPE.entries, "tap": "final.tokens"})


def keys_of(numbers: Iterable[int]) -> NDArray[np.uint8]:
    """Keys of two buckets only: so it is digests, and not buckets, that decide which shard is first."""
    keys = pack([key_of("text", f"text {number}") for number in numbers]).copy()
    keys[:, 0] &= 1
    return keys


def features_of(numbers: Sequence[int], version: float = 0.0, ragged: bool = False) -> Features:
    """Features that say which sample they belong to, and which of several versions they are."""
    rows = np.array([[number, version, *range(WIDTH - 2)] for number in numbers], dtype=np.float32)
    rows = rows.reshape(-1, WIDTH)
    if not ragged:
        return Features(keys_of(numbers), rows)
    lengths = [number % 4 for number in numbers]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Features(keys_of(numbers), np.repeat(rows, lengths, axis=0), offsets)


def put(
    cache: Cache,
    numbers: Sequence[int],
    version: float = 0.0,
    format_name: FormatName = "hdf5",
    recipe: Recipe = RECIPE,
    age: float = 0.0,
) -> Path:
    """Commit one shard, as old as wanted (in days)."""
    space = cache.space(recipe)
    space.prepare()
    features = features_of(numbers, version, ragged=recipe is TOKENS)
    path = space.commit(features, shard_format(format_name)).path
    when = time.time() - age * 86400 - 1
    os.utime(path, (when, when))
    if age:
        os.utime(space.path / "recipe.json", (when, when))
    return path


def commit(
    cache: Cache,
    numbers: Sequence[int],
    name: str = "some",
    recipes: Sequence[Recipe] = (RECIPE,),
    failures: Sequence[Failure] = (),
    **more: Any,
) -> FeatureSet:
    """Commit a set of some samples."""
    made = commit_on(cache, ..., numbers, name, recipes, failures, **more)
    assert made is not None
    return made


def commit_on(
    cache: Cache,
    replaces: Any,
    numbers: Sequence[int],
    name: str = "some",
    recipes: Sequence[Recipe] = (RECIPE,),
    failures: Sequence[Failure] = (),
    **more: Any,
) -> FeatureSet | None:
    """The same on top of a state; None if another one is in force by now."""
    table = pa.table(
        {
            "id": [f"row {number}" for number in numbers],
            "key": pa.array([key.tobytes() for key in keys_of(numbers)], pa.binary(16)),
            "split": ["train"] * len(numbers),
            "origin": [""] * len(numbers),
            "label:parity": pa.array([str(number % 2) for number in numbers], pa.string()),
        }
    )
    features = [
        {"backbone": "py:some:texts", "tap": r.entries["tap"], "view": None, "space": r.id} for r in recipes
    ]
    info = {
        "source": {"location": None, "description": "", "modality": "text", "columns": {}},
        "labels": {"parity": ["0", "1"]},
        "features": features,
        "counts": {"samples": len(numbers)},
        "split": {"seed": 0, "made": None},
    }
    return commit_set(cache, name, table, info | more, failures, replaces)


def vectors(cache: Cache, numbers: Sequence[int], recipe: Recipe = RECIPE) -> list[bytes]:
    """What a process that opens the cache now reads for some samples, bit for bit."""
    found = Cache(cache.root).open_space(recipe.id).gather(keys_of(numbers))
    ends = np.arange(len(numbers) + 1) if found.offsets is None else found.offsets
    return [found.values[ends[row] : ends[row + 1]].tobytes() for row in range(len(numbers))]


def shards(cache: Cache, recipe: Recipe = RECIPE) -> list[str]:
    return cache.space(recipe).shard_names()


def space_of(cache: Cache, recipe: Recipe = RECIPE) -> Space:
    return Cache(cache.root).open_space(recipe.id)


def flip(path: Path, position: int = -40) -> None:
    """Flip one bit of a file."""
    content = bytearray(path.read_bytes())
    content[position] ^= 4
    path.write_bytes(content)


def trashed(cache: Cache) -> list[str]:
    """What lies in the trash, by where it lay in the cache."""
    return sorted(
        "/".join(path.relative_to(cache.root / "trash").parts[1:])
        for path in (cache.root / "trash").rglob("*")
        if path.is_file()
    )
