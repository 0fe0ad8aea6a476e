"""Extraction of photos from a bucket with latency, beside the same from a disk; prints one JSON object.

    python benchmarks/elsewhere.py [FOLDER OF PHOTOS] [--photos 2000] [--rounds 3] [--latency 0.02]

Both take turns, each time in a process of its own with an empty cache and nothing remembered; the ratio is that of the
medians. The server (moto's behind a proxy, which waits before each answer and knows all of them) has cores of its own,
as it would have elsewhere: half of the machine's, and the extraction the others.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.data import generated_jpegs, with_comment, write_files
from benchmarks.machine import apart, pin
from headstart.remote.store import open_store
from tests.remote.proxy import proxy
from tests.remote.servers import new_bucket, s3_server


class Took(NamedTuple):
    """What an extraction took; of the processor without the server's share."""

    seconds: float
    processor: float


BACKBONE = "bundled:efficientnet-lite0"


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, default=0.02)
    asked = parser.parse_args()
    own, servers = apart()
    pin(servers)
    with tempfile.TemporaryDirectory(prefix="headstart-elsewhere-") as place, s3_server() as found:
        folder = Path(place, "photos")
        n_bytes = gather(asked.folder, folder, asked.photos)
        os.environ |= found
        address = upload(folder)
        with proxy(found["AWS_ENDPOINT_URL"], asked.latency, keeps=True) as before:
            os.environ["AWS_ENDPOINT_URL"] = before.address
            read_once(address)
            before.seen.clear()
            took = take_turns({"disk": str(folder), "bucket": address}, asked.rounds, Path(place), own)
        n_requests = len(before.seen) // asked.rounds
    report = {
        "photos": asked.photos,
        "megabytes": round(n_bytes / 1e6),
        "latency": asked.latency,
        "requests": n_requests,
        **{name: [one._asdict() for one in several] for name, several in took.items()},
        "ratio of medians": {each: ratio(took, each) for each in Took._fields},
    }
    print(json.dumps(report, indent=1))


def ratio(took: dict[str, list[Took]], figure: str) -> float:
    """How much more the bucket costs, of the medians."""
    bucket, disk = (median(getattr(one, figure) for one in took[name]) for name in ("bucket", "disk"))
    return round(bucket / disk, 3)


def gather(given: Path | None, folder: Path, n: int) -> int:
    """Photos that all differ in a folder; how many bytes they are."""
    known = sorted(given.rglob("*.jpg")) if given else []
    contents = [path.read_bytes() for path in known[:n]]
    contents = contents or [content for _, content in generated_jpegs(min(n, 200))]
    chosen = enumerate(islice(cycle(contents), n))
    write_files(folder, ((f"{k:06d}.jpg", with_comment(content, str(k).encode())) for k, content in chosen))
    return sum(path.stat().st_size for path in folder.iterdir())


def upload(folder: Path) -> str:
    """Put a folder into a new bucket; its address there."""
    bucket = new_bucket()
    store = open_store(bucket)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda path: store.write(f"photos/{path.name}", path.read_bytes()), folder.iterdir()))
    return f"{bucket}/photos"


def read_once(address: str) -> None:
    """Let the proxy know what the server has: moto takes five milliseconds of a core a photo, and no cloud does."""
    store = open_store(address)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(store.read, [each.path for each in store.listed()]))


def take_turns(places: dict[str, str], rounds: int, folder: Path, cores: set[int]) -> dict[str, list[Took]]:
    """Each extraction, by place."""
    took: dict[str, list[Took]] = {name: [] for name in places}
    for number in range(rounds):
        for name, place in places.items():
            took[name].append(extract(place, folder / f"{name}-{number}", cores))
    return took


def extract(data: str, fresh: Path, cores: set[int]) -> Took:
    """One extraction on a machine that knows nothing."""
    environment = os.environ | {"XDG_CACHE_HOME": str(fresh), "HEADSTART_CACHE": str(fresh / "cache")}
    command = [sys.executable, "-m", "headstart", "extract", data, "--backbone", BACKBONE, "--quiet"]
    began = time.perf_counter()
    spent = processor_seconds()
    subprocess.run(
        command, env=environment, check=True, stdout=subprocess.DEVNULL, preexec_fn=partial(pin, cores)
    )
    took = Took(time.perf_counter() - began, processor_seconds() - spent)
    shutil.rmtree(fresh)
    return took


def processor_seconds() -> float:
    """Of all processes that were started here and have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


if __name__ == "__main__":
    main()
