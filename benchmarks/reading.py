"""Reading features back, beside numpy, a memory map and h5py; prints one JSON object.

    python benchmarks/reading.py [--short]

Everything is read from the page cache. Contestants take turns, and ratios are those of medians, so they hold
on a busy machine as well. Seconds are for all rows; what is too slow for that is measured on some of them.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet

WIDTH = 768
BATCH = 256
SHARDS = (1, 5, 20)
ROW_BY_ROW = 500  # rows that h5py reads one at a time
CLOCK_TICK = 2.1  # seconds until a machine remembers that it has checked a file

Spread = dict[str, float]


def main(words: list[str]) -> None:
    """Measure, and print the figures."""
    is_short = "--short" in words
    n_rows, rounds = (20_000, 5) if is_short else (100_000, 7)
    with tempfile.TemporaryDirectory(prefix="headstart-reading-") as folder, a_machine(Path(folder)):
        report = measure(Path(folder), n_rows, rounds)
    json.dump({"rows": n_rows, "width": WIDTH, "rounds": rounds, **report}, sys.stdout, indent=1)
    print()


def measure(folder: Path, n_rows: int, rounds: int) -> dict[str, Any]:
    """All figures: seconds, their ratios, and the memory of an epoch."""
    data = {name: _numbers(n_rows, name) for name in ("float16", "float32")}
    halves = {n: make_set(folder / f"half-{n}", data["float16"], n) for n in SHARDS}
    singles = make_set(folder / "single", data["float32"], 5)
    parquet = make_set(folder / "parquet", data["float16"], 5, "parquet")
    for name, values in data.items():
        np.save(folder / f"{name}.npy", values)
    time.sleep(CLOCK_TICK)
    whole = take_turns(whole_contestants(folder, data["float16"], halves, singles, parquet), rounds)
    epochs = {
        name: take_turns(epoch_contestants(folder / f"{name}.npy", features), rounds)
        for name, features in (("float16", halves[5]), ("float32", singles))
    }
    whole["h5py row by row"] = _scaled(whole["h5py row by row"], n_rows / ROW_BY_ROW)
    return {
        "seconds": {"whole": whole, **{f"epoch of {name}": turns for name, turns in epochs.items()}},
        "ratios": ratios(whole, epochs),
        "epoch_peak_megabytes": {
            name: peak_megabytes(features)
            for name, features in (("float16", halves[5]), ("float32", singles))
        },
    }


def whole_contestants(
    folder: Path,
    values: np.ndarray[Any, Any],
    halves: Mapping[int, FeatureSet],
    singles: FeatureSet,
    parquet: FeatureSet,
) -> dict[str, Callable[[], object]]:
    """All rows at once; a set's rows are in another order than they are stored in."""
    import headstart as hs

    path = folder / "float16.npy"
    roots = {n: features.cache for n, features in halves.items()}
    ours = {f"ours, {n} shards": lambda s=s: s.arrays(dtype="stored") for n, s in halves.items()}
    fresh = {
        f"ours, {n} shards, opened anew": lambda r=r: hs.open_set("s", r).arrays(dtype="stored")
        for n, r in roots.items()
    }
    return {
        "numpy.load": lambda: np.load(path),
        "memory map, copied": lambda: np.array(np.load(path, mmap_mode="r")),
        **ours,
        **fresh,
        "ours, Parquet, 5 shards": lambda: parquet.arrays(dtype="stored"),
        "h5py, 1 shard": lambda: _read_h5py(halves[1]),
        "h5py row by row": lambda: _read_rows(halves[1]),
        "astype float32, from memory": lambda: values.astype(np.float32),
        "ours, float16 as float32, 1 shards": lambda: halves[1].arrays(),
        "ours, float16 as float32, 20 shards": lambda: halves[20].arrays(),
        "numpy.load float32": lambda: np.load(folder / "float32.npy"),
        "ours, float32, 5 shards": lambda: singles.arrays(),
    }


def epoch_contestants(path: Path, features: FeatureSet) -> dict[str, Callable[[], object]]:
    """Mini-batches of float32."""
    plain, mapped = np.load(path, mmap_mode="r"), features.mapped()
    order = np.random.default_rng(0).permutation(len(plain))

    def sequential() -> None:
        for start in range(0, len(plain), BATCH):
            np.array(plain[start : start + BATCH], dtype=np.float32)

    def random_rows() -> None:
        for start in range(0, len(plain), BATCH):
            plain[order[start : start + BATCH]].astype(np.float32)

    return {
        "memory map, in order": sequential,
        "memory map, random rows": random_rows,
        "ours, in order": lambda: _walk(mapped.batches(BATCH, shuffle=False)),
        "ours, shuffled": lambda: _walk(mapped.batches(BATCH, epoch=1)),
    }


def ratios(whole: Mapping[str, Spread], epochs: Mapping[str, Mapping[str, Spread]]) -> dict[str, float]:
    """What is promised: times over times, and rates over rates."""

    def over(one: str, other: str) -> float:
        return round(whole[one]["median"] / whole[other]["median"], 3)

    def rate(name: str, reference: str) -> float:
        return round(epochs[name][reference]["median"] / epochs[name]["ours, shuffled"]["median"], 3)

    stored = {f"stored_{n}_shards_to_numpy_load": over(f"ours, {n} shards", "numpy.load") for n in SHARDS}
    anew = {
        f"stored_{n}_shards_opened_anew_to_numpy_load": over(f"ours, {n} shards, opened anew", "numpy.load")
        for n in SHARDS
    }
    upcast = [over(f"ours, float16 as float32, {n} shards", "astype float32, from memory") for n in (1, 20)]
    return {
        "stored_to_numpy_load": max(stored.values()),
        **stored,
        **anew,
        "upcast_to_astype": max(upcast),
        "float32_to_numpy_load": over("ours, float32, 5 shards", "numpy.load float32"),
        "h5py_row_by_row_to_ours": over("h5py row by row", "ours, 1 shards"),
        **{f"shuffled_{name}_rate_to_map_in_order": rate(name, "memory map, in order") for name in epochs},
        **{
            f"shuffled_{name}_rate_to_map_at_random": rate(name, "memory map, random rows") for name in epochs
        },
        **{f"shuffled_{name}_rate_to_ours_in_order": rate(name, "ours, in order") for name in epochs},
    }


def take_turns(contestants: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Spread]:
    """Seconds of each contestant: A B C, A B C, …; the first round warms up and does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, work in contestants.items():
            gc.collect()
            start = time.perf_counter()
            work()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return {
        name: {"median": median(all_), "min": min(all_), "max": max(all_)} for name, all_ in seconds.items()
    }


def make_set(root: Path, values: np.ndarray[Any, Any], n_shards: int, written_as: Any = "hdf5") -> FeatureSet:
    """A set in the order of the values, whose rows lie in so many shards by their random keys."""
    import pyarrow as pa

    from headstart.arrow import keys_to_arrow, names_by_code
    from headstart.cache.commit import commit_set
    from headstart.cache.formats import shard_format
    from headstart.cache.recipe import Recipe
    from headstart.cache.store import Cache
    from headstart.types import Features

    draw = np.random.default_rng(0)
    keys = draw.integers(0, 256, (len(values), 16), dtype=np.uint8)
    cache = Cache(root)
    cache.prepare()
    space = cache.space(Recipe({"tap": "pooler", "stored": values.dtype.name}))
    space.prepare()
    for rows in np.array_split(np.lexsort(keys.T[::-1]), n_shards):
        space.commit(Features(keys[rows], values[rows]), shard_format(written_as))
    space.refresh()
    space.save_index()
    ids = [f"photos/{number:07}.jpg" for number in range(len(values))]
    codes = draw.integers(0, 100, len(values))
    names = [f"class {number}" for number in range(100)]
    splits = names_by_code(np.zeros(len(values), dtype=np.int64), ["train"])
    table = pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "key": keys_to_arrow(keys),
            "split": splits,
            "origin": pa.array(ids, pa.string()),
            "label:class": names_by_code(codes, names),
        }
    )
    feature = {"backbone": "some:backbone", "tap": "pooler", "view": None, "space": space.id}
    info = {
        "source": {},
        "labels": {"class": names},
        "features": [feature],
        "counts": {"samples": len(values)},
    }
    made = commit_set(cache, "s", table, info, [])
    assert made is not None  # nobody else writes here
    return made


def peak_megabytes(features: FeatureSet) -> float:
    """The most memory that a shuffled epoch allocates; what is mapped is not among it."""
    mapped = features.mapped()
    _walk(mapped.batches(BATCH))
    tracemalloc.start()
    _walk(mapped.batches(BATCH, epoch=1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return round(peak / 1e6, 1)


@contextmanager
def a_machine(folder: Path) -> Iterator[None]:
    """Memos of a machine of its own."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(folder / "machine")
    try:
        yield
    finally:
        os.environ.pop("XDG_CACHE_HOME")
        if before is not None:
            os.environ["XDG_CACHE_HOME"] = before


def _walk(batches: Iterator[Any]) -> None:
    for _ in batches:
        pass


def _read_h5py(features: FeatureSet) -> np.ndarray[Any, Any]:
    import h5py

    with h5py.File(_first_shard(features), locking=False) as file:
        values: np.ndarray[Any, Any] = file["features"][:]
    return values


def _read_rows(features: FeatureSet) -> np.ndarray[Any, Any]:
    import h5py

    with h5py.File(_first_shard(features), locking=False) as file:
        rows = np.random.default_rng(0).integers(0, len(file["features"]), ROW_BY_ROW)
        return np.stack([file["features"][row] for row in rows])


def _first_shard(features: FeatureSet) -> Path:
    return next((features.cache / "spaces").glob("*/shards/*.h5"))


def _numbers(n_rows: int, dtype: str) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal((n_rows, WIDTH), dtype=np.float32).astype(dtype)


def _scaled(spread: Spread, factor: float) -> Spread:
    return {name: value * factor for name, value in spread.items()}


if __name__ == "__main__":
    main(sys.argv[1:])
