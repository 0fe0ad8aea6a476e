"""The table of docs/heads.md: every head on real features, by the command that users type.

    python benchmarks/head_table.py SET [SET ...] --cache CACHE [--only logistic,mlp]

Heads that have parameters worth choosing are swept on validation; the row says what was found. Seconds are those of
the command's own report (reading, fitting, evaluating) and, in the last column, from prompt to prompt.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any


@dataclass(frozen=True)
class Entry:
    """A row: what is said of it, and the options of ``fit-head``."""

    said: str
    options: tuple[str, ...]


LR = "lr=1e-4..3e-2:6"
ENTRIES = (
    Entry("`logistic`, C on validation (the default)", ("--head", "logistic")),
    Entry("`logistic`, C = 1", ("--head", "logistic", "--param", "C=1")),
    Entry(
        "`logistic`, `--prepare l2`, unscaled",
        ("--head", "logistic", "--prepare", "l2", "--param", "scaling=none"),
    ),
    Entry("`ridge`", ("--head", "ridge")),
    Entry("`knn`", ("--head", "knn")),
    Entry("`centroid`", ("--head", "centroid")),
    Entry("`svm`", ("--head", "svm")),
    Entry("`linear`", ("--head", "linear")),
    Entry("`linear`, 18 side by side", ("--head", "linear", "--sweep", f"{LR},weight_decay=0.01,0.1,1")),
    Entry("`mlp`", ("--head", "mlp")),
    Entry("`mlp`, 12 side by side", ("--head", "mlp", "--sweep", "lr=3e-4..1e-2:4,dropout=0.3,0.5,0.7")),
    Entry("`residual`", ("--head", "residual")),
    Entry(
        "**`--sweep head=logistic,ridge,knn,linear,mlp`**", ("--sweep", "head=logistic,ridge,knn,linear,mlp")
    ),
)


def run(set_name: str, entry: Entry, cache: str, folder: Path) -> dict[str, Any]:
    """The report of one command, with its seconds from prompt to prompt."""
    line = [
        sys.executable, "-m", "headstart", "fit-head", set_name, "--cache", cache, "--json", "--quiet",
        "--out", str(folder / "run"), "--overwrite", *entry.options,
    ]  # fmt: skip
    start = perf_counter()
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    report: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    report["wall"] = perf_counter() - start
    return report


def row(entry: Entry, reports: list[dict[str, Any]]) -> str:
    """A row of the table."""
    report = reports[0]
    test, validation = report["metrics"]["test"], report["metrics"].get("validation", {})
    low, high = test["intervals"]["accuracy"]
    chosen = {name: report["head"][name] for name in ("C", "k") if name in report["head"]}
    best = report.get("sweep", {}).get("best") or chosen
    found = ", ".join(f"{n} = {v:.3g}" if isinstance(v, float) else f"{n} = {v}" for n, v in best.items())
    seconds, wall = (median([pick(each) for each in reports]) for pick in (_total, _wall))
    return (
        f"| {entry.said} | {found} | {100 * validation.get('accuracy', 0):.1f} % | {100 * test['accuracy']:.1f} % "
        f"[{100 * low:.1f}, {100 * high:.1f}] | {seconds:.1f} | {wall:.1f} |"
    )


def _total(report: dict[str, Any]) -> float:
    return float(report["timings"]["total"])


def _wall(report: dict[str, Any]) -> float:
    return float(report["wall"])


def main() -> None:
    """Print a table for each set."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--cache", required=True)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", help="words that a row must have one of, with commas between")
    args = parser.parse_args()
    wanted = args.only.split(",") if args.only else [""]
    for set_name in args.sets:
        print(
            f"\n### {set_name}\n\n| head | chosen | validation | test, 95 % interval | s | s, whole command |"
        )
        print("|---|---|---|---|---|---|")
        for entry in ENTRIES:
            if any(word in entry.said for word in wanted):
                with tempfile.TemporaryDirectory() as folder:
                    reports = [run(set_name, entry, args.cache, Path(folder)) for _ in range(args.rounds)]
                print(row(entry, reports), flush=True)


if __name__ == "__main__":
    main()
