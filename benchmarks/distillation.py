"""What a student gains by a teacher on banking77, for docs/distillation.md.

    python benchmarks/distillation.py FOLDER [--cache DIR] [--labels 5 10 20] [--draws 3]

FOLDER holds ``banking77/{train,test}.csv``. Of each class so many train samples keep their label, drawn anew for each
draw; the others have none. The teacher is a linear head on mpnet, the students are linear heads on MiniLM and on its
first three layers; each line has the mean over draws of the accuracy on all 3,080 test samples. It
needs all five packages of mpnet. benchmarks/comparison.py has the students tuned.
"""

from __future__ import annotations

import argparse
import csv
import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

import headstart as hs

TEACHER, STUDENT = "bundled:all-mpnet-base-v2", "bundled:all-minilm-l6-v2"
TAPS = {"MiniLM": "last.mean", "its first three layers": "3.mean"}
COLUMNS = (
    "teacher",
    *(f"{name}, {how}" for name in TAPS for how in ("alone", "taught", "taught, labels alone")),
)


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "headstart-distillation")
    parser.add_argument("--labels", type=int, nargs="*", default=[5, 10, 20])
    parser.add_argument("--draws", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        print("| labels a class | " + " | ".join(COLUMNS) + " |\n|" + "---|" * (len(COLUMNS) + 1))
        for n in given.labels:
            found = [heads(given, n, draw, Path(scratch)) for draw in range(given.draws)]
            means = [f"{100 * np.mean([each[name] for each in found]):.1f}" for name in COLUMNS]
            print(f"| {n} | " + " | ".join(means) + " |", flush=True)


def heads(given: Any, n: int, draw: int, scratch: Path) -> dict[str, float]:
    """Test accuracies of the teacher and of students alone, taught, and taught on the labelled samples only."""
    features = extracted(given, n, draw, scratch)
    fewer = extracted(given, n, draw, scratch, keeps_others=False)
    plain: dict[str, Any] = {"cache": given.cache, "plots": "none", "head": "linear"}
    place = scratch / f"teacher-{n}-{draw}"
    teacher = hs.fit_head(features, backbone=TEACHER, out=place, **plain)
    found = {"teacher": accuracy(teacher)}
    for name, tap in TAPS.items():
        student = {**plain, "backbone": STUDENT, "tap": tap}
        found[f"{name}, alone"] = accuracy(hs.fit_head(features, **student))
        found[f"{name}, taught"] = accuracy(hs.fit_head(features, teacher=place, **student))
        found[f"{name}, taught, labels alone"] = accuracy(hs.fit_head(fewer, teacher=place, **student))
    return found


def extracted(given: Any, n: int, draw: int, scratch: Path, keeps_others: bool = True) -> Any:
    """The set with so many labels a class; features of all samples are computed once."""
    name = f"banking77-{n}-{draw}{'' if keeps_others else '-labelled'}"
    folder = scratch / name
    folder.mkdir()
    source = given.folder / "banking77"
    hide(source / "train.csv", folder / "train.csv", n, draw, keeps_others)
    (folder / "test.csv").write_bytes((source / "test.csv").read_bytes())
    about: dict[str, Any] = {"set": name, "cache": given.cache, "quiet": True}
    columns = {"text_column": "text", "label_column": "category"}
    hs.extract(folder, STUDENT, taps=["3.mean", "last.mean"], **about, **columns)
    return hs.extract(folder, TEACHER, **about, **columns)


def hide(source: Path, target: Path, n: int, seed: int, keeps_others: bool) -> None:
    """The same lines, shuffled; of each class n have a label, and the others an empty one, or are left out."""
    with source.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    random.Random(seed).shuffle(lines)
    seen: Counter[str] = Counter()
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["text", "category"])
        writer.writeheader()
        for line in lines:
            seen[line["category"]] += 1
            if seen[line["category"]] <= n:
                writer.writerow(line)
            elif keeps_others:
                writer.writerow({**line, "category": ""})


def accuracy(run: hs.Run) -> float:
    """On the test samples."""
    return float(run.report["metrics"]["test"]["accuracy"])


if __name__ == "__main__":
    main()
