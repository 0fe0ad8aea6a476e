"""How many labels frozen features need: heads and backbones on few samples of each class, as tables in Markdown.

Usage: python benchmarks/few_shots.py FOLDER [--only texts|photos] [--seeds 10] [--work FOLDER]

FOLDER holds ``banking77/{train,test}.csv`` and ``clothing/{train,test}/<class>/*.jpg``. Each table is one command,
``headstart fit-head SET --sweep head=…,backbone=… --shots … --seeds 10``, whose run stays in ``--work``: figures are
means over draws, with 95 % intervals over draws and test samples.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Measured:
    """A data set, what is extracted of it, and what is compared on it."""

    name: str
    folder: str
    backbones: tuple[str, ...]
    heads: str
    shots: str


TEXTS = Measured(
    "texts", "banking77", ("bundled:all-minilm-l6-v2",), "logistic,ridge,knn,centroid,linear", "1,2,4,8,16,32"
)
PHOTOS = Measured(
    "photos",
    "clothing",
    ("bundled:efficientnet-lite0", "bundled:efficientnet-lite2"),
    "logistic,ridge,knn,centroid",
    "1,2,4,8,16,32,64",
)


def run(*words: str) -> float:
    """A command of headstart; the processor seconds that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "headstart", *words], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def report_of(asked: Measured, data: Path, work: Path, seeds: int) -> tuple[dict[str, Any], float]:
    """The report of the command, and the processor time once the features were there."""
    backbones = [word for name in asked.backbones for word in ("--backbone", name)]
    run("extract", str(data / asked.folder), *backbones, "--set", f"few-{asked.name}")
    sweep = f"head={asked.heads},backbone={','.join(asked.backbones)}"
    target = work / asked.name
    seconds = run(
        "fit-head", f"few-{asked.name}", "--sweep", sweep, "--shots", asked.shots, "--seeds", str(seeds),
        "--out", str(target), "--overwrite", "--plots", "none",
    )  # fmt: skip
    return json.loads((target / "report.json").read_text("utf-8")), seconds


def table_of(curves: list[Mapping[str, Any]]) -> str:
    """A row for each curve, a column for each size."""
    sizes = [row["size"] for row in curves[0]["shots"]]
    lines = [["", *(f"{size}" for size in sizes)], ["---", *["---"] * len(sizes)]]
    for curve in curves:
        cells = []
        for row in curve["shots"]:
            low, high = row["interval"]["accuracy"]
            cells.append(f"{100 * row['mean']['accuracy']:.1f} ({100 * low:.1f}–{100 * high:.1f})")
        lines.append([f"`{curve['name']}`", *cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Print a table for each data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", choices=["texts", "photos"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--work", type=Path, default=Path("few-shots"))
    asked = parser.parse_args()
    for one in (TEXTS, PHOTOS):
        if asked.only in (None, one.name):
            report, seconds = report_of(one, asked.data, asked.work, asked.seeds)
            n = report["metrics"]["test"]["n"]
            print(
                f"\n{one.folder}, {n:,} test samples, {asked.seeds} draws, {seconds:.0f} s of processor time\n"
            )
            print(table_of(report["curves"]))


if __name__ == "__main__":
    main()
