"""What a run was made on, and how much memory and energy a stretch of work took there."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import resource
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from headstart.types import Json

PACKAGES = (
    "headstart", "torch", "torchvision", "transformers", "timm", "numpy", "scikit-learn", "pyarrow",
    "h5py", "safetensors",
)  # fmt: skip
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
FORGET_PEAK = "5"
COUNTERS = Path("/sys/class/powercap")
MICRO = 1e-6


def provenance(**about: Json) -> dict[str, Json]:
    """Which version made something and when, and what else it is from."""
    return {
        "headstart": metadata.version("headstart"),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **about,
    }


def describe_environment() -> dict[str, Json]:
    """Python, platform, cores and the versions of what computes."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "packages": dict(_versions()),
    }


@cache
def _versions() -> dict[str, str]:
    packages = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            packages[name] = metadata.version(name)
    return packages


class MemoryWatch:
    """Watches the memory of this process from when it is made, on ``cuda`` that of the current GPU too.

    Where the system keeps no peak that can be begun anew (outside Linux), the peak is that of the whole process.
    ``level`` are the resident bytes when it was made.
    """

    def __init__(self, device: str = "cpu") -> None:
        with contextlib.suppress(OSError):
            CLEAR.write_text(FORGET_PEAK)
        self.level = int(psutil.Process().memory_info().rss)
        self._on_gpu = device == "cuda"
        if self._on_gpu:
            import torch

            torch.cuda.reset_peak_memory_stats()

    @property
    def peak(self) -> int:
        """The most resident bytes since."""
        with contextlib.suppress(
            OSError, ValueError
        ):  # what Linux keeps and can begin anew, and psutil has not
            lines = STATUS.read_text("ascii").splitlines()
            if found := [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")]:
                return found[0]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024

    def report(self) -> dict[str, int]:
        """``loaded_resident_bytes``, ``peak_resident_bytes``, and on a GPU ``peak_gpu_bytes``."""
        found = {"loaded_resident_bytes": self.level, "peak_resident_bytes": self.peak}
        if self._on_gpu:
            import torch

            found["peak_gpu_bytes"] = torch.cuda.max_memory_allocated()
        return found


class EnergyMeter:
    """Reads the energy counters of the processor's packages (RAPL) from when it is made.

    They count what the whole machine takes, and many machines, virtual ones above all, have none.
    """

    def __init__(self) -> None:
        self._packages = sorted(COUNTERS.glob("intel-rapl:?")) if COUNTERS.is_dir() else []
        self._start = [_read(package / "energy_uj") for package in self._packages]

    @property
    def joules(self) -> dict[str, float]:
        """``joules`` since; empty where nothing counts."""
        total = 0.0
        for package, start in zip(self._packages, self._start, strict=True):
            now, most = _read(package / "energy_uj"), _read(package / "max_energy_range_uj")
            if start is None or now is None:
                return {}
            total += (now - start if now >= start else now + (most or 0) - start) * MICRO  # it began anew
        return {"joules": total} if self._packages else {}


def _read(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None
