"""``--workers``: several processes make what one makes, each sample once, and one that dies loses nothing."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from headstart.arrow import keys_from_arrow
from headstart.cache.sets import FeatureSet
from headstart.cache.store import Cache

from ..processes import Process, start
from .conftest import IMAGES, TEXTS, Result, some_texts, write_texts

Runner = Callable[..., Result]
SECONDS = 120.0
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")


def extract(run: Runner, data: Path | str, backbone: str, cache: str, *options: object) -> Result:
    done = run("extract", data, "--backbone", backbone, "--set", "s", "--cache", cache, *options, "--json")
    assert done.code == 0, done.err
    return done


def n_rows(headstart: Runner, cache: str) -> int:
    """Of all shards together; they must be sound."""
    verified = headstart("cache", "verify", "--cache", cache, "--json").json
    assert verified["findings"] == []
    return int(verified["n_rows"])


def check_same(mine: FeatureSet, expected: FeatureSet) -> None:
    """One state of one set, and in every space of it the same features."""
    assert mine.digest == expected.digest
    for ref in expected.features:
        names = expected.samples if ref.view is None else expected.table("train")
        keys = keys_from_arrow(names.column("key"))
        found, wanted = (
            np.asarray(Cache(str(each.cache)).open_space(ref.space).gather(keys).values)
            for each in (mine, expected)
        )
        np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def test_two_workers_make_what_one_process_makes(process: Runner, headstart: Runner, table: Path) -> None:
    done = extract(process, table, TEXTS, "shared", "--workers", 2)
    assert done.json["computed"] == 80
    assert n_rows(headstart, "shared") == 80
    extract(headstart, table, TEXTS, "alone")
    check_same(hs.open_set("s", cache="shared"), hs.open_set("s", cache="alone"))
    assert extract(headstart, table, TEXTS, "shared", "--workers", 2).json["computed"] == 0


@pytest.mark.slow
def test_workers_share_photos_and_their_views(process: Runner, headstart: Runner, photos: Path) -> None:
    done = extract(process, photos, IMAGES, "shared", "--workers", 2, "--views", 2)
    assert done.json["computed"] == 60
    extract(headstart, photos, IMAGES, "alone", "--views", 2)
    assert n_rows(headstart, "shared") == n_rows(headstart, "alone")
    check_same(hs.open_set("s", cache="shared"), hs.open_set("s", cache="alone"))


@pytest.mark.slow
def test_a_table_too_large_for_the_memory_reaches_the_workers(
    process: Runner, headstart: Runner, tmp_path: Path
) -> None:
    """Its rows lie in a file without a name, which the workers read as well."""
    rows = [(f"{text} " + "long " * 120, label) for text, label in some_texts(20_000)]
    data = write_texts(tmp_path / "large.csv", rows)
    assert data.stat().st_size > 10 << 20
    assert extract(process, data, TEXTS, "shared", "--workers", 2).json["computed"] == 20_000
    assert n_rows(headstart, "shared") == 20_000
    extract(headstart, data, TEXTS, "alone")
    check_same(hs.open_set("s", cache="shared"), hs.open_set("s", cache="alone"))


def test_a_stream_says_once_that_one_process_extracts_it(headstart: Runner, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    data = tmp_path / "t.jsonl"
    data.write_text("".join(f'{{"text": "{text}"}}\n' for text, _ in some_texts(40)), "utf-8")
    done = extract(headstart, f"hf:{data}", TEXTS, "cache", "--streaming", "--workers", 2)
    assert done.json["computed"] == 40
    assert done.err.count("one process extracts it, and --workers 2 is left aside") == 1


@pytest.fixture
def slow_run(tmp_path: Path, headstart: Runner) -> Iterator[Process]:
    """Two workers over 400 texts of which 100 are held, thirty of them a second and worker."""
    write_texts(tmp_path / "first.csv", some_texts(100))
    write_texts(tmp_path / "many.csv", some_texts(400))
    words = ("--backbone", TEXTS, "--cache", "cache")
    assert headstart("extract", tmp_path / "first.csv", *words, "-q").code == 0
    process = start(
        "extract", tmp_path / "many.csv", "--set", "s", *words, "--workers", 2, TINY_SECONDS="0.03"
    )
    yield process
    process.kill()
    process.wait()


def workers_at_work(process: Process) -> list[int]:
    """The process ids of both workers, once each has claimed something."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        claimed = {path.name.split(".")[-3] for path in Path("cache").glob("spaces/*/claims/*.live")}
        if len(children) == 2 and set(children) <= claimed:
            return [int(child) for child in children]
        time.sleep(0.05)
    raise AssertionError("the workers did not begin")


@linux_only
def test_a_worker_that_is_killed_leaves_its_work_to_the_other(slow_run: Process, headstart: Runner) -> None:
    os.kill(workers_at_work(slow_run)[0], signal.SIGKILL)
    _, said = slow_run.communicate(timeout=SECONDS)
    assert slow_run.returncode == 0, said
    assert "died (signal 9 (SIGKILL)); the others go on with its work" in said
    assert "Traceback" not in said
    assert n_rows(headstart, "cache") == 400
    extract(headstart, Path("many.csv"), TEXTS, "alone")
    check_same(hs.open_set("s", cache="cache"), hs.open_set("s", cache="alone"))


@linux_only
def test_when_all_workers_are_killed_the_command_says_so_and_what_was_committed_is_kept(
    slow_run: Process, headstart: Runner
) -> None:
    for pid in workers_at_work(slow_run):
        os.kill(pid, signal.SIGKILL)
    _, said = slow_run.communicate(timeout=SECONDS)
    assert slow_run.returncode != 0
    assert "all workers died; what was committed is kept" in said
    assert "Traceback" not in said
    assert n_rows(headstart, "cache") == 100
    again = extract(headstart, Path("many.csv"), TEXTS, "cache", "--workers", 1)
    assert again.json["computed"] == 300
