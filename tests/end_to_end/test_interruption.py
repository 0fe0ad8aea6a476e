"""Killed, interrupted, and two at once."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import headstart as hs

from ..processes import Process, start
from .conftest import TEXTS, Result, some_texts, write_texts

Runner = Callable[..., Result]
N = 600
SLOW = {"TINY_SECONDS": "0.004"}


@pytest.fixture
def many(tmp_path: Path) -> Path:
    return write_texts(tmp_path / "many.csv", some_texts(N))


def extract(data: Path, cache: str, **environment: str) -> Process:
    words = ("extract", data, "--backbone", TEXTS, "--set", "many", "--cache", cache)
    return start(*words, **SLOW | environment)


def wait_for_work(process: Process, cache: str) -> None:
    """Until the first claim lies in the cache: the extraction is under way."""
    for _ in range(600):
        if process.poll() is not None or list(Path(cache).glob("spaces/*/claims/*.live")):
            return
        time.sleep(0.05)


def check_whole(headstart: Runner, data: Path, cache: str) -> None:
    """The set equals that of an uninterrupted run; no row is doubled or missing."""
    assert headstart("extract", data, "--backbone", TEXTS, "--set", "many", "--cache", cache).code == 0
    headstart("extract", data, "--backbone", TEXTS, "--set", "many", "--cache", "reference")
    verified = headstart("cache", "verify", "--cache", cache, "--json").json
    assert verified["findings"] == []
    mine, reference = hs.open_set("many", cache=cache), hs.open_set("many", cache="reference")
    assert mine.samples.equals(reference.samples)
    X, expected = mine.arrays()[0], reference.arrays()[0]
    assert np.abs(X - expected).max() <= 1e-5 * np.abs(expected).max()


def kill_and_resume(headstart: Runner, data: Path, n_kills: int) -> None:
    for _ in range(n_kills):
        process = extract(data, "cache")
        wait_for_work(process, "cache")
        time.sleep(random.uniform(0, 2.5))
        process.kill()
        process.communicate()
    check_whole(headstart, data, "cache")


def test_killed_and_run_again(headstart: Runner, many: Path) -> None:
    kill_and_resume(headstart, many, n_kills=2)


@pytest.mark.slow
def test_killed_twenty_times(headstart: Runner, many: Path) -> None:
    kill_and_resume(headstart, many, n_kills=20)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_commits_and_says_how_to_resume(
    headstart: Runner, many: Path, number: signal.Signals, code: int
) -> None:
    process = extract(many, "cache", TINY_SECONDS="0.01")
    wait_for_work(process, "cache")
    time.sleep(1.5)
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == code
    assert "Resume with: headstart extract" in err
    assert "Traceback" not in err
    resumed = headstart("extract", many, "--backbone", TEXTS, "--set", "many", "--cache", "cache", "--json")
    assert 0 < resumed.json["computed"] < N


def test_two_extractions_at_once_share_the_work(headstart: Runner, many: Path) -> None:
    both = [extract(many, "cache"), extract(many, "cache")]
    for process in both:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    verified = headstart("cache", "verify", "--cache", "cache", "--json").json
    assert verified["n_rows"] <= N * 1.2
    check_whole(headstart, many, "cache")
