"""What this machine's processor is, and how much of it may be used."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
import torch

from headstart.devices import _container_cores, processor, usable_cores


def test_at_least_one_core_is_used_and_no_more_than_torch_would(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= usable_cores() <= max(torch.get_num_threads(), 1)
    monkeypatch.setattr("sys.modules", {**__import__("sys").modules, "torch": None})
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert usable_cores() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "odd")
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, math.inf),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2.0),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
        ({"cpu.max": "nonsense"}, math.inf),
        ({}, math.inf),
    ],
)
def test_a_container_bounds_the_cores(files: dict[str, str], cores: float, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert _container_cores(tmp_path) == cores


def test_processors_that_can_do_different_things_are_told_apart(tmp_path: Path) -> None:
    said = (
        "processor : 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx2{}\n\nprocessor : 1\nmodel name : other\n"
    )
    for name, more in (("a", ""), ("b", " avx512f")):
        (tmp_path / name).write_text(said.format(more))
    old, new = processor(tmp_path / "a"), processor(tmp_path / "b")
    assert old.name == new.name == "AMD EPYC"
    assert (old.flags, new.flags - old.flags) == ({"fpu", "avx2"}, {"avx512f"})
    assert old.id != new.id
    assert processor(tmp_path / "none").flags == frozenset()
