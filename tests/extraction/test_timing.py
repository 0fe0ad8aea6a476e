"""Where the time of an extraction went, in shares of what there was to spend."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from headstart.extraction.timings import Stopwatch, Timings

from .computing import pictures, plan, some_texts


def timings(**changes: object) -> Timings:
    values = {
        "n": 100, "seconds": 10.0, "capacity": 20.0, "read": 1.0, "prepare": 2.0, "forward": 12.0, "write": 1.0,
        "device": "cpu", "forward_as": "eager", "lanes": 2, "threads": 1, "batch": 8,
    }  # fmt: skip
    return Timings(**{**values, **changes})  # type: ignore[arg-type]


def test_shares_are_of_all_cores_and_sum_to_one() -> None:
    found = timings()
    assert found.shares == pytest.approx(
        {"read": 0.05, "prepare": 0.1, "forward": 0.6, "write": 0.05, "idle": 0.2}
    )
    assert found.ceiling_share == 0.6
    said = str(found)
    assert "the model 60%" in said
    assert "idle 20%" in said
    assert "10 a second" in said


def test_beside_a_gpu_only_its_own_time_counts() -> None:
    found = timings(device="cuda", capacity=10.0, forward=9.5)
    assert found.shares == {"forward": 0.95, "idle": pytest.approx(0.05)}


def test_more_was_never_spent_than_there_was() -> None:
    found = timings(forward=30.0)
    assert found.ceiling_share == 1.0
    assert found.shares["idle"] == 0.0


def test_parts_of_one_run_add_up_and_workers_share_their_time() -> None:
    one, other = timings(), timings(n=50, seconds=4.0, capacity=8.0, forward=4.0)
    after = one.joined(other)
    assert (after.n, after.seconds, after.forward) == (150, 14.0, 16.0)
    beside = replace(one.beside(other), seconds=11.0)
    assert (beside.n, beside.seconds, beside.lanes) == (150, 11.0, 4)
    assert sum(beside.shares.values()) == pytest.approx(1.0)


def test_a_stopwatch_counts_work_and_not_waiting() -> None:
    stopwatch = Stopwatch()

    def work() -> None:
        with stopwatch.processor("prepare"):
            time.sleep(0.2)
            end = time.thread_time() + 0.05
            while time.thread_time() < end:
                pass

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0.1 <= stopwatch.seconds("prepare") < 0.3
    assert stopwatch.seconds("read") == 0.0


@pytest.mark.parametrize("backbone", ["py:odd_backbones:plain", "py:tiny_backbones:images"])
def test_a_run_says_what_it_spent_on_each_phase(cache_root: Path, backbone: str) -> None:
    is_text = "plain" in backbone
    samples = some_texts(500) if is_text else pictures(60)
    task = plan(samples, backbone, cache_root, "text" if is_text else "image")
    found = task.run().timings
    assert found is not None
    said = json.loads(json.dumps(found.to_json()))
    assert set(said["shares"]) == {"read", "prepare", "forward", "write", "idle"}
    assert sum(said["shares"].values()) == pytest.approx(1.0, abs=0.1)
    assert all(0 <= share <= 1 for share in said["shares"].values())
    assert said["n"] == len(samples)
    assert said["rate"] == pytest.approx(said["n"] / said["seconds"], rel=0.05)
    assert said["ceiling_share"] == pytest.approx(said["shares"]["forward"], abs=1e-3)
    assert (said["device"], said["forward_as"]) == ("cpu", "eager")
    assert said["lanes"] * said["threads"] <= 2
    assert said["batch"] >= 1
