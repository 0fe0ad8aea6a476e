"""Kill extract, compact and gc at random, again and again, and look whether anything is lost or wrong.

    python tests/trials/kill_trial.py --kills 200 --seed 0

Real processes on a real disk, killed with ``kill -9``, one to three at a time in one cache. At the end, and
every now and then in between: no sample of a committed set lacks its vector, every vector equals what an
extraction into a cache of its own computes, and ``cache verify`` finds nothing. Exit code 0: so it is.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

BACKBONES = Path(__file__).parents[1] / "end_to_end"
TEXTS = "py:tiny_backbones:texts"
N = 400  # samples of the whole data; each extraction takes some of them
SETS = ("one", "two", "three")
GRACE = 12 / 86400  # days: long enough for an extraction to commit its set after its last shard
CHECK_EVERY = 25  # kills
PATIENCE = 180  # seconds that a command may take when nobody kills it


@dataclass
class Trial:
    """One trial in a folder of its own."""

    folder: Path
    seed: int
    environment: dict[str, str] = field(default_factory=dict)
    kills: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.cache = self.folder / "cache"
        self.environment = os.environ | {
            "PYTHONPATH": str(BACKBONES),
            "XDG_CACHE_HOME": str(self.folder / "machine"),
            "TINY_SECONDS": "0.002",
            "OMP_NUM_THREADS": "1",
        }
        rows = [(f"text {row} " + "ox" * (row % 9), f"class {row % 3}") for row in range(N)]
        self.rows = rows
        self.committed: dict[str, set[str]] = {}

    def run(self, *arguments: str, cache: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self.command(*arguments, cache=cache),
            env=self.environment, capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip

    def command(self, *arguments: str, cache: Path | None = None) -> list[str]:
        return [sys.executable, "-m", "headstart", *arguments, "--cache", str(cache or self.cache)]

    def data(self, n: int) -> Path:
        """Some of the samples, in a file of their own."""
        path = self.folder / f"some-{self.random.randrange(10**9)}.csv"
        chosen = self.random.sample(self.rows, n)
        with open(path, "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *chosen])
        return path

    def some_command(self) -> tuple[str, list[str]]:
        """What is to be killed next, by name."""
        kind = self.random.choices(("extract", "compact", "gc"), (5, 3, 2))[0]
        match kind:
            case "extract":
                shards = self.random.choice(("hdf5", "parquet"))
                data = self.data(self.random.randrange(20, N))
                name = self.random.choice(SETS)
                return kind, [
                    *("extract", str(data), "--backbone", TEXTS, "--set", name),
                    *("--format", shards, "--quiet"),
                ]
            case "compact":
                return kind, ["cache", "compact", "--quiet"]
        earlier = ["--earlier"] if self.random.random() < 0.5 else []
        return kind, ["cache", "gc", "--apply", "--grace", f"{GRACE:.9f}", "--quiet", *earlier]

    def kill_some(self) -> int:
        """Start one to three commands, and kill each after a while; how many were killed in time."""
        started = []
        for _ in range(self.random.choice((1, 1, 2, 3))):
            kind, arguments = self.some_command()
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
            process = subprocess.Popen(self.command(*arguments), env=self.environment, text=True, **quiet)  # type: ignore[call-overload]
            started.append((kind, process))
        n_killed = 0
        for kind, process in started:
            # Starting takes a while; from then on every moment should have its turn.
            time.sleep(self.random.uniform(0.3, 2.5) / len(started))
            if process.poll() is None:
                process.kill()
                n_killed += 1
                self.kills[kind] = self.kills.get(kind, 0) + 1
            _, err = process.communicate()
            if process.returncode not in (0, -9):
                raise SystemExit(f"{kind} failed: {err}")
        return n_killed

    def check(self) -> None:
        """Nothing is lost, nothing is wrong, and verify is clean."""
        import headstart as hs

        verified = self.run("cache", "verify", "--json", "--quiet")
        findings = json.loads(verified.stdout.splitlines()[-1])["findings"]
        if findings:
            raise SystemExit(f"verify found: {findings}")
        expected = self.expected()
        for name in (path.parent.name for path in self.cache.glob("sets/*/current")):
            features = hs.open_set(name, cache=str(self.cache))
            keys = features.samples.column("key").to_pylist()
            X, _ = features.arrays()
            if len(X) != len(keys):
                raise SystemExit(f"set {name}: {len(keys) - len(X)} vectors are lost")
            right = np.stack([expected[key] for key in keys])
            if np.abs(X - right).max() > 1e-5 * np.abs(right).max():
                raise SystemExit(f"set {name} holds a wrong vector")

    def expected(self) -> dict[bytes, np.ndarray]:
        """What an undisturbed extraction computes, by key."""
        import headstart as hs

        reference = self.folder / "reference"
        if not reference.exists():
            path = self.folder / "all.csv"
            with open(path, "w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows([("text", "label"), *self.rows])
            self.finish("extract", str(path), "--backbone", TEXTS, "--set", "all", cache=reference)
        features = hs.open_set("all", cache=str(reference))
        keys = features.samples.column("key").to_pylist()
        return dict(zip(keys, features.arrays()[0], strict=True))

    def finish(self, *arguments: str, cache: Path | None = None) -> None:
        """Run a command that must succeed."""
        done = self.run(*arguments, cache=cache)
        if done.returncode:
            raise SystemExit(f"{' '.join(arguments)}: {done.stderr}")


def trial(n_kills: int, seed: int, folder: Path) -> dict[str, int]:
    """Kill so many times; how often each command was killed.

    Raises
    ------
    SystemExit
        Something was lost or wrong, and what.
    """
    one = Trial(folder, seed)
    for name in SETS:
        one.finish("extract", str(one.data(60)), "--backbone", TEXTS, "--set", name)
    killed = checked = 0
    while killed < n_kills:
        killed += one.kill_some()
        if killed - checked >= CHECK_EVERY:
            checked = killed
            one.check()
            print(f"{killed} kills, sound so far: {one.kills}", file=sys.stderr, flush=True)
    for name in SETS:
        one.finish("extract", str(one.data(N // 2)), "--backbone", TEXTS, "--set", name)
    one.finish("cache", "compact")
    one.finish("cache", "gc", "--apply", "--grace", f"{GRACE:.9f}")
    one.check()
    return one.kills


def main() -> None:
    """Read the command line and run the trial in a folder that is deleted afterwards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="how many processes to kill")
    parser.add_argument("--seed", type=int, default=0, help="of what is started and when it is killed")
    parser.add_argument("--keep", type=Path, help="run here, and leave everything as it is in the end")
    given = parser.parse_args()
    folder = given.keep or Path(tempfile.mkdtemp(prefix="headstart-kills-"))
    folder.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    try:
        kills = trial(given.kills, given.seed, folder)
    finally:
        if given.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(
        f"{sum(kills.values())} kills in {time.monotonic() - start:.0f} s, nothing lost, nothing wrong: {kills}"
    )


if __name__ == "__main__":
    main()
