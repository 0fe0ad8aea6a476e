"""Exact against approximate neighbours: processor time, memory and recall by the number of rows.

    python benchmarks/neighbours.py FOLDER [--rows 200000,1000000] [--only exact,lists,graph]

FOLDER holds ``banking77/{train,test}.csv``. The rows are the vectors that MiniLM has for the tokens of two questions
one after the other, each pair drawn at random: vectors of a real network, as many as one likes. Searched are the ten
nearest of 10,000 of them, drawn at random, among all, less the mean of all, as `headstart audit` searches; the time for
all rows is computed from that. ``lists`` is what ``--neighbours approximate`` takes, ``graph`` a graph of small worlds
(HNSW, 32 links, 40 candidates to build and 128 to search) in the same half precision. Each is measured in a process of
its own.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import headstart as hs
from headstart.heads.approximate import Index, recall_of
from headstart.heads.neighbours import Neighbours, nearest, unit_rows
from headstart.heads.rows import in_blocks, mean_of
from headstart.registry.machine import MemoryWatch

Rows = NDArray[Any]
WAYS = ("exact", "lists", "graph")
K, N_QUERIES, N_EXACT = 10, 10_000, 1000
TOKENS_OF_PAIR = 22
"""A pair has a few more."""


def main() -> None:
    """Measure each way at each size, and print a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", default="200000,1000000")
    parser.add_argument("--only", default=",".join(WAYS))
    parser.add_argument("--vectors", type=Path, help="(internal) measure one way on this file")
    given = parser.parse_args()
    sizes = [int(size) for size in given.rows.split(",")]
    if given.vectors:
        print(json.dumps(measure(given.only, np.load(given.vectors, mmap_mode="r")[: sizes[0]])), flush=True)
        return
    vectors = made_vectors(given.folder, max(sizes))
    for size in sizes:
        for way in given.only.split(","):
            words = [str(given.folder), "--rows", str(size), "--only", way, "--vectors", str(vectors)]
            subprocess.run([sys.executable, __file__, *words], check=True)


def made_vectors(folder: Path, n: int) -> Path:
    """A file of n vectors (n, 384) in half precision, kept beside the cache."""
    features = hs.extract(
        pairs_of(folder, n // TOKENS_OF_PAIR),
        backbone="bundled:all-minilm-l6-v2",
        taps=["last.tokens"],
        dtype="float16",
        set=f"pairs-{n}",
        quiet=False,
    )
    path = features.cache / f"vectors-{n}.npy"
    if not path.exists():
        tokens = features.tokens()
        vectors = np.lib.format.open_memmap(path, "w+", np.float16, (n, tokens.width))
        done = 0
        for start in range(0, len(tokens), 1024):
            padded, is_token = tokens.padded(np.arange(start, min(start + 1024, len(tokens))))
            some = padded[is_token][: n - done]
            vectors[done : done + len(some)] = some
            done += len(some)
        if done < n:
            path.unlink()
            raise SystemExit(f"{len(tokens):,} pairs have {done:,} tokens only")
    return path


def pairs_of(folder: Path, n: int) -> list[str]:
    """Two questions one after the other, n times."""
    texts = [
        row["text"]
        for split in ("train", "test")
        for row in csv.DictReader((folder / "banking77" / f"{split}.csv").open(encoding="utf-8"))
    ]
    drawn = np.random.default_rng(0).integers(len(texts), size=(n, 2)).tolist()
    return sorted({f"{texts[one]} {texts[other]}" for one, other in drawn})


class Clock:
    """Processor seconds of all threads, and those of the wall."""

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        wall, processor = time.perf_counter(), time.process_time()
        yield
        self.figures[f"{name}_seconds"] = round(time.perf_counter() - wall, 1)
        self.figures[f"{name}_processor_seconds"] = round(time.process_time() - processor, 1)


def measure(way: str, X: Rows) -> dict[str, Any]:
    """One way on rows (N, D)."""
    clock, memory = Clock(), MemoryWatch()
    centre = mean_of(X)
    drawn = np.sort(np.random.default_rng(1).permutation(len(X))[:N_QUERIES])
    found = {"exact": _exact, "lists": _lists, "graph": _graph}[way](X, centre, drawn, clock)
    peak = memory.peak - memory.level
    right = nearest(X[drawn[:N_EXACT]], X, K, centre, drawn[:N_EXACT], is_comparable=True)
    recall = recall_of(found.of, right.of, min(N_EXACT, len(found.row)))
    scale = len(X) / len(found.row)
    both = {
        name: clock.figures.get(f"build_{name}", 0) + scale * clock.figures[f"search_{name}"]
        for name in ("seconds", "processor_seconds")
    }
    return {
        "way": way, "rows": len(X), **clock.figures, "queries": len(found.row),
        **{f"all_{name}": round(value) for name, value in both.items()},
        "recall": recall.share, "peak_bytes": peak,
    }  # fmt: skip


def _exact(X: Rows, centre: Rows, drawn: Rows, clock: Clock) -> Neighbours:
    some = drawn[: 2 * N_EXACT]
    with clock.time("search"):
        return nearest(X[some], X, K, centre, some, is_comparable=True)


def _lists(X: Rows, centre: Rows, drawn: Rows, clock: Clock) -> Neighbours:
    with clock.time("build"):
        index = Index.made(X, centre=centre)
    return _searched(X, centre, drawn, index, clock)


def _graph(X: Rows, centre: Rows, drawn: Rows, clock: Clock) -> Neighbours:
    import faiss

    graph = faiss.IndexHNSWSQ(X.shape[1], faiss.ScalarQuantizer.QT_fp16, 32, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction, graph.hnsw.efSearch = 40, 128
    with clock.time("build"):
        graph.train(unit_rows(X[:1000], centre).astype(np.float32))
        for _, block in in_blocks(X, 1 << 16):
            graph.add(unit_rows(block, centre).astype(np.float32))
    return _searched(X, centre, drawn, Graph(graph.search), clock)


class Graph:
    """What names candidates as `Index` does."""

    def __init__(self, search: Callable[..., Any]) -> None:
        self._search = search

    def candidates(self, queries: Rows, k: int) -> Rows:
        """See `headstart.heads.neighbours.Index`."""
        found: Rows = self._search(queries.astype(np.float32), k + 16)[1]
        return found


def _searched(X: Rows, centre: Rows, drawn: Rows, index: Any, clock: Clock) -> Neighbours:
    with clock.time("search"):
        return nearest(X[drawn], X, K, centre, drawn, index=index)


if __name__ == "__main__":
    main()
