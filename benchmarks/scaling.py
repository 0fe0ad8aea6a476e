"""Cost against the number of samples: time a row and peak memory; prints one JSON object.

    python benchmarks/scaling.py [--short]

Each figure is that of a fresh process which runs ``headstart extract`` on a generated table of short texts, with
a backbone so small that what is seen is headstart's own work: first with all features to compute, then again
with none. The memory is the most that was resident at any moment, Python, torch and mapped files included.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

BACKBONES = Path(__file__).parents[1] / "tests" / "end_to_end"
WIDTH = 16
SIZES = (1_000, 10_000, 100_000, 1_000_000)
SHORT_SIZES = (1_000, 10_000)
ROWS_PER_GROUP = 100_000
UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes that the system counts resident memory in."""

Figures = dict[str, float]


def main(words: list[str]) -> None:
    """Measure, and print the figures."""
    is_short = "--short" in words
    sizes, formats = (SHORT_SIZES, ["csv"]) if is_short else (SIZES, list(WRITERS))
    with tempfile.TemporaryDirectory(prefix="headstart-scaling-") as folder:
        report = {name: measure(Path(folder), name, sizes) for name in formats}
    json.dump({"width": WIDTH, **report, "ratios": ratios(report["csv"])}, sys.stdout, indent=1)
    print()


def measure(folder: Path, written_as: str, sizes: tuple[int, ...]) -> dict[str, dict[str, Figures]]:
    """Figures of a first run and of a second one, by the number of rows."""
    found: dict[str, dict[str, Figures]] = {"first": {}, "again": {}}
    for n in sizes:
        data = folder / f"texts-{n}.{written_as}"
        WRITERS[written_as](data, n)
        for run in found.values():
            run[f"{n:,}"] = figures(extract(data, folder / f"cache-{written_as}-{n}"), n)
    return found


@dataclass(frozen=True)
class Cost:
    """What a process took: wall time, processor time of all its threads, bytes that were resident at most."""

    seconds: float
    processor_seconds: float
    peak: int


def extract(data: Path, cache: Path) -> Cost:
    """Run ``headstart extract`` in a process of its own."""
    command = [
        *(sys.executable, "-m", "headstart", "extract", str(data), "--backbone", "py:tiny_backbones:texts"),
        *("--set", "texts", "--cache", str(cache), "--quiet"),
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(BACKBONES), os.environ.get("PYTHONPATH")])),
        "XDG_CACHE_HOME": str(cache.with_name(f"{cache.name}-machine")),
        "TINY_WIDTH": str(WIDTH),
    }
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=sys.stderr)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    seconds = time.perf_counter() - start
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * UNIT)


def figures(cost: Cost, n: int) -> Figures:
    """A cost as it is printed."""
    return {
        "seconds": round(cost.seconds, 3),
        "microseconds_a_row": round(cost.seconds / n * 1e6, 2),
        "processor_microseconds_a_row": round(cost.processor_seconds / n * 1e6, 2),
        "peak_megabytes": round(cost.peak / 1e6, 1),
    }


def ratios(found: Mapping[str, Mapping[str, Figures]]) -> Figures:
    """The memory of the largest table over that of the next smaller one, with a tenth of its rows."""
    smaller, larger = list(found["first"])[-2:]
    peaks = {
        run: [sizes[size]["peak_megabytes"] for size in (smaller, larger)] for run, sizes in found.items()
    }
    first, again = (round(large / small, 3) for small, large in peaks.values())
    if larger != f"{SIZES[-1]:,}":  # what is promised, is promised of a million rows
        return {f"memory_of_{larger}": first, f"memory_of_{larger}_again": again}
    small, large = peaks["first"]
    return {
        "memory": first,
        "memory_again": again,
        "more_bytes_a_row": round((large - small) * 1e6 / (SIZES[-1] - SIZES[-2]), 1),
    }


def texts(n: int) -> Iterator[tuple[str, str]]:
    """Short texts, no two alike, and their classes."""
    for row in range(n):
        yield f"{'abc' if row % 2 else 'xyw'} number {row} " + "ox" * (row % 7), f"class {row % 2}"


def write_csv(path: Path, n: int) -> None:
    """A table as CSV."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        writer.writerows(texts(n))


def write_jsonl(path: Path, n: int) -> None:
    """The same as JSON Lines."""
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text, "label": label}) + "\n" for text, label in texts(n))


def write_parquet(path: Path, n: int) -> None:
    """The same as Parquet, a row group at a time: a process begins with the peak of the one that starts it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = texts(n)
    with pq.ParquetWriter(path, pa.schema({"text": pa.string(), "label": pa.string()})) as writer:
        while group := list(islice(rows, ROWS_PER_GROUP)):
            text, label = zip(*group, strict=True)
            writer.write_table(pa.table({"text": text, "label": label}))


WRITERS: Mapping[str, Callable[[Path, int], None]] = {
    "csv": write_csv,
    "parquet": write_parquet,
    "jsonl": write_jsonl,
}


if __name__ == "__main__":
    main(sys.argv[1:])
