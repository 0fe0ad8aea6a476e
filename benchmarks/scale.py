"""A million samples and more: seconds a sample and peak memory of each command; prints one JSON object.

    python benchmarks/scale.py [--short | --sizes 100000,1000000,10000000]

A generated table of short texts with a backbone of 8 dimensions, so that what is seen is headstart's own work. Each
figure is that of a fresh process, and its memory the most that was resident at any moment, mapped files included.
The largest size takes some 12 GB of disk in the temporary folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__)
BACKBONES = HERE.parents[1] / "tests" / "end_to_end"
WIDTH = 8
SIZES = (100_000, 1_000_000)
SHORT_SIZES = (2_000, 20_000)
NEW = 1_000
CLASSES = 10
SHARDS = 1_000
ROWS_PER_GROUP = 100_000
UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes that the system counts resident memory in."""
BACKBONE = "py:tiny_backbones:texts"
COMPUTED = 1_000_000
"""The largest size whose features are computed; those of more samples are drawn."""
ROWS_PER_SHARD = 1_000_000

Figures = dict[str, float]


def main(words: list[str]) -> None:
    """Measure, and print the figures; or do one deed, as the process that is measured."""
    if words and words[0] in DEEDS:
        DEEDS[words[0]](*words[1:])
        return
    sizes = _sizes(words)
    found: dict[str, dict[str, Figures]] = {}
    for n in sizes:
        with tempfile.TemporaryDirectory(prefix="headstart-scale-") as folder:
            for name, figures in measure(Path(folder), n):
                found.setdefault(name, {})[f"{n:,}"] = figures
                print(f"{name}, {n:,}: {figures}", file=sys.stderr, flush=True)
    json.dump({"width": WIDTH, **found, "ratios": ratios(found, sizes)}, sys.stdout, indent=1)
    print()


def _sizes(words: Sequence[str]) -> tuple[int, ...]:
    if "--sizes" in words:
        return tuple(int(size) for size in words[words.index("--sizes") + 1].split(","))
    return SHORT_SIZES if "--short" in words else SIZES


def measure(folder: Path, n: int) -> Iterator[tuple[str, Figures]]:
    """The figures of each command on n samples, in the order in which a user would run them."""
    data, more = folder / "texts.parquet", folder / "grown" / "texts.parquet"
    of = Commands(folder)
    of.run(of.deed("table", data, n))
    of.run(of.deed("table", more, n + NEW))
    extract = ("extract", "{}", "--backbone", BACKBONE, "--set", "texts", "--quiet")
    if n > COMPUTED:
        of.run(of.deed("fill", data))
    first = "extract, all to compute" if n <= COMPUTED else "extract, all held, a new set"
    runs: tuple[tuple[str, Sequence[Any]], ...] = (
        ("reading the data", of.deed("read", more)),
        (first, of.headstart(*_on(extract, data))),
        ("extract, nothing to compute", of.headstart(*_on(extract, data))),
        (f"extract, {NEW:,} samples added", of.headstart(*_on(extract, more))),
        ("open a set, features of train", of.deed("open", "texts")),
        (
            "fit-head ridge",
            of.headstart("fit-head", "texts", "--head", "ridge", "--out", folder / "run", "--quiet"),
        ),
        ("search", of.headstart("search", "texts", "--like", f"texts:{n // 2}", "--json")),
        ("cache verify", of.headstart("cache", "verify", "--quiet")),
        ("cache gc", of.headstart("cache", "gc", "--grace", "0", "--earlier", "--quiet")),
    )
    for name, command in runs:
        yield name, figures_of(of.run(command), n)
    more.unlink()
    shutil.rmtree(folder / "cache")
    yield from _measure_matrix(of, folder, n)


def _measure_matrix(of: Commands, folder: Path, n: int) -> Iterator[tuple[str, Figures]]:
    """An import of a matrix, and what a thousand shards cost."""
    matrix = folder / "matrix.npy"
    of.run(of.deed("matrix", matrix, n))
    table = ("--ids", folder / "texts.parquet", "--id-column", "text", "--label-column", "label")
    command = of.headstart(
        "cache", "import", matrix, "--set", "matrix", "--backbone", "other", *table, "--quiet"
    )
    yield "cache import", figures_of(of.run(command), n)
    of.run(of.deed("shatter", "matrix"))
    for name in ("cache gc", "cache compact"):
        command = of.headstart(*name.split(), "--quiet")
        yield f"{name}, {SHARDS:,} shards", figures_of(of.run(command), n)


def _on(command: Sequence[str], data: Path) -> list[Any]:
    return [data if word == "{}" else word for word in command]


@dataclass(frozen=True)
class Cost:
    """What a process took: wall time, processor time of all its threads, bytes that were resident at most."""

    seconds: float
    processor_seconds: float
    peak: int


class Commands:
    """Programs that run in processes of their own, on one cache."""

    def __init__(self, folder: Path) -> None:
        self.cache = folder / "cache"
        path = filter(None, [str(BACKBONES), os.environ.get("PYTHONPATH")])
        self._environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path),
            "XDG_CACHE_HOME": str(folder / "machine"),
            "HEADSTART_CACHE": str(self.cache),
            "TMPDIR": str(folder),
            "TINY_WIDTH": str(WIDTH),
        }

    def headstart(self, *words: Any) -> list[str]:
        """The command line."""
        return [sys.executable, "-m", "headstart", *map(str, words)]

    def deed(self, *words: Any) -> list[str]:
        """A deed of this file."""
        return [sys.executable, str(HERE), *map(str, words)]

    def run(self, command: Sequence[str]) -> Cost:
        """Run it to its end."""
        start = time.perf_counter()
        process = subprocess.Popen(command, env=self._environment, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{' '.join(command)} ended with {process.returncode}")
        seconds = time.perf_counter() - start
        return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * UNIT)


def figures_of(cost: Cost, n: int) -> Figures:
    """A cost as it is printed."""
    return {
        "seconds": round(cost.seconds, 2),
        "microseconds a sample": round(cost.seconds / n * 1e6, 2),
        "processor microseconds a sample": round(cost.processor_seconds / n * 1e6, 2),
        "peak megabytes": round(cost.peak / 1e6, 1),
    }


def ratios(found: Mapping[str, Mapping[str, Figures]], sizes: Sequence[int]) -> Figures:
    """Processor time a sample of the largest size over that of the next smaller one, for each command."""
    smaller, larger = (f"{n:,}" for n in sizes[-2:]) if len(sizes) > 1 else ("", "")
    unit = "processor microseconds a sample"
    return {
        name: round(by_size[larger][unit] / by_size[smaller][unit], 2)
        for name, by_size in found.items()
        if smaller in by_size and larger in by_size
    }


# What is measured


def read(data: str) -> None:
    """Read a table as `headstart extract` does: ids, keys and labels of all samples."""
    from headstart.cache.store import Cache
    from headstart.data import open_source
    from headstart.data.options import SourceOptions
    from headstart.extraction.samples import register
    from headstart.progress import open_progress

    register(open_source(data, SourceOptions()), Cache(None).keys, open_progress(True))


def open_(name: str) -> None:
    """Open a set and read the features and labels that a head is trained on."""
    import headstart as hs

    hs.open_set(name).arrays("train")


def fill(data: str) -> None:
    """Put features of a table's texts into the space of the tiny backbone without running it."""
    import numpy as np
    import pyarrow.parquet as pq

    from headstart.backbones import open_backbone
    from headstart.backbones.options import BackboneOptions
    from headstart.cache.formats import shard_format
    from headstart.cache.recipe import make_recipe
    from headstart.cache.store import Cache
    from headstart.keys import pack, text_keys
    from headstart.types import Features

    cache = Cache(None)
    cache.prepare()
    info = open_backbone(BACKBONE, BackboneOptions()).resolve()
    space = cache.space(make_recipe(info, "pooler", "fp32", "float32"))
    space.prepare()
    draw, key_of = np.random.default_rng(0), text_keys()
    for batch in pq.ParquetFile(data).iter_batches(ROWS_PER_SHARD, columns=["text"]):
        keys = pack(map(key_of, batch.column(0).to_pylist()))
        values = draw.standard_normal((len(keys), WIDTH), dtype=np.float32)
        space.commit(Features(keys, values), shard_format("hdf5"))
    space.refresh()
    space.save_index()


def shatter(name: str) -> None:
    """Write the rows of a set's space anew as a thousand shards, as many small runs would have left them."""
    import numpy as np

    import headstart as hs
    from headstart.cache.formats import shard_format, take
    from headstart.cache.store import Cache

    held = hs.open_set(name).held()
    space = Cache(None).open_space(held.space.id)
    whole = space.gather(held.keys)
    for path in list(space.shards_dir.iterdir()):
        path.unlink()
    for rows in np.array_split(np.arange(len(whole)), SHARDS):
        space.commit(take(whole, rows), shard_format("hdf5"))


# What it is measured on; written by processes of their own, as a process begins with the peak of who starts it


def write_table(path: str, rows: str) -> None:
    """Short texts, no two alike, and their classes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    n = int(rows)
    Path(path).parent.mkdir(exist_ok=True)
    with pq.ParquetWriter(path, pa.schema({"text": pa.string(), "label": pa.string()})) as writer:
        for start in range(0, n, ROWS_PER_GROUP):
            group = range(start, min(start + ROWS_PER_GROUP, n))
            texts = [f"{'abc' if row % 2 else 'xyw'} number {row} " + "ox" * (row % 7) for row in group]
            labels = [f"class {row % CLASSES}" for row in group]
            writer.write_table(pa.table({"text": texts, "label": labels}))


def write_matrix(path: str, rows: str) -> None:
    """Random features."""
    import numpy as np

    n = int(rows)
    out = np.lib.format.open_memmap(path, "w+", np.float32, (n, WIDTH))
    draw = np.random.default_rng(0)
    for start in range(0, n, ROWS_PER_GROUP):
        stop = min(start + ROWS_PER_GROUP, n)
        out[start:stop] = draw.standard_normal((stop - start, WIDTH), dtype=np.float32)


DEEDS = {
    "read": read, "open": open_, "fill": fill, "shatter": shatter, "table": write_table, "matrix": write_matrix,
}  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
