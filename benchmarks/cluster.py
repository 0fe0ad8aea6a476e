"""The Ray engine on real data: what it promises, and what it costs beside the local engine.

::

    PYTHONPATH=. python benchmarks/cluster.py promises --data DATA --folder WORK
    PYTHONPATH=. python benchmarks/cluster.py figures --data DATA --folder WORK

``promises``: three raylets, 5,000 texts and photos; one raylet is killed half-way, a driver is killed and started
again, two drivers share one cache. Every row is there once, right, and the cache is sound. ``figures``: whole commands,
taking turns: the local engine, a cluster of one worker and one of two. DATA holds ``banking77`` and ``clothing``.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import headstart as hs
from headstart.testing.engine import n_stored, vectors

N_TEXTS = 4628  # with the 372 photos: 5,000
TEXTS, PHOTOS = "bundled:all-minilm-l6-v2", "bundled:efficientnet-lite0"
NODE = {"object_store_memory": 80 << 20, "include_dashboard": False}
TOLERANCE = 1e-5
ROUNDS = 3


@dataclass(frozen=True)
class Job:
    """A data set, and its backbone."""

    name: str
    data: Path
    backbone: str
    n: int

    def command(self, cache: Path, *more: object) -> subprocess.Popen[str]:
        words = ("extract", self.data, "--backbone", self.backbone, "--set", self.name, "--cache", cache)
        told = [*words, "--runtime", "torch", "--json", *more]
        return subprocess.Popen(
            [sys.executable, "-m", "headstart", *map(str, told)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, cache: Path, *more: object) -> int:
        """How many samples a whole command computed."""
        return computed(self.command(cache, *more))


def computed(process: subprocess.Popen[str]) -> int:
    out, err = process.communicate()
    if process.returncode:
        raise SystemExit(err)
    return int(json.loads(out.strip().splitlines()[-1])["computed"])


def jobs(data: Path, folder: Path) -> list[Job]:
    """So many texts, and the photos to test on."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(data / "banking77" / "train.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[: N_TEXTS + 1]
    with open(folder / "texts.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    photos = data / "clothing" / "test"
    n = sum(1 for _ in photos.rglob("*.jpg"))
    return [Job("texts", folder / "texts.csv", TEXTS, len(rows) - 1), Job("photos", photos, PHOTOS, n)]


def check(job: Job, cache: Path, reference: Path) -> str:
    """That every row is there once and right, and the cache sound."""
    features, expected = (hs.open_set(job.name, cache=str(each)) for each in (cache, reference))
    found, wanted = vectors(features), vectors(expected)
    error = float((np.abs(found - wanted).max(axis=1) / np.abs(wanted).max(axis=1)).max())
    keys = len({key.as_py() for key in expected.samples.column("key")})
    assert features.samples.column("key").equals(expected.samples.column("key"))
    assert error <= TOLERANCE, error
    assert n_stored(features) == keys, (n_stored(features), keys)
    verify = [sys.executable, "-m", "headstart", "cache", "verify", "--cache", str(cache), "--json"]
    said = json.loads(subprocess.run(verify, capture_output=True, text=True, check=True).stdout.strip())
    assert said["findings"] == [], said
    return f"{len(features):,} samples, {keys:,} rows once each, largest error {error:.1e}, verify clean"


def wait_for(process: subprocess.Popen[str], cache: Path, n: int) -> None:
    while process.poll() is None and len(list(cache.glob("spaces/*/shards/*.h5"))) < n:
        time.sleep(0.1)


def promises(work: Sequence[Job], folder: Path) -> None:
    """See the module."""
    from ray.cluster_utils import Cluster

    for job in work:
        job.run(folder / "local")
    cluster: Any = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 0})
    try:
        nodes = [cluster.add_node(**NODE, num_cpus=1) for _ in range(3)]
        cluster.wait_for_nodes()
        on = ("--engine", "ray", "--ray-address", cluster.address, "--workers")
        for job in work:
            cache = folder / f"node-{job.name}"
            process = job.command(cache, *on, 3)
            wait_for(process, cache, 4)
            cluster.remove_node(nodes.pop(), allow_graceful=False)
            n = computed(process)
            print(
                f"{job.name}, a raylet killed: {n:,} computed; {check(job, cache, folder / 'local')}",
                flush=True,
            )
            nodes.append(cluster.add_node(**NODE, num_cpus=1))
        for job in work:
            cache = folder / f"driver-{job.name}"
            process = job.command(cache, *on, 3)
            wait_for(process, cache, 4)
            process.kill()
            process.communicate()
            n = job.run(cache, *on, 3)
            print(
                f"{job.name}, a driver killed: {n:,} computed later; {check(job, cache, folder / 'local')}",
                flush=True,
            )
        for job in work:
            cache = folder / f"two-{job.name}"
            both = [job.command(cache, *on, 1) for _ in range(2)]
            n_each = [computed(process) for process in both]
            print(
                f"{job.name}, two drivers: {n_each} computed; {check(job, cache, folder / 'local')}",
                flush=True,
            )
    finally:
        cluster.shutdown()


def figures(work: Sequence[Job], folder: Path) -> None:
    """See the module."""
    ways: dict[str, tuple[object, ...]] = {
        "local": (),
        "ray, 1 worker": ("--engine", "ray", "--workers", 1),
        "ray, 2 workers": ("--engine", "ray", "--workers", 2),
    }
    for job in work:
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, options in ways.items():
                cache = folder / "turn"
                shutil.rmtree(cache, ignore_errors=True)
                began = time.monotonic()
                job.run(cache, *options)
                seconds[name].append(time.monotonic() - began)
        for name, each in seconds.items():
            ratio = median(mine / local for mine, local in zip(each, seconds["local"], strict=True))
            print(f"{job.name} ({job.n:,}), {name}: {median(each):.1f} s, {ratio:.2f} × local", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["promises", "figures"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    told = parser.parse_args()
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  as Ray spells it
    work = jobs(told.data, told.folder)
    {"promises": promises, "figures": figures}[told.what](work, told.folder)


if __name__ == "__main__":
    main()
