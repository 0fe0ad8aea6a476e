"""A million samples and more: processor time a sample and peak memory of each command; prints one JSON object.

    python benchmarks/scale.py [--short | --sizes 100000,1000000,10000000] [--keep FILE]

A generated table of short texts with a backbone of 8 dimensions, so that what is seen is headstart's own work. Each
figure is that of a fresh process, and its memory the most that was resident at any moment, mapped files included.
Figures that ``--keep`` finds in its file are not measured again, and those of each size are kept there once they are
known. Ten million samples take 7 GB of disk in the temporary folder.
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
from itertools import pairwise
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

ADDING = f"extract, {NEW:,} samples added"
READING = "reading the data"
Figures = dict[str, float]
Measured = dict[str, dict[str, Figures]]
"""By number of samples, and by command."""


def main(words: list[str]) -> None:
    """Measure, and print the figures; or do one deed, as the process that is measured."""
    if words and words[0] in DEEDS:
        DEEDS[words[0]](*words[1:])
        return
    kept = Path(words[words.index("--keep") + 1]) if "--keep" in words else None
    found: Measured = json.loads(kept.read_text()) if kept and kept.exists() else {}
    for n in _sizes(words):
        if str(n) not in found:
            with tempfile.TemporaryDirectory(prefix="headstart-scale-") as folder:
                found[str(n)] = dict(measure(Path(folder), n))
            if kept:
                kept.write_text(json.dumps(found, indent=1))
    json.dump(report(found), sys.stdout, indent=1)
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
    if n > COMPUTED:
        of.run(of.deed("fill", data))
    extract = ("--backbone", BACKBONE, "--set", "texts", "--quiet")
    runs: dict[str, Sequence[str]] = {
        READING: of.deed("read", more),
        "extract, all to compute" if n <= COMPUTED else "extract, a new set": of.headstart(
            "extract", data, *extract
        ),
        "extract, nothing to compute": of.headstart("extract", data, *extract),
        ADDING: of.headstart("extract", more, *extract),
        "open a set, features of train": of.deed("open", "texts"),
        "search": of.headstart("search", "texts", "--like", f"texts:{n // 2}", "--json"),
        "cache verify": of.headstart("cache", "verify", "--quiet"),
        "cache gc": of.headstart("cache", "gc", "--grace", "0", "--earlier", "--quiet"),
    }
    if n <= COMPUTED:
        runs["fit-head ridge"] = of.headstart(
            "fit-head", "texts", "--head", "ridge", "--out", folder / "run", "--quiet"
        )
    for name, command in runs.items():
        yield of.measured(name, command, n)
    more.unlink()
    shutil.rmtree(of.cache)
    yield from _measure_matrix(of, folder, n)


def _measure_matrix(of: Commands, folder: Path, n: int) -> Iterator[tuple[str, Figures]]:
    """An import of a matrix, and what a thousand shards cost."""
    matrix = folder / "matrix.npy"
    of.run(of.deed("matrix", matrix, n))
    table = ("--ids", folder / "texts.parquet", "--id-column", "text", "--label-column", "label")
    about = ("--set", "matrix", "--backbone", "other", *table, "--quiet")
    yield of.measured("cache import", of.headstart("cache", "import", matrix, *about), n)
    of.run(of.deed("shatter", "matrix"))
    for name in ("cache gc", "cache compact"):
        yield of.measured(f"{name}, {SHARDS:,} shards", of.headstart(*name.split(), "--quiet"), n)


@dataclass(frozen=True)
class Cost:
    """What a process took: wall time, processor time of all its threads, bytes that were resident at most."""

    seconds: float
    processor_seconds: float
    peak: int

    def figures(self, n: int) -> Figures:
        """As they are kept, of n samples."""
        return {
            "seconds": round(self.seconds, 2),
            "processor seconds": round(self.processor_seconds, 2),
            "microseconds a sample": round(self.processor_seconds / n * 1e6, 2),
            "megabytes": round(self.peak / 1e6, 1),
        }


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

    def measured(self, name: str, command: Sequence[str], n: int) -> tuple[str, Figures]:
        """The figures of a program, said as well, for whoever waits."""
        figures = self.run(command).figures(n)
        print(f"{n:,} samples, {name}: {said(figures)}", file=sys.stderr, flush=True)
        return name, figures

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


def said(figures: Figures) -> str:
    """The figures of a command in a phrase.

    Examples
    --------
    >>> said({"seconds": 12.345, "processor seconds": 8.0, "microseconds a sample": 4.0, "megabytes": 512.34})
    '8.0 s of processor time, 4.00 µs a sample, 512 MB'
    """
    seconds, each = figures["processor seconds"], figures["microseconds a sample"]
    return f"{seconds:,.1f} s of processor time, {each:,.2f} µs a sample, {figures['megabytes']:,.0f} MB"


def report(found: Measured) -> dict[str, Any]:
    """What is printed: every figure in words, and as numbers what is promised."""
    sizes = sorted(map(int, found))
    largest = found[str(sizes[-1])]
    return {
        "width": WIDTH,
        **{f"{n:,} samples": {name: said(of) for name, of in found[str(n)].items()} for n in sizes},
        "more microseconds for each further sample": {
            f"{few:,} to {many:,}": slopes(found[str(few)], found[str(many)], many - few)
            for few, many in pairwise(sizes)
        },
        "largest": {
            "samples": sizes[-1],
            "megabytes": max(figures["megabytes"] for figures in largest.values()),
            "megabytes_adding": largest[ADDING]["megabytes"],
            "processor_seconds_adding_beside_reading": round(
                largest[ADDING]["processor seconds"] - largest[READING]["processor seconds"], 1
            ),
        },
    }


def slopes(few: Mapping[str, Figures], many: Mapping[str, Figures], n_more: int) -> Figures:
    """Microseconds of processor time for each sample more, by command.

    Examples
    --------
    >>> slopes({"search": {"processor seconds": 1.0}}, {"search": {"processor seconds": 3.0}}, 1_000_000)
    {'search': 2.0}
    """
    unit = "processor seconds"
    return {
        name: round((many[name][unit] - few[name][unit]) / n_more * 1e6, 2) for name in few if name in many
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
    for rows in np.array_split(np.arange(len(whole)), min(SHARDS, len(whole))):
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
