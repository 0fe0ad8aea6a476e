"""What a stretch of work took: memory and energy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from headstart.registry import machine


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak is that of the whole process")
def test_the_peak_is_that_of_the_stretch() -> None:
    """In a process of its own: what another test freed may be held by the allocator, and be used again."""
    code = """
import numpy as np
from headstart.registry.machine import MemoryWatch
before = np.ones(80_000_000, dtype=np.uint8)
del before
watch = MemoryWatch()
print(watch.peak - watch.level)
during = np.ones(100_000_000, dtype=np.uint8)
del during
report = watch.report()
assert report["loaded_resident_bytes"] == watch.level
print(report["peak_resident_bytes"] - watch.level)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100
    )
    quiet, busy = map(int, done.stdout.split())
    assert quiet < 20_000_000
    assert 90_000_000 < busy < 140_000_000


def test_energy_is_counted_over_the_end_of_the_counter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "COUNTERS", tmp_path)
    assert machine.EnergyMeter().joules == {}
    for number, start in enumerate((1_000_000, 9_000_000)):
        package = tmp_path / f"intel-rapl:{number}"
        package.mkdir()
        (package / "energy_uj").write_text(str(start))
        (package / "max_energy_range_uj").write_text("10000000")
    meter = machine.EnergyMeter()
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("3000000")
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("500000")
    assert meter.joules == {"joules": pytest.approx(2.0 + 1.5)}
