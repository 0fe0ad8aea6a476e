"""An epoch of `last:2` from the cut cache beside the same epoch through the whole network, taking turns.

    python benchmarks/cut.py --data FOLDER [--only minilm|mpnet] [--rounds 3] [--cache FOLDER]

FOLDER holds ``banking77/train.csv``. A turn trains three epochs and counts the last two, with two questions to validate
on; what enters the blocks that train is extracted before. The bound is 1.15 x the share of
floating-point work that is left: of n equal blocks, k of which train, forward and twice as much backward, that is
3k / (n + 2k).
"""

from __future__ import annotations

import argparse
import csv
import random
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rounds import Contestant, take_turns

from headstart.config import TuneConfig
from headstart.progress import Silence
from headstart.tuning.stage import fine_tune

N_EPOCHS = 3
BACKBONES = {
    "minilm": ("bundled:all-minilm-l6-v2", 6, 1000),
    "mpnet": ("bundled:all-mpnet-base-v2", 12, 300),
}
"""Spec, blocks, and questions to train on."""
TRAINED = 2


def some_texts(data: Path, n: int, folder: Path) -> Path:
    """So many questions to train on, two to validate on and two to test, as a CSV file."""
    rows = list(csv.DictReader((data / "banking77" / "train.csv").open(encoding="utf-8")))
    random.Random(0).shuffle(rows)
    path = folder / f"{n}.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "category", "split"])
        writer.writerows([row["text"], row["category"], "train"] for row in rows[:n])
        known = {row["category"] for row in rows[:n]}
        others = [row for row in rows[n:] if row["category"] in known]
        writer.writerows([row["text"], row["category"], "validation"] for row in others[:2])
        writer.writerows([row["text"], row["category"], "test"] for row in others[2:4])
    return path


def measure(name: str, data: Path, cache: Path, rounds: int) -> str:
    """One line of what was measured."""
    folder = Path(tempfile.mkdtemp(dir=cache))
    backbone, n_blocks, n_train = BACKBONES[name]
    source = some_texts(data, n_train, folder)
    seconds: dict[bool, list[float]] = {True: [], False: []}

    def epoch(cut_cache: bool) -> float:
        config = TuneConfig(
            data=str(source), backbone=backbone, cache=str(cache / "cache"), strategy=f"last:{TRAINED}",
            epochs=[N_EPOCHS], lr=[2e-4], cut_cache=cut_cache, calibrate=False, set=f"cut-{name}",
        )  # fmt: skip
        state = folder / f"state-{cut_cache}-{len(seconds[cut_cache])}"
        history = fine_tune(config, Silence(), state).history
        shutil.rmtree(state, ignore_errors=True)
        found = (history[-1]["seconds"] - history[0]["seconds"]) / (N_EPOCHS - 1)
        seconds[cut_cache].append(found)
        return found

    epoch(True)  # extracts
    contestants = {
        "cut": Contestant("from the cut", lambda: epoch(True)),
        "whole": Contestant("whole network", lambda: epoch(False)),
    }
    timings = take_turns(contestants, rounds, lambda line: print(line, flush=True))
    shutil.rmtree(folder, ignore_errors=True)
    cut, whole = timings["cut"].median, timings["whole"].median
    ratios = [a / b for a, b in zip(timings["cut"].seconds, timings["whole"].seconds, strict=True)]
    bound = 1.15 * 3 * TRAINED / (n_blocks + 2 * TRAINED)
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    return f"{name}: {cut:.1f} s and {whole:.1f} s an epoch: {cut / whole:.2f} of it ({spread}; bound {bound:.2f})"


def main(words: Sequence[str] | None = None) -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", choices=list(BACKBONES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=Path("cut-bench"))
    args = parser.parse_args(words)
    args.cache.mkdir(parents=True, exist_ok=True)
    names = [args.only] if args.only else list(BACKBONES)
    print("\n".join([measure(name, args.data, args.cache.resolve(), args.rounds) for name in names]))


if __name__ == "__main__":
    main()
