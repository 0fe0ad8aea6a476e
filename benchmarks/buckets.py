"""`extract` to a bucket against `extract` to a folder, in turn, with so many milliseconds added to every request.

    python -m benchmarks.buckets --data texts.csv --rounds 3 --latency 20

The bucket is that of a test server (moto) on this machine, behind a proxy that waits before it hands a request on; the
server has half of the cores, as it would have others elsewhere, and the extraction the rest.
Prints the wall times of each round, and the ratio of their medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.machine import apart, pin
from tests.remote.failing_server import proxy
from tests.remote.servers import new_bucket, s3_server


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", required=True)
    parser.add_argument("--backbone", default="bundled:all-minilm-l6-v2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, default=20.0, help="milliseconds a request")
    asked = parser.parse_args()
    own, servers = apart()
    pin(servers)
    with s3_server() as environment, proxy(environment["AWS_ENDPOINT_URL"], asked.latency / 1000) as address:
        os.environ.update(environment, AWS_ENDPOINT_URL=address)
        folders, buckets = [], []
        for number in range(asked.rounds):
            with tempfile.TemporaryDirectory() as scratch:
                buckets.append(extract(asked.data, asked.backbone, f"{new_bucket()}/cache", scratch, own))
                folders.append(extract(asked.data, asked.backbone, f"{scratch}/cache", scratch, own))
            print(f"round {number + 1}: folder {folders[-1]:.1f} s, bucket {buckets[-1]:.1f} s", flush=True)
    ratio = statistics.median(buckets) / statistics.median(folders)
    print(f"bucket / folder: {ratio:.3f} ({asked.latency:g} ms a request, {asked.rounds} rounds)")


def extract(data: str, backbone: str, cache: str, scratch: str, cores: set[int]) -> float:
    """The seconds of one command, on a machine that knows nothing yet."""
    words = ["extract", data, "--backbone", backbone, "--set", "s", "--cache", cache, "--device", "cpu"]
    machine = {**os.environ, "XDG_CACHE_HOME": str(Path(scratch, "machine"))}
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "headstart", *words, "--quiet"],
        env=machine,
        check=True,
        preexec_fn=partial(pin, cores),
    )
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
