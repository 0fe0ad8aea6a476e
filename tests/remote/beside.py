"""What the processes of `test_bucket_kills.py` do, for ever: write and name rows, read, compact and collect."""

from __future__ import annotations

import random
import sys
import traceback
from pathlib import Path

import numpy as np
from caches import RECIPE, commit_on, features_of, put

from headstart.cache.maintenance.collect import collect
from headstart.cache.maintenance.compact import compact
from headstart.cache.store import Cache
from headstart.progress import Silence

NUMBERS, GRACE = 400, 60 / 86400
SET = "some"


def numbers_of(cache: Cache) -> tuple[str | None, list[int]]:
    """The state of the set that is in force, and which samples it has."""
    found = cache.find_set(SET)
    ids = [] if found is None else found.samples.column("id").to_pylist()
    return found and found.digest, [int(id.removeprefix("row ")) for id in ids]


def write(cache: Cache, rng: random.Random, acknowledged: Path) -> None:
    """Put rows, name them in the set, and note that both were said to be done."""
    numbers = rng.sample(range(NUMBERS), 5)
    missing = [number for number in numbers if not cache.space(RECIPE).held(features_of([number]).keys)[0]]
    if missing:
        put(cache, missing)
    done = None
    while done is None:
        digest, before = numbers_of(cache)
        done = commit_on(cache, digest, sorted({*before, *numbers}), SET)
    with open(acknowledged, "a") as file:
        file.write("".join(f"{number}\n" for number in numbers))


def read(cache: Cache) -> int:
    """Compare every vector of the set with the one that its sample has; how many."""
    found = cache.find_set(SET)
    if found is None:
        return 0
    numbers = [int(id.removeprefix("row ")) for id in found.samples.column("id").to_pylist()]
    np.testing.assert_array_equal(found.arrays()[0], features_of(numbers).values)
    return len(numbers)


def main() -> None:
    role, address, seed, folder = sys.argv[1:]
    rng, place = random.Random(seed), Path(folder)
    try:
        cache = Cache(address)
        cache.prepare()
        while True:
            match role:
                case "writer":
                    write(cache, rng, place / f"acknowledged-{seed}")
                case "reader":
                    read(cache)
                case "compact":
                    compact(cache, Silence())
                case "gc":
                    collect(cache, Silence(), True, GRACE, earlier=rng.random() < 0.5)
    except Exception:
        (place / f"error-{role}-{seed}").write_text(traceback.format_exc())


if __name__ == "__main__":
    main()
