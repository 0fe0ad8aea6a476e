"""Eight processes at work in one bucket, of a server that fails, each killed again and again: nothing is lost."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import pytest

from headstart.cache.maintenance.verify import verify
from headstart.cache.store import Cache
from headstart.progress import Silence

from ..processes import Process
from .beside import numbers_of, read
from .conftest import HELPERS
from .failing_server import proxy
from .servers import new_bucket

ROLES = ("writer", "writer", "writer", "writer", "reader", "reader", "compact", "gc")
N_KILLS, SECONDS_EACH = 100, 2.0
CODE = "from tests.remote.beside import main\nmain()"


@pytest.mark.slow
def test_nothing_is_lost_and_nothing_is_wrong(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = os.environ["AWS_ENDPOINT_URL"]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2]), *HELPERS]))
    with proxy(plain, every=10) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        cache = f"{new_bucket(address)}/cache"
        kill_again_and_again(cache, tmp_path)
    errors = [path.read_text() for path in tmp_path.glob("error-*")]
    assert errors == []
    monkeypatch.setenv("AWS_ENDPOINT_URL", plain)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "afterwards"))
    found = Cache(cache)
    named = [int(line) for path in tmp_path.glob("acknowledged-*") for line in path.read_text().split()]
    assert len(named) > N_KILLS  # they had time to do something
    assert set(named) <= set(numbers_of(found)[1])
    assert read(found) == len(numbers_of(found)[1])
    assert [one.problem for one in verify(found, Silence()).findings] == []


def kill_again_and_again(cache: str, folder: Path) -> None:
    """Run a process of each role, and start another one for each that is killed."""
    rng = random.Random(0)
    at_work = [start(number, 0, cache, folder) for number in range(len(ROLES))]
    for n in range(1, N_KILLS + 1):
        time.sleep(rng.uniform(0.5, 1.5) * SECONDS_EACH)
        number = rng.randrange(len(ROLES))
        kill(at_work[number])
        at_work[number] = start(number, n, cache, folder)
    for process in at_work:
        kill(process)


def kill(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended, by an error, which it has noted
        os.kill(process.pid, signal.SIGKILL)
    process.wait()


def start(number: int, n: int, cache: str, folder: Path) -> Process:
    machine = str(folder / f"machine-{number % 4}")  # of two processes each
    return Process(CODE, ROLES[number], cache, f"{number}-{n}", folder, XDG_CACHE_HOME=machine)
