"""Search over a million cached vectors, beside brute force in numpy and faiss's flat index; prints one JSON object.

    python benchmarks/search.py [--short] [--folder DIR]

The vectors are made up: 1,000,000 × 512 in float16, around a thousand centres, imported as a set (``headstart cache
import``). Measured are the command as a user runs it, from the start of its interpreter to its end; the first answer in
a Python process that has imported headstart; and later answers. Brute force holds all vectors in float32, scaled to
length 1: 2 GB, which take longer to read and to scale than a search does. Answers are compared with its answers. With
``--folder`` the set is kept there, and found again.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

N, WIDTH, CENTRES, K = 1_000_000, 512, 1000, 20
SHORT = 50_000
ROUNDS = 5
STEP = 20_000
ASKED = 7
SEARCH = """
import json, sys, time
import headstart as hs
import headstart.retrieval.stage, headstart.retrieval.options
import numpy as np

def anonymous():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) / 1024

name, rounds = sys.argv[1], int(sys.argv[2])
before, waits = anonymous(), []
features = hs.open_set(name)
for _ in range(rounds):
    start = time.perf_counter()
    found = features.search(like="photo-0000007", k=20)
    waits.append(time.perf_counter() - start)
queries = np.random.default_rng(9).normal(size=(20, int(sys.argv[3]))).astype(np.float32)
start = time.perf_counter()
features.search(queries, k=20)
print(json.dumps({"waits": waits, "twenty": time.perf_counter() - start, "ids": found.ids, "scores": found.scores,
                  "megabytes": anonymous() - before}))
"""


def main(words: list[str]) -> None:
    """Measure, and print the figures."""
    n = SHORT if "--short" in words else N
    kept = Path(words[words.index("--folder") + 1]) if "--folder" in words else None
    with tempfile.TemporaryDirectory(prefix="headstart-search-") as made:
        folder = kept or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        os.environ["HEADSTART_CACHE"] = str(folder / "cache")
        matrix = made_set(folder, n)
        report: dict[str, Any] = {"vectors": [n, WIDTH], "cores": os.cpu_count()}
        report["headstart_command"] = command(n)
        report["headstart"], answers = in_python(n)
        report["numpy"] = by_numpy(matrix, answers)
        report["faiss"] = by_faiss(matrix)
    json.dump(report, sys.stdout, indent=1)
    print()


def set_name(n: int) -> str:
    return f"made-{n}"


def made_set(folder: Path, n: int) -> Path:
    """The vectors as a file, imported as a set unless they are."""
    matrix = folder / f"{n}.npy"
    if not matrix.exists():
        draw = np.random.default_rng(0)
        centres = draw.standard_normal((CENTRES, WIDTH), dtype=np.float32)
        rows = np.lib.format.open_memmap(matrix, "w+", np.float16, (n, WIDTH))
        for start in range(0, n, STEP):
            block = draw.standard_normal((min(STEP, n - start), WIDTH), dtype=np.float32)
            rows[start : start + STEP] = block + centres[draw.integers(CENTRES, size=len(block))]
        rows.flush()
        ids = "\n".join(f"photo-{row:07d}" for row in range(n))
        (folder / f"{n}.txt").write_text(ids, "utf-8")
    place = folder / "cache" / "sets" / set_name(n)
    if not place.exists():
        ids_file = str(folder / f"{n}.txt")
        asked = (
            "cache",
            "import",
            str(matrix),
            "--set",
            set_name(n),
            "--backbone",
            "made",
            "--ids",
            ids_file,
        )
        subprocess.run([sys.executable, "-m", "headstart", *asked, "-q"], check=True)
    return matrix


def command(n: int) -> dict[str, Any]:
    """The command, from the start of its interpreter to its end."""
    asked = [sys.executable, "-m", "headstart", "search", set_name(n), "--like", f"photo-{ASKED:07d}", "-q"]
    waits, processor = [], []
    for _ in range(ROUNDS + 1):  # the first reads the disk, and looks at the digests
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(asked, check=True, stdout=subprocess.DEVNULL)
        waits.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {"seconds": spread(waits[1:]), "processor_seconds": spread(processor[1:])}


def in_python(n: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The first answer and later ones, in a process that has imported headstart; and the answers."""
    asked = [sys.executable, "-c", SEARCH, set_name(n), str(ROUNDS), str(WIDTH)]
    said = [json.loads(subprocess.run(asked, check=True, capture_output=True).stdout) for _ in range(3)]
    figures = {
        "seconds_to_first_answer": spread([each["waits"][0] for each in said]),
        "seconds_per_later_answer": spread([wait for each in said for wait in each["waits"][1:]]),
        "seconds_for_20_queries": spread([each["twenty"] for each in said]),
        "megabytes_besides_the_mapped_file": round(max(each["megabytes"] for each in said)),
    }
    return figures, said[0]


def unit_rows(matrix: Path) -> np.ndarray:
    rows = np.load(matrix).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def by_numpy(matrix: Path, answers: dict[str, Any]) -> dict[str, Any]:
    """Brute force in float32; what it finds is what headstart found."""
    start = time.perf_counter()
    rows = unit_rows(matrix)
    ready, waits = time.perf_counter() - start, []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        scores = rows @ rows[ASKED]
        first = np.argpartition(-scores, K + 1)[: K + 1]
        first = first[np.argsort(-scores[first])]
        waits.append(time.perf_counter() - start)
    best = [row for row in first.tolist() if row != ASKED][:K]
    apart = np.abs(scores[best] - np.array(answers["scores"]))
    return {
        "seconds_until_ready": round(ready, 2),
        "seconds_per_answer": spread(waits),
        "same_ids": [f"photo-{row:07d}" for row in best] == answers["ids"],
        "largest_difference_of_scores": float(apart.max()),
    }


def by_faiss(matrix: Path) -> dict[str, Any] | str:
    """The flat index of faiss, by inner product of rows of length 1."""
    try:
        import faiss
    except ImportError:
        return "not installed"
    start = time.perf_counter()
    rows = unit_rows(matrix)
    index = faiss.IndexFlatIP(WIDTH)
    index.add(rows)
    ready, query, waits = time.perf_counter() - start, rows[ASKED : ASKED + 1].copy(), []
    del rows
    for _ in range(ROUNDS):
        start = time.perf_counter()
        index.search(query, K + 1)
        waits.append(time.perf_counter() - start)
    return {"seconds_until_ready": round(ready, 2), "seconds_per_answer": spread(waits)}


def spread(values: list[float]) -> dict[str, float]:
    """The median, and the least and the most."""
    return {
        "median": round(statistics.median(values), 3),
        "least": round(min(values), 3),
        "most": round(max(values), 3),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
