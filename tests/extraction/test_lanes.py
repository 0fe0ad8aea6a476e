"""How a machine is used, and what becomes of what a model raises."""

from __future__ import annotations

import queue
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headstart.errors import BackboneError
from headstart.extraction.extractor import Extractor
from headstart.extraction.inference import MOST_LANES, InferencePool, lay_out
from headstart.extraction.runtime import TorchRuntime

from .computing import Heard, assert_close, compute, open_model, plan, some_texts

CPU = torch.device("cpu")
TEXTS = some_texts(60)


@pytest.mark.parametrize("cores", [1, 2, 7, 8, 20, 96])
def test_all_cores_are_used_and_none_twice(cores: int) -> None:
    layout = lay_out(CPU, cores=cores)
    assert cores / 2 < layout.lanes * layout.threads <= cores
    assert 1 <= layout.lanes <= MOST_LANES
    alone = lay_out(CPU, is_reentrant=False, cores=cores)
    assert (alone.lanes, alone.threads) == (1, cores)


@pytest.mark.parametrize(("is_needed", "most"), [(False, 2), (True, 1)])
def test_a_lane_waits_while_its_core_is_needed(
    is_needed: bool, most: int, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work: list[int] = []
    seen: list[int] = []
    run = TorchRuntime.run

    def counted(self: TorchRuntime, batch: Any) -> Any:
        at_work.append(1)
        seen.append(len(at_work))
        time.sleep(0.01)
        try:
            return run(self, batch)
        finally:
            at_work.pop()

    monkeypatch.setattr(TorchRuntime, "needs_a_core", is_needed)
    monkeypatch.setattr(TorchRuntime, "run", counted)
    spec = "py:odd_backbones:plain"
    work = plan(TEXTS, spec, cache_root, "text").work
    extractor = Extractor(work, open_model(spec), "float32", Heard(), batch_size=4, cores=2)
    try:
        done = [item for found in extractor.run(iter([np.arange(len(work.todo))])) for item in found.done]
    finally:
        extractor.close()
    assert len(done) == len(TEXTS)
    assert max(seen) == most


def test_a_lane_has_the_threads_that_it_is_given() -> None:
    done: queue.SimpleQueue[Any] = queue.SimpleQueue()
    model = open_model("py:odd_backbones:plain")
    pool = InferencePool(
        lay_out(CPU, cores=2), done, TorchRuntime(model, ["final.mean"], lay_out(CPU, cores=2)).lane
    )
    started = threading.Barrier(2)

    def look() -> tuple[int, int]:
        started.wait(10)  # so that each lane takes one
        return threading.get_ident(), torch.get_num_threads()

    for _ in range(2):
        pool.submit(look)
    seen = [done.get(timeout=10) for _ in range(2)]
    pool.close()
    assert len({ident for ident, _ in seen}) == 2
    assert {threads for _, threads in seen} == {1}


def test_a_run_leaves_the_callers_threads_as_they_were(cache_root: Path) -> None:
    before = set(threading.enumerate())  # a test before this one may have left a read that hangs
    compute(TEXTS, "py:odd_backbones:plain", cache_root)
    assert torch.get_num_threads() == 2
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not {name for name in left if name.startswith("headstart")}


def test_a_model_that_does_not_say_that_threads_may_share_it_is_run_by_one(cache_root: Path) -> None:
    compute(TEXTS, "py:odd_backbones:watchful", cache_root, batch_size=2)


def test_a_model_that_raises_ends_the_run_with_its_error_and_keeps_what_it_gave(cache_root: Path) -> None:
    compute(TEXTS[:30], "py:odd_backbones:raising", cache_root)
    task = plan([*TEXTS, "bang"], "py:odd_backbones:raising", cache_root)
    with pytest.raises(BackboneError, match=r"py:odd_backbones:raising failed on a batch of .*: a bang"):
        task.run()
    assert sum(task.held()) >= 30
    assert not task.held()[-1]


def test_a_model_that_computes_into_the_same_memory_again_does_not_rewrite_features(
    cache_root: Path, tmp_path: Path
) -> None:
    found = compute(TEXTS, "py:odd_backbones:reusing", cache_root, batch_size=4)
    assert_close(found, compute(TEXTS, "py:odd_backbones:plain", tmp_path / "other"))
