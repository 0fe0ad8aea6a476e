"""Runs: saving one with its plots, and what ``fit-head`` takes beside its fit."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import texts
from benchmarks.forms import Bench
from benchmarks.results import Table
from benchmarks.rounds import Contestant, Turn, stopwatch, take_turns

SAMPLES = 12
"""Of each class."""
EVERYTHING: dict[str, Any] = {
    "head": "linear", "sweep": {"lr": [1e-3, 1e-2]}, "params": {"epochs": 5}, "shots": [1, 2], "curve": [200, 400],
    "seeds": 2,
}  # fmt: skip
"""What of a fit has a plot."""


def measure(bench: Bench) -> dict[str, Table]:
    """A table of seconds."""
    ten, many = features_of(bench, 10), features_of(bench, 77)
    contestants = {
        "ten": _saving(bench, "`run.save` with its plots, 10 classes", ten, {"head": "logistic"}),
        "many": _saving(bench, "`run.save` with its plots, 77 classes", many, EVERYTHING),
        "command": Contestant(
            "`headstart fit-head`, 77 classes, without its fit", _command(bench, many.name)
        ),
    }
    rows = take_turns(contestants, bench.form.rounds, bench.say)
    said = f"{len(ten):,} and {len(many):,} texts; a run was saved in the process before"
    return {"runs": Table("Saving a run", said, rows, "ten", "× of the first row", in_rates=False)}


def features_of(bench: Bench, n_classes: int) -> Any:
    """A set of short texts that name their classes."""
    import headstart as hs

    n, name = n_classes * SAMPLES, f"classes-{n_classes}"
    path = bench.scratch / f"{name}.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        rows = enumerate(islice(cycle(bench.data.short_texts(n).texts), n))
        written = [[f"{row}, {row % n_classes}: {text}", f"class {row % n_classes:02}"] for row, text in rows]
        csv.writer(file).writerows([["text", "label"], *written])
    return hs.extract(path, backbone=texts.BACKBONE, set=name, device="cpu")


def _saving(bench: Bench, label: str, features: Any, options: Mapping[str, Any]) -> Contestant:
    import headstart as hs

    def turn() -> float:
        run = hs.fit_head(features, **options)
        return stopwatch(lambda: run.save(folder, overwrite=True))()

    folder = bench.scratch / "run"
    turn()
    n_plots = len(list((folder / "plots").glob("*.png")))
    return Contestant(f"{label}: {n_plots} plots", turn)


def _command(bench: Bench, name: str) -> Turn:
    def turn() -> float:
        folder = bench.scratch / "command-run"
        shutil.rmtree(folder, ignore_errors=True)
        words = ["fit-head", name, "--head", "logistic", "--out", str(folder), "--quiet"]
        start = perf_counter()
        subprocess.run([*command(), *words], capture_output=True, check=True, env=dict(os.environ))
        seconds = perf_counter() - start
        return seconds - float(json.loads((folder / "report.json").read_text("utf-8"))["timings"]["fit"])

    return turn


def command() -> list[str]:
    """The installed command, or the module where it is not installed."""
    beside = Path(sys.executable).with_name("headstart")
    return [str(beside)] if beside.exists() else [sys.executable, "-m", "headstart"]
